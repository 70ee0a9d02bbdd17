/* test_paged_attention.c: attention over pages, against plain sums in double over what fr_kv_page_read
 * gives; the same bits for any threads, and for a sequence alone or in a batch. */
#include "format/kv.h"
#include "op_test.h"

enum { BATCH = 2, MOST = 40, HEAD = 512 };

/* Which page holds tokens of a sequence: no order, none shared. */
static int32_t page_at(int64_t most, int b, int64_t i) {
    return (int32_t)((b * most + i) * 7 % (BATCH * most));
}

typedef struct shape {
    fr_kv_kind kind;
    int32_t heads, kv_heads, dim, window;
    int64_t m, most; /* pages of a row of the table; 0: 5 */
    int32_t len[BATCH];
    fr_dtype type;
    float scale, cap;
} shape;

static float *normal(uint64_t stream, size_t n) {
    float *x = fr_alloc_array(FR_MEM_OTHER, n, sizeof *x);
    fr_random_normal(21, stream, 0, x, n);
    return x;
}

/* Pages with the tokens of both sequences; all else is nonsense. */
static uint8_t *make_pages(const shape *s, const fr_kv_layout *l, uint64_t stream) {
    const size_t bytes = (size_t)(BATCH * s->most) * l->bytes;
    uint8_t *pages = fr_alloc(FR_MEM_OTHER, bytes);
    memset(pages, 0xff, bytes);
    for (int b = 0; b < BATCH; b++)
        for (int t = 0; t < s->len[b]; t++) {
            float *x =
                normal(stream + 1000 * (uint64_t)b + (uint64_t)t, (size_t)(l->heads * l->dim));
            void *page = pages + (size_t)page_at(s->most, b, t / 64) * l->bytes;
            assert_int_equal(fr_kv_page_write(l, page, t % 64, x), FR_OK);
            fr_free(x);
        }
    return pages;
}

typedef struct rig {
    fr_graph *g;
    fr_session *s;
    fr_tensor in[5];
    float *q;
} rig;

static void rig_close(rig *r) {
    fr_session_free(r->s);
    fr_graph_free(r->g);
}

static void rig_free(rig *r) {
    rig_close(r);
    for (int i = 0; i < 3; i++) fr_free(r->in[i].data);
    fr_free(r->q);
}

/* Runs what r->in says. */
static void rig_run(rig *r, const shape *s, fr_pool *pool) {
    static const char *const names[] = {"q", "k", "v", "table", "len"};
    fr_val v[5];
    r->g = fr_graph_new();
    for (int i = 0; i < 5; i++)
        v[i] = fr_input(r->g, names[i], r->in[i].dtype, r->in[i].rank, r->in[i].dim);
    fr_paged_attention_opts o = {
        .kind = s->kind, .window = s->window, .scale = s->scale, .cap = s->cap};
    fr_output(r->g, "y", fr_paged_attention(r->g, v[0], v[1], v[2], v[3], v[4], &o));
    if (fr_session_new_with(r->g, &(fr_session_opts){.pool = pool}, &r->s))
        fail_msg("%s", fr_message());
    if (fr_session_run(r->s, r->in, 5)) fail_msg("%s", fr_message());
}

static void rig_new(rig *r, const shape *s) {
    static int32_t len[BATCH], table[BATCH * MOST];
    fr_kv_layout l;
    assert_int_equal(fr_kv_layout_of(s->kind, s->kv_heads, s->dim, &l), FR_OK);
    const size_t n = (size_t)(BATCH * s->m * s->heads * s->dim);
    memcpy(len, s->len, sizeof len);
    for (int i = 0; i < BATCH * s->most; i++)
        table[i] = page_at(s->most, (int)(i / s->most), i % s->most);
    r->q = normal(5, n);
    r->in[0] = fr_tensor_make(s->type, 4, (int64_t[]){BATCH, s->m, s->heads, s->dim}, NULL);
    r->in[0].data = fr_alloc(FR_MEM_OTHER, fr_bytes(&r->in[0]));
    assert_int_equal(fr_encode(s->type, r->q, n, r->in[0].data), FR_OK);
    fr_decode(s->type, r->in[0].data, n, r->q);
    for (int i = 1; i < 3; i++)
        r->in[i] = fr_tensor_make(FR_U8, 2, (int64_t[]){BATCH * s->most, (int64_t)l.bytes},
                                  make_pages(s, &l, 100000 * (uint64_t)i));
    r->in[3] = fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, s->most}, table);
    r->in[4] = fr_tensor_make(FR_I32, 1, (int64_t[]){BATCH}, len);
    rig_run(r, s, NULL);
}

/* One query against the tokens lo .. hi - 1 of sequence b; size: weights times sizes of values, at most. */
static double one_query(const shape *s, const rig *r, int b, int head, const float *q, int lo,
                        int hi, double *y) {
    fr_kv_layout l;
    float x[HEAD];
    double score[MOST * 64], sizes[HEAD] = {0}, most = -INFINITY, sum = 0, size = 0;
    assert_int_equal(fr_kv_layout_of(s->kind, s->kv_heads, s->dim, &l), FR_OK);
    const int kv = head / (s->heads / s->kv_heads);
    for (int t = lo; t < hi; t++) {
        fr_kv_page_read(&l,
                        (uint8_t *)r->in[1].data + (size_t)page_at(s->most, b, t / 64) * l.bytes,
                        kv, t % 64, 1, x);
        score[t] = 0;
        const double scale = s->scale > 0 ? (double)s->scale : 1 / sqrt(s->dim);
        for (int d = 0; d < s->dim; d++) score[t] += (double)q[d] * (double)x[d] * scale;
        if (s->cap > 0) score[t] = (double)s->cap * tanh(score[t] / (double)s->cap);
        most = fmax(most, score[t]);
    }
    for (int d = 0; d < s->dim; d++) y[d] = 0;
    for (int t = lo; t < hi; t++) {
        fr_kv_page_read(&l,
                        (uint8_t *)r->in[2].data + (size_t)page_at(s->most, b, t / 64) * l.bytes,
                        kv, t % 64, 1, x);
        const double p = exp(score[t] - most);
        sum += p;
        for (int d = 0; d < s->dim; d++)
            y[d] += p * (double)x[d], sizes[d] += p * fabs((double)x[d]);
    }
    for (int d = 0; d < s->dim; d++) {
        y[d] = sum > 0 ? y[d] / sum : 0;
        size = fmax(size, sum > 0 ? sizes[d] / sum : 0);
    }
    return size;
}

static double tolerance(const shape *s) {
    const bool bf16 = s->type == FR_BF16 || s->kind == FR_KV_BF16;
    if (s->kind == FR_KV_4 || s->kind == FR_KV_4_QOQ) return 2e-2;
    const bool wide = s->kind == FR_KV_F16 || s->kind == FR_KV_F32;
    if (s->type == FR_BF16 && wide) return 2e-2; /* many rows round what they read to bf16 */
    if (s->kind == FR_KV_F32) return 2e-5;
    return bf16 ? 1e-2 : 1e-3;
}

static void compare(const shape *s, const rig *r) {
    const fr_tensor *t = fr_session_output(r->s, "y");
    const size_t n = (size_t)fr_values(t);
    float *y = fr_alloc_array(FR_MEM_OTHER, n, sizeof *y);
    assert_int_equal(fr_tensor_to_f32(t, y), FR_OK);
    const int64_t each = op_short() ? 23 : 1; /* the sums below take long */
    for (int b = 0; b < BATCH; b++)
        for (int64_t i = (s->m - 1) % each; i < s->m; i += each)
            for (int h = 0; h < s->heads; h++) {
                double want[HEAD];
                const int64_t at = ((b * s->m + i) * s->heads + h) * s->dim;
                int hi = (int)(s->len[b] - s->m + i + 1);
                hi = hi < 0 ? 0 : hi;
                const int lo = s->window && hi > s->window ? hi - s->window : 0;
                const double tol = tolerance(s) * one_query(s, r, b, h, r->q + at, lo, hi, want);
                for (int d = 0; d < s->dim; d++)
                    if (!(fabs((double)y[at + d] - want[d]) <= tol + 1e-6))
                        fail_msg("%s: kind %d, heads %d/%d of %d, m %d, lengths %d %d, window %d: "
                                 "sequence %d, "
                                 "query %d, head %d, channel %d is %g, expected %g (tolerance %g)",
                                 fr_kernel()->name, (int)s->kind, s->heads, s->kv_heads, s->dim,
                                 (int)s->m, s->len[0], s->len[1], s->window, b, (int)i, h, d,
                                 (double)y[at + d], want[d], tol);
            }
    fr_free(y);
}

static void check(const shape *given) {
    shape with = *given;
    const shape *s = &with;
    if (!with.most) with.most = 5;
    static const int threads[] = {2, 3, 8};
    rig one;
    rig_new(&one, s);
    compare(s, &one);
    const fr_tensor *want = fr_session_output(one.s, "y");
    for (size_t i = 0; i < FR_COUNT(threads); i++) {
        rig r = one;
        if (op_short() && threads[i] != 3) continue;
        rig_run(&r, s, op_pool(threads[i]));
        if (memcmp(fr_session_output(r.s, "y")->data, want->data, fr_bytes(want)))
            fail_msg("kind %d, m %d: %d threads give other bits", (int)s->kind, (int)s->m,
                     threads[i]);
        rig_close(&r);
    }
    rig_free(&one);
}

static void kinds_and_lengths(void *arg) {
    (void)arg;
    static const int32_t lens[] = {1, 63, 64, 65, 200};
    for (int kind = 0; kind < FR_KV_KINDS; kind++)
        for (size_t i = 0; i < FR_COUNT(lens); i++)
            check(&(shape){.kind = (fr_kv_kind)kind,
                           .heads = 8,
                           .kv_heads = 2,
                           .dim = 128,
                           .m = 1,
                           .len = {lens[i], lens[FR_COUNT(lens) - 1 - i]},
                           .type = i % 2 ? FR_BF16 : FR_F32});
}

static void shapes(void *arg) {
    (void)arg;
    static const int64_t ms[] = {1, 3, 17, 70};
    static const int32_t groups[] = {1, 4, 8}, dims[] = {64, 80, 128};
    for (int i = 0; i < 36; i++)
        check(&(shape){.kind = (fr_kv_kind)(i % FR_KV_KINDS),
                       .heads = groups[i % 3] * 2,
                       .kv_heads = 2,
                       .dim = dims[i / 12],
                       .m = ms[i / 3 % 4],
                       .window = i % 5 == 0   ? 50
                                 : i % 5 == 1 ? 1
                                              : 0,
                       .len = {i % 2 ? 200 : 129, i % 7 ? 65 : 30},
                       .type = i % 4 == 3 ? FR_BF16 : FR_F32});
}

/* Few rows and many, with scores on both sides of the cap. */
static void caps(void *arg) {
    (void)arg;
    static const int64_t ms[] = {1, 3, 70};
    for (int i = 0; i < 18; i++)
        check(&(shape){.kind = (fr_kv_kind)(i % FR_KV_KINDS),
                       .heads = 8,
                       .kv_heads = 2,
                       .dim = i % 2 ? 128 : 80,
                       .m = ms[i / 6],
                       .window = i % 3 ? 0 : 50,
                       .scale = i % 2 ? 0.3f : 0.1f,
                       .cap = 1.5f,
                       .len = {200, 65},
                       .type = i % 4 == 3 ? FR_BF16 : FR_F32});
}

static void test_kinds(void **state) {
    (void)state;
    op_each_table(kinds_and_lengths, NULL);
}
static void test_shapes(void **state) {
    (void)state;
    op_each_table(shapes, NULL);
}
static void test_caps(void **state) {
    (void)state;
    op_each_table(caps, NULL);
}

/* The same pages, asked for token by token, as few rows and as many: one answer. */
static void steps(void *arg) {
    (void)arg;
    shape s = {.kind = FR_KV_8,
               .most = 5,
               .heads = 4,
               .kv_heads = 2,
               .dim = 64,
               .m = 70,
               .len = {200, 90},
               .type = FR_F32};
    rig all;
    rig_new(&all, &s);
    const float *want = fr_session_output(all.s, "y")->data;
    const int64_t row = s.heads * s.dim;
    for (int64_t i = 0; i < s.m; i += 23) {
        fr_graph *g = fr_graph_new();
        fr_tensor in[5];
        fr_val v[5];
        int32_t len[BATCH] = {(int32_t)(200 - s.m + i + 1), (int32_t)(90 - s.m + i + 1)};
        float *q = fr_alloc_array(FR_MEM_OTHER, (size_t)(BATCH * row), sizeof *q);
        memcpy(in, all.in, sizeof in);
        for (int b = 0; b < BATCH; b++)
            memcpy(q + b * row, all.q + (b * s.m + i) * row, (size_t)row * sizeof *q);
        in[0] = fr_tensor_make(FR_F32, 4, (int64_t[]){BATCH, 1, s.heads, s.dim}, q);
        in[4].data = len;
        for (int k = 0; k < 5; k++) {
            char name[8];
            snprintf(name, sizeof name, "in%d", k);
            v[k] = fr_input(g, name, in[k].dtype, in[k].rank, in[k].dim);
        }
        fr_output(g, "y",
                  fr_paged_attention(g, v[0], v[1], v[2], v[3], v[4],
                                     &(fr_paged_attention_opts){.kind = s.kind}));
        fr_session *one;
        assert_int_equal(fr_session_new(g, &one), FR_OK);
        assert_int_equal(fr_session_run(one, in, 5), FR_OK);
        const float *got = fr_session_output(one, "y")->data;
        for (int b = 0; b < BATCH; b++)
            for (int64_t d = 0; d < row; d++)
                if (!(fabsf(got[b * row + d] - want[(b * s.m + i) * row + d]) <= 2e-3f))
                    fail_msg("query %d, value %d: %g alone, %g among %d", (int)i, (int)d,
                             (double)got[b * row + d], (double)want[(b * s.m + i) * row + d],
                             (int)s.m);
        fr_session_free(one);
        fr_graph_free(g);
        fr_free(q);
    }
    rig_free(&all);
}

static void test_steps(void **state) {
    (void)state;
    op_each_table(steps, NULL);
}

/* More pages than a chunk has. */
static void chunks(void *arg) {
    (void)arg;
    for (int kind = FR_KV_BF16; kind <= FR_KV_4; kind++)
        check(&(shape){.kind = (fr_kv_kind)kind,
                       .heads = 4,
                       .kv_heads = kind == FR_KV_F16 ? 4 : 2,
                       .dim = 64,
                       .m = kind == FR_KV_8 ? 3 : 1,
                       .most = MOST,
                       .window = kind == FR_KV_F16 ? 1100 : 0,
                       .len = {2500, 1025},
                       .type = FR_F32});
}

static void test_chunks(void **state) {
    (void)state;
    op_each_table(chunks, NULL);
}

/* A sequence `batch` times over: the bits of each must be those of one alone. */
static void same_in_batch(void *arg) {
    (void)arg;
    enum { MANY = 40 };
    shape s = {.kind = FR_KV_4,
               .heads = 4,
               .kv_heads = 2,
               .dim = 64,
               .m = 1,
               .most = MOST,
               .len = {2500, 0},
               .type = FR_F32};
    rig r;
    rig_new(&r, &s);
    const size_t row = (size_t)(s.heads * s.dim);
    const float *want = fr_session_output(r.s, "y")->data;
    int32_t len[MANY], table[MANY * MOST];
    float *q = fr_alloc_array(FR_MEM_OTHER, MANY * row, sizeof *q);
    for (int b = 0; b < MANY; b++) {
        len[b] = b == 7 ? 65 : 2500;
        memcpy(table + b * MOST, r.in[3].data, MOST * sizeof *table);
        memcpy(q + (size_t)b * row, r.q, row * sizeof *q);
    }
    fr_tensor in[5] = {fr_tensor_make(FR_F32, 4, (int64_t[]){MANY, 1, s.heads, s.dim}, q), r.in[1],
                       r.in[2], fr_tensor_make(FR_I32, 2, (int64_t[]){MANY, MOST}, table),
                       fr_tensor_make(FR_I32, 1, (int64_t[]){MANY}, len)};
    float *alone = fr_alloc_array(FR_MEM_OTHER, row, sizeof *alone);
    memcpy(alone, want, row * sizeof *alone);
    fr_graph *g = fr_graph_new();
    fr_val v[5];
    for (int k = 0; k < 5; k++) {
        char name[8];
        snprintf(name, sizeof name, "in%d", k);
        v[k] = fr_input(g, name, in[k].dtype, in[k].rank, in[k].dim);
    }
    fr_output(g, "y",
              fr_paged_attention(g, v[0], v[1], v[2], v[3], v[4],
                                 &(fr_paged_attention_opts){.kind = s.kind}));
    fr_session *all;
    assert_int_equal(fr_session_new_with(g, &(fr_session_opts){.pool = op_pool(3)}, &all), FR_OK);
    if (fr_session_run(all, in, 5)) fail_msg("%s", fr_message());
    const float *got = fr_session_output(all, "y")->data;
    for (int b = 0; b < MANY; b++)
        if (b != 7 && memcmp(got + (size_t)b * row, alone, row * sizeof *got))
            fail_msg("%s: sequence %d of a batch has other bits than alone", fr_kernel()->name, b);
    fr_session_free(all);
    fr_graph_free(g);
    fr_free(alone);
    fr_free(q);
    rig_free(&r);
}

static void test_batch(void **state) {
    (void)state;
    op_each_table(same_in_batch, NULL);
}

/* ---- refusals ---- */

static void refuse(int32_t page, int32_t len, int32_t window, int64_t bytes, const char *words) {
    fr_graph *g = fr_graph_new();
    const int64_t q[] = {1, 1, 2, 64}, k[] = {2, bytes}, t[] = {1, 2}, n[] = {1};
    int32_t pages[2] = {1, page};
    fr_val v[5];
    v[0] = fr_input(g, "q", FR_F32, 4, q);
    v[1] = fr_input(g, "k", FR_U8, 2, k);
    v[2] = fr_input(g, "v", FR_U8, 2, k);
    v[3] = fr_input(g, "t", FR_I32, 2, t);
    v[4] = fr_input(g, "n", FR_I32, 1, n);
    fr_output(g, "y",
              fr_paged_attention(g, v[0], v[1], v[2], v[3], v[4],
                                 &(fr_paged_attention_opts){.kind = FR_KV_4, .window = window}));
    fr_status st = fr_graph_check(g);
    if (!st) {
        fr_session *s;
        void *zero = fr_alloc(FR_MEM_OTHER, 2 * (size_t)bytes);
        fr_tensor in[] = {fr_tensor_make(FR_F32, 4, q, zero), fr_tensor_make(FR_U8, 2, k, zero),
                          fr_tensor_make(FR_U8, 2, k, zero), fr_tensor_make(FR_I32, 2, t, pages),
                          fr_tensor_make(FR_I32, 1, n, &len)};
        assert_int_equal(fr_session_new(g, &s), FR_OK);
        st = fr_session_run(s, in, 5);
        fr_session_free(s);
        fr_free(zero);
    }
    if (words) {
        assert_int_not_equal(st, FR_OK);
        if (!strstr(fr_message(), words))
            fail_msg("\"%s\" does not say \"%s\"", fr_message(), words);
    } else if (st) {
        fail_msg("%s", fr_message());
    }
    fr_graph_free(g);
}

static void test_refusals(void **state) {
    (void)state;
    const int64_t bytes = (int64_t)fr_kv_page_bytes(FR_KV_4, 1, 64);
    refuse(0, 128, 0, bytes, NULL);
    refuse(5, 64, 0, bytes, NULL); /* not reached */
    refuse(2, 65, 0, bytes, "names page 2");
    refuse(-2, 128, 0, bytes, "names page -2");
    refuse(0, 129, 0, bytes, "room for 128 tokens");
    refuse(0, -1, 0, bytes, "kv_len[0] is -1");
    refuse(0, 1, -1, bytes, "window");
    refuse(0, 1, 0, bytes + 64, "whole heads");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),    cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_caps),     cmocka_unit_test(test_steps),
        cmocka_unit_test(test_chunks),   cmocka_unit_test(test_batch),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
