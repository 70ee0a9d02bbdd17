/* bench_kernels_print.c: the table of `frugal bench kernels`, and the same as JSON. */
#include "cli/bench_kernels.h"

#include <stdlib.h>

typedef struct verdict {
    double rate, share, ratio; /* share and ratio 0: there is none */
    bool judged, reached;
} verdict;

static const char *const peak_names[KB_PEAKS] = {"int8", "bf16", "f32", "read"};

/* Of all threads in use; 0 where the machine has no such instruction. */
static double peak_of(const kb_report *r, kb_peak peak) {
    const fr_peaks *p = &r->peaks;
    const double *rate[KB_PEAKS] = {p->int8, p->bf16, p->f32, p->read};
    return rate[peak][p->threads > 1];
}

static verdict judge(const kb_report *r, const kb_group *g, const kb_run *run) {
    double peak = peak_of(r, run->peak);
    verdict v = {.rate = run->work / run->seconds};
    if (peak > 0) v.share = v.rate / peak;
    if (run->beside >= 0) v.ratio = run->seconds / g->run[run->beside].seconds;
    v.judged =
        (run->goal == KB_SHARE && peak > 0) || run->goal == KB_AT_MOST || run->goal == KB_AT_LEAST;
    v.reached = run->goal == KB_SHARE     ? v.share >= run->target
                : run->goal == KB_AT_MOST ? v.ratio <= run->target
                                          : v.ratio >= run->target;
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

static void table_row(fr_table *t, const kb_group *g, const kb_run *run, const verdict *v) {
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
    const kb_run *beside = run->beside >= 0 ? &g->run[run->beside] : NULL;
    if (beside && beside->m != run->m)
        fr_table_cell(t, "%.2f x m %lld", v->ratio, (long long)beside->m);
    else if (beside)
        fr_table_cell(t, "%.2f x %s", v->ratio, beside->what);
    else
        fr_table_cell(t, "%s", "");
    target_cell(t, run, v);
}

/* ---- JSON ---- */

static void json_row(const kb_group *g, const kb_run *run, const verdict *v, bool first) {
    static const char *const goals[] = {
        [KB_SHARE] = "share", [KB_AT_MOST] = "ratio at most", [KB_AT_LEAST] = "ratio at least"};
    printf("%s\n  {\"group\": \"%s\", \"case\": \"%s\", \"m\": %lld, \"n\": %lld, \"k\": %lld, ",
           first ? "" : ",", g->title, run->what, (long long)run->m, (long long)run->n,
           (long long)run->k);
    printf("\"seconds\": %.6g, \"%s_per_second\": %.5g", run->seconds,
           run->peak == KB_READ ? "bytes" : "operations", v->rate);
    if (v->share > 0)
        printf(", \"peak\": \"%s\", \"share\": %.4g", peak_names[run->peak], v->share);
    if (run->beside >= 0)
        printf(", \"beside\": \"%s\", \"ratio\": %.4g", g->run[run->beside].what, v->ratio);
    if (v->judged)
        printf(", \"goal\": \"%s\", \"target\": %.4g, \"reached\": %s", goals[run->goal],
               run->target, v->reached ? "true" : "false");
    printf("}");
}

/* ---- the report ---- */

fr_status kb_report_begin(kb_report *r) {
    const fr_peaks *p = &r->peaks;
    int at = p->threads > 1;
    if (r->json) {
        printf("{\"table\": \"%s\", \"threads\": %d, \"peaks\": {\"int8\": %.4g, \"bf16\": %.4g, "
               "\"f32\": "
               "%.4g, \"read\": %.4g},\n \"cases\": [",
               p->table, p->threads, p->int8[at], p->bf16[at], p->f32[at], p->read[at]);
        return FR_OK;
    }
    r->table = fr_table_new("case|>m|>n x k|>ms|>rate||>of peak|time|target");
    return r->table ? FR_OK : fr_fail(FR_NOMEM, "There is no memory for the table.");
}

void kb_report_group(kb_report *r, const kb_group *g) {
    if (r->groups && !r->json) fr_table_rule(r->table);
    for (int i = 0; i < g->runs; i++) {
        const kb_run *run = &g->run[i];
        verdict v = judge(r, g, run);
        if (v.judged) (v.reached ? &r->reached : &r->missed)[0]++;
        if (r->json)
            json_row(g, run, &v, !r->groups && !i);
        else
            table_row(r->table, g, run, &v);
    }
    r->groups++;
}

static void print_peaks(const kb_report *r) {
    printf("kernels: %s, threads: %d; measured peaks: int8 %.0f GOP/s, bf16 %.0f, f32 %.0f, "
           "reading %.1f "
           "GB/s\n\n",
           r->peaks.table, r->peaks.threads, peak_of(r, KB_INT8) * 1e-9, peak_of(r, KB_BF16) * 1e-9,
           peak_of(r, KB_F32) * 1e-9, peak_of(r, KB_READ) * 1e-9);
}

void kb_report_end(kb_report *r, bool whole) {
    if (r->json) {
        printf("],\n \"reached\": %d, \"missed\": %d, \"whole\": %s}\n", r->reached, r->missed,
               whole ? "true" : "false");
        return;
    }
    print_peaks(r);
    fr_table_print(r->table, stdout);
    fr_table_free(r->table);
    printf("\ntargets: %d reached, %d missed%s\n", r->reached, r->missed,
           whole ? "" : "; the rest was not measured");
}
