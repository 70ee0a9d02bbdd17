/* cluster.c: the kernels of cluster.h, plain loops that the compiler turns into vectors: lanes are written out where
 * the order of a sum is to be the same in all tables. */
#include "kernel/simd/vec.h"

#include "kernel/cluster_list.h"

#include <math.h>

#define FR_INLINE static inline __attribute__((always_inline))
/* Sums of labels, and rows of a list, are asked for that much ahead: rows come from farther off. */
#define AHEAD_SUMS 12
#define AHEAD_ROWS 16

FR_INLINE void add_floats(const float *restrict x, float weight, bool weighted, size_t n,
                          float *restrict sum) {
    if (weighted)
        for (size_t d = 0; d < n; d++) sum[d] += weight * x[d];
    else
        for (size_t d = 0; d < n; d++) sum[d] += x[d];
}

FR_INLINE void add_row(const float *restrict x, float weight, bool weighted, size_t n,
                       double *restrict sum) {
    if (weighted)
        for (size_t d = 0; d < n; d++) sum[d] += (double)weight * (double)x[d];
    else
        for (size_t d = 0; d < n; d++) sum[d] += (double)x[d];
}

/* With widths that are known when it is compiled short rows need no loops. Sums that may lie in a cache farther off are
 * asked for before they are needed. */
FR_INLINE void add_all(const float *rows, const int32_t *label, const float *weight, size_t count,
                       size_t more, size_t width, float *sum) {
    for (size_t i = 0; i < count; i++) {
        float *to = sum + (size_t)label[i] * width;
        if (width >= 16 && i + AHEAD_SUMS < count + more) {
            const float *next = sum + (size_t)label[i + AHEAD_SUMS] * width;
            for (size_t d = 0; d < width; d += 16) __builtin_prefetch(next + d, 1);
        }
        if (weight)
            add_floats(rows + i * width, weight[i], true, width, to);
        else
            add_floats(rows + i * width, 1, false, width, to);
    }
}

void FR_NAME(cluster_add)(const float *rows, const int32_t *label, const float *weight,
                          size_t count, size_t more, size_t width, float *sum) {
    switch (width) {
    case 1: add_all(rows, label, weight, count, more, 1, sum); break;
    case 2: add_all(rows, label, weight, count, more, 2, sum); break;
    case 3: add_all(rows, label, weight, count, more, 3, sum); break;
    case 4: add_all(rows, label, weight, count, more, 4, sum); break;
    case 8: add_all(rows, label, weight, count, more, 8, sum); break;
    case 16: add_all(rows, label, weight, count, more, 16, sum); break;
    case 32: add_all(rows, label, weight, count, more, 32, sum); break;
    case 64: add_all(rows, label, weight, count, more, 64, sum); break;
    case 128: add_all(rows, label, weight, count, more, 128, sum); break;
    default: add_all(rows, label, weight, count, more, width, sum); break;
    }
}

FR_INLINE size_t listed_row(int32_t i) {
    return (size_t)(i < 0 ? ~i : i);
}

/* Rows into the second cache: it has more under way at a time than the first. */
FR_INLINE void ask_for(const float *row, const double *sum, size_t width) {
    for (size_t d = 0; d < width; d += 16) __builtin_prefetch(row + d, 0, 2);
    for (size_t d = 0; d < width; d += 8) __builtin_prefetch(sum + d, 1);
}

void FR_NAME(cluster_add_listed)(const float *rows, const int32_t *list, const int32_t *label,
                                 const float *weight, size_t count, size_t more, size_t width,
                                 double *sum) {
    for (size_t i = 0; i < count; i++) {
        size_t at = listed_row(list[i]), to = label ? (size_t)label[i] : 0, next = i + AHEAD_ROWS;
        float by = weight ? weight[at] : 1;
        if (next < count + more)
            ask_for(rows + listed_row(list[next]) * width,
                    sum + (label ? (size_t)label[next] * width : 0), width);
        add_row(rows + at * width, list[i] < 0 ? -by : by, weight || list[i] < 0, width,
                sum + to * width);
    }
}

FR_INLINE double sum_lanes(const double *s) {
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

double FR_NAME(cluster_distance)(const float *x, const float *c, size_t n) {
    double s[8] = {0};
    size_t d = 0;
    for (; d + 8 <= n; d += 8)
        for (size_t l = 0; l < 8; l++) {
            double by = (double)x[d + l] - (double)c[d + l];
            s[l] += by * by;
        }
    for (size_t l = 0; d + l < n; l++) {
        double by = (double)x[d + l] - (double)c[d + l];
        s[l] += by * by;
    }
    return sum_lanes(s);
}

double FR_NAME(cluster_square)(const float *x, size_t n) {
    double s[8] = {0};
    size_t d = 0;
    for (; d + 8 <= n; d += 8)
        for (size_t l = 0; l < 8; l++) s[l] += (double)x[d + l] * (double)x[d + l];
    for (size_t l = 0; d + l < n; l++) s[l] += (double)x[d + l] * (double)x[d + l];
    return sum_lanes(s);
}

#define PIECE 256

size_t FR_NAME(cluster_unsure)(const float *upper, const float *lower, const int32_t *label,
                               const float *up, const float *down, const float *near, float slack,
                               size_t count, int32_t *list) {
    int32_t fails[PIECE];
    size_t found = 0;
    for (size_t at = 0; at < count; at += PIECE) {
        size_t n = count - at < PIECE ? count - at : PIECE;
        for (size_t i = 0; i < n; i++) {
            int32_t a = label[at + i];
            float u = (upper[at + i] + up[a]) * (1 + FR_BOUND_WIDEN);
            float l = (lower[at + i] - down[a]) * (1 - FR_BOUND_WIDEN);
            float m = (near[a] - u) * (1 - FR_BOUND_WIDEN);
            l = m > l ? m : l;
            fails[i] = !((l > u) & ((l - u) * (l + u) > slack));
        }
        for (size_t i = 0; i < n; i++) {
            list[found] = (int32_t)(at + i); /* one too many is written over, or left behind */
            found += (size_t)fails[i];
        }
    }
    return found;
}

float FR_NAME(cluster_least)(const float *lower, const float *down, size_t groups) {
    float lane[16], least = INFINITY;
    size_t g = 0;
    for (size_t i = 0; i < 16; i++) lane[i] = INFINITY;
    for (; g + 16 <= groups; g += 16)
        for (size_t i = 0; i < 16; i++) {
            float l = lower[g + i] - down[g + i];
            lane[i] = l < lane[i] ? l : lane[i];
        }
    for (size_t i = 0; i < 16; i++) least = lane[i] < least ? lane[i] : least;
    for (; g < groups; g++) {
        float l = lower[g] - down[g];
        least = l < least ? l : least;
    }
    return least - fabsf(least) * FR_BOUND_WIDEN;
}
