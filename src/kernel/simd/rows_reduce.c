/* rows_reduce.c: sums and maxima over a row, softmax, over vec.h.
 *
 * Four running vectors hide the latency of addition; they are joined in a fixed order. */
#include "kernel/simd/rows_fn.h"

#include "kernel/rows_list.h"

typedef struct four {
    vf32 v[4];
} four;

FR_INLINE four four_zero(void) {
    return (four){{vzero(), vzero(), vzero(), vzero()}};
}
FR_INLINE float four_sum(const four *f) {
    return vsum(vadd(vadd(f->v[0], f->v[1]), vadd(f->v[2], f->v[3])));
}

float FR_NAME(rows_sum)(const float *x, size_t n) {
    four s = four_zero();
    size_t i = 0;
    for (; i + 4 * FR_VLEN <= n; i += 4 * FR_VLEN)
        for (int j = 0; j < 4; j++) s.v[j] = vadd(s.v[j], vload(x + i + j * FR_VLEN));
    for (; i + FR_VLEN <= n; i += FR_VLEN) s.v[0] = vadd(s.v[0], vload(x + i));
    if (i < n) s.v[1] = vadd(s.v[1], vload_n(x + i, n - i));
    return four_sum(&s);
}

float FR_NAME(rows_dot)(const float *a, const float *b, size_t n) {
    four s = four_zero();
    size_t i = 0;
    for (; i + 4 * FR_VLEN <= n; i += 4 * FR_VLEN)
        for (int j = 0; j < 4; j++)
            s.v[j] = vfma(vload(a + i + j * FR_VLEN), vload(b + i + j * FR_VLEN), s.v[j]);
    for (; i + FR_VLEN <= n; i += FR_VLEN) s.v[0] = vfma(vload(a + i), vload(b + i), s.v[0]);
    if (i < n) s.v[1] = vfma(vload_n(a + i, n - i), vload_n(b + i, n - i), s.v[1]);
    return four_sum(&s);
}

float FR_NAME(rows_sum_squares)(const float *x, size_t n) {
    return FR_NAME(rows_dot)(x, x, n);
}

/* A NaN in the running vector stays; one in the new values comes in because vmax gives its second.
 */
FR_INLINE vf32 max_keep_nan(vf32 m, vf32 x) {
    return vsel(visnan(m), m, vmax(m, x));
}

float FR_NAME(rows_max)(const float *x, size_t n) {
    const vf32 low = vset1(-__builtin_inff());
    vf32 m0 = low, m1 = low;
    size_t i = 0;
    for (; i + 2 * FR_VLEN <= n; i += 2 * FR_VLEN) {
        m0 = max_keep_nan(m0, vload(x + i));
        m1 = max_keep_nan(m1, vload(x + i + FR_VLEN));
    }
    float lane[FR_VLEN], m = -__builtin_inff();
    vstore(lane, max_keep_nan(m0, m1));
    for (int j = 0; j < FR_VLEN; j++)
        if (lane[j] > m || lane[j] != lane[j])
            m = lane[j];
        else if (m != m)
            return m;
    for (; i < n && m == m; i++)
        if (x[i] > m || x[i] != x[i]) m = x[i];
    return m;
}

size_t FR_NAME(rows_argmax)(const float *x, size_t n) {
    float m = FR_NAME(rows_max)(x, n);
    vf32 vm = vset1(m);
    size_t i = 0;
    if (m == m)
        while (i + FR_VLEN <= n && !vany(veq(vload(x + i), vm))) i += FR_VLEN;
    for (; i < n; i++)
        if (x[i] == m || (m != m && x[i] != x[i])) return i;
    return 0;
}

void FR_NAME(rows_moments)(const float *x, float center, size_t n, float out[2]) {
    four s = four_zero(), q = four_zero();
    vf32 c = vset1(center);
    size_t i = 0;
    for (; i + 4 * FR_VLEN <= n; i += 4 * FR_VLEN)
        for (int j = 0; j < 4; j++) {
            vf32 d = vsub(vload(x + i + j * FR_VLEN), c);
            s.v[j] = vadd(s.v[j], d);
            q.v[j] = vfma(d, d, q.v[j]);
        }
    for (; i < n; i += FR_VLEN) {
        size_t t = n - i;
        vf32 d = vsub(t < FR_VLEN ? vload_n(x + i, t) : vload(x + i), c);
        if (t < FR_VLEN) { /* lanes past the end count nothing */
            float lane[FR_VLEN];
            vstore(lane, d);
            d = vload_n(lane, t);
        }
        s.v[0] = vadd(s.v[0], d);
        q.v[0] = vfma(d, d, q.v[0]);
    }
    out[0] = four_sum(&s);
    out[1] = four_sum(&q);
}

float FR_NAME(rows_exp_sum)(const float *x, float shift, size_t n, float *y) {
    vf32 s0 = vzero(), s1 = vzero(), c = vset1(shift);
    size_t i = 0;
    for (; i + 2 * FR_VLEN <= n; i += 2 * FR_VLEN) {
        vf32 e0 = vexp(vsub(vload(x + i), c)), e1 = vexp(vsub(vload(x + i + FR_VLEN), c));
        if (y) {
            vstore(y + i, e0);
            vstore(y + i + FR_VLEN, e1);
        }
        s0 = vadd(s0, e0);
        s1 = vadd(s1, e1);
    }
    for (; i < n; i += FR_VLEN) {
        float lane[FR_VLEN];
        size_t t = n - i < FR_VLEN ? n - i : FR_VLEN;
        vf32 e = vexp(vsub(t < FR_VLEN ? vload_n(x + i, t) : vload(x + i), c));
        if (t < FR_VLEN) {
            vstore(lane, e);
            e = vload_n(lane, t);
        }
        if (y && t < FR_VLEN)
            vstore_n(y + i, e, t);
        else if (y)
            vstore(y + i, e);
        s0 = vadd(s0, e);
    }
    return vsum(vadd(s0, s1));
}

void FR_NAME(rows_exp_scaled)(const float *x, float shift, float scale, size_t n, float *y) {
    vf32 c = vset1(shift), s = vset1(scale);
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN) vstore(y + i, vmul(s, vexp(vsub(vload(x + i), c))));
    if (i < n) vstore_n(y + i, vmul(s, vexp(vsub(vload_n(x + i, n - i), c))), n - i);
}

void FR_NAME(rows_softmax_grad)(const float *y, const float *dy, float dot, size_t n, float *dx) {
    vf32 d = vset1(dot);
    size_t i = 0;
    for (; i + FR_VLEN <= n; i += FR_VLEN)
        vstore(dx + i, vmul(vload(y + i), vsub(vload(dy + i), d)));
    size_t t = n - i;
    if (t) vstore_n(dx + i, vmul(vload_n(y + i, t), vsub(vload_n(dy + i, t), d)), t);
}
