/* kvattn_page.c: reading and writing tokens of pages, and the online softmax of one page. */
#include <float.h>

#include "kernel/simd/attn.h"
#include "kernel/simd/kvattn.h"

/* ---- softmax ---- */

enum { PATTERN = 16 }; /* four rows, again and again: as long as any vector */

static inline void spread(const float *x, float *pattern) {
    for (int i = 0; i < PATTERN; i++) pattern[i] = x[i % ROWS];
}

void FR_NAME(kvattn_softmax)(float *s, const int32_t *lo, const int32_t *hi, float c, float *top,
                             float *sum, float *fade) {
    float pattern[PATTERN], high[ROWS], base[ROWS];
    for (int r = 0; r < ROWS; r++) {
        for (int t = 0; t < lo[r]; t++) s[t * ROWS + r] = -INFINITY;
        for (int t = hi[r] > 0 ? hi[r] : 0; t < TOKENS; t++) s[t * ROWS + r] = -INFINITY;
    }
    spread(top, pattern);
    vf32 most = vload(pattern);
    for (int i = 0; i < TOKENS * ROWS; i += FR_VLEN) most = vmax(most, vload(s + i));
    vstore(pattern, most);
    for (int r = 0; r < ROWS; r++) {
        high[r] = pattern[r];
        for (int i = r; i < FR_VLEN; i += ROWS)
            high[r] = pattern[i] > high[r] ? pattern[i] : high[r];
        base[r] = high[r] == -INFINITY ? 0.0f : high[r];
        fade[r] = (top[r] - base[r]) * c;
        top[r] = high[r];
    }
    spread(fade, pattern);
    vstore(pattern, attn_exp2(vload(pattern)));
    memcpy(fade, pattern, ROWS * sizeof *fade);
    spread(base, pattern);
    const vf32 from = vload(pattern), scale = vset1(c);
    vf32 all = vzero();
    for (int i = 0; i < TOKENS * ROWS; i += FR_VLEN) {
        vf32 p = attn_exp2(vmul(vsub(vload(s + i), from), scale));
        all = vadd(all, p);
        vstore(s + i, p);
    }
    vstore(pattern, all);
    for (int r = 0; r < ROWS; r++) {
        float add = 0;
        for (int i = r; i < FR_VLEN; i += ROWS) add += pattern[i];
        sum[r] = sum[r] * fade[r] + add;
    }
}

/* ---- reading ---- */

enum { PART = 64 };

static inline void read_rows(kv_codes how, const fr_kvattn_head *h, int token, int count, bool half,
                             void *out) {
    const size_t row = fr_kvattn_row(h->kind, h->dim);
    float scale[TOKENS], offset[TOKENS], x[PART + FR_VLEN];
    if (how >= CODES_8) kv_affine(h, scale, offset);
    for (int t = 0; t < count; t++)
        for (int64_t d = 0; d < h->dim; d += PART) {
            const int n = (int)(h->dim - d < PART ? h->dim - d : PART);
            kv_unpack(how, (const uint8_t *)h->codes + (size_t)(token + t) * row, d, n, x);
            if (how >= CODES_8)
                for (int i = 0; i < n; i++) x[i] = x[i] * scale[token + t] + offset[token + t];
            const int64_t at = t * h->dim + d;
            int i = 0;
            if (!half) {
                memcpy((float *)out + at, x, (size_t)n * sizeof *x);
                continue;
            }
            uint16_t *to = (uint16_t *)out + at;
            for (; i + FR_VLEN <= n; i += FR_VLEN) vstore_bf16(to + i, vload(x + i));
            if (i < n) vstore_bf16_n(to + i, vload(x + i), (size_t)(n - i));
        }
}

void FR_NAME(kvattn_read)(const fr_kvattn_head *h, int token, int count, bool half, void *out) {
    switch (kv_codes_of(h->kind)) {
    case CODES_BF16: read_rows(CODES_BF16, h, token, count, half, out); break;
    case CODES_F16: read_rows(CODES_F16, h, token, count, half, out); break;
    case CODES_F32: read_rows(CODES_F32, h, token, count, half, out); break;
    case CODES_8: read_rows(CODES_8, h, token, count, half, out); break;
    case CODES_4: read_rows(CODES_4, h, token, count, half, out); break;
    }
}

/* ---- writing ---- */

static inline vf32 held(vf32 x, float most) {
    x = vsel(visnan(x), vzero(), x);
    return vmin(vmax(x, vset1(-most)), vset1(most));
}

static uint16_t f16_of(float x) {
    float from[FR_VLEN] = {x};
    uint16_t to[FR_VLEN];
    vstore_f16(to, vload(from));
    return to[0];
}
static float f16_value(uint16_t h) {
    uint16_t from[FR_VLEN] = {h};
    float to[FR_VLEN];
    vstore(to, vload_f16(from));
    return to[0];
}

/* The next f16 towards plus (up) or minus infinity, of a finite h. */
static uint16_t f16_step(uint16_t h, bool up) {
    if ((h & 0x7fff) == 0) return up ? 0x0001 : 0x8001;
    return (uint16_t)(up == !(h & 0x8000) ? h + 1 : h - 1);
}

/* What the codes of a token are made from: code = x * 1 or clamp(rint((x - before) / scale + after)). */
typedef struct codes_from {
    float scale, before, after;
    int all; /* every code is this; -1: no */
} codes_from;

static codes_from from_own(float least, float most, float top, uint16_t *scale, uint16_t *offset) {
    uint16_t h = f16_of(least);
    *offset = f16_value(h) > least ? f16_step(h, false) : h;
    const float low = f16_value(*offset), want = (most - low) / top;
    h = f16_of(want);
    *scale = f16_value(h) < want ? f16_step(h, true) : h;
    return (codes_from){f16_value(*scale), low, 0, *scale ? -1 : 0};
}

static codes_from from_qoq(float least, float most, float top, uint16_t *scale, uint16_t *offset) {
    const float range = most - least, zero = range > 0 ? -top * least / range : INFINITY;
    *scale = f16_of(range / top);
    if (*scale != 0 && fabsf(zero) <= 65504.0f) {
        *offset = f16_of(zero);
        return (codes_from){f16_value(*scale), 0, f16_value(*offset), -1};
    }
    const float middle = least + range / 2;
    *scale = f16_of(fabsf(middle));
    *offset = middle < 0 ? 0x3c00 : 0;
    return (codes_from){1, 0, 0, *scale && middle > 0};
}

/* The first n of a vector of codes. */
static void store_codes(bool bytes, vi32 codes, int n, uint8_t *to) {
    int32_t code[FR_VLEN];
    uint8_t part[FR_VLEN];
    vistore(code, codes);
    for (int i = 0; i < FR_VLEN; i++) part[i] = (uint8_t)code[i];
    if (!bytes)
        for (int i = 0; i < FR_VLEN / 2; i++)
            part[i] = (uint8_t)(part[2 * i] | part[2 * i + 1] << 4);
    memcpy(to, part, (size_t)(bytes ? n : n / 2));
}

static vf32 load_n(const float *x, int n) {
    return n >= FR_VLEN ? vload(x) : vload_n(x, (size_t)n);
}

static void write_codes(bool own, bool bytes, const float *x, int64_t dim, uint8_t *row,
                        uint16_t *scale, uint16_t *offset) {
    const float top = bytes ? 255.0f : 15.0f, limit = 65504.0f;
    vf32 low = held(vset1(x[0]), limit), high = low;
    int64_t d = 0;
    for (; d + FR_VLEN <= dim; d += FR_VLEN) {
        vf32 v = held(vload(x + d), limit);
        low = vmin(v, low);
        high = vmax(v, high);
    }
    float least = -vhmax(vneg(low)), most = vhmax(high);
    for (; d < dim; d++) {
        float v = x[d] != x[d] ? 0.0f : x[d] > limit ? limit : x[d] < -limit ? -limit : x[d];
        least = v < least ? v : least;
        most = v > most ? v : most;
    }
    least += 0.0f; /* no negative zero */
    const codes_from f = (own ? from_own : from_qoq)(least, most, top, scale, offset);
    const vf32 s = vset1(f.scale), before = vset1(f.before), after = vset1(f.after);
    for (d = 0; d < dim; d += FR_VLEN) {
        const int n = dim - d < FR_VLEN ? (int)(dim - d) : FR_VLEN;
        vf32 v = vsub(held(load_n(x + d, n), limit), before);
        v = vround(vadd(vdiv(v, s), after));
        const vi32 code = f.all >= 0 ? viset1(f.all) : vcvt(vmin(vmax(v, vzero()), vset1(top)));
        store_codes(bytes, code, n, bytes ? row + d : row + d / 2);
    }
}

void FR_NAME(kvattn_write)(fr_kv_kind kind, const float *x, int64_t dim, void *row, uint16_t *scale,
                           uint16_t *offset) {
    if (kind > FR_KV_F32) {
        write_codes(kind == FR_KV_8 || kind == FR_KV_4, kind == FR_KV_8 || kind == FR_KV_8_QOQ, x,
                    dim, row, scale, offset);
        return;
    }
    const float most = kind == FR_KV_F32 ? FLT_MAX : kind == FR_KV_F16 ? 65504.0f : 0x1.fep127f;
    uint16_t *to = row;
    for (int64_t d = 0; d < dim; d += FR_VLEN) {
        const int n = dim - d < FR_VLEN ? (int)(dim - d) : FR_VLEN;
        const vf32 v = held(load_n(x + d, n), most);
        if (kind == FR_KV_F32) {
            float whole[FR_VLEN];
            vstore(whole, v);
            memcpy((float *)row + d, whole, (size_t)n * sizeof *whole);
            continue;
        }
        uint16_t part[FR_VLEN];
        if (kind == FR_KV_F16)
            vstore_f16(part, v);
        else
            vstore_bf16(part, v);
        memcpy(to + d, part, (size_t)n * sizeof *part);
    }
}
