/* compare.c: two examinations of the same questions side by side. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "world/report.h"

#define FILE_MOST ((size_t)512 << 20)

/* ---- the test ---- */

fr_share fr_paired_difference(const fr_paired *p) {
    double a = (double)p->only_a, b = (double)p->only_b;
    double n = a + b + (double)p->both + (double)p->neither;
    if (n < 1) return (fr_share){0, 0};
    double d = (a - b) / n;
    return (fr_share){d, sqrt(fmax((a + b) / n - d * d, 0) / n)};
}

/* Were only luck at work, each answer that differs would be a's or b's like the sides of a coin. */
double fr_paired_chance(const fr_paired *p) {
    double n = (double)(p->only_a + p->only_b), less = (double)FR_MIN(p->only_a, p->only_b);
    if (p->only_a == p->only_b) return 1;
    double sum = 0;
    for (double k = less; k >= 0; k--) {
        double term = exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2));
        sum += term;
        if (term < sum * 1e-18) break;
    }
    return fmin(2 * sum, 1);
}

/* ---- reading ---- */

typedef struct answer {
    const char *file, *tag, *prompt; /* in the arena */
    bool right;
} answer;

typedef struct answers {
    answer *list;
    size_t count, cap;
    fr_arena *arena;
} answers;

static fr_status read_line(answers *a, const fr_json *j) {
    const char *file, *tag, *prompt;
    bool right;
    if (!json_is_object(j)) return fr_fail(FR_FORMAT, "it is no JSON object");
    if (!fr_json_get(j, "correct")) return fr_fail(FR_FORMAT, "\"correct\" is missing");
    FR_TRY(fr_json_bool(j, "correct", false, &right));
    FR_TRY(fr_json_string(j, "filename", NULL, &file));
    FR_TRY(fr_json_string(j, "tag", "all", &tag));
    FR_TRY(fr_json_string(j, "prompt", "", &prompt));
    if (!file) return fr_fail(FR_FORMAT, "\"filename\" is missing");
    FR_TRY(fr_grow((void **)&a->list, &a->cap, a->count + 1, sizeof *a->list));
    answer *one = &a->list[a->count++];
    *one = (answer){fr_arena_strdup(a->arena, file), fr_arena_strdup(a->arena, tag),
                    fr_arena_strdup(a->arena, prompt), right};
    return one->file && one->tag && one->prompt ? FR_OK : FR_NOMEM;
}

static fr_status read_lines(answers *a, const char *path, const char *text, size_t bytes) {
    const char *end = text + bytes;
    for (long number = 1; text < end; number++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((stop ? stop : end) - text);
        char name[300];
        fr_json *j;
        if (strspn(text, " \t\r") >= length) { /* an empty line */
            text += length + 1;
            continue;
        }
        snprintf(name, sizeof name, "%s, line %ld", path, number);
        FR_TRY(fr_json_parse(text, length, name, &j));
        fr_status st = read_line(a, j);
        fr_json_free(j);
        if (st) return fr_fail_in(st, "%s", name);
        text += length + 1;
    }
    return a->count ? FR_OK : fr_fail(FR_FORMAT, "%s holds no results.", path);
}

static int by_file(const void *a, const void *b) {
    return strcmp(((const answer *)a)->file, ((const answer *)b)->file);
}

static fr_status read_answers(const char *path, answers *out) {
    char *text = NULL, *inside = NULL;
    size_t bytes;
    if (fr_path_is_dir(path)) {
        inside = fr_path_join(path, "results.jsonl");
        if (!inside) return FR_NOMEM;
        path = inside;
    }
    out->arena = fr_arena_new();
    fr_status st = out->arena ? fr_read_file(path, FILE_MOST, &text, &bytes) : FR_NOMEM;
    if (!st) st = read_lines(out, path, text, bytes);
    if (!st) qsort(out->list, out->count, sizeof *out->list, by_file);
    for (size_t i = 1; !st && i < out->count; i++)
        if (!by_file(&out->list[i - 1], &out->list[i]))
            st = fr_fail(FR_FORMAT, "%s tells of %.100s twice.", path, out->list[i].file);
    fr_free(text);
    fr_free(inside);
    return st;
}

static void forget(answers *a) {
    fr_free(a->list);
    fr_arena_free(a->arena);
}

/* ---- side by side ---- */

static void count_one(fr_paired *p, bool a, bool b) {
    p->both += a && b, p->only_a += a && !b, p->only_b += !a && b, p->neither += !a && !b;
}

/* The group of a tag; those that come when there is no room share the last. The name goes to a terminal, so it
 * keeps plain characters only. */
static int group_of(fr_comparison *c, const char *tag) {
    char name[sizeof c->name[0]];
    int i = 0;
    snprintf(name, sizeof name, "%s", tag);
    for (char *p = name; *p; p++)
        if (*p < ' ' || *p > '~') *p = '?';
    while (i < c->groups && strcmp(c->name[i], name) != 0) i++;
    if (i == FR_REPORT_GROUPS) return i - 1;
    if (i == c->groups) memcpy(c->name[c->groups++], name, sizeof name);
    return i;
}

static fr_status pair_up(const answers *a, const answers *b, fr_comparison *c) {
    for (size_t i = 0, j = 0; i < a->count || j < b->count;) {
        int order = i == a->count ? 1 : j == b->count ? -1 : by_file(&a->list[i], &b->list[j]);
        if (order) {
            c->alone++;
            i += order<0, j += order> 0;
            continue;
        }
        const answer *x = &a->list[i++], *y = &b->list[j++];
        if (strcmp(x->prompt, y->prompt) != 0 || strcmp(x->tag, y->tag) != 0)
            return fr_fail(FR_INVALID,
                           "The results are of different suites: %.60s answers '%.120s' in the one "
                           "and '%.120s' in the other.",
                           x->file, x->prompt, y->prompt);
        count_one(&c->pair[group_of(c, x->tag)], x->right, y->right);
        count_one(&c->all, x->right, y->right);
    }
    if (c->groups) return FR_OK;
    return fr_fail(FR_INVALID, "The two files have no result in common.");
}

fr_status fr_results_compare(const char *path_a, const char *path_b, fr_comparison *out) {
    answers a = {0}, b = {0};
    *out = (fr_comparison){0};
    fr_status st = read_answers(path_a, &a);
    if (!st) st = read_answers(path_b, &b);
    if (!st) st = pair_up(&a, &b, out);
    forget(&a);
    forget(&b);
    return st;
}

static void put_row(fr_table *t, const char *name, const fr_paired *p) {
    double n = (double)(p->both + p->only_a + p->only_b + p->neither);
    fr_share d = fr_paired_difference(p);
    fr_table_cell(t, "%s", name);
    fr_table_cell(t, "%.0f", n);
    fr_table_cell(t, "%.1f%%", 100 * (double)(p->both + p->only_a) / n);
    fr_table_cell(t, "%.1f%%", 100 * (double)(p->both + p->only_b) / n);
    fr_table_cell(t, "%+.1f", 100 * d.value);
    fr_table_cell(t, "%.1f", 100 * d.error);
    fr_table_cell(t, "%lld", (long long)p->only_a);
    fr_table_cell(t, "%lld", (long long)p->only_b);
    fr_table_cell(t, "%.2g", fr_paired_chance(p));
}

void fr_comparison_print(const fr_comparison *c, FILE *out) {
    fr_table *t = fr_table_new("task|>answers|>A|>B|>A - B|>+-|>only A|>only B|>by luck");
    if (!t) return;
    for (int i = 0; i < c->groups; i++) put_row(t, c->name[i], &c->pair[i]);
    fr_table_rule(t);
    put_row(t, "all answers", &c->all);
    fr_table_print(t, out);
    fr_table_free(t);
    if (c->alone)
        fprintf(out, "%lld answers stand in one of the files only and do not count\n",
                (long long)c->alone);
}
