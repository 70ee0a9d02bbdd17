/* block8.c: see block8.h. Codes of a map are found by a table over the exponent and seven bits of the
 * fraction: a bin of it holds one edge at most, so one comparison settles the rest. */
#include "train/block8.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- dynamic maps ---- */

enum { LOWEST = 127 - 23, FRACTION = 7 }; /* bins begin at 2^-23 */

static uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* The places above 0, rising: decade d has `first` 2^d values, the middles of equal parts of 0.1..1
 * times 10^(d - 6); and 1 itself. */
static void fill_places(float *at, int first) {
    int n = 0;
    double unit = 1e-6;
    at[n++] = 0;
    for (int d = 0; d < 7; d++, unit *= 10) {
        int parts = first << d;
        for (int k = 0; k < parts; k++) at[n++] = (float)(unit * (0.1 + 0.9 * (k + 0.5) / parts));
    }
    at[n] = 1;
}

void fr_map8_make(fr_map8 *m, bool with_signs) {
    float at[256];
    *m = (fr_map8){.zero = with_signs ? 127 : 0, .most = with_signs ? 128 : 255};
    fill_places(at, with_signs ? 1 : 2);
    for (int k = 0; k <= m->most; k++) {
        m->value[m->zero + k] = at[k];
        if (with_signs && k < 128) m->value[m->zero - k] = -at[k];
        double middle = k < m->most ? ((double)at[k] + (double)at[k + 1]) / 2 : (double)INFINITY;
        m->edge[k] = (float)middle;
        if ((double)m->edge[k] > middle) m->edge[k] = nextafterf(m->edge[k], 0);
    }
    int k = 0;
    for (size_t i = 0; i < FR_COUNT(m->start); i++) {
        float least = i ? float_of((uint32_t)(i + (LOWEST << FRACTION)) << (23 - FRACTION)) : 0;
        while (least > m->edge[k]) k++;
        m->start[i] = (uint8_t)k;
    }
}

static float largest_of(const float *x, size_t n) {
    uint32_t most[8] = {0}; /* of floats without a sign, as integers they have the same order */
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++) {
            uint32_t u = bits_of(x[i + (size_t)j]) & 0x7fffffffu;
            most[j] = u > most[j] ? u : most[j];
        }
    for (; i < n; i++) most[0] = FR_MAX_OF(most[0], bits_of(x[i]) & 0x7fffffffu);
    for (int j = 1; j < 8; j++) most[0] = FR_MAX_OF(most[0], most[j]);
    return float_of(most[0]);
}

static int place(const fr_map8 *m, float y) {
    int bin = (int)(bits_of(y) >> (23 - FRACTION)) - (LOWEST << FRACTION);
    int k = m->start[bin < 0 ? 0 : FR_MIN(bin, (int)FR_COUNT(m->start) - 1)];
    return k + (y > m->edge[k]);
}

float fr_map8_encode(const fr_map8 *m, const float *x, size_t n, bool keep, uint8_t *code) {
    float largest = largest_of(x, n);
    if (!(largest >= FLT_MIN)) {
        memset(code, m->zero, n);
        return 0;
    }
    float inverse = 1 / largest;
    for (size_t i = 0; i < n; i++) {
        int k = place(m, fabsf(x[i]) * inverse);
        if (keep && k == 0 && x[i] != 0) k = 1;
        if (x[i] < 0)
            code[i] = (uint8_t)(m->zero - FR_MIN(k, m->zero)); /* there is no -1 */
        else
            code[i] = (uint8_t)(m->zero + k);
    }
    return largest;
}

void fr_map8_decode(const fr_map8 *m, const uint8_t *code, size_t n, float largest, float *x) {
    for (size_t i = 0; i < n; i++) x[i] = m->value[code[i]] * largest;
}

/* ---- equal steps ---- */

fr_even8 fr_even8_encode(const float *x, size_t n, bool around_zero, uint8_t *code) {
    float low = n ? x[0] : 0, high = low;
    for (size_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    if (around_zero) {
        high = FR_MAX_OF(high, -low);
        low = 0;
    }
    fr_even8 e = {around_zero ? high / 127 : (high - low) / 255, low};
    float inverse = 1 / e.scale, shift = around_zero ? 127 : 0;
    if (!(e.scale >= FLT_MIN)) {
        e.scale = inverse = 0;
    }
    for (size_t i = 0; i < n; i++)
        code[i] = (uint8_t)(int)((x[i] - low) * inverse + (shift + 0.5f));
    return e;
}

void fr_even8_decode(fr_even8 e, const uint8_t *code, size_t n, bool around_zero, float *x) {
    for (size_t i = 0; i < n; i++)
        x[i] = around_zero ? ((float)code[i] - 127) * e.scale : e.low + (float)code[i] * e.scale;
}
