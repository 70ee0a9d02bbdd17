/* conv_gemm.c: convolution as a matrix product, group by group.
 *
 *     forward    y [pixels, og]  = im2col(x) [pixels, taps cg] * w [og, taps cg]^T
 *     input      dx [pixels, cg] = im2col(dy, turned) [pixels, taps og] * w' [taps og, cg]
 *     weight     dw [og, taps cg] = dy^T [og, pixels] * im2col(x), summed over chunks of pixels
 *
 * The rows of im2col are made where the product packs its panels and never stand in memory as a
 * whole; only the weight gradient writes a chunk of them down, because there they are B. */
#include "op/conv.h"

#include <string.h>

/* ---- im2col ---- */

/* Source pixel under result pixel p at tap t along an axis; -1 in the padding. */
static inline int64_t source(const fr_conv_geo *g, int axis, int64_t p, int64_t t) {
    int64_t q = p * g->stride[axis] - g->before[axis] + t * g->dilation[axis];
    if (q < 0 || (g->up[axis] > 1 && q % g->up[axis])) return -1;
    q /= g->up[axis];
    return q < g->in[axis] ? q : -1;
}

/* Taps along the last axis lie side by side in the source: one run for all of them. */
static bool merged(const fr_conv_geo *g) {
    return g->groups == 1 && g->dilation[2] == 1 && g->up[2] == 1;
}

/* Writes values at .. at+count-1 of a line: the taps along the last axis (merged), or one tap.
 * Value 0 of the line is value `first` of the source row, which holds `size` values. */
static void line(const char *row, int64_t first, int64_t length, int64_t at, int64_t count,
                 char *out, size_t bytes) {
    int64_t lo = FR_MAX_OF(at, -first), hi = FR_MIN(at + count, length - first);
    if (hi <= lo) {
        memset(out, 0, (size_t)count * bytes);
        return;
    }
    if (lo > at) memset(out, 0, (size_t)(lo - at) * bytes);
    memcpy(out + (size_t)(lo - at) * bytes, row + (size_t)(first + lo) * bytes,
           (size_t)(hi - lo) * bytes);
    if (hi < at + count)
        memset(out + (size_t)(hi - at) * bytes, 0, (size_t)(at + count - hi) * bytes);
}

/* The next result pixel in row order. */
static inline void advance(const fr_conv_geo *g, int64_t *n, int64_t p[3]) {
    for (int a = 2; a >= 0; a--) {
        if (++p[a] < g->out[a]) return;
        p[a] = 0;
    }
    ++*n;
}

/* Values at .. at+count-1 of line l for `rows` result pixels from (n, p) on. */
static void lines(const fr_im2col *j, int64_t n, const int64_t first[3], int64_t rows, int64_t l,
                  int64_t at, int64_t count, char *out, size_t step) {
    const fr_conv_geo *g = j->geo;
    bool merge = merged(g);
    int64_t kw = merge ? 1 : g->k[2];
    int64_t t0 = l / kw / g->k[1], t1 = l / kw % g->k[1], t2 = l % kw;
    int64_t p[3] = {first[0], first[1], first[2]};
    for (int64_t i = 0; i < rows; i++, out += step, advance(g, &n, p)) {
        int64_t t = source(g, 0, p[0], t0), y = source(g, 1, p[1], t1);
        int64_t x = merge ? p[2] * g->stride[2] - g->before[2] : source(g, 2, p[2], t2);
        if (t < 0 || y < 0 || (!merge && x < 0)) {
            memset(out, 0, (size_t)count * j->size);
            continue;
        }
        int64_t pixel = ((n * g->in[0] + t) * g->in[1] + y) * g->in[2];
        const char *row = (const char *)j->x + (size_t)(pixel * g->c) * j->size;
        line(row, x * g->c + j->group * g->cg, g->in[2] * g->c, at, count, out, j->size);
    }
}

void fr_im2col_rows(void *arg, int64_t row, int64_t rows, int64_t k0, int64_t count, void *out,
                    int64_t ld) {
    const fr_im2col *j = arg;
    const fr_conv_geo *g = j->geo;
    int64_t p[3], n = j->first + row, len = merged(g) ? g->k[2] * g->cg : g->cg;
    for (int a = 2; a >= 0; a--) {
        p[a] = n % g->out[a];
        n /= g->out[a];
    }
    char *to = out;
    if (len == 0) return;
    for (int64_t l = k0 / len, at = k0 % len; count > 0; l++, at = 0) {
        int64_t run = FR_MIN(len - at, count);
        lines(j, n, p, rows, l, at, run, to, (size_t)ld * j->size);
        to += (size_t)run * j->size;
        count -= run;
    }
}

/* One tap, no padding, every pixel: the source itself is the matrix. */
static bool plain(const fr_conv_geo *g) {
    for (int i = 0; i < 3; i++)
        if (g->k[i] != 1 || g->stride[i] != 1 || g->up[i] != 1 || g->before[i] != 0 ||
            g->in[i] != g->out[i])
            return false;
    return true;
}

#define BLOCK_BYTES (512 * 1024)

/* ---- the product of one group ---- */

static size_t bytes_of(fr_dtype t) {
    return t == FR_BF16 ? 2 : 4;
}

static const void *offset(const void *p, int64_t values, fr_dtype t) {
    return (const char *)p + values * (int64_t)bytes_of(t);
}

/* Shape and types; enough to ask for scratch and packing. */
static fr_gemm product_of(const fr_call *c, const fr_conv_geo *g, bool transposed) {
    const fr_tensor *x = &c->in[0], *w = &c->in[1];
    fr_gemm m = {.m = g->rows,
                 .n = g->og,
                 .k = g->taps * g->cg,
                 .a_type = x->dtype,
                 .b_type = w->dtype,
                 .c_type = c->out[0].dtype};
    m.tb = !transposed;
    m.ldb = transposed ? g->og : m.k;
    m.lda = g->c;
    m.ldc = g->o;
    if (!plain(g)) m.a_rows = fr_im2col_rows;
    return m;
}

/* Operands of group i; w is the weight, for a transposed one in the order [group][tap, og][cg]. */
static fr_gemm product_at(const fr_call *c, const fr_conv_geo *g, bool transposed, int64_t i,
                          const void *w, fr_im2col *rows) {
    const fr_conv_attr *a = c->attr;
    fr_gemm m = product_of(c, g, transposed);
    *rows = (fr_im2col){g, c->in[0].data, bytes_of(m.a_type), i, 0};
    m.a_arg = rows;
    m.a = m.a_rows ? NULL : offset(c->in[0].data, i * g->cg, m.a_type);
    m.b = offset(w, i * m.k * m.n, m.b_type);
    if (c->packed)
        m.b_packed =
            (const char *)c->packed + (size_t)i * fr_round_up(fr_gemm_pack_bytes(&m), FR_ALIGN);
    m.c = (void *)offset(c->out[0].data, i * g->og, m.c_type);
    m.act = (fr_fn)a->act;
    if (fr_has(c, 2)) {
        m.bias_type = c->in[2].dtype;
        m.bias = offset(c->in[2].data, i * g->og, m.bias_type);
    }
    if (fr_has(c, 3)) {
        m.residual_type = c->in[3].dtype;
        m.residual = offset(c->in[3].data, i * g->og, m.residual_type);
        m.ldr = g->o;
    }
    return m;
}

/* ---- packing ---- */

size_t fr_conv_gemm_pack_bytes(const fr_call *c, const fr_conv_geo *g) {
    fr_gemm m = product_of(c, g, false);
    return (size_t)g->groups * fr_round_up(fr_gemm_pack_bytes(&m), FR_ALIGN);
}

void fr_conv_gemm_pack(const fr_call *c, const fr_conv_geo *g, void *out) {
    fr_gemm m = product_of(c, g, false);
    size_t each = fr_round_up(fr_gemm_pack_bytes(&m), FR_ALIGN);
    for (int64_t i = 0; i < g->groups; i++) {
        m.b = offset(c->in[1].data, i * m.k * m.n, m.b_type);
        fr_gemm_pack_b(&m, (char *)out + (size_t)i * each, c->pool);
    }
}

/* ---- run ---- */

/* Many small groups: one product a thread. The cut goes by the groups alone. */
static bool groups_in_parallel(const fr_conv_geo *g) {
    return g->groups >= 8;
}

/* Gathered rows are packed once and read n / nr times: in blocks that stay in the second cache,
 * against the weight packed before. One block is one item of the pool. */
static int64_t block_rows(const fr_conv_geo *g, const fr_gemm *m) {
    int64_t mr = fr_kernel()->gemm.mr;
    int64_t rows = BLOCK_BYTES / FR_MAX_OF(m->k * (int64_t)sizeof(float), 1) / mr * mr;
    return FR_MIN(FR_MAX_OF(rows, 2 * mr), FR_MAX_OF(g->rows, 1));
}

typedef struct blocks_layout {
    size_t weight, each; /* bytes of: the packed weight of a group, the product of a block */
} blocks_layout;

static blocks_layout blocks_layout_of(const fr_call *c, const fr_conv_geo *g, fr_gemm m) {
    blocks_layout l = {0};
    if (!c->packed) l.weight = fr_round_up(fr_gemm_pack_bytes(&m), FR_ALIGN);
    m.m = block_rows(g, &m);
    m.b_packed = &l; /* only that there is one matters here */
    l.each = fr_round_up(fr_gemm_scratch(&m, NULL), FR_ALIGN);
    return l;
}

size_t fr_conv_gemm_scratch(const fr_call *c, const fr_conv_geo *g, bool transposed) {
    fr_gemm m = product_of(c, g, transposed);
    size_t threads = (size_t)fr_pool_threads(c->pool);
    if (groups_in_parallel(g)) return threads * fr_round_up(fr_gemm_scratch(&m, NULL), FR_ALIGN);
    if (plain(g)) return fr_gemm_scratch(&m, c->pool);
    blocks_layout l = blocks_layout_of(c, g, m);
    return l.weight + threads * l.each;
}

typedef struct groups_job {
    const fr_call *c;
    const fr_conv_geo *g;
    bool transposed;
    const void *w;
    char *scratch;
    size_t each;
} groups_job;

static void one_group(void *arg, size_t thread, size_t i) {
    const groups_job *j = arg;
    fr_im2col rows;
    fr_gemm m = product_at(j->c, j->g, j->transposed, (int64_t)i, j->w, &rows);
    fr_gemm_run(&m, j->scratch + thread * j->each, NULL);
}

typedef struct blocks_job {
    const fr_gemm *m;
    const fr_im2col *rows;
    int64_t block;
    char *scratch;
    size_t each;
} blocks_job;

static void one_block(void *arg, size_t thread, size_t i) {
    const blocks_job *j = arg;
    fr_im2col rows = *j->rows;
    fr_gemm m = *j->m;
    rows.first = (int64_t)i * j->block;
    m.a_arg = &rows;
    m.m = FR_MIN(j->block, m.m - rows.first);
    m.c = (void *)offset(m.c, rows.first * m.ldc, m.c_type);
    if (m.residual) m.residual = offset(m.residual, rows.first * m.ldr, m.residual_type);
    fr_gemm_run(&m, j->scratch + thread * j->each, NULL);
}

static void run_blocks(const fr_call *c, const fr_conv_geo *g, fr_gemm m, const fr_im2col *rows,
                       char *scratch) {
    fr_gemm shape = m;
    shape.b_packed = NULL;
    blocks_layout l = blocks_layout_of(c, g, shape);
    if (!m.b_packed) {
        fr_gemm_pack_b(&m, scratch, c->pool);
        m.b_packed = scratch;
    }
    blocks_job j = {&m, rows, block_rows(g, &m), scratch + l.weight, l.each};
    size_t blocks = (size_t)((g->rows + j.block - 1) / j.block);
    fr_pool_run_thread(blocks > 1 ? c->pool : NULL, blocks, one_block, &j);
}

void fr_conv_gemm_run(const fr_call *c, const fr_conv_geo *g, bool transposed, const void *w,
                      void *scratch) {
    groups_job j = {c, g, transposed, w, scratch, 0};
    if (g->rows == 0) return;
    if (groups_in_parallel(g)) {
        fr_gemm m = product_of(c, g, transposed);
        j.each = fr_round_up(fr_gemm_scratch(&m, NULL), FR_ALIGN);
        fr_pool_run_thread(c->pool, (size_t)g->groups, one_group, &j);
        return;
    }
    for (int64_t i = 0; i < g->groups; i++) {
        fr_im2col rows;
        fr_gemm m = product_at(c, g, transposed, i, w, &rows);
        if (plain(g))
            fr_gemm_run(&m, scratch, c->pool);
        else
            run_blocks(c, g, m, &rows, scratch);
    }
}

/* ---- gradient of the weight: x, dy -> dw ---- */

#define CHUNK_VALUES (1 << 20)
#define CHUNK_PIECE  32

/* Pixels that are written down at once. */
static int64_t chunk_rows(const fr_conv_geo *g) {
    int64_t rows = CHUNK_VALUES / FR_MAX_OF(g->taps * g->cg, 1);
    rows = (int64_t)fr_round_up((size_t)FR_MAX_OF(rows, 64), CHUNK_PIECE);
    return plain(g) ? FR_MAX_OF(g->rows, 1) : FR_MIN(rows, FR_MAX_OF(g->rows, 1));
}

static fr_gemm weight_product(const fr_call *c, const fr_conv_geo *g) {
    fr_gemm m = {.m = g->og,
                 .n = g->taps * g->cg,
                 .k = chunk_rows(g),
                 .ta = true,
                 .lda = g->o,
                 .a_type = c->in[1].dtype,
                 .b_type = c->in[0].dtype,
                 .c_type = FR_F32};
    m.ldb = plain(g) ? g->c : m.n;
    m.ldc = m.n;
    return m;
}

typedef struct layout {
    size_t col, sum, gemm; /* bytes of: a chunk of im2col, the sum in f32, the product's own */
} layout;

static layout weight_layout(const fr_call *c, const fr_conv_geo *g) {
    fr_gemm m = weight_product(c, g);
    layout l = {0};
    if (!plain(g)) l.col = fr_round_up((size_t)(m.k * m.n) * bytes_of(m.b_type), FR_ALIGN);
    if (c->out[0].dtype != FR_F32)
        l.sum = fr_round_up((size_t)(g->o * m.n) * sizeof(float), FR_ALIGN);
    l.gemm = fr_gemm_scratch(&m, c->pool);
    return l;
}

size_t fr_conv_gemm_weight_scratch(const fr_call *c, const fr_conv_geo *g) {
    layout l = weight_layout(c, g);
    return l.col + l.sum + l.gemm;
}

typedef struct chunk_job {
    fr_im2col rows;
    int64_t first, n;
    char *out;
} chunk_job;

static void write_chunk(void *arg, size_t start, size_t end) {
    chunk_job *j = arg;
    fr_im2col_rows(&j->rows, j->first + (int64_t)start, (int64_t)(end - start), 0, j->n,
                   j->out + start * (size_t)j->n * j->rows.size, j->n);
}

void fr_conv_gemm_weight_run(const fr_call *c, const fr_conv_geo *g) {
    layout l = weight_layout(c, g);
    fr_gemm m = weight_product(c, g);
    char *col = c->scratch, *own = col + l.col + l.sum;
    float *sum = l.sum ? (float *)(col + l.col) : c->out[0].data;
    int64_t step = m.k;
    for (int64_t i = 0; i < g->groups; i++)
        for (int64_t at = 0; at < g->rows; at += step) {
            m.k = FR_MIN(step, g->rows - at);
            m.a = offset(c->in[1].data, at * g->o + i * g->og, m.a_type);
            m.c = sum + i * g->og * m.n;
            m.accumulate = at > 0;
            m.b = offset(c->in[0].data, i * g->cg, m.b_type);
            if (!plain(g)) {
                chunk_job j = {{g, c->in[0].data, bytes_of(m.b_type), i, 0}, at, m.n, col};
                fr_pool_range(c->pool, (size_t)m.k, CHUNK_PIECE, write_chunk, &j);
                m.b = col;
            }
            fr_gemm_run(&m, own, c->pool);
        }
    if (l.sum) fr_kernel()->convert.f32_to_bf16(sum, (size_t)(g->o * m.n), c->out[0].data);
}
