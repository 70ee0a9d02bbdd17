/* cluster_ref.c: the kernels of k-means around the nearest centroid, as cluster.h says them. */
#include "kernel/cluster_list.h"

#include <math.h>
#include <stdbool.h>

void cluster_add_ref(const float *rows, const int32_t *label, const float *weight, size_t count,
                     size_t more, size_t width, float *sum) {
    (void)more;
    for (size_t i = 0; i < count; i++)
        for (size_t d = 0; d < width; d++) {
            float x = (weight ? weight[i] : 1) * rows[i * width + d];
            sum[(size_t)label[i] * width + d] += x;
        }
}

void cluster_add_listed_ref(const float *rows, const int32_t *list, const int32_t *label,
                            const float *weight, size_t count, size_t more, size_t width,
                            double *sum) {
    (void)more;
    for (size_t i = 0; i < count; i++) {
        const bool off = list[i] < 0;
        const size_t at = (size_t)(off ? ~list[i] : list[i]), to = label ? (size_t)label[i] : 0;
        double w = weight ? (double)weight[at] : 1;
        for (size_t d = 0; d < width; d++)
            sum[to * width + d] += (off ? -w : w) * (double)rows[at * width + d];
    }
}

static double sum_lanes(double s[8]) {
    for (int apart = 4; apart; apart /= 2)
        for (int i = 0; i < apart; i++) s[i] += s[i + apart];
    return s[0];
}

double cluster_distance_ref(const float *x, const float *c, size_t n) {
    double s[8] = {0};
    for (size_t d = 0; d < n; d++) {
        double by = (double)x[d] - (double)c[d];
        s[d % 8] += by * by;
    }
    return sum_lanes(s);
}

double cluster_square_ref(const float *x, size_t n) {
    double s[8] = {0};
    for (size_t d = 0; d < n; d++) s[d % 8] += (double)x[d] * (double)x[d];
    return sum_lanes(s);
}

void cluster_distances_ref(const float *x, size_t rows, size_t width, const float *panel,
                           float *out) {
    enum { T = FR_CLUSTER_PANEL };
    for (size_t i = 0; i < rows; i++) {
        float *sum = out + i * T;
        for (int t = 0; t < T; t++) sum[t] = 0;
        for (size_t j = 0; j < width; j++)
            for (int t = 0; t < T; t++) {
                float d = panel[j * T + (size_t)t] - x[i * width + j];
                sum[t] = fmaf(d, d, sum[t]);
            }
    }
}

size_t cluster_unsure_ref(const float *upper, const float *lower, const int32_t *label,
                          const float *up, const float *down, const float *near, float slack,
                          size_t count, int32_t *list) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t a = label[i];
        float u = (upper[i] + up[a]) * (1 + FR_BOUND_WIDEN);
        float l = (lower[i] - down[a]) * (1 - FR_BOUND_WIDEN);
        float m = (near[a] - u) * (1 - FR_BOUND_WIDEN);
        if (m > l) l = m;
        if (!(l > u && (l - u) * (l + u) > slack)) list[found++] = (int32_t)i;
    }
    return found;
}

float cluster_least_ref(const float *lower, const float *down, size_t groups) {
    float least = INFINITY;
    for (size_t g = 0; g < groups; g++) {
        float l = lower[g] - down[g];
        if (l < least) least = l;
    }
    return least - fabsf(least) * FR_BOUND_WIDEN;
}
