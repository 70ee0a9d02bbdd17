/* qgemm_finish.c: the epilogue of a product with weights in few bits, tile by tile while the sums are in
 * the first cache:
 *
 *     y = act(finish(sum) + low upT + bias) + residual
 *
 * low upT goes to the tile kernels of kernel/gemm.h, with the tile as its C: in pairs of bf16 where `up` is bf16
 * and there is a dot instruction for them (at half the cost), in f32 otherwise. */
#include "op/qgemm_plan.h"

#define MAX_NR 64

int qgemm_up_panels(const fr_qweights *w) {
    int nr = fr_kernel()->gemm.nr;
    return (w->panel.nr + nr - 1) / nr;
}

/* ---- packing ---- */

size_t fr_qgemm_up_bytes(const fr_qweights *w, int64_t rank) {
    int64_t lanes = w->panels * qgemm_up_panels(w) * fr_kernel()->gemm.nr;
    return fr_round_up((size_t)(lanes * rank) * 4, FR_ALIGN);
}

static bool in_pairs(fr_dtype up) {
    return up == FR_BF16 && fr_kernel()->gemm.tile[FR_GEMM_BF16];
}
static int64_t steps_of(int64_t rank, bool pairs) {
    return pairs ? (rank + 1) / 2 : rank;
}

/* Columns col .. col + cols - 1 of the result: rows of up, as [steps][nr] pairs. */
static void pack_up_pairs(const fr_tensor *up, int64_t col, int64_t cols, uint16_t *out) {
    int64_t rank = up->dim[1], nr = fr_kernel()->gemm.nr;
    for (int64_t r = 0; r < steps_of(rank, true) * 2; r++)
        for (int64_t i = 0; i < nr; i++)
            out[(r / 2 * nr + i) * 2 + r % 2] =
                i < cols && r < rank ? ((const uint16_t *)up->data)[(col + i) * rank + r] : 0;
}

/* The same as [rank][nr] floats. */
static void pack_up(const fr_tensor *up, int64_t col, int64_t cols, float *out) {
    int64_t rank = up->dim[1], nr = fr_kernel()->gemm.nr;
    for (int64_t r = 0; r < rank; r++)
        for (int64_t i = 0; i < nr; i++) {
            int64_t at = (col + i) * rank + r;
            out[r * nr + i] = i >= cols ? 0.0f
                              : up->dtype == FR_BF16
                                  ? fr_bf16_to_f32(((const uint16_t *)up->data)[at])
                                  : ((const float *)up->data)[at];
        }
}

void fr_qgemm_up_pack(const fr_qweights *w, const fr_tensor *up, void *out) {
    int64_t n = w->panel.n, nr = fr_kernel()->gemm.nr, beside = qgemm_up_panels(w);
    bool pairs = in_pairs(up->dtype);
    int64_t lanes = steps_of(up->dim[1], pairs) * nr;
    for (int64_t j = 0; j < w->panels; j++)
        for (int64_t s = 0; s < beside; s++) {
            int64_t end = FR_MIN((j + 1) * w->panel.nr, n), col = j * w->panel.nr + s * nr;
            float *to = (float *)out + (j * beside + s) * lanes;
            if (pairs)
                pack_up_pairs(up, col, FR_MIN(end - col, nr), (uint16_t *)to);
            else
                pack_up(up, col, FR_MIN(end - col, nr), to);
        }
}

/* `count` rows of low as [steps][count] pairs. */
static void pack_low_pairs(const float *low, int64_t rank, int count, uint16_t *out) {
    for (int64_t s = 0; s < steps_of(rank, true); s++)
        for (int i = 0; i < count; i++, out += 2) {
            const float *x = low + i * rank + 2 * s;
            out[0] = fr_f32_to_bf16(x[0]);
            out[1] = 2 * s + 1 < rank ? fr_f32_to_bf16(x[1]) : 0;
        }
}

/* A call of the tile kernel takes no more rows than its mr, so a tile of ours may take several. */
void qgemm_pack_low(const qgemm_plan *p, const float *low, int64_t rows, float *out) {
    const fr_gemm_kernels *k = &p->kern->gemm;
    int64_t rank = p->g->rank;
    for (int64_t i = 0; i < rows; i += p->way.mr) {
        int64_t end = FR_MIN(i + p->way.mr, rows);
        for (int64_t r = i; r < end; r += k->mr) {
            int count = (int)FR_MIN(end - r, k->mr);
            if (in_pairs(p->g->up_type))
                pack_low_pairs(low + r * rank, rank, count, (uint16_t *)(out + r * rank));
            else
                k->pack_rows(low + r * rank, (size_t)rank * 4, count, (size_t)rank, count,
                             out + r * rank);
        }
    }
}

/* ---- a tile ---- */

static void add_low(const qgemm_plan *p, const fr_qtile *t, int64_t panel, const float *low) {
    const fr_gemm_kernels *k = &p->kern->gemm;
    int64_t rank = p->g->rank, beside = qgemm_up_panels(p->g->w);
    bool pairs = in_pairs(p->g->up_type);
    int64_t steps = steps_of(rank, pairs);
    fr_gemm_tile_fn *tile = k->tile[pairs ? FR_GEMM_BF16 : FR_GEMM_F32];
    const float *up = (const float *)p->g->up_packed + panel * beside * steps * k->nr;
    for (int64_t r = 0; r < t->rows; r += k->mr)
        for (int64_t s = 0; s < beside; s++)
            tile((int)FR_MIN(t->rows - r, k->mr), (size_t)steps, low + r * rank,
                 up + s * steps * k->nr, (float *)t->sum + r * (int64_t)t->lds + s * k->nr, t->lds,
                 true);
}

static const float *bias_of(const fr_qgemm *g, int64_t col, int cols, float *wide) {
    if (g->bias_type != FR_BF16) return (const float *)g->bias + col;
    const uint16_t *h = (const uint16_t *)g->bias + col;
    for (int j = 0; j < cols; j++) wide[j] = fr_bf16_to_f32(h[j]);
    return wide;
}

static size_t bytes_of(fr_dtype t) {
    return t == FR_BF16 ? 2 : 4;
}

/* Where the rows of a tile go. */
static void place(const qgemm_plan *p, const qgemm_rows *at, int64_t row, int64_t col,
                  fr_gemm_store *s) {
    const fr_qgemm *g = p->g;
    if (at->y) {
        s->c = at->y + (row - at->row) * g->n + col;
        s->ldc = (size_t)g->n;
    } else {
        s->c = (char *)g->c + (size_t)(row * g->ldc + col) * bytes_of(g->c_type);
        s->ldc = (size_t)g->ldc;
        s->c_bf16 = g->c_type == FR_BF16;
    }
    if (!g->residual) return;
    size_t from = (size_t)(row * g->ldr + col) * bytes_of(g->residual_type);
    s->residual = (const char *)g->residual + from;
    s->ldr = (size_t)g->ldr;
    s->residual_bf16 = g->residual_type == FR_BF16;
}

void qgemm_fetch(const qgemm_plan *p, const qgemm_rows *at, int64_t row, int rows, int64_t panel) {
    int64_t col = panel * p->way.nr;
    size_t cols = (size_t)FR_MIN(p->g->n - col, p->way.nr);
    fr_gemm_store s = {0};
    place(p, at, row, col, &s);
    size_t size = s.c_bf16 ? 2 : 4, r_size = s.residual_bf16 ? 2 : 4;
    for (size_t i = 0; i < (size_t)rows; i++) {
        for (size_t b = 0; b < cols * size; b += 64)
            __builtin_prefetch((const char *)s.c + i * s.ldc * size + b, 1);
        for (size_t b = 0; s.residual && b < cols * r_size; b += 64)
            __builtin_prefetch((const char *)s.residual + i * s.ldr * r_size + b);
    }
}

void qgemm_finish(const qgemm_plan *p, const fr_qtile *t, const qgemm_rows *at, int64_t row,
                  int64_t panel, const float *low) {
    const fr_qgemm *g = p->g;
    const fr_kernels *k = p->kern;
    float *tile = t->sum, wide[MAX_NR];
    int64_t col = panel * p->way.nr;
    int cols = (int)FR_MIN(g->n - col, p->way.nr);
    k->qgemm.finish(t);
    if (low) add_low(p, t, panel, low);
    if (g->bias) k->gemm.scale_bias(tile, t->lds, t->rows, cols, 1, bias_of(g, col, cols, wide));
    /* The whole tile is one row: what lies past n is finite or not, and never stored. */
    if (g->act != FR_FN_NONE) k->rows.unary(g->act, tile, (size_t)t->rows * t->lds, tile);
    fr_gemm_store s = {.tile = tile, .ld = t->lds, .rows = t->rows, .cols = cols};
    place(p, at, row, col, &s);
    k->gemm.store(&s);
}
