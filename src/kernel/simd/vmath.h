/* vmath.h: functions over vectors in the words of vec.h; include vec.h, not this.
 *
 * Each is a range reduction and a minimax polynomial (coefficients found by a Remez exchange in 40
 * digits). Errors are within 2 units in the last place (vsin and vcos: up to FR_VSIN_LIMIT and
 * beyond); infinities, NaN, denormals and overflow come out as from the C library. vsigmoid is 0
 * below -88.7. */
#ifndef FR_KERNEL_SIMD_VMATH_H
#define FR_KERNEL_SIMD_VMATH_H

/* c[0] + x (c[1] + x (...)) for a constant count. */
static inline vf32 vpoly(vf32 x, const float *c, int count) {
    vf32 y = vset1(c[count - 1]);
    for (int i = count - 2; i >= 0; i--) y = vfma(y, x, vset1(c[i]));
    return y;
}

/* e^x = 2^n e^r with n = round(x / ln 2), r = x - n ln 2 in two pieces. */
static inline vf32 vexp(vf32 x) {
    static const float c[] = {5.000000000e-01f, 1.666666567e-01f, 4.166629538e-02f,
                              8.333496749e-03f, 1.394468010e-03f, 1.979032240e-04f};
    x = vmax(vset1(-104.0f), vmin(vset1(89.0f), x)); /* this order keeps NaN */
    vf32 n = vround(vmul(x, vset1(1.442695022f)));
    vf32 r = vfnma(n, vset1(6.931471825e-01f), x);
    r = vfnma(n, vset1(-1.904654212e-09f), r);
    vf32 p = vfma(vmul(r, r), vpoly(r, c, 6), r);
    return vscale2(vadd(p, vset1(1.0f)), n);
}

/* log x = e ln 2 + log(1 + f), x = 2^e (1 + f), 1 + f between sqrt(1/2) and sqrt(2). */
static inline vf32 vlog(vf32 x) {
    static const float c[] = {3.333331347e-01f,  -2.500000894e-01f, 2.000211924e-01f,
                              -1.666799635e-01f, 1.421955228e-01f,  -1.240558848e-01f,
                              1.188816056e-01f,  -1.167565510e-01f, 6.746648252e-02f};
    vmask tiny = vlt(x, vset1(1.17549435e-38f));
    vf32 s = vsel(tiny, vmul(x, vset1(8388608.0f)), x);
    vi32 u = vbits(s);
    /* Moves the cut between exponents to sqrt(1/2). */
    vi32 t = visub(u, viset1(0x3f3504f3));
    vf32 e = vtof(visra(t, 23));
    e = vsub(e, vsel(tiny, vset1(23.0f), vset1(0.0f)));
    vf32 f = vsub(vfrombits(viadd(viand(t, viset1(0x7fffff)), viset1(0x3f3504f3))), vset1(1.0f));
    vf32 f2 = vmul(f, f);
    vf32 p = vmul(vmul(f2, f), vpoly(f, c, 9));
    p = vfma(e, vset1(-1.904654212e-09f), p);
    p = vfnma(vset1(0.5f), f2, p);
    vf32 y = vfma(e, vset1(6.931471825e-01f), vadd(p, f));
    const float inf = __builtin_inff();
    y = vsel(veq(x, vset1(inf)), x, y);
    y = vsel(veq(x, vset1(0.0f)), vset1(-inf), y);
    return vsel(vle(vset1(0.0f), x), y, vset1(__builtin_nanf("")));
}

/* 1 / (1 + e^-x) without loss at either end. */
static inline vf32 vsigmoid(vf32 x) {
    return vdiv(vset1(1.0f), vadd(vset1(1.0f), vexp(vneg(x))));
}

static inline vf32 vtanh(vf32 x) {
    static const float c[] = {-3.333328068e-01f, 1.333144158e-01f, -5.373971537e-02f,
                              2.063908800e-02f, -5.704987328e-03f};
    vf32 a = vabs(x), u = vmul(x, x);
    vf32 small = vfma(vmul(x, u), vpoly(u, c, 5), x);
    vf32 e = vexp(vadd(a, a));
    vf32 large = vsub(vset1(1.0f), vdiv(vset1(2.0f), vadd(e, vset1(1.0f))));
    return vsel(vlt(a, vset1(0.625f)), small, vcopysign(large, x));
}

/* x + x p(x^2) up to 1, then 1 - e^q(|x|); from 4 on it is 1 to the last bit. */
static inline vf32 verf(vf32 x) {
    static const float near[] = {1.283791671e-01f,  -3.761262596e-01f, 1.128358543e-01f,
                                 -2.685381286e-02f, 5.188327748e-03f,  -8.010194870e-04f,
                                 7.853864372e-05f};
    static const float far[] = {1.884600788e-04f,  -1.129580259e+00f, -6.332164407e-01f,
                                -1.084220186e-01f, 2.521028928e-02f,  -4.205266014e-03f,
                                4.414687864e-04f,  -2.169728396e-05f};
    vf32 a = vmin(vset1(4.0f), vabs(x)); /* this order keeps NaN */
    vf32 u = vmul(a, a);
    vf32 small = vfma(x, vpoly(u, near, 7), x);
    vf32 large = vsub(vset1(1.0f), vexp(vpoly(a, far, 8)));
    return vsel(vlt(a, vset1(1.0f)), small, vcopysign(large, x));
}

/* Beyond this the three pieces of pi/2 are not enough; such values go one by one through double. */
#define FR_VSIN_LIMIT 1e5f

static inline vf32 vsincos_far(vf32 x, vf32 y, vmask far, int cosine) {
    float in[FR_VLEN], out[FR_VLEN], is[FR_VLEN];
    vstore(in, x);
    vstore(out, y);
    vstore(is, vsel(far, vset1(1.0f), vset1(0.0f)));
    for (int i = 0; i < FR_VLEN; i++)
        if (is[i] != 0.0f) out[i] = (float)(cosine ? cos((double)in[i]) : sin((double)in[i]));
    return vload(out);
}

/* sin(x + quarter pi/2): x = j pi/2 + r by Cody and Waite, then the quadrant j + quarter chooses.
 */
static inline vf32 vsincos(vf32 x, int quarter) {
    static const float s[] = {-1.666666716e-01f, 8.333329111e-03f, -1.983930269e-04f,
                              2.718025826e-06f};
    static const float c[] = {4.166666791e-02f, -1.388888340e-03f, 2.479944851e-05f,
                              -2.720485099e-07f};
    vf32 j = vround(vmul(x, vset1(6.366197467e-01f)));
    vf32 r = vfnma(j, vset1(1.570796371e+00f), x);
    r = vfnma(j, vset1(-4.371138829e-08f), r);
    r = vfnma(j, vset1(-1.715124510e-15f), r);
    vf32 u = vmul(r, r);
    vf32 sine = vfma(vmul(r, u), vpoly(u, s, 4), r);
    vf32 cosine = vfma(vmul(u, u), vpoly(u, c, 4), vfnma(vset1(0.5f), u, vset1(1.0f)));
    vi32 q = viadd(vcvt(j), viset1(quarter));
    vmask even = vieq(viand(q, viset1(1)), viset1(0));
    vf32 y = vsel(even, sine, cosine);
    y = vfrombits(vixor(vbits(y), vishl(viand(q, viset1(2)), 30)));
    vmask far = vlt(vset1(FR_VSIN_LIMIT), vabs(x));
    return vany(far) ? vsincos_far(x, y, far, quarter) : y;
}
static inline vf32 vsin(vf32 x) {
    return vsincos(x, 0);
}
static inline vf32 vcos(vf32 x) {
    return vsincos(x, 1);
}

#endif
