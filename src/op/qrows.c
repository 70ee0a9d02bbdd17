/* qrows.c: rows of activations into records, with what comes before and the low-rank branch's first half;
 * see qrows.h. The fusion is that of Nunchaku's quantizing kernel (Li et al., SVDQuant, 2024).
 *
 * Each row is made, put into its record, and where there is a branch kept in the type that its kernel reads;
 * after some rows they are multiplied with `down`, which lies in the second cache. */
#include "op/qrows.h"

#include <string.h>

#include "op/norm.h"

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

#define GROUP 6 /* rows that wait for their product: a few of the kernel's tiles */

/* Bytes from one waiting row, or row of `down`, to the next: not a multiple of a page, where rows would
 * fight for the same lines. */
static int64_t kept_bytes(int64_t k) {
    return fr_qrow_kept(k, fr_kernel()->qrow.low_bytes) + FR_ALIGN;
}

size_t fr_qrows_down_bytes(int64_t rank, int64_t k) {
    return (size_t)(rank * kept_bytes(k));
}

void fr_qrows_down_pack(const fr_tensor *down, void *out) {
    int64_t rank = down->dim[0], k = down->dim[1], ld = kept_bytes(k);
    int bytes = fr_kernel()->qrow.low_bytes;
    float buf[FR_BLOCK];
    for (int64_t r = 0; r < rank; r++)
        for (int64_t i = 0; i < k; i += FR_BLOCK) {
            size_t n = (size_t)FR_MIN(k - i, FR_BLOCK);
            const float *v = fr_block_in(down, (size_t)(r * down->stride[0] + i), n, buf);
            fr_kernel()->qrow.keep(v, (int64_t)n, (char *)out + r * ld + i * bytes);
        }
}

/* ---- all of it ---- */

/* What is left of a record past its parts. */
static void clear_end(const fr_qrow *r, char *record) {
    size_t end = r->less + (r->kind == FR_ROWS_FP8 ? 0 : 4 * (size_t)r->groups);
    memset(record + end, 0, r->bytes - end);
}

/* Scratch of a thread: the row as floats, then rows that wait. */
static size_t made_bytes(const fr_qrows *q) {
    return fr_round_up((size_t)q->row.k * 4, FR_ALIGN);
}
static size_t thread_bytes(const fr_qrows *q) {
    return made_bytes(q) + (q->rank ? GROUP * (size_t)kept_bytes(q->row.k) : 0);
}

/* The rows that come after a product, which most often lie one after the other. */
static void look_ahead(const fr_tensor *x, int64_t row, int64_t rows, fr_qrow_low *t) {
    size_t size = x->dtype == FR_F32 ? 4 : 2;
    t->next = (const char *)x->data + fr_row_start(x, x, (size_t)row) * size;
    t->next_bytes = rows * t->k * (int64_t)size;
}

void fr_qrows_some(const fr_qrows *q, int64_t row, int64_t count, void *scratch) {
    const fr_qrow_kernels *kern = &fr_kernel()->qrow;
    int64_t k = q->row.k, ld = kept_bytes(k);
    fr_tensor x = view_of(q);
    char *kept = (char *)scratch + made_bytes(q);
    for (int64_t i = row; i < row + count; i += GROUP) {
        int rows = (int)FR_MIN(row + count - i, GROUP);
        for (int j = 0; j < rows; j++) {
            const float *v = make_row(q, &x, (size_t)(i + j), scratch);
            char *record = (char *)q->records + (size_t)(i + j) * q->row.bytes;
            kern->quantize[q->row.kind](&q->row, v, q->add, q->by, record);
            clear_end(&q->row, record);
            if (q->rank) kern->keep(v, k, kept + j * ld);
        }
        if (!q->rank) continue;
        fr_qrow_low t = {.rows = rows, .ranks = q->rank, .k = k, .ldx = ld, .ldd = ld};
        t.x = kept, t.down = q->down_packed;
        t.low = q->low + i * q->rank, t.ldl = q->rank;
        int64_t left = row + count - i - rows;
        if (left) look_ahead(&x, i + rows, FR_MIN(left, 2 * GROUP), &t);
        kern->low(&t);
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
    return thread_bytes(q) * (size_t)fr_pool_threads(pool);
}

void fr_qrows_run(const fr_qrows *q, void *scratch, fr_pool *pool) {
    /* Items of some groups where there are many rows: each can look ahead to the next group. */
    int64_t most = FR_MAX_OF(FR_MIN(q->m / 512, 8), 1);
    int64_t rows = FR_MAX_OF(FR_PIECE / q->row.k / GROUP, most) * GROUP;
    job w = {q, rows, scratch, thread_bytes(q)};
    if (q->m) fr_pool_run_thread(pool, (size_t)((q->m + rows - 1) / rows), some_rows, &w);
}
