/* check_squares.c: squared distances to sixteen points, which are the same bits in every table. */
#include "check.h"

static void run(const fr_kernels *k, const fr_kernels *ref) {
    for (int kind = 0; kind < CHECK_EXTREME; kind++)
        for (size_t width = 1; width < 600; width = width < 20 ? width + 1 : width * 3 - 1)
            for (size_t rows = 0; rows < 30; rows = rows < 14 ? rows + 1 : rows + 9) {
                if (!check_begin("squares.rows kind=%d width=%zu rows=%zu", kind, width, rows))
                    continue;
                size_t n = rows * FR_SQUARES_POINTS;
                float *x = check_f32(rows * width, (check_kind)kind);
                float *panel = check_f32(width * FR_SQUARES_POINTS, (check_kind)kind);
                /* The last point is the last row: no distance at all. */
                for (size_t j = 0; rows && j < width; j++)
                    panel[j * FR_SQUARES_POINTS + 15] = x[(rows - 1) * width + j];
                float *got = check_alloc(4 * n), *want = check_alloc(4 * n);
                k->squares.rows(x, rows, width, panel, got);
                ref->squares.rows(x, rows, width, panel, want);
                check_same(got, want, n, 4);
                if (rows) check_value((double)got[n - 1], 0, 0, 0);
                check_end();
            }
}

enum { ROWS = 512, WIDTH = 128 };
typedef struct bench_arg {
    const fr_squares_kernels *k;
    float *x, *panel, *out;
} bench_arg;

static void once(void *a) {
    bench_arg *b = a;
    b->k->rows(b->x, ROWS, WIDTH, b->panel, b->out);
}

static void bench(const fr_kernels *k) {
    bench_arg b = {&k->squares, check_f32((size_t)ROWS * WIDTH, CHECK_NORMAL),
                   check_f32((size_t)FR_SQUARES_POINTS * WIDTH, CHECK_NORMAL),
                   check_alloc(4 * ROWS * FR_SQUARES_POINTS)};
    check_bench("squares.rows 512x128", CHECK_F32, 3.0 * ROWS * WIDTH * FR_SQUARES_POINTS,
                4.0 * ROWS * WIDTH, once, &b);
}

CHECK_FAMILY("squares", run, bench)
