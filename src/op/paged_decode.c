/* paged_decode.c: attention of few rows over pages, straight from their codes (kernel/kvattn.h).
 *
 * All query rows that share a key head are worked on together, four at a time, so that a page is read from
 * memory once; and a page is read through, head after head, because memory is fastest in long runs. The pages
 * of a sequence are cut into chunks, the same whatever else is in the batch and however many threads there are;
 * each has its own maximum, sum and weighted values, and they are joined in order. So a sequence gives the same
 * bits alone and in any batch. How many heads one thread takes at a time changes no bits. */
#include <math.h>
#include <string.h>

#include "op/paged.h"

enum {
    ROWS = FR_KVATTN_ROWS,
    MOST_ROWS = 32,   /* beyond them tiles are better */
    CHUNK = 16,       /* pages */
    PAIRS = 64,       /* as many keep any number of threads busy without chunks */
    ITEMS = 16,       /* as many are wanted before a thread takes several heads */
    MOST_BLOCKS = 16, /* of all heads of an item, so that they stay in the second cache */
    AHEAD = 2,        /* heads: what is fetched while one is worked on */
};

/* Four rows of a head on their way through the pages. */
typedef struct block {
    void *record, *sums;
    float *s; /* scores of a page, then weights */
    float top[ROWS], sum[ROWS], fade[ROWS];
    int64_t lo[ROWS], hi[ROWS]; /* what they see; nothing past the last row */
    int from, to;               /* of the page at hand, by any of them */
} block;

typedef struct work {
    float *q, *out; /* out: what a chunk gives for each head */
    float *total;   /* the same, of all chunks so far */
    block *block;   /* [heads][blocks] */
} work;

typedef struct decode_run {
    const paged_shape *p;
    const fr_kvattn_kernels *kernels;
    const fr_kvattn_way *way;
    attn_side q, y;
    int64_t blocks, ld, chunks, part; /* part: floats of a chunk's result for a head */
    int64_t heads, groups; /* heads of an item, and into how many of those they are cut */
    bool whole;            /* an item is all chunks */
    float *parts;          /* [batch][kv_heads][chunks], when not whole */
    char *scratch;
    size_t per_thread;
} decode_run;

bool paged_is_decode(const paged_shape *p) {
    return p->a.rows <= MOST_ROWS;
}

static int64_t most_heads(const decode_run *r) {
    return FR_MIN(r->p->a.kv_heads, FR_MAX_OF(MOST_BLOCKS / r->blocks, 1));
}

static void carve_thread(const decode_run *r, attn_carve *c, work *w) {
    const int64_t dim = r->p->a.dim, heads = most_heads(r);
    w->q = attn_take(c, ROWS * r->ld, sizeof(float));
    w->out = attn_take(c, heads * r->part, sizeof(float));
    w->total = attn_take(c, heads * r->part, sizeof(float));
    w->block = attn_take(c, heads * r->blocks, sizeof(block));
    for (int64_t i = 0; i < heads * r->blocks; i++) {
        void *record = attn_take(c, 1, fr_kvattn_query_bytes(dim));
        void *sums = attn_take(c, 1, fr_kvattn_sums_bytes(dim));
        void *s = attn_take(c, FR_KV_TOKENS * ROWS, sizeof(float));
        if (!c->base) continue;
        w->block[i].record = record;
        w->block[i].sums = sums;
        w->block[i].s = s;
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
    r->parts = attn_take(c, r->whole ? 0 : pairs * r->chunks, (size_t)r->part * 4);
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

static void begin(const decode_run *r, int64_t pair, work *w, block *k) {
    const attn_shape *a = &r->p->a;
    for (int64_t i = 0; i < r->blocks; i++, k++) {
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

/* Scores of a page and their softmax. */
static void weigh(const decode_run *r, block *k, int64_t page, const fr_kvattn_head *keys) {
    int32_t lo[ROWS], hi[ROWS];
    k->from = FR_KV_TOKENS;
    k->to = 0;
    for (int j = 0; j < ROWS; j++) {
        const int64_t first = k->lo[j] - page * FR_KV_TOKENS, end = k->hi[j] - page * FR_KV_TOKENS;
        lo[j] = (int32_t)FR_MIN(FR_MAX_OF(first, 0), FR_KV_TOKENS);
        hi[j] = (int32_t)FR_MIN(FR_MAX_OF(end, 0), FR_KV_TOKENS);
        if (lo[j] >= hi[j]) continue;
        k->from = FR_MIN(k->from, lo[j]);
        k->to = FR_MAX_OF(k->to, hi[j]);
    }
    if (k->from >= k->to) return;
    r->way->score(k->record, keys, k->s);
    if (r->p->a.squeeze != 0.0f) attn_squeeze(&r->p->a, k->s, (size_t)FR_KV_TOKENS * ROWS);
    r->kernels->softmax(k->s, lo, hi, r->p->a.c, k->top, k->sum, k->fade);
}

/* Head `place` of what an item reads from page on: keys of its heads, their values, keys of the next page. */
static fr_kvattn_head head_at(const decode_run *r, int64_t b, int64_t head, int64_t heads,
                              int64_t page, int64_t place) {
    page += place / (2 * heads);
    const bool values = place / heads % 2;
    return paged_head(r->p, values ? r->p->v : r->p->k, b, page, head + place % heads);
}

/* The pages first .. end - 1 of some heads, as far as some row sees them. */
static void walk(const decode_run *r, int64_t b, int64_t head, int64_t heads, int64_t first,
                 int64_t end, work *w) {
    const attn_shape *a = &r->p->a;
    int64_t low, high, unused;
    attn_span(a, b, 0, &low, &unused);
    attn_span(a, b, a->m - 1, &unused, &high);
    first = FR_MAX_OF(first, low / FR_KV_TOKENS);
    end = FR_MIN(end, (high + FR_KV_TOKENS - 1) / FR_KV_TOKENS);
    for (int64_t page = first; page < end; page++)
        for (int64_t place = 0; place < 2 * heads; place++) {
            fr_kvattn_head now = head_at(r, b, head, heads, page, place), next;
            if (page + 1 < end || place + AHEAD < 2 * heads) {
                next = head_at(r, b, head, heads, page, FR_MIN(place + AHEAD, 3 * heads - 1));
                now.next = &next;
            }
            block *k = w->block + place % heads * r->blocks;
            for (int64_t i = 0; i < r->blocks; i++, k++) {
                if (place < heads)
                    weigh(r, k, page, &now);
                else if (k->from < k->to)
                    r->way->add(k->s, &now, k->from, k->to, k->fade, k->sums);
            }
        }
}

/* A chunk of some heads; results `apart` floats apart. */
static void chunk_into(const decode_run *r, int64_t b, int64_t head, int64_t heads, int64_t chunk,
                       work *w, float *part, int64_t apart) {
    for (int64_t h = 0; h < heads; h++)
        begin(r, b * r->p->a.kv_heads + head + h, w, w->block + h * r->blocks);
    walk(r, b, head, heads, chunk * CHUNK, (chunk + 1) * CHUNK, w);
    for (int64_t h = 0; h < heads; h++, part += apart) {
        float *top = part + r->blocks * ROWS * r->ld, *sum = top + r->blocks * ROWS;
        const block *k = w->block + h * r->blocks;
        for (int64_t i = 0; i < r->blocks; i++, k++) {
            r->way->result(k->sums, r->p->a.dim, part + i * ROWS * r->ld);
            memcpy(top + i * ROWS, k->top, sizeof k->top);
            memcpy(sum + i * ROWS, k->sum, sizeof k->sum);
        }
    }
}

/* The chunks in which a sequence has tokens; one even when it has none. */
static int64_t chunks_of(const decode_run *r, int64_t b) {
    const int64_t chunk = CHUNK * FR_KV_TOKENS;
    return FR_MAX_OF((r->p->a.kv_len[b] + chunk - 1) / chunk, 1);
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

/* The heads of an item, and this thread's memory. */
static work item_of(const decode_run *r, size_t thread, int64_t group, int64_t *head,
                    int64_t *heads) {
    attn_carve c = {.base = r->scratch + thread * r->per_thread};
    work w;
    *head = group * r->heads;
    *heads = FR_MIN(r->heads, r->p->a.kv_heads - *head);
    carve_thread(r, &c, &w);
    return w;
}

/* All chunks on one thread: the same sums, in the same order. */
static void whole_item(void *arg, size_t thread, size_t i) {
    const decode_run *r = arg;
    const int64_t b = (int64_t)i / r->groups;
    int64_t head, heads;
    work w = item_of(r, thread, (int64_t)i % r->groups, &head, &heads);
    chunk_into(r, b, head, heads, 0, &w, w.total, r->part);
    for (int64_t chunk = 1; chunk < chunks_of(r, b); chunk++) {
        chunk_into(r, b, head, heads, chunk, &w, w.out, r->part);
        for (int64_t h = 0; h < heads; h++) join(r, w.total + h * r->part, w.out + h * r->part);
    }
    for (int64_t h = 0; h < heads; h++)
        store(r, b * r->p->a.kv_heads + head + h, w.total + h * r->part);
}

static float *part_of(const decode_run *r, int64_t pair, int64_t chunk) {
    return r->parts + (pair * r->chunks + chunk) * r->part;
}

static void chunk_item(void *arg, size_t thread, size_t i) {
    const decode_run *r = arg;
    const int64_t chunk = (int64_t)i / r->groups % r->chunks,
                  b = (int64_t)i / r->groups / r->chunks;
    if (chunk >= chunks_of(r, b)) return;
    int64_t head, heads;
    work w = item_of(r, thread, (int64_t)i % r->groups, &head, &heads);
    chunk_into(r, b, head, heads, chunk, &w, part_of(r, b * r->p->a.kv_heads + head, chunk),
               r->chunks * r->part);
}

static void finish_item(void *arg, size_t pair) {
    const decode_run *r = arg;
    float *part = part_of(r, (int64_t)pair, 0);
    const int64_t chunks = chunks_of(r, (int64_t)pair / r->p->a.kv_heads);
    for (int64_t i = 1; i < chunks; i++) join(r, part, part_of(r, (int64_t)pair, i));
    store(r, (int64_t)pair, part);
}

/* As many heads together as leave enough items. */
static void cut_heads(decode_run *r) {
    const attn_shape *a = &r->p->a;
    int64_t items = 0;
    for (int64_t b = 0; b < a->batch; b++) items += r->whole ? 1 : chunks_of(r, b);
    r->heads = most_heads(r);
    while (r->heads > 1 && items * ((a->kv_heads + r->heads - 1) / r->heads) < ITEMS)
        r->heads = (r->heads + 1) / 2;
    r->groups = (a->kv_heads + r->heads - 1) / r->heads;
}

void paged_decode_run(const paged_shape *p, const fr_call *c) {
    attn_carve space = {.base = c->scratch};
    decode_run r = {.kernels = &fr_kernel()->kvattn,
                    .way = fr_kvattn_way_of(&fr_kernel()->kvattn, p->layout.kind, p->a.dim),
                    .q = attn_side_of(&c->in[PAGED_Q]),
                    .y = attn_side_of(&c->out[0])};
    carve(p, &space, c->pool, &r);
    cut_heads(&r);
    if (r.whole) {
        fr_pool_run_thread(c->pool, (size_t)(p->a.batch * r.groups), whole_item, &r);
        return;
    }
    fr_pool_run_thread(c->pool, (size_t)(p->a.batch * r.chunks * r.groups), chunk_item, &r);
    fr_pool_run(c->pool, (size_t)(p->a.batch * p->a.kv_heads), finish_item, &r);
}
