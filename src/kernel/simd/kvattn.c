/* kvattn.c: attention over pages in f32, for any kind of page and any number of channels. Codes become
 * floats some tokens and channels at a time; scale and offset are left to the sums:
 *
 *     score  = scale[t] (q code[t]) + offset[t] sum(q)
 *     values = sum_t (p scale)[t] code[t] + sum_t (p offset)[t]
 *
 * A record is q [row][ld], then the sum of each row; sums are [row][ld], then what is added to all channels. */
#include "kernel/simd/kvattn.h"

#if FR_VLEN == 8
enum { TOKEN_STEP = 2, COLS = 2 }; /* sixteen registers */
#else
enum { TOKEN_STEP = 4, COLS = 4 };
#endif
enum { PART = 64, WIDTH = COLS * FR_VLEN };

static void query(const float *q, int64_t ldq, int rows, int64_t dim, void *record) {
    const int64_t ld = fr_kvattn_ld(dim);
    float *to = record, *sum = to + ROWS * ld;
    memset(record, 0, fr_kvattn_query_bytes(dim));
    for (int r = 0; r < rows; r++) {
        memcpy(to + r * ld, q + r * ldq, (size_t)dim * sizeof *q);
        vf32 all = vzero();
        for (int64_t d = 0; d < ld; d += FR_VLEN) all = vadd(all, vload(to + r * ld + d));
        sum[r] = vsum(all);
    }
}

/* Into the second cache: the first has few lines on their way at a time. */
static inline void fetch(const fr_kvattn_head *next, size_t from, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch((const char *)next->codes + from + i, 0, 2);
}

/* Adds to TOKEN_STEP x ROWS chains the products of n channels from d on. */
__attribute__((always_inline)) static inline void dots(kv_codes how, const float *q, int64_t ld,
                                                       const uint8_t *codes, size_t row, int64_t d,
                                                       int n, vf32 acc[TOKEN_STEP][ROWS]) {
    float x[TOKEN_STEP][PART];
    for (int j = 0; j < TOKEN_STEP; j++) kv_unpack(how, codes + (size_t)j * row, d, n, x[j]);
    for (int i = 0; i < n; i += FR_VLEN) {
        vf32 k[TOKEN_STEP];
        for (int j = 0; j < TOKEN_STEP; j++) k[j] = vload(x[j] + i);
        for (int r = 0; r < ROWS; r++) {
            vf32 y = vload(q + r * ld + d + i);
            for (int j = 0; j < TOKEN_STEP; j++) acc[j][r] = vfma(k[j], y, acc[j][r]);
        }
    }
}

__attribute__((always_inline)) static inline void score(kv_codes how, const void *record,
                                                        const fr_kvattn_head *k, float *s) {
    const int64_t ld = fr_kvattn_ld(k->dim);
    const size_t row = fr_kvattn_row(k->kind, k->dim);
    const float *q = record, *sum = q + ROWS * ld;
    float scale[TOKENS], offset[TOKENS];
    if (how >= CODES_8) kv_affine(k, scale, offset);
    for (int t = 0; t < TOKENS; t += TOKEN_STEP) {
        const uint8_t *codes = (const uint8_t *)k->codes + (size_t)t * row;
        if (k->next) fetch(k->next, (size_t)t * row, TOKEN_STEP * row);
        vf32 acc[TOKEN_STEP][ROWS];
        for (int j = 0; j < TOKEN_STEP; j++)
            for (int r = 0; r < ROWS; r++) acc[j][r] = vzero();
        for (int64_t d = 0; d < k->dim; d += PART)
            dots(how, q, ld, codes, row, d, (int)(k->dim - d < PART ? k->dim - d : PART), acc);
        for (int j = 0; j < TOKEN_STEP; j++)
            for (int r = 0; r < ROWS; r++) {
                float x = vsum(acc[j][r]);
                if (how >= CODES_8) x = x * scale[t + j] + offset[t + j] * sum[r];
                s[(t + j) * ROWS + r] = x;
            }
    }
}

/* Channels d .. d + n - 1, n <= WIDTH. */
__attribute__((always_inline)) static inline void add_part(kv_codes how, const float *w,
                                                           const fr_kvattn_head *v, int lo, int hi,
                                                           const float *fade, int64_t d, int n,
                                                           float *o) {
    const size_t row = fr_kvattn_row(v->kind, v->dim);
    const int64_t ld = fr_kvattn_ld(v->dim);
    vf32 acc[ROWS][COLS];
    float x[WIDTH];
    for (int i = 0; i < WIDTH; i++) x[i] = 0.0f;
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < COLS; i++) acc[r][i] = vzero();
    const size_t from = (size_t)d * row / (size_t)v->dim, part = (size_t)n * row / (size_t)v->dim;
    for (int t = lo; t < hi; t++) {
        if (v->next) fetch(v->next, (size_t)t * row + from, part);
        kv_unpack(how, (const uint8_t *)v->codes + (size_t)t * row, d, n, x);
        for (int r = 0; r < ROWS; r++) {
            vf32 y = vset1(w[t * ROWS + r]);
            for (int i = 0; i < COLS; i++) acc[r][i] = vfma(vload(x + i * FR_VLEN), y, acc[r][i]);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < COLS; i++) {
            float *to = o + r * ld + d + i * FR_VLEN;
            vstore(to, vfma(vload(to), vset1(fade[r]), acc[r][i]));
        }
}

__attribute__((always_inline)) static inline void add(kv_codes how, const float *p,
                                                      const fr_kvattn_head *v, int lo, int hi,
                                                      const float *fade, void *sums) {
    float scale[TOKENS], offset[TOKENS], w[TOKENS * ROWS];
    float *o = sums, *all = o + ROWS * fr_kvattn_ld(v->dim);
    if (how >= CODES_8) {
        kv_affine(v, scale, offset);
        for (int r = 0; r < ROWS; r++) all[r] *= fade[r];
        for (int t = lo; t < hi; t++)
            for (int r = 0; r < ROWS; r++) {
                w[t * ROWS + r] = p[t * ROWS + r] * scale[t];
                all[r] += p[t * ROWS + r] * offset[t];
            }
        p = w;
    }
    int64_t d = 0;
    for (; d + WIDTH <= v->dim; d += WIDTH) add_part(how, p, v, lo, hi, fade, d, WIDTH, o);
    if (d < v->dim) add_part(how, p, v, lo, hi, fade, d, (int)(v->dim - d), o);
}

static void result(const void *sums, int64_t dim, float *out) {
    const int64_t ld = fr_kvattn_ld(dim);
    const float *o = sums, *all = o + ROWS * ld;
    for (int r = 0; r < ROWS; r++)
        for (int64_t d = 0; d < dim; d++) out[r * ld + d] = o[r * ld + d] + all[r];
}

static void score_bf16(const void *q, const fr_kvattn_head *k, float *s) {
    score(CODES_BF16, q, k, s);
}
static void score_f16(const void *q, const fr_kvattn_head *k, float *s) {
    score(CODES_F16, q, k, s);
}
static void score_f32(const void *q, const fr_kvattn_head *k, float *s) {
    score(CODES_F32, q, k, s);
}
static void score_8(const void *q, const fr_kvattn_head *k, float *s) {
    score(CODES_8, q, k, s);
}
static void score_4(const void *q, const fr_kvattn_head *k, float *s) {
    score(CODES_4, q, k, s);
}
static void add_bf16(const float *p, const fr_kvattn_head *v, int lo, int hi, const float *fade,
                     void *o) {
    add(CODES_BF16, p, v, lo, hi, fade, o);
}
static void add_f16(const float *p, const fr_kvattn_head *v, int lo, int hi, const float *fade,
                    void *o) {
    add(CODES_F16, p, v, lo, hi, fade, o);
}
static void add_f32(const float *p, const fr_kvattn_head *v, int lo, int hi, const float *fade,
                    void *o) {
    add(CODES_F32, p, v, lo, hi, fade, o);
}
static void add_8(const float *p, const fr_kvattn_head *v, int lo, int hi, const float *fade,
                  void *o) {
    add(CODES_8, p, v, lo, hi, fade, o);
}
static void add_4(const float *p, const fr_kvattn_head *v, int lo, int hi, const float *fade,
                  void *o) {
    add(CODES_4, p, v, lo, hi, fade, o);
}

void FR_NAME(kvattn_fill)(fr_kvattn_kernels *out);

void FR_NAME(kvattn_fill)(fr_kvattn_kernels *out) {
    static const fr_kvattn_way ways[] = {
        [CODES_BF16] = {1, query, score_bf16, add_bf16, result},
        [CODES_F16] = {1, query, score_f16, add_f16, result},
        [CODES_F32] = {1, query, score_f32, add_f32, result},
        [CODES_8] = {1, query, score_8, add_8, result},
        [CODES_4] = {1, query, score_4, add_4, result},
    };
    for (int kind = 0; kind < FR_KV_KINDS; kind++)
        out->way[kind] = out->any[kind] = ways[kv_codes_of((fr_kv_kind)kind)];
    out->softmax = FR_NAME(kvattn_softmax);
    out->read = FR_NAME(kvattn_read);
    out->write = FR_NAME(kvattn_write);
}
