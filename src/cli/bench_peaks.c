/* bench_peaks.c: `frugal bench peaks`: prints what op/peaks.h measures. */
#include <string.h>

#include "cli/bench.h"
#include "op/op.h"

static void print_json(const fr_peaks *p) {
    printf("{\"table\": \"%s\", \"threads\": %d", p->table, p->threads);
    const struct {
        const char *name;
        const double *rate;
    } rows[] = {
        {"f32_ops", p->f32}, {"bf16_ops", p->bf16}, {"int8_ops", p->int8}, {"read_bytes", p->read}};
    for (size_t i = 0; i < FR_COUNT(rows); i++)
        printf(", \"%s_per_second\": {\"core\": %.4g, \"all\": %.4g}", rows[i].name,
               rows[i].rate[0], rows[i].rate[1]);
    printf("}\n");
}

static void row(fr_table *t, const char *what, const char *unit, const double rate[2]) {
    if (rate[0] == 0) return;
    fr_table_cell(t, "%s", what);
    fr_table_cell(t, "%.1f", rate[0] * 1e-9);
    fr_table_cell(t, "%.1f", rate[1] * 1e-9);
    fr_table_cell(t, "%s", unit);
}

static void print_table(const fr_peaks *p) {
    printf("kernels: %s, threads: %d\n", p->table, p->threads);
    fr_table *t = fr_table_new("peak|>one core|>all|unit");
    if (!t) return;
    row(t, "int8 products", "GOP/s", p->int8);
    row(t, "bf16 products", "GFLOP/s", p->bf16);
    row(t, "f32 products", "GFLOP/s", p->f32);
    row(t, "reading memory", "GB/s", p->read);
    fr_table_print(t, stdout);
    fr_table_free(t);
}

int fr_cli_bench_peaks(int argc, char **argv) {
    bool json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json"))
            return fr_cli_usage("bench", "peaks takes --json and not \"%s\"", argv[i]);
        json = true;
    }
    fr_pool *pool;
    fr_peaks peaks;
    fr_status st = fr_cli_pool(&pool);
    if (!st) st = fr_peaks_measure(pool, &peaks);
    if (st) return fr_cli_failed(st);
    if (json)
        print_json(&peaks);
    else
        print_table(&peaks);
    return FR_EXIT_OK;
}
