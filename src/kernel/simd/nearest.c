/* nearest.c (simd): the nearest rows, written once over vec.h. */
#include "kernel/simd/nearest.h"

void FR_NAME(nearest_fill)(fr_nearest_kernels *out);
void FR_NAME(nearest_prove_fill)(fr_nearest_kernels *out);

static void scan(const fr_nearest_scan *s) {
    if (s->second)
        nearest_heights(true, s);
    else
        nearest_heights(false, s);
}

static float least_of(vf32 v) {
    return -vhmax(vneg(v));
}

static vi32 lane_numbers(void) {
    int32_t n[FR_VLEN];
    for (int i = 0; i < FR_VLEN; i++) n[i] = i;
    return viload(n);
}

/* Numbers of centroids are not negative, and as such they are in the same order as the floats with their bits. */
static int32_t least_number(vi32 v) {
    float f = least_of(vfrombits(v));
    int32_t n;
    memcpy(&n, &f, 4);
    return n;
}

static void finish(int rows, const float *best, const int32_t *index, const float *second,
                   int32_t *label, float *least, float *next) {
    const vi32 lane = lane_numbers();
    for (int i = 0; i < rows; i++, best += FR_VLEN, index += FR_VLEN) {
        vf32 b = vload(best);
        const float low = least_of(b);
        vi32 number = viadd(viload(index), lane);
        vf32 mine = vsel(veq(b, vset1(low)), vfrombits(number), vfrombits(viset1(0x7f7fffff)));
        label[i] = least_number(vbits(mine));
        if (least) least[i] = low;
        if (!next) continue;
        vmask won = vieq(number, viset1(label[i]));
        next[i] = least_of(vsel(won, vload(second + (size_t)i * FR_VLEN), b));
    }
}

/* ---- points in the lanes ---- */

/* Vectors of points, and centroids at a time. */
enum { V = FR_VLEN == 8 ? 2 : 4, J = 4, POINTS = V * FR_VLEN };

INLINE void across_some(const int count, const bool two, const fr_nearest_across *a, int32_t j,
                        vf32 best[V], vf32 label[V], vf32 second[V]) {
    vf32 sum[J][V];
#pragma GCC unroll 4
    for (int i = 0; i < count; i++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) sum[i][v] = vzero();
    const float *c = a->rows + (size_t)j * a->steps, *x = a->points;
    for (size_t d = 0; d < a->steps; d++, c++, x += POINTS) {
#pragma GCC unroll 4
        for (int i = 0; i < count; i++) {
            vf32 w = vset1(c[(size_t)i * a->steps]);
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) sum[i][v] = vfma(vload(x + v * FR_VLEN), w, sum[i][v]);
        }
    }
    const vf32 f = vset1(a->factor);
#pragma GCC unroll 4
    for (int i = 0; i < count; i++) {
        const vf32 q = vset1(a->square[j + i]), number = vfrombits(viset1(j + i));
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
            vf32 score = vfma(f, sum[i][v], q);
            label[v] = vsel(vlt(score, best[v]), number, label[v]);
            if (two) second[v] = vmin(vmax(score, best[v]), second[v]);
            best[v] = vmin(score, best[v]);
        }
    }
}

INLINE void across_all(const bool two, const fr_nearest_across *a) {
    vf32 best[V], label[V], second[V];
    for (int v = 0; v < V; v++) {
        best[v] = second[v] = vset1(INFINITY);
        label[v] = vzero();
    }
    int32_t j = 0;
    for (; j + J <= a->count; j += J) across_some(J, two, a, j, best, label, second);
    for (; j < a->count; j++) across_some(1, two, a, j, best, label, second);
    for (int v = 0; v < V; v++) {
        vistore(a->label + v * FR_VLEN, vbits(label[v]));
        if (a->best) vstore(a->best + v * FR_VLEN, best[v]);
        if (two) vstore(a->second + v * FR_VLEN, second[v]);
    }
}

static void across(const fr_nearest_across *a) {
    if (a->second)
        across_all(true, a);
    else
        across_all(false, a);
}

/* ---- a few products ---- */

static void chains(const float *const *x, const float *const *c, size_t steps, float *sum) {
    float s[FR_NEAREST_CHAINS] = {0};
    for (size_t d = 0; d < steps; d++) {
#pragma GCC unroll 8
        for (int i = 0; i < FR_NEAREST_CHAINS; i++) s[i] = fmaf(x[i][d], c[i][d], s[i]);
    }
    memcpy(sum, s, sizeof s);
}

INLINE void row_panels(const int n, const float *x, size_t steps, const float *panels,
                       size_t stride, const float *square, vf32 f, float *score) {
    vf32 s[4][2];
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) s[i][0] = s[i][1] = vzero();
    for (size_t d = 0; d < steps; d++, panels += NEAREST_WIDTH) {
        vf32 v = vset1(x[d]);
#pragma GCC unroll 4
        for (int i = 0; i < n; i++) {
            s[i][0] = vfma(v, vload(panels + (size_t)i * stride), s[i][0]);
            s[i][1] = vfma(v, vload(panels + (size_t)i * stride + FR_VLEN), s[i][1]);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < n; i++)
        for (int h = 0; h < 2; h++) {
            const size_t at = (size_t)i * NEAREST_WIDTH + (size_t)h * FR_VLEN;
            vstore(score + at, vfma(f, s[i][h], vload(square + at)));
        }
}

static void row(const float *x, size_t steps, const float *panels, size_t stride, size_t count,
                const float *square, float factor, float *score) {
    const vf32 f = vset1(factor);
    size_t p = 0;
    for (; p + 4 <= count; p += 4)
        row_panels(4, x, steps, panels + p * stride, stride, square + p * NEAREST_WIDTH, f,
                   score + p * NEAREST_WIDTH);
    for (; p < count; p++)
        row_panels(1, x, steps, panels + p * stride, stride, square + p * NEAREST_WIDTH, f,
                   score + p * NEAREST_WIDTH);
}

void FR_NAME(nearest_fill)(fr_nearest_kernels *out) {
    *out = (fr_nearest_kernels){
        .heights = {NEAREST_HIGH, NEAREST_MIDDLE, NEAREST_LOW, 1},
        .width = NEAREST_WIDTH,
        .lanes = FR_VLEN,
        .points = POINTS,
        .scan = scan,
        .finish = finish,
        .across = across,
        .chains = chains,
        .row = row,
    };
    FR_NAME(nearest_prove_fill)(out);
}
