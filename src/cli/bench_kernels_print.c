/* bench_kernels_print.c: the table of `frugal bench kernels`, and the same as JSON. */
#include "cli/bench_kernels.h"

#include <stdlib.h>
#include <string.h>

typedef struct verdict {
    double rate, share; /* share 0: there is none */
    bool judged, reached;
} verdict;

static const char *const peak_names[KB_PEAKS] = {"int8", "bf16", "f32", "read"};

/* Of all threads in use; 0 where the machine has no such instruction. */
static double peak_of(const kb_report *r, kb_peak peak) {
    const fr_peaks *p = &r->peaks;
    const double *rate[KB_PEAKS] = {p->int8, p->bf16, p->f32, p->read};
    return rate[peak][p->threads > 1];
}

static verdict judge(const kb_report *r, const kb_row *row) {
    const kb_run *run = &row->run;
    double peak = peak_of(r, run->peak);
    verdict v = {.rate = run->work / run->seconds};
    if (peak > 0) v.share = v.rate / peak;
    v.judged =
        (run->goal == KB_SHARE && peak > 0) || run->goal == KB_AT_MOST || run->goal == KB_AT_LEAST;
    v.reached = run->goal == KB_SHARE     ? v.share >= run->target
                : run->goal == KB_AT_MOST ? row->ratio <= run->target
                                          : row->ratio >= run->target;
    return v;
}

/* ---- the table ---- */

static void target_cell(fr_table *t, const kb_run *run, const verdict *v) {
    const char *said = v->reached ? "reached" : "missed";
    if (run->goal == KB_SHARE && v->judged)
        fr_table_cell(t, "%.0f%%: %s", run->target * 100, said);
    else if (run->goal == KB_AT_MOST)
        fr_table_cell(t, "at most %.2f: %s", run->target, said);
    else if (run->goal == KB_AT_LEAST)
        fr_table_cell(t, "at least %.1f: %s", run->target, said);
    else if (run->goal == KB_KNOWN)
        fr_table_cell(t, "%.1f published, of a GPU", run->target);
    else
        fr_table_cell(t, "%s", "");
}

static void table_row(fr_table *t, const kb_row *row, const verdict *v) {
    const kb_run *run = &row->run;
    fr_table_cell(t, "%s", run->what);
    fr_table_cell(t, "%lld", (long long)run->m);
    if (run->n)
        fr_table_cell(t, "%lldx%lld", (long long)run->n, (long long)run->k);
    else
        fr_table_cell(t, "%lld", (long long)run->k);
    fr_table_cell(t, "%.3f", run->seconds * 1e3);
    fr_table_cell(t, "%.1f", v->rate * 1e-9);
    fr_table_cell(t, "%s", run->peak == KB_READ ? "GB/s" : "GOP/s");
    if (v->share > 0)
        fr_table_cell(t, "%.0f%% %s", v->share * 100, peak_names[run->peak]);
    else
        fr_table_cell(t, "%s", "");
    if (row->ratio > 0 && row->beside_m != run->m)
        fr_table_cell(t, "%.2f x m %lld", row->ratio, (long long)row->beside_m);
    else if (row->ratio > 0)
        fr_table_cell(t, "%.2f x %s", row->ratio, row->beside);
    else
        fr_table_cell(t, "%s", "");
    target_cell(t, run, v);
}

/* ---- JSON ---- */

static void json_row(const kb_row *row, const verdict *v) {
    static const char *const goals[] = {
        [KB_SHARE] = "share", [KB_AT_MOST] = "ratio at most", [KB_AT_LEAST] = "ratio at least"};
    const kb_run *run = &row->run;
    printf("  {\"group\": \"%s\", \"case\": \"%s\", \"m\": %lld, \"n\": %lld, \"k\": %lld, ",
           row->title, run->what, (long long)run->m, (long long)run->n, (long long)run->k);
    printf("\"seconds\": %.6g, \"%s_per_second\": %.5g", run->seconds,
           run->peak == KB_READ ? "bytes" : "operations", v->rate);
    if (v->share > 0)
        printf(", \"peak\": \"%s\", \"share\": %.4g", peak_names[run->peak], v->share);
    if (row->ratio > 0)
        printf(", \"beside\": \"%s, m %lld\", \"ratio\": %.4g", row->beside,
               (long long)row->beside_m, row->ratio);
    if (v->judged)
        printf(", \"goal\": \"%s\", \"target\": %.4g, \"reached\": %s", goals[run->goal],
               run->target, v->reached ? "true" : "false");
    printf("}");
}

/* ---- the report ---- */

fr_status kb_report_peaks(kb_report *r, fr_pool *pool) {
    fr_peaks now, *had = &r->peaks;
    FR_TRY(fr_peaks_measure(pool, &now));
    for (int i = 0; i < 2; i++) {
        now.int8[i] = FR_MAX_OF(now.int8[i], had->int8[i]);
        now.bf16[i] = FR_MAX_OF(now.bf16[i], had->bf16[i]);
        now.f32[i] = FR_MAX_OF(now.f32[i], had->f32[i]);
        now.read[i] = FR_MAX_OF(now.read[i], had->read[i]);
    }
    *had = now;
    return FR_OK;
}

fr_status kb_report_add(kb_report *r, const kb_group *g) {
    void *rows = r->rows;
    FR_TRY(fr_grow(&rows, &r->room, r->count + (size_t)g->runs, sizeof *r->rows));
    r->rows = rows;
    for (int i = 0; i < g->runs; i++) {
        const kb_run *run = &g->run[i], *beside = run->beside < 0 ? NULL : &g->run[run->beside];
        kb_row *row = &r->rows[r->count++];
        *row = (kb_row){.run = *run};
        snprintf(row->title, sizeof row->title, "%s", g->title);
        if (!beside) continue;
        snprintf(row->beside, sizeof row->beside, "%s", beside->what);
        row->beside_m = beside->m;
        row->ratio = run->seconds / beside->seconds;
    }
    return FR_OK;
}

void kb_report_free(kb_report *r) {
    fr_free(r->rows);
}

static void print_table(const kb_report *r) {
    double load[1] = {0};
    getloadavg(load, 1);
    printf("kernels: %s, threads: %d, load of the machine: %.1f\n"
           "measured peaks: int8 %.0f GOP/s, bf16 %.0f, f32 %.0f, reading %.1f GB/s\n\n",
           r->peaks.table, r->peaks.threads, load[0], peak_of(r, KB_INT8) * 1e-9,
           peak_of(r, KB_BF16) * 1e-9, peak_of(r, KB_F32) * 1e-9, peak_of(r, KB_READ) * 1e-9);
    fr_table *t = fr_table_new("case|>m|>n x k|>ms|>rate||>of peak|time|target");
    if (!t) return;
    for (size_t i = 0; i < r->count; i++) {
        verdict v = judge(r, &r->rows[i]);
        if (i && strcmp(r->rows[i].title, r->rows[i - 1].title)) fr_table_rule(t);
        table_row(t, &r->rows[i], &v);
    }
    fr_table_print(t, stdout);
    fr_table_free(t);
}

static void print_json(const kb_report *r) {
    const fr_peaks *p = &r->peaks;
    int at = p->threads > 1;
    printf("{\"table\": \"%s\", \"threads\": %d, \"peaks\": {\"int8\": %.4g, \"bf16\": %.4g, "
           "\"f32\": %.4g, "
           "\"read\": %.4g},\n \"cases\": [\n",
           p->table, p->threads, p->int8[at], p->bf16[at], p->f32[at], p->read[at]);
    for (size_t i = 0; i < r->count; i++) {
        verdict v = judge(r, &r->rows[i]);
        json_row(&r->rows[i], &v);
        if (i + 1 < r->count) printf(",\n");
    }
}

void kb_report_print(const kb_report *r, bool json, bool whole) {
    int reached = 0, missed = 0;
    for (size_t i = 0; i < r->count; i++) {
        verdict v = judge(r, &r->rows[i]);
        if (v.judged) (v.reached ? &reached : &missed)[0]++;
    }
    if (json) {
        print_json(r);
        printf("],\n \"reached\": %d, \"missed\": %d, \"whole\": %s}\n", reached, missed,
               whole ? "true" : "false");
    } else {
        print_table(r);
        printf("\ntargets: %d reached, %d missed%s\n", reached, missed,
               whole ? "" : "; the rest was not measured");
    }
}
