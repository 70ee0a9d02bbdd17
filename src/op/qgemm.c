/* qgemm.c: products of rows in few bits with weights in few bits, on the pool. See qgemm_plan.h for how
 * a product is cut, kernel/qgemm.h for what a tile does, and qgemm_finish.c for what comes after it.
 *
 * Rows are read where they lie: a tile kernel wants four codes of one row at a time, so there is
 * nothing to gain from packing them. With few rows all time goes to reading the weights: tasks are some
 * panels each, which come in one stream. */
#include "op/qgemm_plan.h"

typedef struct run {
    const qgemm_plan *p;
    qgemm_rows at; /* of the chunk; owned rows: not used */
    int64_t m_tasks;
    char *threads; /* scratch, thread_bytes each */
    size_t thread_bytes;
} run;

/* ---- rows in and out ---- */

/* The rows row .. row + count - 1 of q alone. */
static fr_qrows part_of(const fr_qrows *q, int64_t row, int64_t count) {
    fr_qrows part = *q;
    size_t size = q->x_type == FR_BF16 ? 2 : 4;
    part.m = count;
    part.x = (const char *)q->x + (size_t)(row * q->ldx) * size;
    if (q->low) part.low = q->low + row * q->rank;
    if (q->records) part.records = (char *)q->records + (size_t)row * q->row.bytes;
    return part;
}

/* What becomes the records of at->a and at->low. */
static fr_qrows rows_in(const qgemm_plan *p, const qgemm_rows *at) {
    fr_qrows q = part_of(p->g->x, at->row, at->count);
    q.records = (char *)(uintptr_t)at->a;
    q.low = (float *)(uintptr_t)at->low;
    return q;
}

/* What becomes the next product's records of at->y. */
static fr_qrows rows_out(const qgemm_plan *p, const qgemm_rows *at) {
    fr_qrows q = *p->g->next;
    q.x = NULL, q.ldx = 0;
    q = part_of(&q, at->row, at->count);
    q.x = at->y, q.x_type = FR_F32, q.ldx = p->g->n;
    return q;
}

/* Scratch memory of both. */
static size_t rows_scratch(const qgemm_plan *p, const fr_pool *pool) {
    qgemm_rows at = {.count = p->own ? p->m_block : p->m_chunk};
    size_t in = 0, out = 0;
    if (p->g->x) {
        fr_qrows q = rows_in(p, &at);
        in = fr_qrows_scratch(&q, p->own ? NULL : pool);
    }
    if (p->g->next) {
        fr_qrows q = rows_out(p, &at);
        out = fr_qrows_scratch(&q, p->own ? NULL : pool);
    }
    return fr_round_up(FR_MAX_OF(in, out), FR_ALIGN);
}

/* ---- multiplying ---- */

/* The tiles of rows r0 .. r1 - 1 of `at` with one panel, a block of k at a time. */
static void multiply_panel(const qgemm_plan *p, const qgemm_rows *at, int64_t r0, int64_t r1,
                           int64_t panel, const float *low, char *sums) {
    const fr_qgemm *g = p->g;
    const fr_qpanel *shape = &g->w->panel;
    fr_qtile t = {.row = &g->row, .lda = g->row.bytes, .panel = shape, .lds = p->lds};
    t.b = (const char *)g->b + (size_t)panel * shape->bytes;
    for (t.g0 = 0; t.g0 < shape->groups; t.g0 += p->block) {
        t.groups = FR_MIN(p->block, shape->groups - t.g0);
        t.add = t.g0 > 0;
        t.sum = sums;
        for (int64_t r = r0; r < r1; r += p->way.mr) {
            t.rows = (int)FR_MIN(r1 - r, p->way.mr);
            t.a = at->a + (size_t)r * g->row.bytes;
            bool last = t.g0 + t.groups == shape->groups;
            if (last) qgemm_fetch(p, at, at->row + r, t.rows, panel);
            p->way.tile(&t);
            if (last)
                qgemm_finish(p, &t, at, at->row + r, panel, low ? low + (r - r0) * g->rank : NULL);
            t.sum = (char *)t.sum + p->tile;
        }
    }
}

/* scratch: the packed low, and sums. */
static void multiply(const qgemm_plan *p, const qgemm_rows *at, int64_t r0, int64_t r1, int64_t j0,
                     int64_t j1, char *scratch) {
    const float *low = NULL;
    if (p->g->rank) {
        low = (const float *)scratch;
        qgemm_pack_low(p, at->low + r0 * p->g->rank, r1 - r0, (float *)scratch);
    }
    for (int64_t j = j0; j < j1; j++) multiply_panel(p, at, r0, r1, j, low, scratch + p->packed);
}

/* Rows of a chunk that is there, some panels. */
static void task(void *arg, size_t thread, size_t item) {
    const run *r = arg;
    const qgemm_plan *p = r->p;
    int64_t i = (int64_t)item % r->m_tasks, j = (int64_t)item / r->m_tasks * p->n_block;
    multiply(p, &r->at, i * p->m_block, FR_MIN((i + 1) * p->m_block, r->at.count), j,
             FR_MIN(j + p->n_block, p->panels), r->threads + thread * r->thread_bytes);
}

/* ---- rows that a task owns ---- */

static void own_task(void *arg, size_t thread, size_t item) {
    const run *r = arg;
    const qgemm_plan *p = r->p;
    const fr_qgemm *g = p->g;
    char *scratch = r->threads + thread * r->thread_bytes;
    qgemm_rows at = {.row = (int64_t)item * p->m_block};
    at.count = FR_MIN(p->m_block, g->m - at.row);
    at.a = g->x ? scratch : (const char *)g->a + (size_t)at.row * g->row.bytes;
    at.low = g->x ? (float *)(scratch + p->records) : g->rank ? g->low + at.row * g->rank : NULL;
    scratch += p->records + p->low;
    at.y = g->next ? (float *)scratch : NULL;
    scratch += p->y;
    if (g->x) {
        fr_qrows q = rows_in(p, &at);
        fr_qrows_some(&q, 0, at.count, scratch);
    }
    multiply(p, &at, 0, at.count, 0, p->panels, scratch + p->rows);
    if (g->next) {
        fr_qrows q = rows_out(p, &at);
        fr_qrows_some(&q, 0, at.count, scratch);
    }
}

/* ---- chunks ---- */

static void chunk(run *r, char *scratch, fr_pool *pool) {
    const qgemm_plan *p = r->p;
    const fr_qgemm *g = p->g;
    if (g->x) {
        fr_qrows q = rows_in(p, &r->at);
        fr_qrows_run(&q, scratch, pool);
    }
    r->m_tasks = qgemm_div_up(r->at.count, p->m_block);
    fr_pool_run_thread(p->alone ? NULL : pool,
                       (size_t)(r->m_tasks * qgemm_div_up(p->panels, p->n_block)), task, r);
    if (g->next) {
        fr_qrows q = rows_out(p, &r->at);
        fr_qrows_run(&q, scratch, pool);
    }
}

/* ---- the face ---- */

static size_t thread_bytes(const qgemm_plan *p) {
    size_t bytes = p->packed + p->sums;
    return p->own ? bytes + p->records + p->low + p->y + p->rows : bytes;
}

size_t fr_qgemm_scratch(const fr_qgemm *g, const fr_pool *pool) {
    if (g->m <= 0) return 0;
    qgemm_plan p = qgemm_plan_make(g);
    p.rows = rows_scratch(&p, pool);
    size_t threads = (size_t)fr_pool_threads(pool) * thread_bytes(&p);
    return p.own ? threads : threads + p.records + p.low + p.y + p.rows;
}

void fr_qgemm_run(const fr_qgemm *g, void *scratch, fr_pool *pool) {
    if (g->m <= 0) return;
    qgemm_plan p = qgemm_plan_make(g);
    p.rows = rows_scratch(&p, pool);
    run r = {.p = &p, .threads = scratch, .thread_bytes = thread_bytes(&p)};
    if (p.own) {
        fr_pool_run_thread(pool, (size_t)qgemm_div_up(g->m, p.m_block), own_task, &r);
        return;
    }
    char *shared = r.threads + (size_t)fr_pool_threads(pool) * r.thread_bytes;
    char *low = shared + p.records, *y = low + p.low, *rest = y + p.y;
    for (int64_t row = 0; row < g->m; row += p.m_chunk) {
        r.at = (qgemm_rows){.row = row, .count = FR_MIN(p.m_chunk, g->m - row)};
        r.at.a = g->x ? shared : (const char *)g->a + (size_t)row * g->row.bytes;
        if (g->rank) r.at.low = g->x ? (const float *)low : g->low + row * g->rank;
        if (g->next) r.at.y = (float *)y;
        chunk(&r, rest, pool);
    }
}
