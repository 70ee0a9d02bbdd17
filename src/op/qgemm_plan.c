/* qgemm_plan.c: the sizes of chunks, tasks and blocks; see qgemm_plan.h. */
#include "op/qgemm_plan.h"

/* Rows of 16 bits: codes of a panel that stay in the first cache beside the rows of a tile. */
#define BLOCK_BYTES (16 << 10)
#define ROWS_BYTES  (384 << 10) /* of records that stay in the second cache during a task */
#define MOST_ROWS   96
#define LEAST_TILES 3 /* of rows, however long they are: weights are read again for each task */
#define Y_BYTES     (3 << 20) /* floats of a task that owns its rows */
#define CHUNK_BYTES (8 << 20)
#define OWN_TASKS   24 /* so many tasks of owned rows keep all threads busy */
#define TASK_WIDTH  8  /* panels of a task with many rows */
#define TASKS       16 /* at least, where there is so much */
#define TASK_CYCLES 30000
#define WORK_ALONE  20000 /* cycles */

static int64_t clamp(int64_t x, int64_t lo, int64_t hi) {
    return x < lo ? lo : x > hi ? hi : x;
}
/* The largest of as few even parts of `whole` as parts of `most` would give. */
static int64_t even(int64_t whole, int64_t most) {
    return qgemm_div_up(whole, qgemm_div_up(whole, most));
}

/* A 64-byte multiply-add a cycle, and weights at some bytes a cycle from memory. */
static int64_t cycles(const qgemm_plan *p, int64_t rows) {
    int64_t work = rows * p->way.nr * p->g->k * p->g->row.code_bytes / 64;
    return FR_MAX_OF(work, (int64_t)p->g->w->panel.bytes / 6) + 1;
}

/* Sums that are put down cost more than codes from the second cache, which tiles of bytes ask for ahead
 * of their use; a tile of 16 bits reads twice as much of its rows. */
static int64_t choose_block(const fr_qgemm *g, int mr) {
    const fr_qpanel *panel = &g->w->panel;
    if (g->m <= mr || g->row.code_bytes == 1) return panel->groups;
    return even(panel->groups, clamp(BLOCK_BYTES / (int64_t)panel->code_bytes, 1, panel->groups));
}

static void choose_tasks(qgemm_plan *p) {
    const fr_qgemm *g = p->g;
    int64_t tiles = qgemm_div_up(g->m, p->way.mr), row = (int64_t)g->row.bytes;
    int64_t most = clamp(ROWS_BYTES / row, LEAST_TILES * p->way.mr, MOST_ROWS);
    if (g->next) most = clamp(Y_BYTES / (g->n * 4), p->way.mr, most);
    p->m_block = even(tiles, FR_MAX_OF(most / p->way.mr, 1)) * p->way.mr;
    int64_t m_tasks = qgemm_div_up(g->m, p->m_block);
    p->own = (g->x || g->next) && m_tasks >= OWN_TASKS;
    if (p->own) {
        p->n_block = p->panels;
        p->m_chunk = m_tasks * p->m_block;
        return;
    }
    int64_t one = cycles(p, FR_MIN(p->m_block, g->m));
    int64_t least = tiles > 2 ? TASK_WIDTH : 1;
    p->n_block = clamp(TASK_CYCLES / one, least, p->panels);
    p->n_block = clamp(p->n_block, 1, FR_MAX_OF(p->panels * m_tasks / TASKS, 1));
    p->n_block = even(p->panels, p->n_block);
    p->alone = one * p->panels * m_tasks < WORK_ALONE;
    int64_t bytes = (g->x ? row + g->rank * 4 : 0) + (g->next ? g->n * 4 : 0);
    int64_t blocks = bytes ? clamp(CHUNK_BYTES / (bytes * p->m_block), 1, m_tasks) : m_tasks;
    p->m_chunk = even(m_tasks, blocks) * p->m_block;
}

qgemm_plan qgemm_plan_make(const fr_qgemm *g) {
    qgemm_plan p = {.g = g, .kern = fr_kernel(), .panels = g->w->panels};
    p.way = p.kern->qgemm.way[g->w->kind];
    p.way.mr = (int)even(g->m, p.way.mr);
    p.lds = (size_t)(qgemm_up_panels(g->w) * p.kern->gemm.nr);
    p.block = choose_block(g, p.way.mr);
    choose_tasks(&p);

    int64_t rows = p.own ? p.m_block : p.m_chunk;
    if (g->x) {
        p.records = fr_round_up((size_t)rows * g->row.bytes, FR_ALIGN);
        p.low = fr_round_up((size_t)(rows * g->rank) * 4, FR_ALIGN);
    }
    if (g->next) p.y = fr_round_up((size_t)(rows * g->n) * 4, FR_ALIGN);
    p.packed = fr_round_up((size_t)(p.m_block * g->rank) * 4, FR_ALIGN);
    p.tile = fr_round_up((size_t)p.way.mr * p.lds * 4, FR_ALIGN);
    p.sums = p.tile * (size_t)(p.m_block / p.way.mr);
    return p;
}
