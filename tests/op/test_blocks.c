/* test_blocks.c: weights in the blocks of GGUF files become panels: those of Q4_0 are the same weights'
 * as uint4-z-g32, the others hold the codes of the file and its scales in f16. */
#include "qgemm_ref.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

/* Codes, scales and zeros from what the blocks decode to: value / d + 8, d the first two bytes. */
static void as_groups(const fr_quantized *from, fr_quantized *to) {
    float x[512];
    ok(fr_quantized_new(&fr_uint4_z_g32, from->rows, from->cols, to));
    for (int64_t r = 0; r < from->rows; r++) {
        from->format->decode(from, r, 1, x);
        for (int64_t c = 0; c < from->cols; c++) {
            int64_t g = r * (from->cols / 32) + c / 32;
            uint16_t d;
            memcpy(&d, (const uint8_t *)from->part[0].data + g * 18, 2);
            float s = fr_f16_to_f32(d);
            int code = s == 0 ? 8 : (int)(x[c] / s) + 8;
            uint8_t *byte = (uint8_t *)to->part[0].data + (r * from->cols + c) / 2;
            *byte = (uint8_t)(*byte | code << c % 2 * 4);
            ((uint16_t *)to->part[1].data)[g] = d;
            ((uint8_t *)to->part[2].data)[g] = 8;
        }
    }
}

static void q4_0_is_uint4(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 32}, {33, 64}, {40, 480}, {7, 512}, {64, 96}};
    for (size_t i = 0; i < FR_COUNT(sizes); i++) {
        int64_t n = sizes[i][0], k = sizes[i][1];
        float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)(n * k), sizeof *x);
        fr_random_normal(4, i, 0, x, (size_t)(n * k));
        fr_quantized blocks, groups;
        fr_qweights a, b;
        ok(fr_quantize(&fr_q4_0, NULL, x, n, k, &blocks));
        as_groups(&blocks, &groups);
        ok(fr_qweights_of(&fr_q4_0, FR_ROWS_FLOAT, n, k, &a));
        ok(fr_qweights_of(&fr_uint4_z_g32, FR_ROWS_FLOAT, n, k, &b));
        assert_true(a.kind == FR_Q_W4A16 && b.kind == a.kind && a.bytes == b.bytes);
        char *pa = fr_alloc(FR_MEM_PACKED, a.bytes), *pb = fr_alloc(FR_MEM_PACKED, b.bytes);
        fr_qweights_pack(&blocks, &a, pa, NULL);
        fr_qweights_pack(&groups, &b, pb, NULL);
        /* Zeros of columns and groups that are not there may be anything: their scales are 0. */
        for (int64_t p = 0; p < a.panels; p++) {
            size_t at = (size_t)p * a.panel.bytes;
            assert_memory_equal(pa + at, pb + at, a.panel.zeros);
            assert_memory_equal(pa + at + a.panel.codes, pb + at + a.panel.codes,
                                a.panel.bytes - a.panel.codes);
            for (int64_t g = 0; g < k / 32; g++)
                assert_memory_equal(pa + at + a.panel.zeros + (size_t)g * a.panel.zero_bytes,
                                    pb + at + a.panel.zeros + (size_t)g * a.panel.zero_bytes,
                                    (size_t)FR_MIN(n - p * a.panel.nr, a.panel.nr));
        }
        fr_free(pa);
        fr_free(pb);
        fr_free(x);
        fr_quantized_free(&blocks);
        fr_quantized_free(&groups);
    }
}

/* ---- the others: scales and offsets of 16 bits ---- */

static const fr_qformat *const others[] = {&fr_q4_1, &fr_q5_0, &fr_q5_1, &fr_q8_0,
                                           &fr_q4_k, &fr_q5_k, &fr_q6_k};

typedef struct made {
    fr_quantized q;
    fr_qweights w;
    char *packed;
} made;

/* Values that are not centred, so that there are offsets. */
static made make(const fr_qformat *f, int64_t n, int64_t k, fr_pool *pool) {
    made m;
    float *x = qgemm_values(7, (size_t)(n * k), false);
    for (int64_t i = 0; i < n * k; i++) x[i] = 0.01f * x[i] + 0.005f;
    ok(fr_quantize(f, NULL, x, n, k, &m.q));
    ok(fr_qweights_of(f, FR_ROWS_FLOAT, n, k, &m.w));
    m.packed = fr_alloc(FR_MEM_PACKED, m.w.bytes);
    memset(m.packed, 0xa5, m.w.bytes);
    fr_qweights_pack(&m.q, &m.w, m.packed, pool);
    fr_free(x);
    return m;
}

static void drop(made *m) {
    fr_free(m->packed);
    fr_quantized_free(&m->q);
}

static float half_at(const char *p, size_t i) {
    return fr_f16_to_f32(((const uint16_t *)p)[i]);
}

/* The weight of column j of a panel at k, and how far rounded scales may take it. */
static float in_panel(const fr_qpanel *p, const char *b, int j, int64_t k, float *off) {
    int shift;
    size_t byte = fr_qpanel_code(p, j, k, &shift);
    int code = (uint8_t)b[byte] >> shift;
    size_t at = (size_t)(k / 32 * p->nr + j);
    float s = half_at(b + p->scales, at), o = 0;
    if (p->kind == FR_Q_W8A16) code = (int8_t)code;
    if (p->kind == FR_Q_W4A16_OFF) code = (code & 15) - 8;
    if (p->kind == FR_Q_W6A16) {
        code = code & 15;
        byte = fr_qpanel_high(p, j, k, &shift);
        code = (code | ((uint8_t)b[byte] >> shift & 3) << 4) - 32;
    }
    if (p->zero_bytes && !p->halves) o = half_at(b + p->zeros, at);
    if (p->halves && k % 32 >= 16) s = half_at(b + p->zeros, at);
    *off = (fabsf(s * (float)code) + fabsf(o)) * 0x1p-11f;
    return s * (float)code - o;
}

static void codes_are_kept(void **state) {
    (void)state;
    static const int64_t sizes[][2] = {{1, 256}, {33, 512}, {40, 768}, {7, 2304}};
    for (size_t f = 0; f < FR_COUNT(others); f++)
        for (size_t i = 0; i < FR_COUNT(sizes); i++) {
            int64_t n = sizes[i][0], k = sizes[i][1];
            if (others[f]->group == 32 && i < 2 && others[f] != &fr_q4_k && others[f] != &fr_q5_k)
                k -= 32 * (int64_t)(i + 1);
            made m = make(others[f], n, k, NULL);
            const fr_qpanel *p = &m.w.panel;
            float row[2304], off;
            for (int64_t r = 0; r < n; r++) {
                m.q.format->decode(&m.q, r, 1, row);
                const char *panel = m.packed + (size_t)(r / p->nr) * p->bytes;
                for (int64_t c = 0; c < k; c++) {
                    float got = in_panel(p, panel, (int)(r % p->nr), c, &off);
                    if (!(fabsf(got - row[c]) <= off))
                        fail_msg("%s %d x %d: [%d, %d] is %.9g, expected %.9g", others[f]->name,
                                 (int)n, (int)k, (int)r, (int)c, (double)got, (double)row[c]);
                }
            }
            drop(&m);
        }
}

static float *product(const made *m, const float *x, int64_t rows, fr_pool *pool) {
    fr_qrows from = {.m = rows, .x = x, .x_type = FR_F32, .ldx = m->q.cols};
    fr_qrow_of(m->w.rows, m->q.cols, m->w.panel.group, &from.row);
    fr_qgemm g = {.m = rows, .n = m->q.rows, .k = m->q.cols, .w = &m->w, .b = m->packed};
    g.row = from.row, g.x = &from, g.c_type = FR_F32, g.ldc = g.n;
    float *y = fr_alloc_array(FR_MEM_OTHER, (size_t)(rows * g.n), sizeof *y);
    void *scratch = fr_alloc(FR_MEM_OTHER, fr_qgemm_scratch(&g, pool));
    g.c = y;
    fr_qgemm_run(&g, scratch, pool);
    fr_free(scratch);
    return y;
}

/* Against doubles, of the decoded weights and rows of bf16. What f16 takes away is 2^-12 of a scale, and of weights that
 * share it with one 20 times as large more; Q8_0 and Q5_0 have nothing to round. */
static void check_product(const made *m, const float *x, int64_t rows) {
    int64_t n = m->q.rows, k = m->q.cols;
    double *w = fr_alloc_array(FR_MEM_OTHER, (size_t)(n * k), sizeof *w);
    double *a = fr_alloc_array(FR_MEM_OTHER, (size_t)(rows * k), sizeof *a);
    qgemm_weights_f64(&m->q, w);
    qgemm_rows_f64(FR_ROWS_BF16, x, rows, k, a);
    float *got = product(m, x, rows, NULL);
    double wrong = 0, all = 0;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) {
            double want = 0;
            for (int64_t q = 0; q < k; q++) want += a[i * k + q] * w[j * k + q];
            wrong += (got[i * n + j] - want) * (got[i * n + j] - want);
            all += want * want;
        }
    bool f16 = m->q.format != &fr_q8_0 && m->q.format != &fr_q5_0;
    if (!(sqrt(wrong / all) < (f16 ? 2e-3 : 2e-6)))
        fail_msg("%s, %s, %d x %d x %d: off by %.3g", fr_kernel()->name, m->q.format->name,
                 (int)rows, (int)n, (int)k, sqrt(wrong / all));
    fr_free(w), fr_free(a), fr_free(got);
}

static void products(void *arg) {
    (void)arg;
    static const int64_t ms[] = {1, 2, 3, 7, 13, 29};
    for (size_t f = 0; f < FR_COUNT(others); f++)
        for (size_t i = 0; i < FR_COUNT(ms); i++) {
            made m = make(others[f], i % 2 ? 33 : 70, 512, NULL);
            float *x = qgemm_values(8, (size_t)(ms[i] * 512), false);
            check_product(&m, x, ms[i]);
            fr_free(x);
            drop(&m);
        }
}

static void test_products(void **state) {
    (void)state;
    op_each_table(products, NULL);
}

/* A row alone, among others, and with any number of threads. */
static void same_bits(void *arg) {
    enum { ROWS = 29, N = 200, K = 768 };
    (void)arg;
    for (size_t f = 0; f < FR_COUNT(others); f++) {
        made m = make(others[f], N, K, NULL), other = make(others[f], N, K, op_pool(3));
        assert_memory_equal(m.packed, other.packed, m.w.bytes);
        float *x = qgemm_values(8, ROWS * K, false), *want = product(&m, x, ROWS, NULL);
        for (int threads = 2; threads <= 3; threads++) {
            float *got = product(&m, x, ROWS, op_pool(threads));
            assert_memory_equal(got, want, ROWS * N * sizeof *got);
            fr_free(got);
        }
        for (int64_t i = 0; i < ROWS; i += 7) {
            float *got = product(&m, x + i * K, FR_MIN(1 + i / 7, ROWS - i), op_pool(2));
            if (memcmp(got, want + i * N, N * sizeof *got))
                fail_msg("%s, %s: row %d has other bits alone", fr_kernel()->name, others[f]->name,
                         (int)i);
            fr_free(got);
        }
        fr_free(x), fr_free(want);
        drop(&m), drop(&other);
    }
}

static void test_same_bits(void **state) {
    (void)state;
    op_each_table(same_bits, NULL);
}

/* A scale that is too large for f16 becomes the largest there is: no infinity, no NaN. */
static void test_huge_scales(void **state) {
    (void)state;
    made m = make(&fr_q4_k, 8, 256, NULL);
    uint8_t *block = m.q.part[0].data;
    const uint16_t largest = 0x7bff;
    for (int r = 0; r < 8; r++, block += 144) {
        memcpy(block, &largest, 2), memcpy(block + 2, &largest, 2);
        memset(block + 4, 0xff, 140);
    }
    fr_qweights_pack(&m.q, &m.w, m.packed, NULL);
    float *x = qgemm_values(8, 256, false), *y = product(&m, x, 1, NULL);
    for (int j = 0; j < 8; j++) assert_true(isfinite(y[j]));
    fr_free(x), fr_free(y);
    drop(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(q4_0_is_uint4),    cmocka_unit_test(codes_are_kept),
        cmocka_unit_test(test_products),    cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_huge_scales),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
