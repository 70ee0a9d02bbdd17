/* int2_stage.c: the stages before 2-bit codes: each replaces rows by the nearest of 256 centroids and hands
 * on the rest ("progressive residual quantization" of Quant VideoGen, 2026).
 *
 * The centroids come from k-means: first rows drawn with a chance in proportion to their squared distance
 * from what is drawn already (k-means++, Arthur and Vassilvitskii, 2007), then a few rounds of means
 * (Lloyd). It is plain C that states the meaning, one thread, sums in order: the same bits everywhere. A
 * row of which a copy is drawn has no chance any more, so up to 256 distinct rows of bf16 values are
 * represented exactly. */
#include <math.h>

#include "format/int2.h"

enum { K = FR_INT2_CENTROIDS, ROUNDS = 6 };

static float distance(const float *x, const float *y, int64_t n) {
    float part[8] = {0}; /* eight sums, so that a compiler may keep them in one register */
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) {
            float d = x[i + j] - y[i + j];
            part[j] += d * d;
        }
    for (; i < n; i++) part[0] += (x[i] - y[i]) * (x[i] - y[i]);
    return ((part[0] + part[4]) + (part[1] + part[5])) +
           ((part[2] + part[6]) + (part[3] + part[7]));
}

static void round_to_bf16(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = fr_bf16_to_f32(fr_int2_bf16(x[i]));
}

static uint8_t nearest(const float *x, const float *centers, int64_t count, int64_t cols) {
    int64_t best = 0;
    float least = INFINITY;
    for (int64_t k = 0; k < count; k++) {
        float d = distance(x, centers + k * cols, cols);
        if (d < least) {
            least = d;
            best = k;
        }
    }
    return (uint8_t)best;
}

/* The first row at which the running sum of weights passes the draw. */
static int64_t draw_row(const float *weight, int64_t rows, double sum, float uniform) {
    double run = 0, goal = sum * (double)uniform;
    int64_t last = 0;
    for (int64_t r = 0; r < rows; r++) {
        if (!(weight[r] > 0)) continue;
        run += (double)weight[r];
        last = r;
        if (run > goal) return r;
    }
    return last;
}

/* Returns how many centers there are: fewer than 256 where there are fewer distinct rows. */
static int64_t draw_centers(const float *x, int64_t rows, int64_t cols, fr_rng *rng, float *weight,
                            float *centers) {
    for (int64_t r = 0; r < rows; r++) weight[r] = INFINITY;
    int64_t next = fr_rng_below(rng, (uint32_t)FR_MIN(rows, (int64_t)UINT32_MAX));
    for (int64_t k = 0; k < K; k++) {
        float *center = centers + k * cols;
        memcpy(center, x + next * cols, (size_t)cols * sizeof *x);
        round_to_bf16(center, cols);
        double sum = 0;
        for (int64_t r = 0; r < rows; r++) {
            weight[r] = fminf(weight[r], distance(x + r * cols, center, cols));
            if (r == next) weight[r] = 0; /* also where bf16 moved it */
            sum += (double)weight[r];
        }
        if (!(sum > 0)) return k + 1;
        next = draw_row(weight, rows, sum, fr_rng_uniform(rng));
    }
    return K;
}

/* A center becomes the mean of its rows; one without rows stays. */
static void move_centers(const float *x, int64_t rows, int64_t cols, const uint8_t *ids,
                         int64_t count, double *sum, float *centers) {
    int64_t members[K] = {0};
    memset(sum, 0, (size_t)(count * cols) * sizeof *sum);
    for (int64_t r = 0; r < rows; r++) {
        members[ids[r]]++;
        for (int64_t c = 0; c < cols; c++) sum[ids[r] * cols + c] += (double)x[r * cols + c];
    }
    for (int64_t k = 0; k < count; k++)
        for (int64_t c = 0; members[k] && c < cols; c++)
            centers[k * cols + c] = (float)(sum[k * cols + c] / (double)members[k]);
    round_to_bf16(centers, count * cols);
}

void fr_int2_take(float *rest, int64_t rows, int64_t cols, const float *centers, int64_t count,
                  uint8_t *ids) {
    for (int64_t r = 0; r < rows; r++) {
        float *x = rest + r * cols;
        ids[r] = nearest(x, centers, count, cols);
        for (int64_t c = 0; c < cols; c++) x[c] -= centers[ids[r] * cols + c];
        round_to_bf16(x, cols);
    }
}

fr_status fr_int2_stage(float *rest, int64_t rows, int64_t cols, uint64_t seed, int stage,
                        uint16_t *centroids, uint8_t *ids) {
    size_t values;
    if (!fr_size_mul(K, (size_t)cols, &values))
        return fr_fail(FR_NOMEM, "The centroids do not fit.");
    float *centers = fr_alloc_array(FR_MEM_OTHER, values, sizeof *centers);
    double *sum = fr_alloc_array(FR_MEM_OTHER, values, sizeof *sum);
    float *weight = fr_alloc_array(FR_MEM_OTHER, (size_t)rows, sizeof *weight);
    fr_status status = centers && sum && weight ? FR_OK : FR_NOMEM;
    if (status == FR_OK) {
        fr_rng rng = fr_rng_new(seed, fr_random_stream("int2 stages") + (uint64_t)stage);
        int64_t count = draw_centers(rest, rows, cols, &rng, weight, centers);
        for (int round = 0; round < ROUNDS && count == K; round++) { /* fewer are exact already */
            for (int64_t r = 0; r < rows; r++)
                ids[r] = nearest(rest + r * cols, centers, count, cols);
            move_centers(rest, rows, cols, ids, count, sum, centers);
        }
        memset(centroids, 0, values * sizeof *centroids);
        for (int64_t i = 0; i < count * cols; i++) centroids[i] = fr_int2_bf16(centers[i]);
        fr_int2_take(rest, rows, cols, centers, count, ids);
    }
    fr_free(weight);
    fr_free(sum);
    fr_free(centers);
    return status;
}
