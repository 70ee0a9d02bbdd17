/* rows_norm.c: the norms of rows.h over vec.h, forward and backward. The step of each loop is
 * written once and called with a whole vector or with the tail. */
#include "kernel/simd/rows_fn.h"

#include "kernel/rows_list.h"

/* t == FR_VLEN: all lanes, known when inlined. */
FR_INLINE vf32 get(const float *p, size_t t) {
    return t == FR_VLEN ? vload(p) : vload_n(p, t);
}
FR_INLINE void put(float *p, vf32 v, size_t t) {
    if (t == FR_VLEN)
        vstore(p, v);
    else
        vstore_n(p, v, t);
}

typedef struct row_vec {
    vf32 center, rstd, offset;
} row_vec;
FR_INLINE row_vec spread(fr_norm_row r) {
    return (row_vec){vset1(r.center), vset1(r.rstd), vset1(r.offset)};
}
FR_INLINE vf32 hat(vf32 x, const row_vec *r) {
    return vfma(vsub(x, r->center), r->rstd, r->offset);
}

typedef struct norm_arg {
    const float *x, *weight, *bias, *scale, *shift;
    float *y;
    row_vec r;
} norm_arg;

FR_INLINE void norm_step(const norm_arg *a, size_t i, size_t t) {
    vf32 v = hat(get(a->x + i, t), &a->r);
    if (a->weight && a->bias)
        v = vfma(v, get(a->weight + i, t), get(a->bias + i, t));
    else if (a->weight)
        v = vmul(v, get(a->weight + i, t));
    else if (a->bias)
        v = vadd(v, get(a->bias + i, t));
    vf32 add = a->shift ? get(a->shift + i, t) : vzero();
    if (a->scale)
        v = vfma(v, vadd(vset1(1.0f), get(a->scale + i, t)), add);
    else if (a->shift)
        v = vadd(v, add);
    put(a->y + i, v, t);
}

void FR_NAME(rows_norm)(const float *x, fr_norm_row r, const float *weight, const float *bias,
                        const float *scale, const float *shift, size_t n, float *y) {
    norm_arg a = {x, weight, bias, scale, shift, y, spread(r)};
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) norm_step(&a, i, FR_VLEN);
    if (i < n) norm_step(&a, i, n - i);
}

void FR_NAME(rows_norm_sums)(const float *x, fr_norm_row r, const float *weight, const float *dy,
                             size_t n, float out[2]) {
    row_vec v = spread(r);
    vf32 s0 = vzero(), q0 = vzero(), s1 = vzero(), q1 = vzero();
    size_t i = 0;
    for (; i + 2 * FR_VLEN <= n; i += 2 * FR_VLEN) {
        vf32 g = vload(dy + i), h = vload(dy + i + FR_VLEN);
        if (weight) g = vmul(g, vload(weight + i));
        if (weight) h = vmul(h, vload(weight + i + FR_VLEN));
        s0 = vadd(s0, g);
        s1 = vadd(s1, h);
        q0 = vfma(g, hat(vload(x + i), &v), q0);
        q1 = vfma(h, hat(vload(x + i + FR_VLEN), &v), q1);
    }
    for (; i < n; i += FR_VLEN) {
        size_t t = n - i < FR_VLEN ? n - i : FR_VLEN;
        vf32 g = get(dy + i, t); /* zero past the end, so that nothing is counted there */
        if (weight) g = vmul(g, get(weight + i, t));
        s0 = vadd(s0, g);
        q0 = vfma(g, hat(get(x + i, t), &v), q0);
    }
    out[0] = vsum(vadd(s0, s1));
    out[1] = vsum(vadd(q0, q1));
}

typedef struct grad_arg {
    const float *x, *weight, *dy;
    float *dx;
    row_vec r;
    vf32 mean_g, mean_gx;
} grad_arg;

FR_INLINE void grad_step(const grad_arg *a, size_t i, size_t t) {
    vf32 g = get(a->dy + i, t);
    if (a->weight) g = vmul(g, get(a->weight + i, t));
    vf32 d = vfnma(hat(get(a->x + i, t), &a->r), a->mean_gx, vsub(g, a->mean_g));
    put(a->dx + i, vmul(a->r.rstd, d), t);
}

void FR_NAME(rows_norm_grad)(const float *x, fr_norm_row r, const float *weight, const float *dy,
                             float mean_g, float mean_gx, size_t n, float *dx) {
    grad_arg a = {x, weight, dy, dx, spread(r), vset1(mean_g), vset1(mean_gx)};
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) grad_step(&a, i, FR_VLEN);
    if (i < n) grad_step(&a, i, n - i);
}

void FR_NAME(rows_norm_weight_grad)(const float *x, fr_norm_row r, const float *dy, size_t n,
                                    float *dweight, float *dbias) {
    row_vec v = spread(r);
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t t = n - i < FR_VLEN ? n - i : FR_VLEN;
        vf32 d = get(dy + i, t);
        if (dweight) put(dweight + i, vfma(d, hat(get(x + i, t), &v), get(dweight + i, t)), t);
        if (dbias) put(dbias + i, vadd(d, get(dbias + i, t)), t);
    }
}

void FR_NAME(rows_channel_moments)(const float *x, const float *center, size_t n, float *s1,
                                   float *s2) {
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t t = n - i < FR_VLEN ? n - i : FR_VLEN;
        vf32 d = vsub(get(x + i, t), get(center + i, t));
        put(s1 + i, vadd(get(s1 + i, t), d), t);
        put(s2 + i, vfma(d, d, get(s2 + i, t)), t);
    }
}

void FR_NAME(rows_channel_affine)(const float *x, const float *center, const float *a,
                                  const float *b, size_t n, float *y) {
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t t = n - i < FR_VLEN ? n - i : FR_VLEN;
        vf32 d = vsub(get(x + i, t), get(center + i, t));
        put(y + i, vfma(d, get(a + i, t), get(b + i, t)), t);
    }
}

void FR_NAME(rows_channel_sums)(const float *x, const float *center, const float *dy, size_t n,
                                float *s1, float *s2) {
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t t = n - i < FR_VLEN ? n - i : FR_VLEN;
        vf32 g = get(dy + i, t), d = vsub(get(x + i, t), get(center + i, t));
        put(s1 + i, vadd(get(s1 + i, t), g), t);
        put(s2 + i, vfma(g, d, get(s2 + i, t)), t);
    }
}

void FR_NAME(rows_channel_grad)(const float *x, const float *center, const float *dy,
                                const float *p, const float *q, const float *r, size_t n,
                                float *dx) {
    for (size_t i = 0; i < n; i += FR_VLEN) {
        size_t t = n - i < FR_VLEN ? n - i : FR_VLEN;
        vf32 d = vsub(get(x + i, t), get(center + i, t));
        vf32 v = vfma(get(dy + i, t), get(p + i, t), vneg(get(q + i, t)));
        put(dx + i, vfnma(d, get(r + i, t), v), t);
    }
}
