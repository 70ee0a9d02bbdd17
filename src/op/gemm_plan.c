/* gemm_plan.c: the sizes of chunks, tasks and blocks; see gemm_plan.h. */
#include "op/gemm_plan.h"

#define BLOCK_K      1024      /* values of k (of f32) whose panels stay in the second cache */
#define LONG_K       16384     /* steps; longer sums are packed in chunks of k */
#define CHUNK_K      2048      /* steps of such a chunk */
#define CHUNK_BYTES  (8 << 20) /* of packed A; twice that of B */
#define CHUNK_SIDE   1024      /* at least so many columns before A is packed again */
#define PARTIAL      (4 << 20) /* values of C that wait at most */
#define TASK_PANELS  8         /* of A: with a block of k they fill half of the second cache */
#define TASK_WIDTH   8         /* panels of B at least, where there are many of A */
#define OWN_A_WIDTH  32        /* panels of B that a task streams past its own A */
#define OWN_A_STEPS  64        /* shorter sums are over before the second cache matters */
#define OWN_A_PANELS 48        /* of A, so that there are enough tasks */
#define ALONE_PANELS 24        /* so few panels of A are one task */
#define TASKS        8         /* at least, where tasks pack their own B */
#define MANY_TASKS   12        /* of long sums, where there is enough to do */
#define TASK_CYCLES  60000     /* a task shorter than this is not worth the pool */

static fr_gemm_kind choose_kind(const fr_gemm *g, const fr_gemm_kernels *kern) {
    if (g->b_type != FR_BF16) return FR_GEMM_F32;
    if (g->a_type == FR_BF16 && kern->tile[FR_GEMM_BF16]) return FR_GEMM_BF16;
    return FR_GEMM_F32_BF16;
}

static int64_t clamp(int64_t x, int64_t lo, int64_t hi) {
    return x < lo ? lo : x > hi ? hi : x;
}
static int64_t multiple(int64_t x, int64_t of) {
    return gemm_div_up(x, of) * of;
}

/* The largest of as few even parts of `whole` as parts of `most` would give. */
static int64_t even(int64_t whole, int64_t most) {
    return gemm_div_up(whole, gemm_div_up(whole, most));
}

static void choose_chunks(gemm_plan *p, bool fused) {
    int64_t m = p->g->m, n = multiple(FR_MAX_OF(p->g->n, 1), p->nr);
    p->k_chunk = p->steps > LONG_K ? CHUNK_K : p->steps;
    /* Little of k at a time, so that B is read again for few chunks of rows. */
    if (fused && p->steps > p->block) p->k_chunk = p->block;
    int64_t k_bytes = FR_MAX_OF(p->k_chunk, 1) * (int64_t)p->a_lane;
    int64_t panels = gemm_div_up(FR_MAX_OF(m, 1), p->mr);
    p->m_chunk = even(panels, clamp(CHUNK_BYTES / k_bytes / p->mr, 1, panels)) * p->mr;
    int64_t cols = p->partial ? FR_MAX_OF(PARTIAL / p->m_chunk, CHUNK_SIDE) : n;
    if (!p->g->b_packed && !p->own_b)
        cols = FR_MIN(cols, FR_MAX_OF(4 * CHUNK_BYTES / k_bytes / 2, p->nr));
    p->n_chunk = FR_MIN(multiple(cols, p->nr), n);
}

/* Tasks pack their own B where it costs them nothing (the kernel writes the panel in passing) or where
 * no other task would read the same. */
static bool choose_own_b(const gemm_plan *p) {
    const fr_gemm *g = p->g;
    if (g->b_packed) return false;
    if (gemm_div_up(g->m, p->mr) <= ALONE_PANELS) return true;
    return p->kind == FR_GEMM_F32 && !g->tb && p->kern->first;
}

/* Where one task works on all columns, nobody else wants its rows: packed just before they are used they stay in
 * the second cache. */
static bool choose_own_a(const gemm_plan *p) {
    int64_t n_panels = p->n_chunk / p->nr, m_panels = p->m_chunk / p->mr;
    return !p->own_b && !p->g->a_rows && p->n_chunk >= p->g->n && n_panels <= OWN_A_WIDTH &&
           m_panels >= OWN_A_PANELS && p->steps >= OWN_A_STEPS &&
           !(p->kind == FR_GEMM_F32_BF16 && p->g->a_type == FR_BF16);
}

/* A step of a tile takes a cycle for each multiply-add, and at least as long as its B takes to
 * come. */
static void choose_tasks(gemm_plan *p) {
    int64_t m_panels = p->m_chunk / p->mr, n_panels = p->n_chunk / p->nr;
    p->m_block = p->m_group = even(m_panels, TASK_PANELS);
    if (p->own_b && m_panels > TASK_PANELS) {
        p->n_block = even(n_panels, clamp(n_panels / TASKS, 2, TASK_WIDTH));
        bool alone = m_panels <= ALONE_PANELS;
        int64_t parts = alone ? 1 : gemm_div_up(TASKS, gemm_div_up(n_panels, p->n_block));
        p->m_group = multiple(gemm_div_up(m_panels, parts), p->m_block);
        return;
    }
    if (p->own_a) {
        p->n_block = n_panels;
        p->m_block = p->m_group = even(m_panels, FR_MIN(TASK_PANELS, m_panels / MANY_TASKS));
        return;
    }
    int64_t rows = FR_MIN(p->m_block * p->mr, FR_MAX_OF(p->g->m, 1));
    int64_t cycles = FR_MAX_OF(p->k_chunk, 8) * FR_MAX_OF(2 * rows, 8);
    p->n_block = FR_MIN(FR_MAX_OF(TASK_CYCLES / cycles, p->m_block > 2 ? TASK_WIDTH : 1), n_panels);
    /* Long sums of few values, as in gradients of weights: narrower tasks, so that all threads have some. */
    int64_t m_tasks = gemm_div_up(m_panels, p->m_group);
    while (p->n_block > 2 && cycles * p->n_block > 4 * TASK_CYCLES &&
           m_tasks * gemm_div_up(n_panels, p->n_block) < MANY_TASKS)
        p->n_block = gemm_div_up(p->n_block, 2);
}

gemm_plan gemm_plan_make(const fr_gemm *g) {
    gemm_plan p = {.g = g, .kern = &fr_kernel()->gemm};
    p.kind = choose_kind(g, p.kern);
    p.tile = p.kern->tile[p.kind];
    p.per_step = p.kind == FR_GEMM_F32 ? 1 : 2;
    p.a_lane = p.kind == FR_GEMM_F32_BF16 ? 8 : 4;
    p.nr = p.kern->nr;
    int64_t panels = FR_MAX_OF(gemm_div_up(g->m, p.kern->mr), 1);
    p.mr = (int)FR_MAX_OF(gemm_div_up(g->m, panels), 1);
    p.steps = gemm_div_up(g->k, p.per_step);
    p.block = p.kind == FR_GEMM_F32_BF16 ? BLOCK_K / 2 : BLOCK_K;
    p.own_b = choose_own_b(&p);
    bool fused = p.own_b && !g->tb && panels > ALONE_PANELS;
    bool plain = !g->bias && !g->residual && !g->accumulate && g->act == FR_FN_NONE &&
                 (g->alpha == 0 || g->alpha == 1) && g->c_type == FR_F32;
    p.partial = p.steps > p.block && !(fused && plain && g->n % p.nr == 0);
    p.direct = plain && !p.partial;
    choose_chunks(&p, fused);
    p.own_a = choose_own_a(&p);
    choose_tasks(&p);

    if (!p.own_a) p.a_bytes = fr_round_up((size_t)(p.m_chunk * p.k_chunk) * p.a_lane, FR_ALIGN);
    if (!g->b_packed && !p.own_b)
        p.b_bytes = fr_round_up((size_t)(p.n_chunk * p.k_chunk) * 4, FR_ALIGN);
    if (p.partial) p.partial_bytes = fr_round_up((size_t)(p.m_chunk * p.n_chunk) * 4, FR_ALIGN);
    p.thread_bytes = gemm_temp_bytes(&p);
    size_t own = (size_t)(p.n_block * p.nr * FR_MIN(p.block, p.k_chunk)) * 4;
    size_t own_a = (size_t)(p.m_block * p.mr * FR_MIN(p.block, p.k_chunk)) * p.a_lane;
    if (p.own_a) p.thread_bytes = fr_round_up(own_a, FR_ALIGN);
    if (p.own_b) p.thread_bytes = FR_MAX_OF(p.thread_bytes, fr_round_up(own, FR_ALIGN));
    return p;
}
