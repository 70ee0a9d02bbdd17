/* qgemm_pack.c: from the parts of a format, as files hold them, to panels of weights (kernel/qgemm.h).
 *
 * Codes go by whole words: some k of all rows of a panel are brought into the form that a panel has in
 * one word (flipped to unsigned, or two rows of nibbles woven together), and a transpose of words does
 * the rest. A panel is one item of the pool. The pages of a mapped file whose codes are packed are given back at once,
 * so that a large weight is not there twice. */
#include <string.h>

#include "op/qgemm_plan.h"

#define CHUNK       512        /* values of k at a time */
#define PIECE_BYTES (16 << 20) /* of codes, packed before their pages are given back */

/* What the formats of files are as panels. The first that fits counts. */
typedef struct known {
    const fr_qformat *format;
    fr_qkind kind;
    uint32_t flip; /* signed codes become unsigned by this */
} known;
static const known all_known[] = {
    {&fr_int8_channel, FR_Q_W8A8, 0x80808080},
    {&fr_int8_tensor, FR_Q_W8A8, 0x80808080},
    {&fr_qoq_channel, FR_Q_W4A8, 0},
    {&fr_qoq_g128, FR_Q_W4A8_G128, 0},
    {&fr_qoq_g128_pre, FR_Q_W4A8_G128, 0},
    {&fr_int4_g64, FR_Q_W4A4, 0x88888888},
    {&fr_int4_g64_bf16, FR_Q_W4A4, 0x88888888},
    {&fr_nvfp4, FR_Q_NVFP4, 0},
    {&fr_int4_g32, FR_Q_W4A16, 0x88888888},
    {&fr_int4_g64, FR_Q_W4A16, 0x88888888},
    {&fr_int4_g64_bf16, FR_Q_W4A16, 0x88888888},
    {&fr_int4_g128, FR_Q_W4A16, 0x88888888},
    {&fr_uint4_z_g32, FR_Q_W4A16, 0},
    {&fr_uint4_z_g64, FR_Q_W4A16, 0},
    {&fr_uint4_z_g128, FR_Q_W4A16, 0},
    {&fr_q4_0, FR_Q_W4A16, 0},
    {&fr_q4_1, FR_Q_W4A16_OFF, 0},
    {&fr_q4_k, FR_Q_W4A16_OFF, 0},
    {&fr_q5_0, FR_Q_W6A16, 0},
    {&fr_q5_1, FR_Q_W6A16, 0},
    {&fr_q5_k, FR_Q_W6A16, 0},
    {&fr_q6_k, FR_Q_W6A16, 0},
    {&fr_q8_0, FR_Q_W8A16, 0},
    {&fr_fp8_128x128, FR_Q_FP8, 0},
    {&fr_fp8_e4m3_tensor, FR_Q_FP8, 0},
    {&fr_fp8_e5m2_tensor, FR_Q_FP8, 0},
};

static bool rows_fit(fr_qkind kind, fr_rows_kind rows) {
    if (kind == FR_Q_W4A4 && rows == FR_ROWS_UINT4) return true;
    return rows == FR_ROWS_FLOAT || rows == fr_qkind_rows(kind);
}

/* NULL: none; *format_known then says whether other rows would do. */
static const known *find(const fr_qformat *f, fr_rows_kind rows, bool *format_known) {
    *format_known = false;
    for (size_t i = 0; i < FR_COUNT(all_known); i++) {
        if (all_known[i].format != f) continue;
        *format_known = true;
        if (rows_fit(all_known[i].kind, rows)) return &all_known[i];
    }
    return NULL;
}

/* ---- refusals ---- */

static bool has(const char *name, const char *part) {
    return strstr(name, part) != NULL;
}

/* What may be done about a format that no product takes. */
static const char *way_out(const fr_qformat *f) {
    if (has(f->name, "-perm"))
        return "its columns have an order of their own: put the columns of the weight and of what "
               "it is multiplied with in that order and quantize them as uint4-z";
    if (has(f->name, "-row")) return "quantize it in groups, as uint4-z-g128";
    if (has(f->name, "mxfp4")) return "quantize it as nvfp4";
    if (has(f->name, "int2")) return "it is for caches; quantize weights to 4 bits, as int4-g64";
    if (has(f->name, "uint8"))
        return "quantize it as int8-channel, or decode it and use a linear of floats";
    return "it is for activations; quantize weights as int8-channel, int4-g64 or fp8-128x128";
}

static fr_status check_size(const fr_qformat *f, int64_t n, int64_t k) {
    if (n < 1 || k < 1)
        return fr_fail(FR_INVALID, "A weight of %lld x %lld in %s has nothing to multiply with.",
                       (long long)n, (long long)k, f->name);
    if (k > FR_Q_MAX_K)
        return fr_fail(FR_UNSUPPORTED,
                       "A weight of %lld x %lld in %s is too long: sums over more than %d values "
                       "do not fit 32 bits. Cut it along k and add the products.",
                       (long long)n, (long long)k, f->name, FR_Q_MAX_K);
    return FR_OK;
}

fr_status fr_qweights_of(const fr_qformat *f, fr_rows_kind rows, int64_t n, int64_t k,
                         fr_qweights *out) {
    bool format_known;
    const known *e = find(f, rows, &format_known);
    if (!format_known)
        return fr_fail(FR_UNSUPPORTED, "There is no product with weights in %s: %s.", f->name,
                       way_out(f));
    if (!e)
        return fr_fail(FR_INVALID, "Weights in %s are not multiplied with rows of %s.", f->name,
                       fr_attr_word(FR_ATTR_ROWS, rows) ? fr_attr_word(FR_ATTR_ROWS, rows)
                                                        : "an unknown kind");
    FR_TRY(check_size(f, n, k));
    *out = (fr_qweights){.kind = e->kind, .rows = rows};
    if (rows == FR_ROWS_FLOAT) out->rows = fr_qkind_rows(e->kind);
    fr_qpanel_of(e->kind, n, k, f->group, fr_kernel()->qgemm.way[e->kind].nr, &out->panel);
    out->panel.bf16_scales = f == &fr_int4_g64_bf16;
    out->panel.e5m2 = f == &fr_fp8_e5m2_tensor;
    out->panel.halves = f == &fr_q6_k;
    out->panels = (n - 1) / out->panel.nr + 1;
    if (!fr_size_mul((size_t)out->panels, out->panel.bytes, &out->bytes) ||
        out->bytes > PTRDIFF_MAX / 2)
        return fr_fail(FR_NOMEM, "A weight of %lld x %lld in %s does not fit any memory.",
                       (long long)n, (long long)k, f->name);
    return FR_OK;
}

/* ---- codes ---- */

typedef struct job {
    const fr_quantized *q;
    const fr_qweights *w;
    uint32_t flip;
    bool whole;    /* a code is a byte */
    int64_t first; /* panel of item 0 */
    char *out;
} job;

/* Of Q4_0 (format/ggml.c): a block of 32 is its scale and 16 bytes with value i low and value i + 16 high; neighbours
 * come together. */
enum { Q4_0_BYTES = 18, Q4_0_VALUES = 32 };

static void take_q4_0(const uint8_t *block, int64_t blocks, uint8_t *to) {
    for (; blocks > 0; blocks--, block += Q4_0_BYTES, to += 16) {
        const uint8_t *from = block + 2;
        for (int i = 0; i < 8; i++) {
            to[i] = (uint8_t)((from[2 * i] & 15) | from[2 * i + 1] << 4);
            to[8 + i] = (uint8_t)(from[2 * i] >> 4 | (from[2 * i + 1] & 240));
        }
    }
}

/* Bytes of a row of codes, k0 .. k0 + count - 1; k0 is a multiple of CHUNK. Zeros past its end. */
static void take(const job *j, int64_t row, int64_t k0, int64_t count, uint8_t *to, size_t room) {
    const fr_tensor *codes = &j->q->part[0];
    const uint8_t *from = (const uint8_t *)codes->data + row * codes->dim[1];
    size_t bytes = (size_t)(j->whole ? count : (count + 1) / 2);
    if (j->q->format == &fr_q4_0)
        take_q4_0(from + k0 / Q4_0_VALUES * Q4_0_BYTES, count / Q4_0_VALUES, to);
    else
        memcpy(to, from + (j->whole ? k0 : k0 / 2), bytes);
    memset(to + bytes, 0, room - bytes);
}

/* Eight nibbles become the low halves of eight bytes. */
static uint64_t spread(uint32_t nibbles) {
    uint64_t x = nibbles;
    x = (x | x << 16) & 0x0000ffff0000ffff;
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    return (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
}

/* Of W4A16: bytes v0 v1 v2 v3 become nibbles 0, 4, 1, 5 of a word. */
static uint64_t pairs(uint64_t bytes) {
    return (bytes & 0x0000000f0000000f) | (bytes >> 12 & 0x000000f0000000f0) |
           (bytes & 0x00000f0000000f00) << 8 | (bytes >> 4 & 0x00f0000000f00000);
}

/* Two rows of nibbles as one row of bytes; b is the one of the second half. */
static void weave(const uint32_t *a, const uint32_t *b, size_t words, uint32_t flip, bool in_pairs,
                  uint64_t *out) {
    for (size_t i = 0; i < words; i++) {
        uint64_t x = spread(a[i] ^ flip), y = spread(b[i] ^ flip);
        out[i] = in_pairs ? pairs(x) | pairs(y) << 8 : x | y << 4;
    }
}

/* Values k0 .. k0 + CHUNK - 1 of all rows of the panel, each row as the words of a panel. */
typedef struct words {
    uint64_t row[FR_Q_MAX_NR][CHUNK / 8];
} words;

static void nibble_words(const job *j, int64_t col, int cols, int64_t k0, int64_t count,
                         words *out) {
    uint32_t a[CHUNK / 8], b[CHUNK / 8];
    int half = j->w->panel.nr / 2;
    for (int i = 0; i < FR_MIN(half, cols); i++) {
        take(j, col + i, k0, count, (uint8_t *)a, sizeof a);
        memset(b, 0, sizeof b);
        if (i + half < cols) take(j, col + i + half, k0, count, (uint8_t *)b, sizeof b);
        weave(a, b, CHUNK / 8, j->flip, j->w->kind == FR_Q_W4A16, out->row[i]);
    }
}

static void byte_words(const job *j, int64_t col, int cols, int64_t k0, int64_t count, words *out) {
    uint64_t flip = (uint64_t)j->flip << 32 | j->flip;
    for (int i = 0; i < cols; i++) {
        take(j, col + i, k0, count, (uint8_t *)out->row[i], CHUNK);
        for (size_t w = 0; w < CHUNK / 8; w++) out->row[i][w] ^= flip;
    }
}

static void pack_codes(const job *j, int64_t col, int cols, char *panel) {
    const fr_qpanel *p = &j->w->panel;
    int width = j->whole ? p->nr : p->nr / 2;
    words w;
    for (int64_t k0 = 0; k0 < p->groups * p->group; k0 += CHUNK) {
        int64_t count = FR_MIN(CHUNK, p->k - k0), room = FR_MIN(CHUNK, p->groups * p->group - k0);
        if (j->whole)
            byte_words(j, col, cols, k0, FR_MAX_OF(count, 0), &w);
        else
            nibble_words(j, col, cols, k0, FR_MAX_OF(count, 0), &w);
        fr_kernel()->gemm.pack_rows(w.row, CHUNK, FR_MIN(width, cols), (size_t)room / 4, width,
                                    panel + p->codes + k0 / 4 * width * 4);
    }
}

/* ---- scales and zeros ---- */

/* A part [rows][groups] of values of `size` bytes, to [groups][nr]. */
static void spread_groups(const job *j, const fr_tensor *part, int64_t col, int cols, char *out) {
    size_t size = (size_t)fr_dtype_get(part->dtype)->bytes, nr = (size_t)j->w->panel.nr;
    size_t groups = (size_t)part->dim[1];
    for (int i = 0; i < cols; i++) {
        const char *from = (const char *)part->data + (size_t)(col + i) * groups * size;
        char *to = out + (size_t)i * size;
        if (size == 1)
            for (size_t g = 0; g < groups; g++) to[g * nr] = from[g];
        else
            for (size_t g = 0; g < groups; g++) memcpy(to + g * nr * 2, from + g * 2, 2);
    }
}

/* The f16 at the head of each block. */
static void q4_0_groups(const job *j, int64_t col, int cols, char *panel) {
    const fr_qpanel *p = &j->w->panel;
    const fr_tensor *blocks = &j->q->part[0];
    for (int i = 0; i < cols; i++) {
        const uint8_t *from = (const uint8_t *)blocks->data + (col + i) * blocks->dim[1];
        char *to = panel + p->scales + (size_t)i * 2;
        for (int64_t g = 0; g < blocks->dim[1] / Q4_0_BYTES; g++)
            memcpy(to + (size_t)g * p->scale_bytes, from + g * Q4_0_BYTES, 2);
    }
}

static void w4a8_groups(const job *j, int64_t col, int cols, char *panel) {
    const fr_qpanel *p = &j->w->panel;
    spread_groups(j, &j->q->part[2], col, cols, panel + p->scales);
    int16_t *out = (int16_t *)(panel + p->zeros);
    bool pre = j->q->format == &fr_qoq_g128_pre;
    for (int i = 0; i < cols; i++)
        for (int64_t g = 0; g < j->q->part[3].dim[1]; g++) {
            int64_t at = (col + i) * j->q->part[3].dim[1] + g;
            int s2 = ((const uint8_t *)j->q->part[2].data)[at];
            int z = pre ? ((const uint8_t *)j->q->part[3].data)[at] * s2
                        : ((const int8_t *)j->q->part[3].data)[at];
            out[g * p->nr + i] = (int16_t)z;
        }
}

static void fp8_groups(const job *j, int64_t col, int cols, char *panel) {
    const fr_qpanel *p = &j->w->panel;
    float *out = (float *)(panel + p->scales);
    const fr_tensor *s = &j->q->part[1];
    for (int64_t g = 0; g < p->groups; g++)
        for (int i = 0; i < cols; i++)
            out[g * p->nr + i] =
                s->rank == 2 ? ((const float *)s->data)[(col + i) / 128 * s->dim[1] + g] : 1.0f;
}

static void pack_groups(const job *j, int64_t col, int cols, char *panel) {
    const fr_qpanel *p = &j->w->panel;
    if (p->kind == FR_Q_W4A8_G128) w4a8_groups(j, col, cols, panel);
    if (p->kind == FR_Q_FP8) fp8_groups(j, col, cols, panel);
    if (j->q->format == &fr_q4_0)
        q4_0_groups(j, col, cols, panel);
    else if (p->kind == FR_Q_W4A4 || p->kind == FR_Q_NVFP4 || p->kind == FR_Q_W4A16)
        spread_groups(j, &j->q->part[1], col, cols, panel + p->scales);
    if (p->kind != FR_Q_W4A16) return;
    if (j->q->format->parts > 2)
        spread_groups(j, &j->q->part[2], col, cols, panel + p->zeros);
    else
        memset(panel + p->zeros, 8, p->zero_bytes * (size_t)p->groups);
}

static float float_at(const fr_tensor *t, int64_t i) {
    if (fr_values(t) == 1) i = 0;
    if (t->dtype == FR_F32) return ((const float *)t->data)[i];
    return fr_f16_to_f32(((const uint16_t *)t->data)[i]);
}

static void pack_columns(const job *j, int64_t col, int cols, char *panel) {
    const fr_qpanel *p = &j->w->panel;
    float *scale = (float *)(panel + p->column_scale), *zero = (float *)(panel + p->column_zero);
    if (p->kind == FR_Q_W4A4 || p->kind == FR_Q_W4A16) return;
    for (int i = 0; i < cols; i++) {
        if (p->kind == FR_Q_NVFP4)
            scale[i] = float_at(&j->q->part[2], 0);
        else if (j->q->format == &fr_fp8_128x128)
            scale[i] = 1;
        else
            scale[i] = float_at(&j->q->part[1], col + i);
        if (p->kind == FR_Q_W4A8) zero[i] = float_at(&j->q->part[2], col + i);
    }
}

static void pack_panel(void *arg, size_t item) {
    const job *j = arg;
    const fr_qpanel *p = &j->w->panel;
    int64_t at = j->first + (int64_t)item, col = at * p->nr;
    int cols = (int)FR_MIN(p->n - col, p->nr);
    char *panel = j->out + (size_t)at * p->bytes;
    if (p->kind > FR_Q_FP8) {
        qgemm_pack_blocks(j->q, p, col, cols, panel);
        return;
    }
    pack_codes(j, col, cols, panel);
    memset(panel, 0, p->codes);
    pack_groups(j, col, cols, panel);
    pack_columns(j, col, cols, panel);
}

void fr_qweights_pack(const fr_quantized *q, const fr_qweights *w, void *out, fr_pool *pool) {
    bool format_known;
    uint32_t flip = find(q->format, w->rows, &format_known)->flip;
    job j = {q, w, flip, w->kind == FR_Q_W8A8 || w->kind == FR_Q_FP8, 0, out};
    const fr_tensor *codes = &q->part[0];
    size_t row = (size_t)codes->dim[1], step = (size_t)w->panel.nr * row;
    int64_t most = FR_MAX_OF(PIECE_BYTES / (int64_t)step, 1);
    for (; j.first < w->panels; j.first += most) {
        fr_pool_run(pool, (size_t)FR_MIN(w->panels - j.first, most), pack_panel, &j);
        int64_t end = FR_MIN((j.first + most) * w->panel.nr, q->rows);
        const char *from = (const char *)codes->data + (size_t)j.first * step;
        fr_map_forget(from, (size_t)(end - j.first * w->panel.nr) * row);
    }
}
