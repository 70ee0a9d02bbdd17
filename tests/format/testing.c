#include "testing.h"

const fr_qformat *format_of(const char *name) {
    const fr_qformat *f = fr_format_find(name);
    if (!f) fail_msg("there is no format %s", name);
    return f;
}

float *normal_matrix(int64_t rows, int64_t cols, uint64_t seed) {
    float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)(rows * cols), sizeof *x);
    fr_random_normal(seed, 1, 0, x, (size_t)(rows * cols));
    return x;
}

float *through(const char *name, const float *x, int64_t rows, int64_t cols) {
    fr_quantized q;
    float *y = fr_alloc_array(FR_MEM_OTHER, (size_t)(rows * cols), sizeof *y);
    assert_good(fr_quantize(format_of(name), NULL, x, rows, cols, &q));
    if (q.format->check) assert_good(q.format->check(&q));
    q.format->decode(&q, 0, rows, y);
    fr_quantized_free(&q);
    return y;
}

double normal_sqnr(const char *name, int64_t rows, int64_t cols) {
    float *x = normal_matrix(rows, cols, 7), *y = through(name, x, rows, cols);
    double sqnr = fr_error_of(x, y, (size_t)(rows * cols)).sqnr;
    fr_free(x);
    fr_free(y);
    return sqnr;
}
