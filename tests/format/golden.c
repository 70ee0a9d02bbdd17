#include "golden.h"

const fr_tensor *golden_tensor(const char *name) {
    static fr_store *store; /* open until the program ends */
    if (!store) assert_good(fr_store_open(FR_TESTS_DIR "/golden/format/fp.safetensors", &store));
    const fr_tensor *t = fr_store_find(store, name);
    if (!t) fail_msg("no golden tensor %s", name);
    return t;
}

static const fr_tensor *golden_input(const char *input) {
    char name[64];
    snprintf(name, sizeof name, "in.%s", input);
    return golden_tensor(name);
}

static void compare_part(const fr_quantized *q, int i, const char *rule, const char *input) {
    char name[160];
    snprintf(name, sizeof name, "%s.%s.%s.%s", q->format->name, rule, input,
             q->format->part_name[i]);
    /* the oracle says "scales" for any scales of FP8 */
    if (!strncmp(name, "fp8", 3) && i == 1)
        snprintf(name, sizeof name, "%s.%s.%s.scales", q->format->name, rule, input);
    const fr_tensor *t = golden_tensor(name);
    const uint8_t *have = q->part[i].data, *want = t->data;
    assert_int_equal(fr_bytes(t), fr_bytes(&q->part[i]));
    for (size_t b = 0; b < fr_bytes(t); b++)
        if (have[b] != want[b])
            fail_msg("%s: byte %zu is 0x%02x instead of 0x%02x", name, b, have[b], want[b]);
}

static void decode_in_pieces(const fr_quantized *q) {
    size_t n = (size_t)(q->rows * q->cols);
    float *whole = fr_alloc_array(FR_MEM_OTHER, n, sizeof *whole);
    float *pieces = fr_alloc_array(FR_MEM_OTHER, n, sizeof *pieces);
    q->format->decode(q, 0, q->rows, whole);
    for (int64_t r = 0; r < q->rows; r += 2)
        q->format->decode(q, r, FR_MIN(2, q->rows - r), pieces + r * q->cols);
    assert_memory_equal(whole, pieces, n * sizeof *whole);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(whole[i])) fail_msg("value %zu is decoded to %g", i, (double)whole[i]);
    fr_free(whole);
    fr_free(pieces);
}

void check_golden(const char *format, const char *rule, const fr_quant_opts *opts,
                  const char *input) {
    const fr_tensor *x = golden_input(input);
    fr_quantized q;
    assert_good(fr_quantize(format_of(format), opts, x->data, x->dim[0], x->dim[1], &q));
    for (int i = 0; i < q.format->parts; i++) compare_part(&q, i, rule, input);
    assert_good(q.format->check(&q));
    decode_in_pieces(&q);
    fr_quantized_free(&q);
}

void check_refused(const char *format, int64_t rows, int64_t cols, int part, size_t at,
                   const void *value, size_t bytes, const char *text) {
    float *x = normal_matrix(rows, cols, 3);
    fr_quantized q;
    assert_good(fr_quantize(format_of(format), NULL, x, rows, cols, &q));
    assert_good(q.format->check(&q));
    memcpy((uint8_t *)q.part[part].data + at, value, bytes);
    assert_fails(q.format->check(&q), FR_FORMAT, text);
    fr_quantized_free(&q);
    fr_free(x);
}

/* a b + c d of four normals is Laplace with scale 1. */
float *laplace_matrix(int64_t rows, int64_t cols, uint64_t seed) {
    float *n = normal_matrix(rows * 4, cols, seed);
    int64_t count = rows * cols;
    for (int64_t i = 0; i < count; i++)
        n[i] = n[4 * i] * n[4 * i + 1] + n[4 * i + 2] * n[4 * i + 3];
    return n;
}

/* normal / sqrt(chi squared / 4) */
float *student_matrix(int64_t rows, int64_t cols, uint64_t seed) {
    float *n = normal_matrix(rows * 5, cols, seed);
    int64_t count = rows * cols;
    for (int64_t i = 0; i < count; i++) {
        const float *v = n + 5 * i;
        n[i] = v[0] / sqrtf((v[1] * v[1] + v[2] * v[2] + v[3] * v[3] + v[4] * v[4]) / 4);
    }
    return n;
}

fr_error_stats error_with(const char *format, const fr_quant_opts *opts, const float *x,
                          int64_t rows, int64_t cols) {
    fr_quantized q;
    float *y = fr_alloc_array(FR_MEM_OTHER, (size_t)(rows * cols), sizeof *y);
    assert_good(fr_quantize(format_of(format), opts, x, rows, cols, &q));
    q.format->decode(&q, 0, rows, y);
    fr_error_stats e = fr_error_of(x, y, (size_t)(rows * cols));
    fr_quantized_free(&q);
    fr_free(y);
    return e;
}
