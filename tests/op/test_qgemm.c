/* test_qgemm.c: products of rows with weights in few bits, below any graph: every format against doubles,
 * and the same bits for any number of threads, table of kernels and way of cutting. */
#include "op_test.h"
#include "qgemm_ref.h"

#include "graph/graph.h"

/* What a product is asked for. */
typedef struct ask {
    qgemm_pair pair;
    int64_t m, n, k, rank;
    bool bias, residual;
    fr_fn act;
    fr_dtype type; /* of bias, residual, up and result */
    bool floats;   /* x comes as floats */
    fr_rows_kind next;
} ask;

/* All that it is made of; what `type` says is stored in it. */
typedef struct makings {
    ask a;
    float *x, *bias, *residual, *low;
    fr_quantized w;
    fr_tensor up, down;
    void *b, *up_packed, *down_packed, *bias_t, *residual_t;
    fr_qweights shape;
    fr_qrow row;
    char *records;
} makings;

/* n values, rounded to the type, and as they are stored. */
static float *stored(uint64_t stream, int64_t n, fr_dtype type, void **out) {
    float *f = qgemm_values(stream, (size_t)n, false);
    *out = fr_alloc(FR_MEM_OTHER, (size_t)n * 4 + 64);
    assert_int_equal(fr_encode(type, f, (size_t)n, *out), FR_OK);
    fr_decode(type, *out, (size_t)n, f);
    return f;
}

static fr_qrows rows_of(const makings *s) {
    fr_qrows q = {.row = s->row, .m = s->a.m, .x = s->x, .x_type = FR_F32, .ldx = s->a.k};
    q.rank = s->a.rank, q.down_packed = s->down_packed;
    return q;
}

static void make_records(makings *s) {
    fr_qrows q = rows_of(s);
    s->records = fr_alloc(FR_MEM_OTHER, (size_t)s->a.m * s->row.bytes);
    s->low = fr_alloc(FR_MEM_OTHER, (size_t)(s->a.m * s->a.rank) * 4 + 4);
    q.records = s->records, q.low = s->low;
    void *scratch = fr_alloc(FR_MEM_OTHER, fr_qrows_scratch(&q, NULL));
    fr_qrows_run(&q, scratch, NULL);
    fr_free(scratch);
}

static makings make(const ask *a) {
    makings s = {.a = *a};
    s.x = qgemm_values(1, (size_t)(a->m * a->k), a->pair.rows == FR_ROWS_UINT4);
    float *w = qgemm_values(2, (size_t)(a->n * a->k), false);
    assert_int_equal(fr_quantize(a->pair.format, NULL, w, a->n, a->k, &s.w), FR_OK);
    fr_free(w);
    if (fr_qweights_of(a->pair.format, a->pair.rows, a->n, a->k, &s.shape))
        fail_msg("%s", fr_message());
    s.b = fr_alloc(FR_MEM_OTHER, s.shape.bytes);
    memset(s.b, 0xa5, s.shape.bytes);
    fr_qweights_pack(&s.w, &s.shape, s.b, NULL);
    fr_qrow_of(s.shape.rows, a->k, a->pair.format->group, &s.row);
    s.bias = stored(3, a->n, a->type, &s.bias_t);
    s.residual = stored(4, a->m * a->n, a->type, &s.residual_t);
    if (a->rank) {
        void *data;
        fr_free(stored(5, a->n * a->rank, a->type, &data));
        s.up = fr_tensor_make(a->type, 2, (int64_t[]){a->n, a->rank}, data);
        s.up_packed = fr_alloc(FR_MEM_OTHER, fr_qgemm_up_bytes(&s.shape, a->rank));
        fr_qgemm_up_pack(&s.shape, &s.up, s.up_packed);
        fr_free(stored(6, a->rank * a->k, a->type, &data));
        s.down = fr_tensor_make(a->type, 2, (int64_t[]){a->rank, a->k}, data);
        s.down_packed = fr_alloc(FR_MEM_OTHER, fr_qrows_down_bytes(a->rank, a->k));
        fr_qrows_down_pack(&s.down, s.down_packed);
    }
    make_records(&s);
    return s;
}

static void drop(makings *s) {
    fr_free(s->x), fr_free(s->bias), fr_free(s->residual), fr_free(s->low);
    fr_free(s->up.data), fr_free(s->down.data), fr_free(s->b), fr_free(s->up_packed);
    fr_free(s->down_packed), fr_free(s->bias_t), fr_free(s->residual_t), fr_free(s->records);
    fr_quantized_free(&s->w);
}

/* ---- running ---- */

static fr_qgemm product(const makings *s) {
    const ask *a = &s->a;
    fr_qgemm g = {.m = a->m, .n = a->n, .k = a->k, .w = &s->shape, .b = s->b, .row = s->row};
    g.a = s->records;
    g.rank = a->rank, g.low = s->low, g.up_packed = s->up_packed;
    g.up_type = s->up.dtype;
    if (a->bias) g.bias = s->bias_t, g.bias_type = a->type;
    g.act = a->act;
    if (a->residual) g.residual = s->residual_t, g.residual_type = a->type, g.ldr = a->n;
    g.c_type = a->type, g.ldc = a->n;
    return g;
}

static void *scratch_of(size_t bytes) {
    void *p = fr_alloc(FR_MEM_OTHER, bytes);
    memset(p, 0xff, bytes); /* NaN wherever something is not written */
    return p;
}

/* The result in a's type, or the next records and behind them the next low. */
static void *result(const makings *s, fr_pool *pool, size_t *bytes) {
    fr_qgemm g = product(s);
    fr_qrows x = rows_of(s), next = {0};
    size_t size = s->a.type == FR_BF16 ? 2 : 4;
    *bytes = (size_t)(s->a.m * s->a.n) * size;
    if (s->a.floats) g.x = &x, g.a = NULL, g.low = NULL;
    if (s->a.next) {
        fr_qrow_of(s->a.next, s->a.n, 0, &next.row);
        *bytes = (size_t)s->a.m * next.row.bytes;
        g.next = &next;
    }
    void *out = fr_alloc(FR_MEM_OTHER, *bytes + 64), *scratch;
    memset(out, 0, *bytes + 64);
    memset((char *)out + *bytes, 0x77, 64);
    g.c = next.records = out;
    scratch = scratch_of(fr_qgemm_scratch(&g, pool));
    fr_qgemm_run(&g, scratch, pool);
    for (int i = 0; i < 64; i++) assert_int_equal(((uint8_t *)out)[*bytes + (size_t)i], 0x77);
    fr_free(scratch);
    return out;
}

static float *floats(const makings *s, fr_pool *pool) {
    size_t bytes, n = (size_t)(s->a.m * s->a.n);
    void *out = result(s, pool, &bytes);
    float *f = fr_alloc_array(FR_MEM_OTHER, n + 1, sizeof *f);
    fr_decode(s->a.type, out, n, f);
    fr_free(out);
    return f;
}

/* ---- comparing with doubles ---- */

static double exact_value(const makings *s, const double *x, const double *w, int64_t i, int64_t j,
                          double *size) {
    const ask *a = &s->a;
    double sum = 0;
    *size = 0;
    for (int64_t q = 0; q < a->k; q++) {
        sum += x[i * a->k + q] * w[j * a->k + q];
        *size += fabs(x[i * a->k + q] * w[j * a->k + q]);
    }
    for (int64_t r = 0; r < a->rank; r++) {
        float up;
        fr_decode(a->type, (char *)s->up.data + (j * a->rank + r) * (a->type == FR_BF16 ? 2 : 4), 1,
                  &up);
        float low = s->low[i * a->rank + r];
        if (a->type == FR_BF16 && fr_kernel()->gemm.tile[FR_GEMM_BF16])
            low = fr_bf16_to_f32(fr_f32_to_bf16(low));
        sum += (double)low * up;
        *size += fabs((double)low * up);
    }
    if (a->bias) sum += s->bias[j];
    sum = qgemm_act_f64(a->act, sum);
    if (a->residual) sum += s->residual[i * a->n + j];
    *size += fabs(sum);
    return sum;
}

static void check_values(const makings *s) {
    const ask *a = &s->a;
    double *x = fr_alloc_array(FR_MEM_OTHER, (size_t)(a->m * a->k), sizeof *x);
    double *w = fr_alloc_array(FR_MEM_OTHER, (size_t)(a->n * a->k), sizeof *w);
    qgemm_rows_f64(a->pair.rows, s->x, a->m, a->k, x);
    qgemm_weights_f64(&s->w, w);
    float *got = floats(s, NULL);
    double tol = a->type == FR_BF16 ? 4e-3 : 0;
    for (int64_t i = 0; i < a->m; i++)
        for (int64_t j = 0; j < a->n; j++) {
            double size, want = exact_value(s, x, w, i, j, &size);
            double have = got[i * a->n + j];
            if (!(fabs(have - want) <= tol * fabs(want) + 4e-6 * size + 1e-7))
                fail_msg("%s, %s, %s %d x %d x %d: [%d, %d] is %.9g, expected %.9g",
                         fr_kernel()->name, a->pair.format->name, fr_dtype_name(a->type), (int)a->m,
                         (int)a->n, (int)a->k, (int)i, (int)j, have, want);
        }
    fr_free(x), fr_free(w), fr_free(got);
}

/* ---- the tests ---- */

static void every_format(void *arg) {
    (void)arg;
    static const int64_t ms[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 64, 130};
    static const int64_t ns[] = {1, 8, 33, 70}, ks[] = {1, 2, 63, 64, 129, 300, 5, 256};
    bool slow = fr_kernel()->cpu == 0;
    size_t at = 0;
    for (size_t p = 0; p < qgemm_pair_count; p++)
        for (size_t i = 0; i < FR_COUNT(ms); i++)
            for (int bf16 = 0; bf16 < 2; bf16++, at++) {
                if (slow && ms[i] > 13 && bf16) continue;
                ask a = {.pair = qgemm_pairs[p], .m = ms[i], .type = bf16 ? FR_BF16 : FR_F32};
                a.n = ns[at % FR_COUNT(ns)];
                a.k = ks[(at / 3) % FR_COUNT(ks)];
                a.rank = at % 5 == 1 ? 8 : at % 5 == 3 ? 33 : 0;
                a.bias = at % 2, a.residual = at % 3 == 1;
                a.act = (fr_fn)(at % 4 == 0 ? FR_FN_SILU : at % 4 == 2 ? FR_FN_GELU : FR_FN_NONE);
                makings s = make(&a);
                check_values(&s);
                drop(&s);
            }
}

static void test_formats(void **state) {
    (void)state;
    op_each_table(every_format, NULL);
}

/* Tiles of the f32 products, which multiply the branch, may be smaller and larger than those of the weights. */
static void test_other_tiles(void **state) {
    (void)state;
    fr_kernels plain, best, mixed;
    fr_kernels_fill(0, &plain);
    fr_kernels_fill(fr_cpu_flags(), &best);
    for (int i = 0; i < 2; i++) {
        mixed = i ? plain : best;
        mixed.gemm = i ? best.gemm : plain.gemm;
        fr_kernel_use(&mixed);
        for (size_t p = 0; p < qgemm_pair_count; p += 4) {
            ask a = {.pair = qgemm_pairs[p], .m = 29, .n = 77, .k = 64, .rank = 9, .type = FR_F32};
            a.bias = a.residual = true;
            makings s = make(&a);
            check_values(&s);
            drop(&s);
        }
        fr_kernel_use(NULL);
    }
}

/* One product in one table; the bytes must be those of the first. */
typedef struct same {
    ask a;
    void *first;
    size_t bytes;
} same;

static void same_bits(void *arg) {
    same *t = arg;
    makings s = make(&t->a);
    size_t bytes;
    void *got = result(&s, NULL, &bytes);
    if (!t->first) {
        t->first = got, t->bytes = bytes;
    } else {
        if (bytes != t->bytes || memcmp(got, t->first, bytes))
            fail_msg("%s: %s, %d x %d x %d has other bits", fr_kernel()->name,
                     t->a.pair.format->name, (int)t->a.m, (int)t->a.n, (int)t->a.k);
        fr_free(got);
    }
    drop(&s);
}

static void test_tables(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 70, 300}, {7, 33, 640}, {29, 40, 200}};
    for (size_t p = 0; p < qgemm_pair_count; p++)
        for (size_t i = 0; i < FR_COUNT(sizes); i++) {
            if (!qgemm_pairs[p].exact) continue;
            same t = {.a = {.pair = qgemm_pairs[p], .type = FR_F32}};
            t.a.m = sizes[i][0], t.a.n = sizes[i][1], t.a.k = sizes[i][2];
            op_each_table(same_bits, &t);
            fr_free(t.first);
        }
}

/* The rows alone must come out as they do among others, with any number of threads. */
static void check_same(const ask *base) {
    makings s = make(base);
    size_t bytes, more;
    void *want = result(&s, NULL, &bytes);
    static const int threads[] = {2, 3, 8};
    for (size_t i = 0; i < FR_COUNT(threads); i++) {
        void *got = result(&s, op_pool(threads[i]), &more);
        if (memcmp(got, want, bytes))
            fail_msg("%s, %d x %d x %d: other bits with %d threads", base->pair.format->name,
                     (int)base->m, (int)base->n, (int)base->k, threads[i]);
        fr_free(got);
    }
    /* Records made before, and in passing. */
    s.a.floats = !s.a.floats;
    void *got = result(&s, op_pool(2), &more);
    if (memcmp(got, want, bytes))
        fail_msg("%s, %d x %d x %d: other bits from %s", base->pair.format->name, (int)base->m,
                 (int)base->n, (int)base->k, s.a.floats ? "floats" : "records");
    fr_free(got), fr_free(want);
    drop(&s);
}

static void test_threads(void **state) {
    (void)state;
    /* The last ones have rows that tasks own. */
    static const int64_t sizes[][3] = {
        {1, 333, 200}, {5, 1000, 130}, {40, 200, 300}, {300, 100, 70}, {2500, 40, 70}};
    for (size_t p = 0; p < qgemm_pair_count; p++)
        for (size_t i = 0; i < FR_COUNT(sizes); i++)
            for (int next = 0; next < 2; next++) {
                ask a = {.pair = qgemm_pairs[p], .type = FR_F32, .bias = true, .act = FR_FN_SILU};
                a.m = sizes[i][0], a.n = sizes[i][1], a.k = sizes[i][2];
                a.rank = i % 2 ? 16 : 0;
                if (next) a.next = p % 2 ? FR_ROWS_INT8 : FR_ROWS_INT4;
                if (i > 3 && p % 4) continue;
                check_same(&a);
            }
}

/* Rows too wide to lie in scratch all together. */
static void test_chunks(void **state) {
    (void)state;
    for (int next = 0; next < 2; next++) {
        ask a = {.pair = qgemm_pairs[0], .m = 700, .n = 40, .k = 16000, .type = FR_F32, .rank = 4};
        if (next) a.m = 300, a.n = 12000, a.k = 200, a.next = FR_ROWS_INT8;
        if (fr_kernel()->qgemm.way[FR_Q_W8A8].mr > 4) check_same(&a);
    }
}

/* A row of a product has the same bits whatever the number of rows beside it. */
static void rows_alone(void *arg) {
    ask a = *(const ask *)arg;
    makings s = make(&a);
    size_t bytes, row = (size_t)a.n * 4;
    char *all = result(&s, NULL, &bytes);
    for (int64_t m = 1; m <= 14; m += op_short() ? 4 : 1)
        for (int64_t at = a.m - (m == 1 ? 14 : m); at <= a.m - m; at++) {
            makings some = s;
            some.a.m = m;
            some.x += at * a.k, some.records += (size_t)at * s.row.bytes, some.low += at * a.rank;
            char *got = result(&some, NULL, &bytes);
            if (memcmp(got, all + (size_t)at * row, bytes))
                fail_msg("%s: %s from %s, %d of %d rows have other bits than among all",
                         fr_kernel()->name, a.pair.format->name, a.floats ? "floats" : "records",
                         (int)m, (int)a.m);
            fr_free(got);
        }
    fr_free(all);
    drop(&s);
}

static void test_rows_alone(void **state) {
    (void)state;
    static const fr_qformat *const blocks[] = {&fr_q4_0, &fr_q4_1, &fr_q5_0, &fr_q5_1,
                                               &fr_q8_0, &fr_q4_k, &fr_q5_k, &fr_q6_k};
    for (size_t p = 0; p < qgemm_pair_count + FR_COUNT(blocks); p++)
        for (int floats = 0; floats < 2; floats++) {
            ask a = {.m = 40, .n = 40, .k = 512, .type = FR_F32, .floats = floats, .bias = true};
            a.rank = floats ? 16 : 0;
            if (p < qgemm_pair_count)
                a.pair = qgemm_pairs[p];
            else
                a.pair = (qgemm_pair){blocks[p - qgemm_pair_count], FR_ROWS_BF16, false};
            op_each_table(rows_alone, &a);
        }
}

/* The next records are those of the result as floats. */
static void test_next(void **state) {
    (void)state;
    for (int kind = 1; kind < FR_ROWS_KINDS; kind++)
        for (int many = 0; many < 2; many++) {
            ask a = {.pair = qgemm_pairs[5], .m = many ? 2500 : 9, .n = 70, .k = 130};
            a.type = FR_F32, a.act = FR_FN_GELU, a.floats = true;
            makings s = make(&a);
            float *y = floats(&s, NULL);
            fr_qrows q = {.m = a.m, .x = y, .x_type = FR_F32, .ldx = a.n};
            fr_qrow_of((fr_rows_kind)kind, a.n, 0, &q.row);
            q.records = fr_alloc(FR_MEM_OTHER, (size_t)a.m * q.row.bytes);
            memset(q.records, 0, (size_t)a.m * q.row.bytes);
            void *scratch = fr_alloc(FR_MEM_OTHER, fr_qrows_scratch(&q, NULL));
            fr_qrows_run(&q, scratch, NULL);
            size_t bytes;
            s.a.next = (fr_rows_kind)kind;
            void *got = result(&s, op_pool(2), &bytes);
            assert_int_equal(bytes, (size_t)a.m * q.row.bytes);
            assert_memory_equal(got, q.records, bytes);
            fr_free(got), fr_free(q.records), fr_free(scratch), fr_free(y);
            drop(&s);
        }
}

/* Scratch memory is bounded: some MB a thread, however many rows there are. */
static void test_scratch(void **state) {
    (void)state;
    static const int64_t ms[] = {1, 8, 128, 1000, 4096, 1000000};
    int64_t n = 12288, k = 12288, rank = 128;
    for (size_t p = 0; p < qgemm_pair_count; p++)
        for (size_t i = 0; i < FR_COUNT(ms); i++) {
            fr_qweights w;
            const fr_qformat *f = qgemm_pairs[p].format;
            assert_int_equal(fr_qweights_of(f, qgemm_pairs[p].rows, n, k, &w), FR_OK);
            fr_qrows x = {.m = ms[i], .rank = rank}, next = {.rank = rank};
            fr_qrow_of(w.rows, k, f->group, &x.row);
            fr_qrow_of(w.rows, n, f->group, &next.row);
            fr_qgemm g = {.m = ms[i], .n = n, .k = k, .w = &w, .row = x.row, .rank = rank};
            g.x = &x, g.next = &next;
            for (int threads = 1; threads < 9; threads += 7) {
                size_t bytes = fr_qgemm_scratch(&g, op_pool(threads));
                if (bytes > (size_t)(16 + 8 * threads) << 20)
                    fail_msg("%s, m = %d, %d threads: %zu bytes of scratch", f->name, (int)ms[i],
                             threads, bytes);
            }
        }
}

static void test_pack_threads(void **state) {
    (void)state;
    for (size_t p = 0; p < qgemm_pair_count; p++) {
        ask a = {.pair = qgemm_pairs[p], .m = 1, .n = 300, .k = 1500, .type = FR_F32};
        makings s = make(&a);
        char *other = fr_alloc(FR_MEM_OTHER, s.shape.bytes);
        fr_qweights_pack(&s.w, &s.shape, other, op_pool(3));
        assert_memory_equal(other, s.b, s.shape.bytes);
        fr_free(other);
        drop(&s);
    }
}

static void refused(const fr_qformat *f, fr_rows_kind rows, int64_t n, int64_t k,
                    const char *words) {
    fr_qweights w;
    if (fr_qweights_of(f, rows, n, k, &w) == FR_OK) fail_msg("%s was taken", f->name);
    if (!strstr(fr_message(), words))
        fail_msg("the refusal says \"%s\", without \"%s\"", fr_message(), words);
}

static void test_refused(void **state) {
    (void)state;
    refused(&fr_uint8_z_g128, FR_ROWS_FLOAT, 8, 8, "int8-channel");
    refused(&fr_uint4_z_g64_perm, FR_ROWS_FLOAT, 8, 8, "order");
    refused(&fr_uint4_z_row, FR_ROWS_FLOAT, 8, 8, "uint4-z-g128");
    refused(&fr_mxfp4, FR_ROWS_FLOAT, 8, 8, "nvfp4");
    refused(&fr_int2_g64, FR_ROWS_FLOAT, 8, 64, "caches");
    refused(&fr_int8_token, FR_ROWS_FLOAT, 8, 8, "activations");
    refused(&fr_int8_channel, FR_ROWS_INT4, 8, 8, "int4");
    refused(&fr_nvfp4, FR_ROWS_BF16, 8, 8, "bf16");
    refused(&fr_nvfp4, (fr_rows_kind)77, 8, 8, "unknown");
    refused(&fr_int8_channel, FR_ROWS_FLOAT, 8, FR_Q_MAX_K + 1, "too long");
    refused(&fr_int8_channel, FR_ROWS_FLOAT, 0, 8, "nothing");
    refused(&fr_int8_channel, FR_ROWS_FLOAT, INT64_MAX, 8, "memory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),      cmocka_unit_test(test_other_tiles),
        cmocka_unit_test(test_tables),       cmocka_unit_test(test_threads),
        cmocka_unit_test(test_chunks),       cmocka_unit_test(test_next),
        cmocka_unit_test(test_pack_threads), cmocka_unit_test(test_scratch),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_rows_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
