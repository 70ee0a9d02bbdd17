/* test_attention.c: exact attention against the formula written out in doubles, for every mask,
 * with gradients, with views, and with values that are not finite. */
#include "op_test.h"

typedef struct att {
    fr_attention_opts o;
    bool kv_len; /* input 3 */
    bool first;  /* input 4 */
    bool lists;  /* inputs 3 and 4 */
    bool views;  /* q, k, v come as [batch, heads, tokens, dim] and are turned by a view */
} att;

static fr_val turned(fr_graph *g, fr_val x) {
    return fr_permute(g, x, (const int[]){0, 2, 1, 3});
}

static int build(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const att *t = arg;
    fr_attention_opts o = t->o;
    o.kv_len = t->kv_len ? in[3] : FR_NONE;
    o.first = t->first ? in[4] : FR_NONE;
    o.block_start = t->lists ? in[3] : FR_NONE;
    o.block_index = t->lists ? in[4] : FR_NONE;
    fr_val q = in[0], k = in[1], v = in[2];
    if (t->views) {
        q = turned(g, q);
        k = turned(g, k);
        v = turned(g, v);
    }
    out[0] = fr_attention(g, q, k, v, &o);
    out[1] = out[0] == FR_NONE ? FR_NONE : out[0] + 1;
    return 2;
}

/* Does query i of m see key j of n? */
static bool sees(const att *t, const op_f64 *in, int64_t b, int64_t i, int64_t m, int64_t j,
                 int64_t n) {
    if (t->kv_len) n = (int64_t)in[3].v[b];
    if (j >= n) return false;
    if (t->first && j < (int64_t)in[4].v[b * m + i]) return false;
    int64_t last = n - m + i;
    switch (t->o.mask) {
    case FR_MASK_FULL: return true;
    case FR_MASK_CAUSAL: return j <= last;
    case FR_MASK_WINDOW: return j <= last && j > last - t->o.window;
    case FR_MASK_BLOCKS: break;
    }
    int64_t block = i / t->o.block_q;
    for (int64_t p = (int64_t)in[3].v[block]; p < (int64_t)in[3].v[block + 1]; p++)
        if ((int64_t)in[4].v[p] == j / t->o.block_k) return true;
    return false;
}

typedef struct dims {
    int64_t batch, m, n, heads, kv, dim;
} dims;

static dims dims_of(const att *t, const op_f64 *in) {
    const int64_t *q = in[0].desc.dim, *k = in[1].desc.dim;
    int tokens = t->views ? 2 : 1, heads = t->views ? 1 : 2;
    return (dims){q[0], q[tokens], k[tokens], q[heads], k[heads], q[3]};
}

static const double *row(const att *t, const op_f64 *x, int64_t b, int64_t i, int64_t h) {
    const int64_t *d = x->desc.dim;
    int64_t at = t->views ? (b * d[1] + h) * d[2] + i : (b * d[1] + i) * d[2] + h;
    return x->v + at * d[3];
}

static void ref_row(const att *t, const op_f64 *in, const dims *s, int64_t b, int64_t i, int64_t h,
                    op_f64 *out) {
    double scale = t->o.scale > 0 ? t->o.scale : 1 / sqrt((double)s->dim);
    int64_t kv = h / (s->heads / s->kv);
    double *y = out[0].v + ((b * s->m + i) * s->heads + h) * s->dim;
    double *lse = out[1].v + (b * s->heads + h) * s->m + i;
    double *w = malloc((size_t)(s->n + 1) * sizeof *w), top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < s->n; j++) {
        w[j] = -INFINITY;
        if (!sees(t, in, b, i, s->m, j, s->n)) continue;
        const double *q = row(t, &in[0], b, i, h), *k = row(t, &in[1], b, j, kv);
        w[j] = 0;
        for (int64_t d = 0; d < s->dim; d++) w[j] += q[d] * k[d] * scale;
        if (t->o.cap > 0) w[j] = (double)t->o.cap * tanh(w[j] / (double)t->o.cap);
        if (!(w[j] <= top)) top = w[j];
    }
    *lse = -INFINITY;
    for (int64_t j = 0; j < s->n && top != -INFINITY; j++)
        if (sees(t, in, b, i, s->m, j, s->n)) sum += w[j] = exp(w[j] - top);
    for (int64_t j = 0; j < s->n && top != -INFINITY; j++) {
        if (!sees(t, in, b, i, s->m, j, s->n)) continue;
        const double *v = row(t, &in[2], b, j, kv), p = w[j] / sum;
        for (int64_t d = 0; d < s->dim; d++) y[d] += p * v[d];
    }
    if (top != -INFINITY) *lse = top + log(sum);
    free(w);
}

static void ref(const void *arg, const op_f64 *in, op_f64 *out) {
    const att *t = arg;
    dims s = dims_of(t, in);
    for (int64_t b = 0; b < s.batch; b++)
        for (int64_t i = 0; i < s.m; i++)
            for (int64_t h = 0; h < s.heads; h++) ref_row(t, in, &s, b, i, h, out);
}

static op_case case_of(const char *name, const att *t, int64_t batch, int64_t m, int64_t n,
                       int64_t heads, int64_t kv, int64_t dim) {
    op_case c = {.name = name, .arg = t, .build = build, .ref = ref, .bf16 = true};
    c.in[0] = (op_in){FR_F32, 4, {batch, m, heads, dim}, 0, 0, true, NULL, false};
    c.in[1] = (op_in){FR_F32, 4, {batch, n, kv, dim}, 0, 0, true, NULL, false};
    c.in[2] = c.in[1];
    return c;
}

static void test_full(void **state) {
    (void)state;
    const att t = {0}, scaled = {.o = {.scale = 0.7f}};
    const int64_t dim[] = {1, 7, 16, 20, 64, 72, 128};
    for (size_t i = 0; i < FR_COUNT(dim); i++) {
        op_case c = case_of("full", &t, 1, 37, 41, 2, 2, dim[i]);
        op_check(&c);
    }
    op_case c = case_of("full, own scale", &scaled, 1, 33, 65, 3, 1, 24);
    op_check(&c);
}

/* More than one tile of queries and of keys. */
static void test_tiles(void **state) {
    (void)state;
    const att full = {0}, causal = {.o = {.mask = FR_MASK_CAUSAL}};
    op_case c = case_of("many tiles", &full, 1, 150, 300, 1, 1, 20);
    op_check(&c);
    c = case_of("many tiles, causal", &causal, 1, 290, 290, 1, 1, 8);
    op_check(&c);
}

static void test_causal(void **state) {
    (void)state;
    const att t = {.o = {.mask = FR_MASK_CAUSAL}};
    const int64_t m[] = {70, 20, 90}, n[] = {70, 90, 20}; /* square, cache, rows that see nothing */
    for (size_t i = 0; i < FR_COUNT(m); i++) {
        op_case c = case_of("causal", &t, 1, m[i], n[i], 4, 2, 6);
        op_check(&c);
    }
}

static void test_window(void **state) {
    (void)state;
    const int32_t window[] = {1, 5, 33, 1000};
    for (size_t i = 0; i < FR_COUNT(window); i++) {
        const att t = {.o = {.mask = FR_MASK_WINDOW, .window = window[i]}};
        op_case c = case_of("window", &t, 1, 150, 160, 2, 1, 8);
        /* One key has weight one whatever the score: the true gradient is nothing but zeros. */
        c.in[0].grad = c.in[1].grad = window[i] > 1;
        op_check(&c);
    }
}

/* Tiles and few queries; scores far above the cap (scale 3) and far below it. */
static void test_cap(void **state) {
    (void)state;
    const int64_t m[] = {1, 40, 150};
    for (size_t i = 0; i < FR_COUNT(m); i++)
        for (int k = 0; k < 4; k++) {
            const att t = {.o = {.mask = k % 2 ? FR_MASK_WINDOW : FR_MASK_CAUSAL,
                                 .window = 7,
                                 .scale = k / 2 ? 3.0f : 0.0f,
                                 .cap = k / 2 ? 2.0f : 5.0f}};
            op_case c = case_of("cap", &t, 2, m[i], 160, 4, 2, 24);
            for (int in = 0; in < 3; in++) c.in[in].grad = false;
            op_check(&c);
        }
}

/* A graph that is to be trained with a cap is refused, and so is a cap that is none. */
static void test_cap_refused(void **state) {
    (void)state;
    const att bad = {.o = {.cap = -1}}, good = {.o = {.cap = 1}};
    op_in in[OP_MAX] = {{FR_F32, 4, {1, 3, 2, 8}, 0, 0, true, NULL, false}};
    in[1] = in[2] = in[0];
    op_check_refused(in, build, &bad, "cap must be a positive number");
    fr_graph *g = fr_graph_new();
    fr_val v[5] = {FR_NONE}, out[2], grad;
    for (int i = 0; i < 3; i++)
        v[i] = fr_param(g, (const char *[]){"q", "k", "v"}[i], FR_F32, 4, in[0].dim);
    build(g, v, &good, out);
    fr_val loss = fr_reduce(g, out[0], FR_SUM, 15, false);
    assert_int_not_equal(fr_gradients(g, loss, 1, v, &grad), FR_OK);
    if (!strstr(fr_message(), "cannot be trained")) fail_msg("%s", fr_message());
    fr_graph_free(g);
}

static void test_blocks(void **state) {
    (void)state;
    /* 5 query blocks of 40 (the last of 20), 8 key blocks of 24 (the last of 12). */
    static const int32_t start[] = {0, 3, 3, 4, 12, 14};
    static const int32_t index[] = {0, 2, 7, 5, 0, 1, 2, 3, 4, 5, 6, 7, 1, 7};
    const att t = {.o = {.mask = FR_MASK_BLOCKS, .block_q = 40, .block_k = 24}, .lists = true};
    op_case c = case_of("blocks", &t, 1, 180, 180, 2, 1, 8);
    c.in[3] = (op_in){.dtype = FR_I32, .rank = 1, .dim = {6}, .ints = start};
    c.in[4] = (op_in){.dtype = FR_I32, .rank = 1, .dim = {14}, .ints = index};
    op_check(&c);
    /* Blocks wider than a tile. */
    static const int32_t wide_start[] = {0, 1, 3}, wide_index[] = {1, 0, 1};
    const att wide = {.o = {.mask = FR_MASK_BLOCKS, .block_q = 200, .block_k = 300}, .lists = true};
    c = case_of("wide blocks", &wide, 1, 230, 310, 1, 1, 4);
    c.in[3] = (op_in){.dtype = FR_I32, .rank = 1, .dim = {3}, .ints = wide_start};
    c.in[4] = (op_in){.dtype = FR_I32, .rank = 1, .dim = {3}, .ints = wide_index};
    op_check(&c);
}

static void test_cache(void **state) {
    (void)state;
    static const int32_t len[] = {90, 31, 0};
    const fr_mask mask[] = {FR_MASK_FULL, FR_MASK_CAUSAL, FR_MASK_WINDOW};
    const int64_t m[] = {1, 2, 40};
    for (size_t i = 0; i < FR_COUNT(mask); i++)
        for (size_t k = 0; k < FR_COUNT(m); k++) {
            const att t = {.o = {.mask = mask[i], .window = 9}, .kv_len = true};
            op_case c = case_of("cache", &t, 3, m[k], 90, 2, 1, 6);
            c.in[3] = (op_in){.dtype = FR_I32, .rank = 1, .dim = {3}, .ints = len};
            op_check(&c);
        }
}

/* Several texts in a row, each of which sees itself alone; the last query of all sees nothing. */
static void test_texts(void **state) {
    (void)state;
    enum { M = 150 };
    static const int32_t len[] = {M, M};
    static int32_t first[2 * M];
    for (int i = 0; i < M; i++) {
        first[i] = i < 3 ? 0 : i < 70 ? 3 : i < 71 ? 70 : i < 140 ? 71 : 140;
        first[M + i] = i / 32 * 32;
    }
    first[2 * M - 1] = M;
    const fr_mask mask[] = {FR_MASK_FULL, FR_MASK_CAUSAL, FR_MASK_WINDOW};
    const struct {
        int64_t heads, kv, dim;
    } shape[] = {{2, 1, 8},
                 {16, 8, 32}}; /* tiles of queries and of keys; all keys of a head at once */
    for (size_t i = 0; i < FR_COUNT(mask); i++)
        for (size_t k = 0; k < FR_COUNT(shape); k++) {
            if (op_short() && k && mask[i] != FR_MASK_CAUSAL) continue;
            const att t = {.o = {.mask = mask[i], .window = 20}, .kv_len = true, .first = true};
            op_case c = case_of("texts", &t, 2, M, M, shape[k].heads, shape[k].kv, shape[k].dim);
            c.in[3] = (op_in){.dtype = FR_I32, .rank = 1, .dim = {2}, .ints = len};
            c.in[4] = (op_in){.dtype = FR_I32, .rank = 2, .dim = {2, M}, .ints = first};
            op_check(&c);
        }
}

/* Few queries take another way, cut over the keys. */
static void test_decode(void **state) {
    (void)state;
    const fr_mask mask[] = {FR_MASK_FULL, FR_MASK_CAUSAL, FR_MASK_WINDOW};
    const int64_t dim[] = {5, 64, 80, 128};
    for (size_t i = 0; i < FR_COUNT(mask); i++)
        for (size_t k = 0; k < (op_short() ? 2 : FR_COUNT(dim)); k++) {
            const att t = {.o = {.mask = mask[i], .window = 600}};
            op_case c = case_of("decode", &t, 2, 1 + (int64_t)i, 1300, 4, 2, dim[k]);
            for (int x = 0; x < 3 && (i || k); x++) c.in[x].grad = false; /* the slow reference */
            op_check(&c);
        }
}

static void test_views(void **state) {
    (void)state;
    const att t = {.o = {.mask = FR_MASK_CAUSAL}, .views = true};
    const int64_t m[] = {2, 45};
    for (size_t i = 0; i < FR_COUNT(m); i++) {
        op_case c = case_of("views", &t, 2, 0, 0, 0, 0, 0);
        c.in[0] = (op_in){FR_F32, 4, {2, 3, m[i], 16}, 0, 0, true, NULL, false};
        c.in[1] = (op_in){FR_F32, 4, {2, 3, 50, 16}, 0, 0, true, NULL, false};
        c.in[2] = c.in[1];
        op_check(&c);
    }
}

/* Scores far apart and far from zero. */
static void test_extreme(void **state) {
    (void)state;
    const att t = {.o = {.scale = 1}};
    op_case c = case_of("large scores", &t, 1, 40, 300, 1, 1, 16);
    for (int i = 0; i < 2; i++) c.in[i].lo = -60, c.in[i].hi = 40, c.in[i].grad = false;
    c.in[2].grad = false;
    c.bf16 = false;
    c.tol = 2e-3; /* scores of 10^4 have an error of 10^-3 in f32 */
    op_check(&c);
}

/* ---- values that are not finite touch only the rows that see them ---- */

enum { M = 70, N = 70, D = 20 };

static void run_once(fr_mask mask, int64_t m, const float *q, const float *k, const float *v,
                     float *y) {
    fr_graph *g = fr_graph_new();
    const float *data[] = {q, k, v};
    fr_val in[3];
    fr_tensor t[3];
    for (int i = 0; i < 3; i++) {
        const char *name[] = {"q", "k", "v"};
        const int64_t dim[] = {1, i ? N : m, 1, D};
        in[i] = fr_input(g, name[i], FR_F32, 4, dim);
        t[i] = fr_tensor_make(FR_F32, 4, dim, (void *)(uintptr_t)data[i]);
    }
    fr_attention_opts o = {.mask = mask, .window = 7};
    fr_output(g, "y", fr_attention(g, in[0], in[1], in[2], &o));
    fr_session *s;
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    assert_int_equal(fr_session_run(s, t, 3), FR_OK);
    memcpy(y, fr_session_output(s, "y")->data, (size_t)(m * D) * sizeof *y);
    fr_session_free(s);
    fr_graph_free(g);
}

/* Spoils one key or value row and looks at who is hurt. */
static void spoil(fr_mask mask, int64_t m, int which, int64_t token, float with) {
    static float x[3][N * D], clean[N * D], hurt[N * D];
    for (int i = 0; i < 3; i++) fr_random_normal(9, (uint64_t)i, 0, x[i], N * D);
    run_once(mask, m, x[0], x[1], x[2], clean);
    x[which][token * D + 3] = with;
    run_once(mask, m, x[0], x[1], x[2], hurt);
    for (int64_t i = 0; i < m; i++) {
        int64_t last = N - m + i;
        bool sees_it = which == 0               ? i == token
                       : mask == FR_MASK_FULL   ? true
                       : mask == FR_MASK_CAUSAL ? token <= last
                                                : token <= last && token > last - 7;
        bool same = !memcmp(clean + i * D, hurt + i * D, D * sizeof(float));
        if (same == sees_it)
            fail_msg("%s, mask %d, m %d: operand %d token %d is %g, and row %d %s",
                     fr_kernel()->name, (int)mask, (int)m, which, (int)token, (double)with, (int)i,
                     same ? "does not show it" : "changed");
        if (which == 2 && sees_it && isnan(with)) assert_true(isnan(hurt[i * D + 3]));
        if (which == 2 && sees_it && isinf(with)) assert_true(isinf(hurt[i * D + 3]));
        if (which == 2 && sees_it) assert_true(isfinite(hurt[i * D + 4]));
    }
}

static void test_not_finite(void **state) {
    (void)state;
    const unsigned levels[] = {0, FR_CPU_AVX2 | FR_CPU_NEON, ~0u};
    for (size_t l = 0; l < FR_COUNT(levels); l++) {
        fr_kernels table;
        fr_kernels_fill(fr_cpu_flags() & levels[l], &table);
        fr_kernel_use(&table);
        for (int which = 0; which < 3; which++)
            for (fr_mask mask = FR_MASK_FULL; mask <= FR_MASK_WINDOW; mask++) {
                spoil(mask, M, which, 41, NAN);
                spoil(mask, 3, which, which ? 65 : 1, NAN);
                if (which == 2) spoil(mask, M, which, 41, INFINITY);
            }
        fr_kernel_use(NULL);
    }
}

/* ---- memory, and what is refused ---- */

static size_t arena_for(int64_t tokens) {
    fr_graph *g = fr_graph_new();
    const int64_t dim[] = {1, tokens, 1, 64};
    fr_val q = fr_input(g, "q", FR_F32, 4, dim);
    fr_attention_opts o = {.mask = FR_MASK_CAUSAL};
    fr_output(g, "y", fr_attention(g, q, q, q, &o));
    fr_tensor t = fr_tensor_make(FR_F32, 4, dim, NULL);
    t.data = fr_alloc(FR_MEM_OTHER, fr_bytes(&t));
    fr_session *s;
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    assert_int_equal(fr_session_run(s, &t, 1), FR_OK);
    size_t bytes = fr_session_arena_bytes(s);
    fr_session_free(s);
    fr_graph_free(g);
    fr_free(t.data);
    return bytes;
}

static void test_memory(void **state) {
    (void)state;
    size_t one = arena_for(1024), two = arena_for(2048);
    assert_true(one > 0);
    assert_true(two <= 2 * one);
    assert_true(two < (size_t)2048 * 2048 * 4 / 4); /* far from a matrix of scores */
}

static void test_refused(void **state) {
    (void)state;
    const op_in q = {FR_F32, 4, {2, 8, 4, 16}, 0, 0, false, NULL, false};
    const op_in len = {.dtype = FR_I32, .rank = 1, .dim = {3}};
    const att plain = {0}, window = {.o = {.mask = FR_MASK_WINDOW}};
    const att negative = {.o = {.scale = -1}}, cache = {.kv_len = true};
    const att blocks = {.o = {.mask = FR_MASK_BLOCKS, .block_q = 4, .block_k = 4}, .lists = true};
    op_in in[OP_MAX] = {q, q, q};
    in[1].dim[2] = in[2].dim[2] = 3;
    op_check_refused(in, build, &plain, "f32 [2, 8, 4, 16], k is f32 [2, 8, 3, 16]");
    in[1] = in[2] = q;
    in[2].dim[1] = 7;
    op_check_refused(in, build, &plain, "one shape");
    in[2] = q;
    in[1].dtype = FR_I32;
    op_check_refused(in, build, &plain, "f32 or all bf16");
    in[1] = q;
    op_check_refused(in, build, &window, "window above 0");
    op_check_refused(in, build, &negative, "scale must be");
    in[3] = len;
    op_check_refused(in, build, &cache, "wanted i32 [2]");
    in[4] = len;
    in[3].dim[0] = 2;
    op_check_refused(in, build, &blocks, "2 query blocks");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),       cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_causal),     cmocka_unit_test(test_window),
        cmocka_unit_test(test_cap),        cmocka_unit_test(test_cap_refused),
        cmocka_unit_test(test_blocks),     cmocka_unit_test(test_cache),
        cmocka_unit_test(test_texts),      cmocka_unit_test(test_decode),
        cmocka_unit_test(test_views),      cmocka_unit_test(test_extreme),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
