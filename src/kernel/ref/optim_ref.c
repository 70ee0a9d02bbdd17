/* optim_ref.c: optim.h in plain C. */
#include <math.h>

#include "kernel/optim_list.h"

float optim_came_squares_ref(const float *x, size_t n, float *sum) {
    float s = 0;
    for (size_t i = 0; i < n; i++) {
        sum[i] += x[i] * x[i];
        s += x[i] * x[i];
    }
    return s;
}

float optim_came_length_ref(const float *g, const float *col, float scale, size_t n) {
    float s = 0;
    for (size_t i = 0; i < n; i++) {
        float d = scale * (g[i] * col[i]);
        s += d * d;
    }
    return s;
}

float optim_came_moment_ref(const float *g, const float *col, float scale, float beta, size_t n,
                            float *m, float *sum) {
    float s = 0;
    for (size_t i = 0; i < n; i++) {
        float d = scale * (g[i] * col[i]);
        m[i] += (1 - beta) * (d - m[i]);
        float away = d - m[i];
        sum[i] += away * away;
        s += away * away;
    }
    return s;
}

void optim_came_step_ref(const float *m, const float *col, float scale, float keep, size_t n,
                         float *p) {
    for (size_t i = 0; i < n; i++) p[i] = keep * p[i] - scale * (m[i] * col[i]);
}

float optim_came_plain_ref(const float *g, float scale, float beta, float eps, size_t n, float *v) {
    float s = 0;
    for (size_t i = 0; i < n; i++) {
        float x = scale * g[i];
        v[i] += (1 - beta) * (x * x + eps - v[i]);
        s += x * x / v[i];
    }
    return s;
}

void optim_came_plain_moment_ref(const float *g, const float *v, float scale, float beta, size_t n,
                                 float *m) {
    for (size_t i = 0; i < n; i++) {
        float d = scale * g[i] / sqrtf(v[i]);
        m[i] += (1 - beta) * (d - m[i]);
    }
}

void optim_range_ref(const float *x, size_t n, float out[2]) {
    out[0] = out[1] = n ? x[0] : 0;
    for (size_t i = 0; i < n; i++) {
        if (x[i] < out[0]) out[0] = x[i];
        if (x[i] > out[1]) out[1] = x[i];
    }
}

void optim_even8_encode_ref(const float *x, float low, float scale, float shift, size_t n,
                            uint8_t *code) {
    for (size_t i = 0; i < n; i++) code[i] = (uint8_t)(int)((x[i] - low) * scale + shift);
}

void optim_even8_decode_ref(const uint8_t *code, float low, float scale, int zero, size_t n,
                            float *x) {
    for (size_t i = 0; i < n; i++) x[i] = low + scale * (float)(code[i] - zero);
}

/* How many edges lie below. */
static int place(const fr_map8 *map, float y) {
    int low = 0, high = map->most;
    while (low < high) {
        int middle = (low + high) / 2;
        if (y > map->edge[middle])
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void optim_map8_encode_ref(const fr_map8 *map, const float *x, float scale, bool keep, size_t n,
                           uint8_t *code) {
    for (size_t i = 0; i < n; i++) {
        int k = place(map, fabsf(x[i]) * scale);
        if (keep && k == 0 && x[i] != 0) k = 1;
        if (x[i] < 0 && k > map->zero) k = map->zero; /* there is no -1 */
        code[i] = (uint8_t)(x[i] < 0 ? map->zero - k : map->zero + k);
    }
}

void optim_map8_decode_ref(const fr_map8 *map, const uint8_t *code, float scale, size_t n,
                           float *x) {
    for (size_t i = 0; i < n; i++) x[i] = map->value[code[i]] * scale;
}
