/* nearest_prove.c: what stands around the tiles of nearest.c where these give bounds: points as bytes, which bounds
 * prove a label, and products for the others. */
#include "kernel/nearest.h"
#include "kernel/simd/vec.h"

void FR_NAME(nearest_prove_fill)(fr_nearest_kernels *out);

#define INLINE static inline __attribute__((always_inline))

static float least_of(vf32 v) {
    return -vhmax(vneg(v));
}

enum { WIDTH = 2 * FR_VLEN };

/* The centroid that a lane's bound is of. */
INLINE int32_t number_of(const float *bounds, int lane, int32_t mask) {
    int32_t bits;
    memcpy(&bits, bounds + lane, 4);
    return (bits & mask) * WIDTH + lane;
}

/* The lanes that are at most top. */
INLINE uint32_t up_to(const float *bounds, vf32 top) {
    return vlanes(vle(vload(bounds), top)) | vlanes(vle(vload(bounds + FR_VLEN), top)) << FR_VLEN;
}

/* Neither no lane nor several. Without branches, as all that follows: which rows are open is hard to foretell. */
INLINE int alone(uint32_t lanes) {
    return (int)(lanes != 0) & (int)!(lanes & (lanes - 1));
}

static int prove(const fr_nearest_proof *p) {
    const float last = (float)(p->mask + 1) * 0x1p-21f;
    int open = 0;
    for (int i = 0; i < p->rows; i++) {
        const float *best = p->best + (size_t)i * WIDTH, *second = p->second + (size_t)i * WIDTH;
        const float least = least_of(vmin(vload(best), vload(best + FR_VLEN)));
        const int32_t b = number_of(best, __builtin_ctz(up_to(best, vset1(least))), p->mask);
        const float error =
            2 * (p->error[i] * p->reach[b] + p->unit[i] * p->fixed[b]) * (1 + 0x1p-20f);
        const float limit = least + error + (fabsf(least) + error) * last;
        const vf32 top = vset1(limit);
        const int known = limit < FR_NEAREST_NONE;
        const int proven = alone(up_to(best, top)) & (int)!up_to(second, top) & known;
        p->label[i] = b;
        p->limit[i] = known ? limit : INFINITY;
        p->open[open] = i;
        open += !proven;
    }
    return open;
}

static int near(const float *best, const float *second, int32_t mask, float limit, int32_t *list,
                uint32_t *deep) {
    const vf32 top = vset1(limit);
    int n = 0;
    *deep = up_to(second, top);
    for (uint32_t left = up_to(best, top) & ~*deep; left; left &= left - 1)
        list[n++] = number_of(best, __builtin_ctz(left), mask);
    return n;
}

/* ---- products ---- */

INLINE void some_products(const int n, const float *const x[4], const float *const c[4],
                          size_t width, float *out) {
    vf32 sum[4][2];
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) sum[i][0] = sum[i][1] = vzero();
    size_t d = 0;
    for (; d + 2 * FR_VLEN <= width; d += 2 * FR_VLEN)
#pragma GCC unroll 4
        for (int i = 0; i < n; i++)
#pragma GCC unroll 2
            for (size_t h = 0; h < 2 * FR_VLEN; h += FR_VLEN)
                sum[i][h / FR_VLEN] =
                    vfma(vload(x[i] + d + h), vload(c[i] + d + h), sum[i][h / FR_VLEN]);
    for (; d < width; d += FR_VLEN) {
        const size_t left = width - d < FR_VLEN ? width - d : FR_VLEN;
#pragma GCC unroll 4
        for (int i = 0; i < n; i++)
            sum[i][0] = vfma(left < FR_VLEN ? vload_n(x[i] + d, left) : vload(x[i] + d),
                             left < FR_VLEN ? vload_n(c[i] + d, left) : vload(c[i] + d), sum[i][0]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < n; i++) out[i] = vsum(vadd(sum[i][0], sum[i][1]));
}

static void products(const float *rows, const float *centroids, const int32_t *row,
                     const int32_t *centroid, int count, size_t width, float *out) {
    const float *x[4], *c[4];
    for (int i = 0; i < count; i += 4) {
        const int n = count - i < 4 ? count - i : 4;
        for (int j = 0; j < n; j++) {
            x[j] = rows + (size_t)row[i + j] * width;
            c[j] = centroids + (size_t)centroid[i + j] * width;
        }
        if (n == 4)
            some_products(4, x, c, width, out + i);
        else
            for (int j = 0; j < n; j++) some_products(1, x + j, c + j, width, out + i + j);
    }
}

/* ---- bytes ---- */

enum { GROUP = 4 * FR_VLEN };

static float largest_of(const float *row, const float *middle, size_t width, float before) {
    vf32 most = vset1(before);
    size_t d = 0;
    for (; d + FR_VLEN <= width; d += FR_VLEN)
        most = vmaxabs(most, vsub(vload(row + d), vload(middle + d)));
    if (d < width)
        most = vmaxabs(most, vsub(vload_n(row + d, width - d), vload_n(middle + d, width - d)));
    return vhmax(most);
}

typedef struct measured {
    vf32 norm, lost;
} measured;

/* GROUP coordinates. */
INLINE void code_group(const float *x, const float *middle, vf32 by, vf32 step, vi32 bias,
                       int8_t *out, measured *m) {
    vi32 code[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const vf32 y = vsub(vload(x + i * FR_VLEN), vload(middle + i * FR_VLEN));
        const vf32 r = vround(vmul(y, by)), e = vfnma(r, step, y);
        m->norm = vfma(y, y, m->norm);
        m->lost = vfma(e, e, m->lost);
        code[i] = vixor(vcvt(r), bias);
    }
    vistore_i8(out, code);
}

static void code_row(const float *row, const float *middle, size_t width, float step, int bias,
                     int8_t *out, float *norm, float *lost) {
    const vf32 by = vset1(1 / step), steps = vset1(step);
    /* Of bytes with 128 more the upper bit is the other one; their low 16 bits are -128 .. 127 again. */
    const vi32 flip = viset1(bias ? -128 : 0);
    measured m = {vzero(), vzero()};
    size_t d = 0;
    for (; d + GROUP <= width; d += GROUP)
        code_group(row + d, middle + d, by, steps, flip, out + d, &m);
    if (d < width) {
        float x[GROUP] = {0}, c[GROUP] = {0};
        int8_t code[GROUP];
        memcpy(x, row + d, (width - d) * 4);
        memcpy(c, middle + d, (width - d) * 4);
        code_group(x, c, by, steps, flip, code, &m);
        memcpy(out + d, code, (width - d + 3) / 4 * 4);
    }
    *norm = vsum(m.norm), *lost = vsum(m.lost);
}

static float bytes(const float *rows, size_t count, size_t stride, const float *middle,
                   size_t width, int bias, uint32_t *out, size_t out_stride, float *norm,
                   float *lost) {
    float most = 0;
    for (size_t i = 0; i < count; i++) most = largest_of(rows + i * stride, middle, width, most);
    float step = most / 127;
    if (!(step > FR_NEAREST_STEP)) step = FR_NEAREST_STEP;
    for (size_t i = 0; i < count; i++)
        code_row(rows + i * stride, middle, width, step, bias, (int8_t *)(out + i * out_stride),
                 norm + i, lost + i);
    return step;
}

void FR_NAME(nearest_prove_fill)(fr_nearest_kernels *out) {
    out->prove = prove;
    out->near = near;
    out->products = products;
    out->bounds[FR_NEAREST_INT8].round = bytes;
}
