/* test_gptq.c: sums over inputs, their factor, and rounding with them: what it promises about errors of outputs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/quant.h"

#define assert_good(expr)                                                                          \
    do {                                                                                           \
        if ((expr) != FR_OK) fail_msg("%s: %s", #expr, fr_message());                              \
    } while (0)

static float *normal(int64_t rows, int64_t cols, uint64_t seed) {
    float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)(rows * cols), sizeof *x);
    assert_non_null(x);
    fr_random_normal(seed, 1, 0, x, (size_t)(rows * cols));
    return x;
}

/* Rows whose values go together: each is the one before plus something new; channels differ in size. */
static float *correlated(int64_t rows, int64_t cols, uint64_t seed) {
    float *x = normal(rows, cols, seed);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 1; c < cols; c++)
            x[r * cols + c] = 0.9f * x[r * cols + c - 1] + 0.44f * x[r * cols + c];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c += 17) x[r * cols + c] *= 8;
    return x;
}

static fr_hessian shown(const float *x, int64_t rows, int64_t n, fr_pool *pool) {
    fr_hessian h;
    assert_good(fr_hessian_new(n, rows, 100, true, &h));
    assert_good(fr_hessian_add(&h, x, rows / 3, pool)); /* in two pieces */
    assert_good(fr_hessian_add(&h, x + rows / 3 * n, rows - rows / 3, pool));
    fr_hessian_finish(&h, pool);
    return h;
}

static void sums_are_right(void **state) {
    (void)state;
    enum { ROWS = 2500, N = 300 };
    float *x = correlated(ROWS, N, 1);
    fr_hessian h = shown(x, ROWS, N, NULL);
    assert_true(h.samples == 100 && h.rows == ROWS);
    for (int i = 0; i < N; i += 7)
        for (int j = 0; j < N; j++) {
            double sum = 0, most = 0;
            for (int r = 0; r < ROWS; r++) {
                sum += (double)x[r * N + i] * (double)x[r * N + j];
                most = fmax(most, fabs((double)x[r * N + i]));
            }
            double size = sqrt((double)h.h[i * N + i] * (double)h.h[j * N + j]);
            if (fabs(2 * sum / ROWS - (double)h.h[i * N + j]) > 1e-5 * size)
                fail_msg("%d, %d: %g and not %g", i, j, (double)h.h[i * N + j], 2 * sum / ROWS);
            assert_true(h.h[i * N + j] == h.h[j * N + i]);
            assert_true(most == (double)h.most[i]);
        }
    fr_hessian_free(&h);
    fr_free(x);
}

static void factor_times_itself(void **state) {
    (void)state;
    static const int sizes[] = {1, 5, 127, 128, 129, 400};
    for (size_t k = 0; k < FR_COUNT(sizes); k++) {
        int n = sizes[k];
        float *x = correlated(2 * n, n, 2);
        fr_hessian h = shown(x, 2 * n, n, NULL);
        float *l = fr_alloc_array(FR_MEM_OTHER, (size_t)(n * n), sizeof *l);
        memcpy(l, h.h, (size_t)(n * n) * sizeof *l);
        bool positive;
        assert_good(fr_cholesky(l, n, NULL, &positive));
        assert_true(positive);
        for (int i = 0; i < n; i++)
            for (int j = 0; j <= i; j++) {
                double sum = 0, size = sqrt((double)h.h[i * n + i] * (double)h.h[j * n + j]);
                for (int c = 0; c <= j; c++) sum += (double)l[i * n + c] * (double)l[j * n + c];
                if (fabs(sum - (double)h.h[i * n + j]) > 1e-5 * size)
                    fail_msg("%d: %d, %d: %g and not %g", n, i, j, sum, (double)h.h[i * n + j]);
            }
        l[n / 2 * n + n / 2] = -1;
        assert_good(fr_cholesky(l, n, NULL, &positive));
        assert_false(positive);
        fr_free(l);
        fr_hessian_free(&h);
        fr_free(x);
    }
}

/* Inputs that do not go together at all: nothing can be made up for, and each value goes to the nearest. */
static void of_identity_it_is_rounding(void **state) {
    (void)state;
    enum { N = 260, ROWS = 40 };
    float *eye = fr_alloc(FR_MEM_OTHER, (size_t)N * N * sizeof *eye), *w = normal(ROWS, N, 3);
    for (int i = 0; i < N; i++) eye[i * N + i] = 2;
    fr_hessian h = shown(eye, N, N, NULL);
    fr_gptq_way g;
    assert_good(fr_gptq_prepare(&h, NULL, NULL, &g));
    static const char *const names[] = {"qoq-channel", "qoq-g128", "int8-channel", "uint4-z-g128",
                                        "int4-g128"};
    for (size_t k = 0; k < FR_COUNT(names); k++) {
        fr_quantized a, b;
        assert_good(fr_quantize(fr_format_find(names[k]), NULL, w, ROWS, N, &a));
        assert_good(fr_quantized_new(a.format, ROWS, N, &b));
        assert_good(fr_range_plain(w, &b, NULL));
        assert_good(fr_gptq_round(&g, w, &b, NULL));
        for (int i = 0; i < a.format->parts; i++)
            assert_memory_equal(a.part[i].data, b.part[i].data, fr_bytes(&a.part[i]));
        memset(b.part[0].data, 0, fr_bytes(&b.part[0]));
        assert_good(fr_range_round(w, &b, NULL));
        assert_memory_equal(a.part[0].data, b.part[0].data, fr_bytes(&a.part[0]));
        fr_quantized_free(&a);
        fr_quantized_free(&b);
    }
    fr_gptq_free(&g);
    fr_hessian_free(&h);
    fr_free(eye);
    fr_free(w);
}

static double error_of(const float *w, const fr_quantized *q, const fr_hessian *h) {
    double whole, error;
    assert_good(fr_output_error(w, q, h, NULL, &whole, &error));
    assert_true(whole > 0);
    return error / whole;
}

static void errors_of_outputs_fall(void **state) {
    (void)state;
    enum { N = 384, ROWS = 48, SHOWN = 3000 };
    float *x = correlated(SHOWN, N, 4), *w = normal(ROWS, N, 5);
    fr_hessian h = shown(x, SHOWN, N, NULL);
    fr_gptq_way g, plain;
    assert_good(fr_gptq_prepare(&h, NULL, NULL, &g));
    assert_good(fr_gptq_prepare(&h, &(fr_gptq_opts){.file_order = true}, NULL, &plain));
    static const char *const names[] = {"qoq-channel", "qoq-g128", "int8-channel", "uint4-z-g128"};
    for (size_t k = 0; k < FR_COUNT(names); k++) {
        fr_quantized q;
        assert_good(fr_quantized_new(fr_format_find(names[k]), ROWS, N, &q));
        assert_good(fr_range_plain(w, &q, NULL));
        assert_good(fr_range_round(w, &q, NULL));
        double nearest = error_of(w, &q, &h), ratio, searched, columns, both;
        assert_good(fr_gptq_round(&plain, w, &q, NULL));
        columns = error_of(w, &q, &h);
        assert_good(fr_gptq_round(&g, w, &q, NULL));
        double gptq = error_of(w, &q, &h);
        assert_good(fr_range_search(w, &h, &q, NULL, &ratio));
        assert_good(fr_range_round(w, &q, NULL));
        searched = error_of(w, &q, &h);
        assert_good(fr_gptq_round(&g, w, &q, NULL));
        both = error_of(w, &q, &h);
        print_message("    %s: nearest %.2e, searched %.2e (mean ratio %.2f), GPTQ in the file's "
                      "order %.2e, by size %.2e, both %.2e\n",
                      names[k], nearest, searched, ratio, columns, gptq, both);
        assert_true(gptq < 0.5 * nearest && columns < 0.7 * nearest && searched < nearest);
        if (q.format->check) assert_good(q.format->check(&q));
        fr_quantized_free(&q);
    }
    fr_gptq_free(&g);
    fr_gptq_free(&plain);
    fr_hessian_free(&h);
    fr_free(x);
    fr_free(w);
}

/* GPTQ as it is written: U = chol(H^-1), columns one after another, in doubles. */
static void as_it_is_written(const fr_hessian *h, const float *w, fr_quantized *q, int16_t *codes) {
    int n = (int)h->n;
    double *a = fr_alloc(FR_MEM_OTHER, (size_t)(n * n) * sizeof *a), mean = 0;
    double *inv = fr_alloc(FR_MEM_OTHER, (size_t)(n * n) * sizeof *a);
    for (int i = 0; i < n; i++) mean += (double)h->h[i * n + i] / n;
    for (int i = 0; i < n * n; i++) a[i] = (double)h->h[i];
    for (int i = 0; i < n; i++) a[i * n + i] += 0.01 * mean, inv[i * n + i] = 1;
    for (int p = 0; p < n; p++) { /* Gauss and Jordan */
        double d = a[p * n + p];
        for (int c = 0; c < n; c++) a[p * n + c] /= d, inv[p * n + c] /= d;
        for (int r = 0; r < n; r++) {
            double f = a[r * n + p];
            for (int c = 0; c < n && r != p; c++) {
                a[r * n + c] -= f * a[p * n + c];
                inv[r * n + c] -= f * inv[p * n + c];
            }
        }
    }
    for (int i = 0; i < n; i++) /* inv = UT U, U in its upper half */
        for (int j = i; j < n; j++) {
            double x = inv[i * n + j];
            for (int k = 0; k < i; k++) x -= inv[k * n + i] * inv[k * n + j];
            inv[i * n + j] = i == j ? sqrt(x) : x / inv[i * n + i];
        }
    for (int64_t r = 0; r < q->rows; r++) {
        double left[512];
        for (int c = 0; c < n; c++) left[c] = (double)w[r * n + c];
        for (int c = 0; c < n; c++) {
            float value;
            codes[r * n + c] = (int16_t)fr_grid_round(q, r, c, (float)left[c], &value);
            double e = (left[c] - (double)value) / inv[c * n + c];
            for (int k = c + 1; k < n; k++) left[k] -= e * inv[c * n + k];
        }
    }
    fr_free(a);
    fr_free(inv);
}

static void the_same_as_written(void **state) {
    (void)state;
    enum { N = 200, ROWS = 16, SHOWN = 900 };
    float *x = correlated(SHOWN, N, 6), *w = normal(ROWS, N, 7);
    fr_hessian h = shown(x, SHOWN, N, NULL);
    fr_gptq_way g;
    fr_quantized q;
    int16_t codes[ROWS * N];
    assert_good(fr_gptq_prepare(&h, &(fr_gptq_opts){.file_order = true}, NULL, &g));
    assert_good(fr_quantized_new(fr_format_find("int8-channel"), ROWS, N, &q));
    assert_good(fr_range_plain(w, &q, NULL));
    as_it_is_written(&h, w, &q, codes);
    assert_good(fr_gptq_round(&g, w, &q, NULL));
    int differ = 0;
    for (int i = 0; i < ROWS * N; i++) differ += codes[i] != ((const int8_t *)q.part[0].data)[i];
    print_message("    %d of %d codes differ from doubles\n", differ, ROWS * N);
    assert_true(differ <= ROWS * N / 200); /* what lies in the middle between two codes */
    fr_quantized_free(&q);
    fr_gptq_free(&g);
    fr_hessian_free(&h);
    fr_free(x);
    fr_free(w);
}

static void hard_cases(void **state) {
    (void)state;
    enum { N = 140, ROWS = 8, SHOWN = 20 };
    float *x = normal(SHOWN, N, 8), *w = normal(ROWS, N, 9), y[N];
    for (int r = 0; r < SHOWN; r++)
        x[r * N + 33] = 0; /* a dead channel; and fewer rows than values */
    fr_hessian h = shown(x, SHOWN, N, NULL);
    fr_gptq_way g;
    fr_quantized q;
    assert_good(fr_gptq_prepare(&h, NULL, NULL, &g));
    assert_int_equal(g.dead, 1);
    assert_good(fr_quantized_new(fr_format_find("int8-channel"), ROWS, N, &q));
    assert_good(fr_range_plain(w, &q, NULL));
    assert_good(fr_gptq_round(&g, w, &q, NULL));
    for (int r = 0; r < ROWS; r++) {
        q.format->decode(&q, r, 1, y);
        assert_true(y[33] == 0);
    }
    fr_gptq_free(&g);
    h.h[5] = h.h[5 * N] = 1e3f * h.h[0]; /* not positive */
    fr_status st = fr_gptq_prepare(&h, NULL, NULL, &g);
    assert_true(st == FR_INVALID && strstr(fr_message(), "positive"));
    h.h[0] = NAN;
    assert_int_equal(fr_gptq_prepare(&h, NULL, NULL, &g), FR_INVALID);
    w[7] = INFINITY;
    assert_int_equal(fr_range_plain(w, &q, NULL), FR_FORMAT);
    fr_quantized_free(&q);
    fr_hessian_free(&h);
    fr_free(x);
    fr_free(w);
}

static void threads_do_not_show(void **state) {
    (void)state;
    enum { N = 300, ROWS = 70, SHOWN = 1500 };
    float *x = correlated(SHOWN, N, 10), *w = normal(ROWS, N, 11);
    fr_quantized q[2];
    for (int k = 0; k < 2; k++) {
        fr_pool *pool;
        assert_good(fr_pool_new(k ? 3 : 1, &pool));
        fr_hessian h = shown(x, SHOWN, N, pool);
        fr_gptq_way g;
        assert_good(fr_gptq_prepare(&h, NULL, pool, &g));
        assert_good(fr_quantized_new(fr_format_find("qoq-channel"), ROWS, N, &q[k]));
        assert_good(fr_range_search(w, &h, &q[k], pool, NULL));
        assert_good(fr_gptq_round(&g, w, &q[k], pool));
        fr_gptq_free(&g);
        fr_hessian_free(&h);
        fr_pool_free(pool);
    }
    for (int i = 0; i < q[0].format->parts; i++)
        assert_memory_equal(q[0].part[i].data, q[1].part[i].data, fr_bytes(&q[0].part[i]));
    fr_quantized_free(&q[0]);
    fr_quantized_free(&q[1]);
    fr_free(x);
    fr_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_right),
        cmocka_unit_test(factor_times_itself),
        cmocka_unit_test(of_identity_it_is_rounding),
        cmocka_unit_test(errors_of_outputs_fall),
        cmocka_unit_test(the_same_as_written),
        cmocka_unit_test(hard_cases),
        cmocka_unit_test(threads_do_not_show),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
