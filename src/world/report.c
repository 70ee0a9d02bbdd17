/* report.c: counts become shares, and shares a table. */
#include "world/report.h"

#include <math.h>
#include <string.h>

enum { BAR = 25 };

fr_report fr_report_new(const char *what, const char *const *names, int groups, bool has_strict) {
    return (fr_report){.what = what,
                       .names = names,
                       .groups = FR_MIN(groups, FR_REPORT_GROUPS),
                       .has_strict = has_strict};
}

static void add_fault(fr_report *r, const char *kind, const char *example) {
    int i = 0;
    while (i < r->faults && strcmp(r->fault[i].kind, kind) != 0) i++;
    if (i == FR_REPORT_FAULTS) i--;
    fr_fault *f = &r->fault[i];
    if (i == r->faults) {
        bool last = ++r->faults == FR_REPORT_FAULTS;
        snprintf(f->kind, sizeof f->kind, "%s", last ? "something else" : kind);
        snprintf(f->example, sizeof f->example, "%s", example);
    }
    f->count++;
}

void fr_report_add(fr_report *r, int group, bool right, bool strict, const char *kind,
                   const char *example) {
    if (group < 0 || group >= r->groups) return;
    fr_score *s = &r->score[group];
    s->asked++;
    s->right += right;
    s->strict += right && strict;
    if (kind[0]) add_fault(r, kind, example);
}

fr_share fr_share_of(int64_t right, int64_t asked) {
    if (asked < 1) return (fr_share){0, 0};
    double p = (double)right / (double)asked;
    return (fr_share){p, sqrt(p * (1 - p) / (double)asked)};
}

fr_share fr_report_mean(const fr_report *r, bool strict, int *groups) {
    fr_share mean = {0, 0};
    int n = 0;
    for (int i = 0; i < r->groups; i++) {
        const fr_score *s = &r->score[i];
        if (!s->asked) continue;
        fr_share one = fr_share_of(strict ? s->strict : s->right, s->asked);
        mean.value += one.value;
        mean.error += one.error * one.error;
        n++;
    }
    *groups = n;
    if (!n) return mean;
    return (fr_share){mean.value / n, sqrt(mean.error) / n};
}

/* ---- printing ---- */

static void put_row(fr_table *t, const fr_report *r, const char *name, int64_t asked,
                    fr_share right, fr_share strict, bool bars) {
    char bar[BAR + 1];
    fr_table_cell(t, "%s", name);
    fr_table_cell(t, "%lld", (long long)asked);
    fr_table_cell(t, "%.1f%%", 100 * right.value);
    fr_table_cell(t, "%.1f", 100 * right.error);
    if (r->has_strict) fr_table_cell(t, "%.1f%%", 100 * strict.value);
    if (!bars) return;
    int full = (int)lround(BAR * right.value);
    memset(bar, '.', BAR);
    memset(bar, '#', (size_t)full);
    bar[BAR] = 0;
    fr_table_cell(t, "%s", bar);
}

/* From the most frequent. */
static void print_faults(const fr_report *r, FILE *out) {
    bool told[FR_REPORT_FAULTS] = {false};
    for (int round = 0; round < r->faults; round++) {
        int most = -1;
        for (int i = 0; i < r->faults; i++)
            if (!told[i] && (most < 0 || r->fault[i].count > r->fault[most].count)) most = i;
        told[most] = true;
        const fr_fault *f = &r->fault[most];
        fprintf(out, "%s%8lld  %s%s%s\n", round ? "" : "\nwhat was wrong:\n", (long long)f->count,
                f->kind, f->example[0] ? ", such as: " : "", f->example);
    }
}

void fr_report_print(const fr_report *r, FILE *out, bool bars) {
    char head[128];
    int groups;
    int64_t asked = 0;
    snprintf(head, sizeof head, "task|>%s|>score|>+-%s%s", r->what, r->has_strict ? "|>strict" : "",
             bars ? "|" : "");
    fr_table *t = fr_table_new(head);
    if (!t) return;
    for (int i = 0; i < r->groups; i++) {
        const fr_score *s = &r->score[i];
        if (!s->asked) continue;
        asked += s->asked;
        put_row(t, r, r->names[i], s->asked, fr_share_of(s->right, s->asked),
                fr_share_of(s->strict, s->asked), bars);
    }
    char name[40];
    fr_share strict = fr_report_mean(r, true, &groups), mean = fr_report_mean(r, false, &groups);
    snprintf(name, sizeof name, groups == 1 ? "all" : "mean of %d tasks", groups);
    fr_table_rule(t);
    put_row(t, r, name, asked, mean, strict, bars);
    fr_table_print(t, out);
    fr_table_free(t);
    print_faults(r, out);
}
