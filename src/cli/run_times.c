/* run_times.c: see run_times.h. */
#include "cli/run_times.h"

#include <stdlib.h>
#include <string.h>

typedef struct row {
    const char *name;
    double seconds[2]; /* of the prompt, of what was made */
} row;

static int by_time(const void *a, const void *b) {
    const row *x = a, *y = b;
    const double p = x->seconds[0] + x->seconds[1], q = y->seconds[0] + y->seconds[1];
    return p < q ? 1 : p > q ? -1 : strcmp(x->name, y->name);
}

static int collect(const fr_engine_times t[2], row *rows) {
    int count = 0;
    for (int k = 0; k < 2; k++)
        for (int i = 0, at; i < t[k].op.count; i++) {
            for (at = 0; at < count && strcmp(rows[at].name, t[k].op.op[i].name) != 0;) at++;
            if (at == count) rows[count++] = (row){.name = t[k].op.op[i].name};
            rows[at].seconds[k] = t[k].op.op[i].seconds;
        }
    qsort(rows, (size_t)count, sizeof *rows, by_time);
    return count;
}

static void print_row(fr_table *table, const row *r, const fr_engine_times t[2]) {
    fr_table_cell(table, "%s", r->name);
    for (int k = 0; k < 2; k++) {
        const double all = t[k].seconds;
        fr_table_cell(table, "%.2f", 1e3 * r->seconds[k]);
        fr_table_cell(table, "%.1f%%", all > 0 ? 100 * r->seconds[k] / all : 0);
    }
}

void fr_cli_times_print(const fr_engine *e, double seconds) {
    const fr_engine_times t[2] = {fr_engine_times_of(e, false), fr_engine_times_of(e, true)};
    row rows[2 * FR_COUNT(t[0].op.op)], rest = {.name = "between them"}, all = {.name = "all"};
    const int count = collect(t, rows);
    fr_table *table = fr_table_new("operator|>prompt, ms|>share|>after it, ms|>share");
    if (!table) return;
    for (int k = 0; k < 2; k++) rest.seconds[k] = all.seconds[k] = t[k].seconds;
    for (int i = 0; i < count; i++) {
        print_row(table, &rows[i], t);
        for (int k = 0; k < 2; k++) rest.seconds[k] -= rows[i].seconds[k];
    }
    print_row(table, &rest, t);
    fr_table_rule(table);
    print_row(table, &all, t);
    fr_table_print(table, stderr);
    fr_table_free(table);
    fprintf(stderr, "beside the model's runs, with choosing tokens: %.2f ms\n",
            1e3 * (seconds - t[0].seconds - t[1].seconds));
}
