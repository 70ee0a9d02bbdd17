/* gemm.c: matrix products on the pool. The tiling is that of GotoBLAS and BLIS (Goto and van de
 * Geijn 2008, Van Zee and van de Geijn 2015): panels packed in the order in which the kernel reads
 * them, blocks sized for the caches. See gemm_plan.h for how a product is cut.
 *
 * Every chunk is two runs of the pool: the panels of A and of B, unless they came packed or the
 * tasks pack their own, then the tasks over C. Short work is done in place. */
#include <string.h>

#include "op/gemm_plan.h"

#define PACK_ALONE    32768 /* values: less is not worth the pool */
#define PACK_PANELS   4     /* panels of B in an item, and how many steps of each at a time */
#define PACK_STEPS    64
#define PACK_PANELS_A 8 /* the same for A transposed */
#define PACK_STEPS_A  16
#define WORK_ALONE    60000 /* cycles, about */

typedef struct chunk {
    const gemm_plan *p;
    int64_t row, rows, col, cols, step, steps; /* what it covers */
    char *a;
    char *b;        /* only read once packed */
    size_t b_panel; /* bytes from one panel of B to the next */
    char *b_out;
    float *partial;
    char *threads; /* private scratch */
    int64_t m_tasks;
} chunk;

/* ---- packing ---- */

static int64_t blocks_of(const chunk *c) {
    return gemm_div_up(c->steps, c->p->block);
}

/* Where panel i of A begins in the block of k that starts at step s of the chunk. */
static char *a_panel(const chunk *c, int64_t i, int64_t s, int64_t length) {
    return c->a + (size_t)(s * c->rows + i * c->p->mr * length) * c->p->a_lane;
}

/* Panels of A in an item. Where k goes from row to row, panels lie side by side in a row. */
static int64_t panels_together(const chunk *c) {
    return c->p->g->ta ? PACK_PANELS_A : 1;
}

/* Panels i0 .. i1 - 1 of a block to where `out` has the first of them; where k goes from row to row some steps of
 * all at a time, while their lines are at hand. */
static void pack_panels(const chunk *c, int64_t i0, int64_t i1, int64_t s, int64_t length,
                        void *temp, char *out) {
    const gemm_plan *p = c->p;
    int64_t most = p->g->ta ? PACK_STEPS_A : FR_MAX_OF(length, 1);
    for (int64_t at = 0; at < length; at += most)
        for (int64_t i = i0; i < i1; i++) {
            int rows = (int)FR_MIN(c->rows - i * p->mr, p->mr);
            int64_t to = (i - i0) * p->mr * length + at * rows;
            gemm_pack_a_panel(p, c->row + i * p->mr, rows, c->step + s + at,
                              FR_MIN(most, length - at), temp, out + (size_t)to * p->a_lane);
        }
}

static void pack_a_item(void *arg, size_t thread, size_t item) {
    const chunk *c = arg;
    const gemm_plan *p = c->p;
    int64_t blocks = blocks_of(c), i0 = (int64_t)item / blocks * panels_together(c);
    int64_t i1 = FR_MIN(i0 + panels_together(c), gemm_div_up(c->rows, p->mr));
    int64_t s = (int64_t)item % blocks * p->block, length = FR_MIN(p->block, c->steps - s);
    pack_panels(c, i0, i1, s, length, c->threads + thread * p->thread_bytes,
                a_panel(c, i0, s, length));
}

static void pack_a(chunk *c, fr_pool *pool) {
    int64_t items = gemm_div_up(gemm_div_up(c->rows, c->p->mr), panels_together(c));
    if (c->rows * c->steps < PACK_ALONE) pool = NULL;
    fr_pool_run_thread(pool, (size_t)(items * blocks_of(c)), pack_a_item, c);
}

/* Some panels together, some steps at a time: where k runs from row to row, a row is read for all of
 * them while its page is at hand. */
static void pack_b_item(void *arg, size_t item) {
    const chunk *c = arg;
    const gemm_plan *p = c->p;
    int64_t j0 = (int64_t)item * PACK_PANELS;
    int64_t j1 = FR_MIN(j0 + PACK_PANELS, gemm_div_up(c->cols, p->nr));
    int64_t length = p->g->tb ? FR_MAX_OF(c->steps, 1) : PACK_STEPS;
    for (int64_t s = 0; s < c->steps; s += length)
        for (int64_t j = j0; j < j1; j++)
            gemm_pack_b_panel(p, c->col + j * p->nr, c->step + s, FR_MIN(length, c->steps - s),
                              c->b_out + (size_t)j * c->b_panel + (size_t)(s * p->nr) * 4);
}

static void pack_b(chunk *c, fr_pool *pool) {
    if (c->cols * c->steps < PACK_ALONE) pool = NULL;
    fr_pool_run(pool, (size_t)gemm_div_up(c->cols, c->p->nr * PACK_PANELS), pack_b_item, c);
}

/* ---- the product of a chunk ---- */

/* What a tile needs beside its place: one block of k, steps s .. s + length - 1 of the chunk. */
typedef struct block {
    int64_t s, length;
    char *own;   /* this thread's panels of B, NULL: those of the chunk */
    char *own_a; /* its panels of A from `first_a` on, NULL: those of the chunk */
    int64_t first_a;
} block;

/* The tile's sums over the block. With `fresh` its panel of B is not packed yet: full panels of f32
 * rows are packed by the kernel as it goes. */
static void sums(const chunk *c, const block *k, int64_t i, int64_t col, void *b, bool fresh,
                 float *to, int64_t ld) {
    const gemm_plan *p = c->p;
    const fr_gemm *g = p->g;
    const void *a = a_panel(c, i, k->s, k->length);
    if (k->own_a) a = k->own_a + (size_t)((i - k->first_a) * p->mr * k->length) * p->a_lane;
    int rows = (int)FR_MIN(c->rows - i * p->mr, p->mr);
    int64_t step = c->step + k->s;
    if (fresh && p->kern->first && p->kind == FR_GEMM_F32 && !g->tb && g->n - col >= p->nr) {
        const float *from = (const float *)g->b + step * g->ldb + col;
        p->kern->first(rows, (size_t)k->length, a, from, (size_t)g->ldb, b, to, (size_t)ld,
                       step != 0);
        return;
    }
    if (fresh) gemm_pack_b_panel(p, col, step, k->length, b);
    p->tile(rows, (size_t)k->length, a, b, to, (size_t)ld, step != 0);
}

/* Where the finished values go and what is added to them: asked for while the sums are made, or each
 * store would wait. */
static void fetch_c(const fr_gemm *g, int rows, int cols, int64_t row, int64_t col) {
    for (int i = 0; i < rows; i++) {
        size_t size = gemm_type_bytes(g->c_type), bytes = (size_t)cols * size;
        const char *c = (const char *)g->c + (size_t)((row + i) * g->ldc + col) * size;
        for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch(c + at, 1);
        if (!g->residual) continue;
        size = gemm_type_bytes(g->residual_type);
        const char *r = (const char *)g->residual + (size_t)((row + i) * g->ldr + col) * size;
        for (size_t at = 0; at < (size_t)cols * size; at += 64) __builtin_prefetch(r + at);
    }
}

/* One tile over one block of k; `slot`: the place of panel j in the thread's own. */
static void tile(const chunk *c, const block *k, int64_t i, int64_t j, int64_t slot, bool fresh) {
    const gemm_plan *p = c->p;
    const fr_gemm *g = p->g;
    int64_t row = c->row + i * p->mr, col = c->col + j * p->nr;
    int rows = (int)FR_MIN(c->row + c->rows - row, p->mr), cols = (int)FR_MIN(g->n - col, p->nr);
    char *b = k->own ? k->own + (size_t)(slot * k->length * p->nr) * 4
                     : c->b + (size_t)j * c->b_panel + (size_t)(k->s * p->nr) * 4;
    if (p->direct && cols == p->nr) {
        sums(c, k, i, col, b, fresh, (float *)g->c + row * g->ldc + col, g->ldc);
        return;
    }
    _Alignas(64) float alone[16 * GEMM_MAX_NR];
    float *sum = alone;
    if (p->partial) sum = c->partial + (j * gemm_div_up(c->rows, p->mr) + i) * p->mr * p->nr;
    bool last = c->step + k->s + k->length >= p->steps;
    if (last) fetch_c(g, rows, cols, row, col);
    sums(c, k, i, col, b, fresh, sum, p->nr);
    if (last) gemm_finish(p, sum, rows, cols, row, col);
}

/* A block of k stays with all tiles of the task: some panels of A with all panels of B, then the next
 * panels of A. Only a single panel of A is short enough to follow a panel of B over the whole k,
 * which then comes from memory in one stream. */
static void task(void *arg, size_t thread, size_t item) {
    const chunk *c = arg;
    const gemm_plan *p = c->p;
    int64_t i0 = (int64_t)item % c->m_tasks * p->m_group,
            j0 = (int64_t)item / c->m_tasks * p->n_block;
    int64_t i1 = FR_MIN(i0 + p->m_group, gemm_div_up(c->rows, p->mr));
    int64_t j1 = FR_MIN(j0 + p->n_block, gemm_div_up(c->cols, p->nr));
    int64_t group = i1 - i0 == 1 && !p->own_a ? 1 : j1 - j0;
    char *own = c->threads + thread * p->thread_bytes;
    block k = {.own = p->own_b ? own : NULL, .own_a = p->own_a ? own : NULL};
    for (int64_t g = j0; g < j1; g += group) {
        k.s = 0;
        do { /* once even when k is 0 */
            k.length = FR_MIN(p->block, c->steps - k.s);
            for (int64_t ib = i0; ib < i1; ib += p->m_block) {
                int64_t ie = FR_MIN(ib + p->m_block, i1);
                k.first_a = ib;
                if (k.own_a) pack_panels(c, ib, ie, k.s, k.length, NULL, k.own_a);
                for (int64_t j = g; j < g + group; j++)
                    for (int64_t i = ib; i < ie; i++) tile(c, &k, i, j, j - g, k.own && i == i0);
            }
            k.s += p->block;
        } while (k.s < c->steps);
    }
}

static void multiply(chunk *c, fr_pool *pool) {
    const gemm_plan *p = c->p;
    c->m_tasks = gemm_div_up(gemm_div_up(c->rows, p->mr), p->m_group);
    int64_t n_tasks = gemm_div_up(gemm_div_up(c->cols, p->nr), p->n_block);
    if (c->rows * c->cols / 16 * c->steps < WORK_ALONE && c->cols * c->steps < WORK_ALONE)
        pool = NULL;
    fr_pool_run_thread(pool, (size_t)(c->m_tasks * n_tasks), task, c);
}

/* All chunks of k for some rows and columns. */
static void columns(chunk *c, bool b_ready, fr_pool *pool) {
    const gemm_plan *p = c->p;
    c->step = 0;
    do {
        c->steps = FR_MIN(p->k_chunk, p->steps - c->step);
        if (p->g->b_packed) {
            c->b_panel = (size_t)(p->steps * p->nr) * 4;
            c->b = (char *)(uintptr_t)p->g->b_packed + (size_t)(c->col / p->nr) * c->b_panel +
                   (size_t)(c->step * p->nr) * 4;
        } else if (!b_ready && !p->own_b) {
            c->b_panel = (size_t)(c->steps * p->nr) * 4;
            c->b = c->b_out;
            pack_b(c, pool);
        }
        if (!p->own_a) pack_a(c, pool);
        multiply(c, pool);
        c->step += p->k_chunk;
    } while (c->step < p->steps);
}

/* ---- the face ---- */

size_t fr_gemm_pack_bytes(const fr_gemm *g) {
    gemm_plan p = gemm_plan_make(g);
    return (size_t)(gemm_div_up(g->n, p.nr) * p.nr * p.steps) * 4;
}

void fr_gemm_pack_b(const fr_gemm *g, void *out, fr_pool *pool) {
    gemm_plan p = gemm_plan_make(g);
    chunk c = {.p = &p, .cols = g->n, .steps = p.steps, .b_out = out};
    c.b_panel = (size_t)(p.steps * p.nr) * 4;
    pack_b(&c, pool);
}

static size_t scratch_for(const fr_gemm *g, int threads) {
    gemm_plan p = gemm_plan_make(g);
    return p.a_bytes + p.b_bytes + p.partial_bytes + (size_t)threads * p.thread_bytes;
}

size_t fr_gemm_scratch(const fr_gemm *g, const fr_pool *pool) {
    return scratch_for(g, fr_pool_threads(pool));
}

void fr_gemm_run(const fr_gemm *g, void *scratch, fr_pool *pool) {
    if (g->m <= 0 || g->n <= 0) return;
    gemm_plan p = gemm_plan_make(g);
    chunk c = {.p = &p, .a = scratch};
    c.b_out = c.a + p.a_bytes;
    c.partial = (float *)(c.b_out + p.b_bytes);
    c.threads = (char *)c.partial + p.partial_bytes;
    for (c.col = 0; c.col < g->n; c.col += p.n_chunk) {
        c.cols = FR_MIN(p.n_chunk, g->n - c.col);
        for (c.row = 0; c.row < g->m; c.row += p.m_chunk) {
            c.rows = FR_MIN(p.m_chunk, g->m - c.row);
            columns(&c, c.row > 0 && p.k_chunk >= p.steps, pool);
        }
    }
}
