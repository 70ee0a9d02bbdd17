/* attn_tile.c: the two products of tiled attention and the online softmax between them
 * (Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022), in f32. */
#include "kernel/simd/attn.h"

/* GROUP rows against a panel. */
static inline void score_group(const float *panel, const float *rows, int64_t ld, int64_t dim,
                               float *s) {
    vf32 acc[GROUP][COLS];
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < COLS; c++) acc[r][c] = vzero();
    for (int64_t d = 0; d < dim; d++) {
        vf32 q[COLS];
        for (int c = 0; c < COLS; c++) q[c] = vload(panel + d * LANES + c * FR_VLEN);
        for (int r = 0; r < GROUP; r++) {
            vf32 k = vset1(rows[r * ld + d]);
            for (int c = 0; c < COLS; c++) acc[r][c] = vfma(k, q[c], acc[r][c]);
        }
    }
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < COLS; c++) vstore(s + r * LANES + c * FR_VLEN, acc[r][c]);
}

void FR_NAME(attn_score)(const void *panel, const void *rows, int64_t count, int64_t dim,
                         float *s) {
    const int64_t ld = fr_attn_ld(dim);
    for (int64_t j = 0; j < count; j += GROUP)
        score_group(panel, (const float *)rows + j * ld, ld, dim, s + j * LANES);
}

void FR_NAME(attn_softmax)(float *s, int64_t count, float c, float *top, float *sum, float *fade) {
    vf32 high[COLS], base[COLS], add[COLS];
    const vf32 scale = vset1(c), low = vset1(-INFINITY);
    for (int i = 0; i < COLS; i++) high[i] = vload(top + i * FR_VLEN);
    for (int64_t j = 0; j < count; j++)
        for (int i = 0; i < COLS; i++) high[i] = vmax(vload(s + j * LANES + i * FR_VLEN), high[i]);
    for (int i = 0; i < COLS; i++) {
        vf32 old = vload(top + i * FR_VLEN);
        vstore(top + i * FR_VLEN, high[i]);
        /* A lane that has seen nothing: every p is 2^-inf, whatever finite base is taken. */
        base[i] = vsel(veq(high[i], low), vzero(), vmul(high[i], scale));
        vf32 f = attn_exp2(vsub(vmul(old, scale), base[i]));
        vstore(fade + i * FR_VLEN, f);
        add[i] = vzero();
    }
    for (int64_t j = 0; j < count; j++)
        for (int i = 0; i < COLS; i++) {
            float *x = s + j * LANES + i * FR_VLEN;
            vf32 p = attn_exp2(vfma(vload(x), scale, vneg(base[i])));
            add[i] = vadd(add[i], p);
            vstore(x, p);
        }
    for (int i = 0; i < COLS; i++) {
        float *l = sum + i * FR_VLEN;
        vstore(l, vfma(vload(l), vload(fade + i * FR_VLEN), add[i]));
    }
}

/* GROUP columns of the sums. */
static inline void accumulate_group(const float *p, const float *cols, int64_t count,
                                    const float *fade, float *o) {
    vf32 acc[GROUP][COLS];
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < COLS; c++) {
            acc[r][c] = vload(o + r * LANES + c * FR_VLEN);
            if (fade) acc[r][c] = vmul(acc[r][c], vload(fade + c * FR_VLEN));
        }
    for (int64_t j = 0; j < count; j++) {
        vf32 x[COLS];
        for (int c = 0; c < COLS; c++) x[c] = vload(p + j * LANES + c * FR_VLEN);
        for (int r = 0; r < GROUP; r++) {
            vf32 v = vset1(cols[j * GROUP + r]);
            for (int c = 0; c < COLS; c++) acc[r][c] = vfma(v, x[c], acc[r][c]);
        }
    }
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < COLS; c++) vstore(o + r * LANES + c * FR_VLEN, acc[r][c]);
}

void FR_NAME(attn_accumulate)(const void *p, const void *cols, int64_t count, int64_t dim,
                              int64_t cap, const float *fade, float *o) {
    for (int64_t d = 0; d < dim; d += GROUP)
        accumulate_group(p, (const float *)cols + d * cap, count, fade, o + d * LANES);
}

void FR_NAME(attn_grad_lanes)(float *s, float *dp, int64_t count, float c, const float *lse,
                              const float *delta) {
    for (int i = 0; i < COLS; i++) {
        vf32 base = vneg(vload(lse + i * FR_VLEN)), less = vload(delta + i * FR_VLEN);
        for (int64_t j = 0; j < count; j++) {
            float *x = s + j * LANES + i * FR_VLEN, *y = dp + j * LANES + i * FR_VLEN;
            vf32 p = attn_exp2(vfma(vload(x), vset1(c), base));
            vstore(y, vmul(p, vsub(vload(y), less)));
        }
    }
}

void FR_NAME(attn_grad_rows)(float *s, float *dp, int64_t count, float c, const float *lse,
                             const float *delta) {
    for (int64_t j = 0; j < count; j++)
        for (int i = 0; i < COLS; i++) {
            float *x = s + j * LANES + i * FR_VLEN, *y = dp + j * LANES + i * FR_VLEN;
            vf32 p = attn_exp2(vfma(vload(x), vset1(c), vset1(-lse[j])));
            vstore(x, p);
            vstore(y, vmul(p, vsub(vload(y), vset1(delta[j]))));
        }
}

void FR_NAME(attn_grad)(float *s, float *dp, int64_t count, float c, const float *lse,
                        const float *delta, void *pairs) {
    const int64_t whole = (count + FR_ATTN_GROUP - 1) / FR_ATTN_GROUP * FR_ATTN_GROUP;
    (void)pairs;
    for (int i = 0; i < COLS; i++) {
        vf32 base = vneg(vload(lse + i * FR_VLEN)), less = vload(delta + i * FR_VLEN);
        for (int64_t j = 0; j < count; j++) {
            float *x = s + j * LANES + i * FR_VLEN, *y = dp + j * LANES + i * FR_VLEN;
            vf32 p = attn_exp2(vfma(vload(x), vset1(c), base));
            vstore(x, p);
            vstore(y, vmul(p, vsub(vload(y), less)));
        }
    }
    for (int64_t x = count * LANES; x < whole * LANES; x += FR_VLEN) {
        vstore(s + x, vzero());
        vstore(dp + x, vzero());
    }
}

/* GROUP rows of the result, `cols` vectors of its columns. */
static inline void spread_group(const float *w, const float *rows, int64_t ld, int cols,
                                float *out) {
    vf32 acc[GROUP][COLS];
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < cols; c++) acc[r][c] = vload(out + r * ld + c * FR_VLEN);
    for (int lane = 0; lane < LANES; lane++) {
        vf32 x[COLS];
        for (int c = 0; c < cols; c++) x[c] = vload(rows + lane * ld + c * FR_VLEN);
        for (int r = 0; r < GROUP; r++) {
            vf32 k = vset1(w[r * LANES + lane]);
            for (int c = 0; c < cols; c++) acc[r][c] = vfma(k, x[c], acc[r][c]);
        }
    }
    for (int r = 0; r < GROUP; r++)
        for (int c = 0; c < cols; c++) vstore(out + r * ld + c * FR_VLEN, acc[r][c]);
}

void FR_NAME(attn_spread)(const void *w, const void *rows, int64_t count, int64_t dim, float *out) {
    const int64_t ld = fr_attn_ld(dim);
    for (int64_t d = 0; d < ld; d += COLS * FR_VLEN)
        for (int64_t j = 0; j < count; j += GROUP) {
            const float *from = (const float *)w + j * LANES, *x = (const float *)rows + d;
            if (ld - d >= COLS * FR_VLEN)
                spread_group(from, x, ld, COLS, out + j * ld + d);
            else
                spread_group(from, x, ld, 1, out + j * ld + d);
        }
}
