/* qrows.c: rows of activations into records, with what comes before and the low-rank branch's first half;
 * see qrows.h. The fusion is that of Nunchaku's quantizing kernel (Li et al., SVDQuant, 2024).
 *
 * Rows go in groups of as many as a tile of the product has. Each is made and put into its record; where
 * there is a branch, it also stays behind in the type of the product, and the group is multiplied by
 * `down` some steps of k at a time: a step is one k, or a pair where bf16 has a dot instruction. */
#include "op/qrows.h"

#include <string.h>

#include "op/norm.h"

#define STEPS 256 /* of k packed at once: with its part of `down` it lies in the first two caches */

/* ---- what comes before ---- */

static fr_tensor view_of(const fr_qrows *q) {
    if (q->view) return *q->view;
    return (fr_tensor){.dtype = q->x_type,
                       .rank = 2,
                       .dim = {q->m, q->row.k},
                       .stride = {q->ldx, 1},
                       .data = (void *)(uintptr_t)q->x};
}

static const float *operand(const fr_tensor *t, const fr_tensor *x, size_t row, size_t i, size_t n,
                            float *buf) {
    return t ? fr_block_in(t, fr_row_start(x, t, row) + i, n, buf) : NULL;
}

/* The row as floats: where it lies, or made in `out`. */
static const float *make_row(const fr_qrows *q, const fr_tensor *x, size_t row, float *out) {
    const fr_rows_kernels *kern = &fr_kernel()->rows;
    size_t k = (size_t)q->row.k;
    const float *v = fr_block_in(x, fr_row_start(x, x, row), k, out);
    float buf[2][FR_BLOCK];
    fr_norm_row stats = {0};
    if (q->before == FR_BEFORE_NONE) return v;
    if (q->before == FR_BEFORE_RMSNORM || q->before == FR_BEFORE_LAYERNORM) {
        fr_norm_attr a = {q->eps, q->before == FR_BEFORE_LAYERNORM, 0};
        fr_tensor wide = {.dtype = FR_F32, .data = (void *)(uintptr_t)v};
        stats = fr_norm_stats(&wide, 0, k, &a);
    }
    for (size_t i = 0; i < k; i += FR_BLOCK) {
        size_t n = FR_MIN(k - i, (size_t)FR_BLOCK);
        if (q->before == FR_BEFORE_FN)
            kern->unary(q->fn, v + i, n, out + i);
        else if (q->before == FR_BEFORE_GLU)
            kern->glu(q->fn, v + i, operand(q->up, x, row, i, n, buf[0]), n, out + i);
        else
            kern->norm(v + i, stats, q->weight ? q->weight + i : NULL, q->bias ? q->bias + i : NULL,
                       operand(q->scale, x, row, i, n, buf[0]),
                       operand(q->shift, x, row, i, n, buf[1]), n, out + i);
    }
    return out;
}

/* ---- the low-rank branch ---- */

typedef struct branch {
    bool pairs; /* bf16 */
    int mr, nr;
    int64_t steps;       /* of the whole k */
    int64_t width;       /* ranks, filled up */
    size_t row_bytes;    /* of a row that waits */
    size_t panel_bytes;  /* of STEPS steps of mr rows */
    size_t thread_bytes; /* the row as floats, waiting rows, panel, sums */
} branch;

static branch branch_of(int64_t rank, int64_t k) {
    const fr_gemm_kernels *g = &fr_kernel()->gemm;
    branch b = {.pairs = g->tile[FR_GEMM_BF16] != NULL, .mr = g->mr, .nr = g->nr};
    b.steps = b.pairs ? (k + 1) / 2 : k;
    b.width = (rank + b.nr - 1) / b.nr * b.nr;
    /* Not a multiple of a page from row to row, which would fight for the same lines. */
    b.row_bytes = fr_round_up((size_t)b.steps * 4, FR_ALIGN) + FR_ALIGN;
    b.panel_bytes = (size_t)b.mr * STEPS * 4;
    b.thread_bytes = fr_round_up((size_t)k * 4, FR_ALIGN);
    if (rank)
        b.thread_bytes += (size_t)b.mr * b.row_bytes + b.panel_bytes +
                          fr_round_up((size_t)(b.mr * b.width) * 4, FR_ALIGN);
    return b;
}

size_t fr_qrows_down_bytes(int64_t rank, int64_t k) {
    branch b = branch_of(rank, k);
    return (size_t)(b.width * b.steps) * 4;
}

/* Panels of nr ranks, [steps][nr] lanes. */
void fr_qrows_down_pack(const fr_tensor *down, void *out) {
    int64_t rank = down->dim[0], k = down->dim[1];
    branch b = branch_of(rank, k);
    float buf[FR_BLOCK];
    memset(out, 0, fr_qrows_down_bytes(rank, k));
    for (int64_t r = 0; r < rank; r++) {
        uint32_t *to = (uint32_t *)out + (size_t)(r / b.nr * b.steps * b.nr + r % b.nr);
        for (int64_t i = 0; i < k; i += FR_BLOCK) {
            int64_t n = FR_MIN(k - i, FR_BLOCK);
            const float *v = fr_block_in(down, (size_t)(r * down->stride[0] + i), (size_t)n, buf);
            for (int64_t j = 0; j < n; j++) {
                uint32_t bits;
                memcpy(&bits, v + j, 4);
                if (b.pairs)
                    to[(i + j) / 2 * b.nr] |= (uint32_t)fr_f32_to_bf16(v[j]) << (i + j) % 2 * 16;
                else
                    to[(i + j) * b.nr] = bits;
            }
        }
    }
}

static void keep_row(const branch *b, const float *v, int64_t k, void *out) {
    if (!b->pairs) {
        memcpy(out, v, (size_t)k * 4);
        return;
    }
    fr_kernel()->convert.f32_to_bf16(v, (size_t)k, out);
    if (k % 2) ((uint16_t *)out)[k] = 0;
}

/* low = rows downT for some rows that wait. */
static void low_rows(const fr_qrows *q, const branch *b, int rows, const char *kept, void *panel,
                     float *sums, float *low) {
    const fr_gemm_kernels *g = &fr_kernel()->gemm;
    fr_gemm_tile_fn *tile = g->tile[b->pairs ? FR_GEMM_BF16 : FR_GEMM_F32];
    for (int64_t s = 0; s < b->steps; s += STEPS) {
        size_t count = (size_t)FR_MIN(b->steps - s, STEPS);
        g->pack_rows(kept + s * 4, b->row_bytes, rows, count, rows, panel);
        for (int64_t r = 0; r < b->width; r += b->nr)
            tile(rows, count, panel, (const float *)q->down_packed + r * b->steps + s * b->nr,
                 sums + r, (size_t)b->width, s > 0);
    }
    for (int i = 0; i < rows; i++)
        memcpy(low + i * q->rank, sums + i * b->width, (size_t)q->rank * 4);
}

/* ---- all of it ---- */

/* What is left of a record past its parts. */
static void clear_end(const fr_qrow *r, char *record) {
    size_t end = r->less + (r->kind == FR_ROWS_FP8 ? 0 : 4 * (size_t)r->groups);
    memset(record + end, 0, r->bytes - end);
}

void fr_qrows_some(const fr_qrows *q, int64_t row, int64_t count, void *scratch) {
    branch b = branch_of(q->rank, q->row.k);
    fr_qrow_fn *quantize = fr_kernel()->qrow.quantize[q->row.kind];
    fr_tensor x = view_of(q);
    float *made = scratch;
    char *kept = (char *)scratch + fr_round_up((size_t)q->row.k * 4, FR_ALIGN);
    char *panel = kept + (size_t)b.mr * b.row_bytes;
    float *sums = (float *)(panel + b.panel_bytes);
    for (int64_t i = row; i < row + count; i += b.mr) {
        int rows = (int)FR_MIN(row + count - i, b.mr);
        for (int j = 0; j < rows; j++) {
            const float *v = make_row(q, &x, (size_t)(i + j), made);
            char *record = (char *)q->records + (size_t)(i + j) * q->row.bytes;
            quantize(&q->row, v, q->add, q->by, record);
            clear_end(&q->row, record);
            if (q->rank) keep_row(&b, v, q->row.k, kept + (size_t)j * b.row_bytes);
        }
        if (q->rank) low_rows(q, &b, rows, kept, panel, sums, q->low + i * q->rank);
    }
}

typedef struct job {
    const fr_qrows *q;
    int64_t rows; /* of an item */
    char *scratch;
    size_t thread_bytes;
} job;

static void some_rows(void *arg, size_t thread, size_t item) {
    const job *w = arg;
    int64_t row = (int64_t)item * w->rows;
    fr_qrows_some(w->q, row, FR_MIN(w->q->m - row, w->rows), w->scratch + thread * w->thread_bytes);
}

size_t fr_qrows_scratch(const fr_qrows *q, const fr_pool *pool) {
    return branch_of(q->rank, q->row.k).thread_bytes * (size_t)fr_pool_threads(pool);
}

void fr_qrows_run(const fr_qrows *q, void *scratch, fr_pool *pool) {
    branch b = branch_of(q->rank, q->row.k);
    int64_t rows = FR_MAX_OF(FR_PIECE / q->row.k, 1);
    rows = (rows + b.mr - 1) / b.mr * b.mr;
    job w = {q, rows, scratch, b.thread_bytes};
    if (q->m) fr_pool_run_thread(pool, (size_t)((q->m + rows - 1) / rows), some_rows, &w);
}
