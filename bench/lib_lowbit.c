/* lib_lowbit.c: a linear with a weight in few bits, for bench/lowbit.py: a graph of one node that takes rows
 * of floats and gives rows of floats, one session for each copy of the weight. */
#include <stdio.h>

#include "format/format.h"
#include "graph/graph.h"

typedef struct bench_lowbit {
    fr_graph *g;
    fr_val part[FR_PARTS], down, up;
    fr_quantized q;
    fr_pool *pool;
    fr_tensor x;
    int copies, at;
    fr_session **session; /* [copies] */
} bench_lowbit;

FR_API bench_lowbit *fr_bench_lowbit_new(const char *format, int64_t m, int64_t n, int64_t k,
                                         int64_t rank, int bf16, int threads, int copies,
                                         const void *x, const float *w);
FR_API int fr_bench_lowbit_run(bench_lowbit *b);
FR_API const void *fr_bench_lowbit_result(const bench_lowbit *b);
FR_API double fr_bench_lowbit_bytes(const bench_lowbit *b);
FR_API void fr_bench_lowbit_free(bench_lowbit *b);
FR_API int fr_bench_peaks(int threads, double out[4]);

/* format: of docs/formats.md, or "f32" or "bf16". */
static fr_status build(bench_lowbit *b, const char *format, int64_t n, int64_t k, int64_t rank) {
    b->g = fr_graph_new();
    fr_val x = fr_input(b->g, "x", b->x.dtype, 2, b->x.dim), y;
    if (!b->q.format) {
        const fr_dtype type = format[0] == 'b' ? FR_BF16 : FR_F32;
        b->part[0] = fr_param(b->g, "w", type, 2, (int64_t[]){n, k});
        y = fr_linear(b->g, x, b->part[0], FR_NONE, FR_NONE, FR_FN_NONE);
    } else {
        fr_qweight w = {.format = format, .n = n, .k = k};
        for (int i = 0; i < b->q.format->parts; i++) {
            const fr_tensor *t = &b->q.part[i];
            w.part[i] = b->part[i] =
                fr_param(b->g, b->q.format->part_name[i], t->dtype, t->rank, t->dim);
        }
        fr_qlinear_opts o = {.out = b->x.dtype};
        if (rank) {
            o.down = b->down = fr_param(b->g, "down", FR_BF16, 2, (int64_t[]){rank, k});
            o.up = b->up = fr_param(b->g, "up", FR_BF16, 2, (int64_t[]){n, rank});
        }
        y = fr_qlinear(b->g, x, &w, &o, NULL);
    }
    fr_output(b->g, "y", y);
    return fr_graph_check(b->g);
}

/* The low-rank branch stays random and small: its values are not what is timed. */
static fr_status fill(bench_lowbit *b, fr_session *s, const float *w, int64_t n, int64_t k) {
    fr_tensor floats = fr_tensor_make(FR_F32, 2, (int64_t[]){n, k}, (void *)(uintptr_t)w);
    if (!b->q.format) FR_TRY(fr_session_set(s, b->part[0], &floats));
    for (int i = 0; b->q.format && i < b->q.format->parts; i++)
        FR_TRY(fr_session_set(s, b->part[i], &b->q.part[i]));
    FR_TRY(fr_session_init_random(s, 1, 1e-4f));
    return fr_session_run(s, &b->x, 1);
}

static fr_status make(bench_lowbit *b, const char *format, int64_t rank, int threads,
                      const float *w, int64_t n, int64_t k) {
    const fr_qformat *f = fr_format_find(format);
    if (f) FR_TRY(fr_quantize(f, NULL, w, n, k, &b->q));
    FR_TRY(fr_pool_new(threads, &b->pool));
    FR_TRY(build(b, format, n, k, rank));
    b->session = fr_alloc_array(FR_MEM_OTHER, (size_t)b->copies, sizeof *b->session);
    if (!b->session) return fr_fail(FR_NOMEM, "There is no memory for the list of sessions.");
    for (int i = 0; i < b->copies; i++) {
        FR_TRY(fr_session_new_with(b->g, &(fr_session_opts){.pool = b->pool}, &b->session[i]));
        FR_TRY(fill(b, b->session[i], w, n, k));
    }
    return FR_OK;
}

bench_lowbit *fr_bench_lowbit_new(const char *format, int64_t m, int64_t n, int64_t k, int64_t rank,
                                  int bf16, int threads, int copies, const void *x,
                                  const float *w) {
    bench_lowbit *b = fr_alloc(FR_MEM_OTHER, sizeof *b);
    if (!b) return NULL;
    b->x = fr_tensor_make(bf16 ? FR_BF16 : FR_F32, 2, (int64_t[]){m, k}, (void *)(uintptr_t)x);
    b->copies = copies;
    if (!make(b, format, rank, threads, w, n, k)) return b;
    fprintf(stderr, "%s\n", fr_message());
    fr_bench_lowbit_free(b);
    return NULL;
}

int fr_bench_lowbit_run(bench_lowbit *b) {
    b->at = (b->at + 1) % b->copies;
    return fr_session_run(b->session[b->at], &b->x, 1);
}

const void *fr_bench_lowbit_result(const bench_lowbit *b) {
    return fr_session_output(b->session[b->at], "y")->data;
}

/* Of the parts as they lie in a file. */
double fr_bench_lowbit_bytes(const bench_lowbit *b) {
    double bytes = 0;
    for (int i = 0; b->q.format && i < b->q.format->parts; i++)
        bytes += (double)fr_bytes(&b->q.part[i]);
    return bytes;
}

void fr_bench_lowbit_free(bench_lowbit *b) {
    for (int i = 0; b->session && i < b->copies; i++) fr_session_free(b->session[i]);
    fr_graph_free(b->g);
    fr_quantized_free(&b->q);
    fr_pool_free(b->pool);
    fr_free(b->session);
    fr_free(b);
}

/* int8, bf16 and f32 operations and bytes read a second, with so many threads. */
int fr_bench_peaks(int threads, double out[4]) {
    fr_pool *pool;
    fr_peaks p;
    if (fr_pool_new(threads, &pool)) return 1;
    fr_status st = fr_peaks_measure(pool, &p);
    fr_pool_free(pool);
    if (st) return 1;
    out[0] = p.int8[threads > 1], out[1] = p.bf16[threads > 1];
    out[2] = p.f32[threads > 1], out[3] = p.read[threads > 1];
    return 0;
}
