/* paged_decode.c: attention of few rows over pages, straight from their codes (kernel/kvattn.h).
 *
 * All query rows that share a key head are worked on together, four at a time, so that a page is read from
 * memory once. The pages of a sequence are cut into chunks, the same whatever else is in the batch and however
 * many threads there are; each has its own maximum, sum and weighted values, and they are joined in order. So a
 * sequence gives the same bits alone and in any batch. */
#include <math.h>
#include <string.h>

#include "op/paged.h"

enum {
    ROWS = FR_KVATTN_ROWS,
    MOST_ROWS = 32, /* beyond them tiles are better */
    CHUNK = 32,     /* pages */
    PAIRS = 64,     /* as many keep any number of threads busy without chunks */
};

/* Four rows on their way through the pages. */
typedef struct block {
    void *record, *sums;
    float top[ROWS], sum[ROWS];
    int64_t lo[ROWS], hi[ROWS]; /* what they see; nothing past the last row */
} block;

typedef struct work {
    float *q, *s, *out;
    block *block;
} work;

typedef struct decode_run {
    const paged_shape *p;
    const fr_kvattn_kernels *kernels;
    const fr_kvattn_way *way;
    attn_side q, y;
    int64_t blocks, ld, chunks, part; /* part: floats of a chunk's result */
    bool whole;                       /* an item is all chunks of a head */
    float *parts; /* [batch][kv_heads][chunks, or 1 when whole], then one a thread */
    char *scratch;
    size_t per_thread;
} decode_run;

bool paged_is_decode(const paged_shape *p) {
    return p->a.rows <= MOST_ROWS;
}

static void carve_thread(const decode_run *r, attn_carve *c, work *w) {
    const int64_t dim = r->p->a.dim;
    w->q = attn_take(c, ROWS * r->ld, sizeof(float));
    w->s = attn_take(c, FR_KV_TOKENS * ROWS, sizeof(float));
    w->out = attn_take(c, r->part, sizeof(float));
    w->block = attn_take(c, r->blocks, sizeof(block));
    for (int64_t i = 0; i < r->blocks; i++) {
        void *record = attn_take(c, 1, fr_kvattn_query_bytes(dim));
        void *sums = attn_take(c, 1, fr_kvattn_sums_bytes(dim));
        if (!c->base) continue;
        w->block[i].record = record;
        w->block[i].sums = sums;
    }
}

/* A result: [row of the blocks][ld], then maximum and sum of each row. */
static size_t carve(const paged_shape *p, attn_carve *c, const fr_pool *pool, decode_run *r) {
    const int64_t pairs = p->a.batch * p->a.kv_heads;
    r->p = p;
    r->ld = fr_kvattn_ld(p->a.dim);
    r->blocks = (p->a.rows + ROWS - 1) / ROWS;
    r->part = r->blocks * ROWS * (r->ld + 2);
    r->chunks = (p->most + CHUNK - 1) / CHUNK;
    r->whole = pairs >= PAIRS || r->chunks <= 1;
    r->parts =
        attn_take(c, r->whole ? fr_pool_threads(pool) : pairs * r->chunks, (size_t)r->part * 4);
    attn_carve one = {0};
    work w;
    carve_thread(r, &one, &w);
    r->per_thread = one.used;
    r->scratch = attn_take(c, fr_pool_threads(pool), r->per_thread);
    return c->used;
}

size_t paged_decode_scratch(const paged_shape *p, const fr_pool *pool) {
    attn_carve c = {0};
    decode_run r;
    return carve(p, &c, pool, &r);
}

static void *query_at(const attn_shape *a, const attn_side *side, int64_t pair, int64_t row) {
    return attn_row(side, pair / a->kv_heads, row / a->group,
                    pair % a->kv_heads * a->group + row % a->group);
}

static void begin(const decode_run *r, int64_t pair, work *w) {
    const attn_shape *a = &r->p->a;
    for (int64_t i = 0; i < r->blocks; i++) {
        block *k = &w->block[i];
        const int rows = (int)FR_MIN(a->rows - i * ROWS, ROWS);
        for (int j = 0; j < ROWS; j++) {
            const int64_t row = i * ROWS + j;
            k->top[j] = -INFINITY;
            k->sum[j] = 0.0f;
            k->lo[j] = k->hi[j] = 0;
            if (j >= rows) continue;
            attn_span(a, pair / a->kv_heads, row / a->group, &k->lo[j], &k->hi[j]);
            const void *q = query_at(a, &r->q, pair, row);
            if (a->half)
                fr_kernel()->convert.bf16_to_f32(q, (size_t)a->dim, w->q + j * r->ld);
            else
                memcpy(w->q + j * r->ld, q, (size_t)a->dim * sizeof(float));
        }
        r->way->query(w->q, r->ld, rows, a->dim, k->record);
        memset(k->sums, 0, fr_kvattn_sums_bytes(a->dim));
    }
}

static void block_step(const decode_run *r, block *k, int64_t page, const fr_kvattn_head *keys,
                       const fr_kvattn_head *values, float *s) {
    int32_t lo[ROWS], hi[ROWS], from = FR_KV_TOKENS, to = 0;
    for (int j = 0; j < ROWS; j++) {
        const int64_t first = k->lo[j] - page * FR_KV_TOKENS, end = k->hi[j] - page * FR_KV_TOKENS;
        lo[j] = (int32_t)FR_MIN(FR_MAX_OF(first, 0), FR_KV_TOKENS);
        hi[j] = (int32_t)FR_MIN(FR_MAX_OF(end, 0), FR_KV_TOKENS);
        if (lo[j] >= hi[j]) continue;
        from = FR_MIN(from, lo[j]);
        to = FR_MAX_OF(to, hi[j]);
    }
    if (from >= to) return;
    float fade[ROWS];
    r->way->score(k->record, keys, s);
    r->kernels->softmax(s, lo, hi, r->p->a.c, k->top, k->sum, fade);
    r->way->add(s, values, from, to, fade, k->sums);
}

/* The pages of a head from `first` up to `end`, as far as some row sees them. */
static void walk(const decode_run *r, int64_t pair, int64_t first, int64_t end, work *w) {
    const paged_shape *p = r->p;
    const int64_t b = pair / p->a.kv_heads, head = pair % p->a.kv_heads;
    int64_t low, high, unused;
    attn_span(&p->a, b, 0, &low, &unused);
    attn_span(&p->a, b, p->a.m - 1, &unused, &high);
    first = FR_MAX_OF(first, low / FR_KV_TOKENS);
    end = FR_MIN(end, (high + FR_KV_TOKENS - 1) / FR_KV_TOKENS);
    if (first >= end) return;
    fr_kvattn_head keys = paged_head(p, p->k, b, first, head), next = keys;
    for (int64_t page = first; page < end; page++, keys = next) {
        fr_kvattn_head values = paged_head(p, p->v, b, page, head);
        keys.next = &values;
        if (page + 1 < end) {
            next = paged_head(p, p->k, b, page + 1, head);
            values.next = &next;
        }
        for (int64_t i = 0; i < r->blocks; i++)
            block_step(r, &w->block[i], page, &keys, &values, w->s);
    }
}

static void chunk_into(const decode_run *r, int64_t pair, int64_t chunk, work *w, float *part) {
    begin(r, pair, w);
    walk(r, pair, chunk * CHUNK, (chunk + 1) * CHUNK, w);
    float *top = part + r->blocks * ROWS * r->ld, *sum = top + r->blocks * ROWS;
    for (int64_t i = 0; i < r->blocks; i++) {
        r->way->result(w->block[i].sums, r->p->a.dim, part + i * ROWS * r->ld);
        memcpy(top + i * ROWS, w->block[i].top, sizeof w->block[i].top);
        memcpy(sum + i * ROWS, w->block[i].sum, sizeof w->block[i].sum);
    }
}

/* The chunks in which a sequence has tokens. */
static int64_t chunks_of(const decode_run *r, int64_t b) {
    return (r->p->a.kv_len[b] + CHUNK * FR_KV_TOKENS - 1) / (CHUNK * FR_KV_TOKENS);
}

static void join(const decode_run *r, float *into, const float *from) {
    const int64_t rows = r->blocks * ROWS;
    float *top = into + rows * r->ld;
    const float *top2 = from + rows * r->ld;
    for (int64_t i = 0; i < r->p->a.rows; i++)
        attn_join(into + i * r->ld, top + i, top + rows + i, from + i * r->ld, top2[i],
                  top2[rows + i], r->p->a.dim, r->p->a.c);
}

static void store(const decode_run *r, int64_t pair, const float *part) {
    const attn_shape *a = &r->p->a;
    const float *sum = part + r->blocks * ROWS * (r->ld + 1);
    for (int64_t i = 0; i < a->rows; i++) {
        const float by = sum[i] == 0.0f ? 0.0f : 1.0f / sum[i], *o = part + i * r->ld;
        void *y = query_at(a, &r->y, pair, i);
        for (int64_t d = 0; d < a->dim; d++) {
            const float x = sum[i] == 0.0f ? 0.0f : o[d] * by;
            if (a->half)
                ((uint16_t *)y)[d] = fr_f32_to_bf16(x);
            else
                ((float *)y)[d] = x;
        }
    }
}

static work thread_work(const decode_run *r, size_t thread) {
    attn_carve c = {.base = r->scratch + thread * r->per_thread};
    work w;
    carve_thread(r, &c, &w);
    return w;
}

/* All of one head on one thread: the same sums, in the same order. */
static void whole_item(void *arg, size_t thread, size_t pair) {
    const decode_run *r = arg;
    work w = thread_work(r, thread);
    float *part = r->parts + (int64_t)thread * r->part;
    const int64_t chunks = FR_MAX_OF(chunks_of(r, (int64_t)pair / r->p->a.kv_heads), 1);
    chunk_into(r, (int64_t)pair, 0, &w, part);
    for (int64_t i = 1; i < chunks; i++) {
        chunk_into(r, (int64_t)pair, i, &w, w.out);
        join(r, part, w.out);
    }
    store(r, (int64_t)pair, part);
}

static void chunk_item(void *arg, size_t thread, size_t i) {
    const decode_run *r = arg;
    const int64_t pair = (int64_t)i / r->chunks, chunk = (int64_t)i % r->chunks;
    if (chunk && chunk >= chunks_of(r, pair / r->p->a.kv_heads)) return;
    work w = thread_work(r, thread);
    chunk_into(r, pair, chunk, &w, r->parts + (int64_t)i * r->part);
}

static void finish_item(void *arg, size_t pair) {
    const decode_run *r = arg;
    float *part = r->parts + (int64_t)pair * r->chunks * r->part;
    const int64_t chunks = chunks_of(r, (int64_t)pair / r->p->a.kv_heads);
    for (int64_t i = 1; i < chunks; i++) join(r, part, part + i * r->part);
    store(r, (int64_t)pair, part);
}

void paged_decode_run(const paged_shape *p, const fr_call *c) {
    attn_carve space = {.base = c->scratch};
    decode_run r = {.kernels = &fr_kernel()->kvattn,
                    .way = fr_kvattn_way_of(&fr_kernel()->kvattn, p->layout.kind, p->a.dim),
                    .q = attn_side_of(&c->in[PAGED_Q]),
                    .y = attn_side_of(&c->out[0])};
    const size_t pairs = (size_t)(p->a.batch * p->a.kv_heads);
    carve(p, &space, c->pool, &r);
    if (r.whole) {
        fr_pool_run_thread(c->pool, pairs, whole_item, &r);
        return;
    }
    fr_pool_run_thread(c->pool, pairs * (size_t)r.chunks, chunk_item, &r);
    fr_pool_run(c->pool, pairs, finish_item, &r);
}
