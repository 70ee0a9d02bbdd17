/* attention_decode.c: attention of few queries over many keys, as when a model writes token after
 * token. There are too few rows to fill lanes or threads, and the keys are read only once, so the
 * keys are cut instead (Flash-Decoding, Dao et al. 2023): chunks of a size that follows from n
 * alone, each with its own maximum, sum and weighted values; then the chunks are joined in order.
 * Scores with a cap go through the tiles: here the kernel keeps its scores to itself. */
#include <math.h>
#include <string.h>

#include "op/attention.h"

enum { MOST_ROWS = 8, TILE = 128, CHUNK = 512, MOST_CHUNKS = 64 };

typedef struct decode_run {
    const attn_shape *a;
    const fr_attn_kernels *kernels;
    attn_side q, k, v, y;
    float *lse;
    float *q32;    /* [batch][kv_heads][rows][ld] */
    float *part;   /* [batch][kv_heads][chunks][rows][ld + 2]: values, maximum, sum */
    char *scratch; /* a tile of scores and of values a thread */
    size_t per_thread;
    int64_t chunk, chunks;
} decode_run;

bool attn_is_decode(const attn_shape *a) {
    return a->rows <= MOST_ROWS && a->attr.mask != FR_MASK_BLOCKS && a->squeeze == 0.0f;
}

static int64_t chunk_of(int64_t n) {
    int64_t chunk = FR_MAX_OF((int64_t)CHUNK, (n + MOST_CHUNKS - 1) / MOST_CHUNKS);
    return (chunk + TILE - 1) / TILE * TILE;
}

static size_t carve(const attn_shape *a, attn_carve *c, const fr_pool *pool, decode_run *r) {
    const int64_t ld = fr_attn_ld(a->dim), pairs = a->batch * a->kv_heads;
    r->chunk = chunk_of(a->n);
    r->chunks = (a->n + r->chunk - 1) / r->chunk;
    r->q32 = attn_take(c, pairs * a->rows * ld, sizeof(float));
    r->part = attn_take(c, pairs * r->chunks * a->rows * (ld + 2), sizeof(float));
    r->per_thread = fr_round_up((size_t)(TILE + ld) * sizeof(float), FR_ALIGN);
    r->scratch = attn_take(c, fr_pool_threads(pool), r->per_thread);
    return c->used;
}

size_t attn_decode_scratch(const attn_shape *a, const fr_pool *pool) {
    attn_carve c = {0};
    decode_run r;
    return carve(a, &c, pool, &r);
}

void attn_join(float *o, float *top, float *sum, const float *o2, float top2, float sum2,
               int64_t dim, float c) {
    float high = *top > top2 ? *top : top2;
    if (isnan(top2)) high = top2;
    float base = high == -INFINITY ? 0.0f : high;
    float fade = exp2f((*top - base) * c), fade2 = exp2f((top2 - base) * c);
    for (int64_t d = 0; d < dim; d++) o[d] = o[d] * fade + o2[d] * fade2;
    *sum = *sum * fade + sum2 * fade2;
    *top = high;
}

static void load_queries(const decode_run *r) {
    const attn_shape *a = r->a;
    const int64_t ld = fr_attn_ld(a->dim);
    for (int64_t pair = 0; pair < a->batch * a->kv_heads; pair++)
        for (int64_t row = 0; row < a->rows; row++) {
            int64_t head = pair % a->kv_heads * a->group + row % a->group;
            const void *q = attn_row(&r->q, pair / a->kv_heads, row / a->group, head);
            float *out = r->q32 + (pair * a->rows + row) * ld;
            for (int64_t d = 0; d < a->dim; d++)
                out[d] = a->half ? fr_bf16_to_f32(((const uint16_t *)q)[d]) : ((const float *)q)[d];
        }
}

static void tile(const decode_run *r, int64_t pair, int64_t first, int64_t end, float *s,
                 float *part) {
    const attn_shape *a = r->a;
    const int64_t ld = fr_attn_ld(a->dim), size = a->half ? 2 : 4;
    float *o = s + TILE;
    for (int64_t row = 0; row < a->rows; row++) {
        int64_t lo, hi;
        attn_span(a, pair / a->kv_heads, row / a->group, &lo, &hi);
        lo = FR_MAX_OF(lo, first);
        hi = FR_MIN(hi, end);
        if (lo >= hi) continue;
        float top, sum, *to = part + row * (ld + 2);
        r->kernels->decode(r->q32 + (pair * a->rows + row) * ld,
                           attn_row(&r->k, pair / a->kv_heads, lo, pair % a->kv_heads),
                           attn_row(&r->v, pair / a->kv_heads, lo, pair % a->kv_heads),
                           r->k.token / size, r->v.token / size, a->half, hi - lo, a->dim, a->c, s,
                           &top, &sum, o);
        attn_join(to, to + ld, to + ld + 1, o, top, sum, a->dim, a->c);
    }
}

static void chunk(void *arg, size_t thread, size_t i) {
    const decode_run *r = arg;
    const attn_shape *a = r->a;
    const int64_t ld = fr_attn_ld(a->dim);
    const int64_t pair = (int64_t)i / r->chunks, first = (int64_t)i % r->chunks * r->chunk;
    const int64_t end = FR_MIN(first + r->chunk, a->n);
    float *part = r->part + (int64_t)i * a->rows * (ld + 2);
    float *s = (float *)(void *)(r->scratch + thread * r->per_thread);
    memset(part, 0, (size_t)(a->rows * (ld + 2)) * sizeof *part);
    for (int64_t row = 0; row < a->rows; row++) part[row * (ld + 2) + ld] = -INFINITY;
    for (int64_t at = first; at < end; at += TILE)
        tile(r, pair, at, FR_MIN(at + TILE, end), s, part);
}

/* All chunks of one key head, into the first of them. */
static void finish(void *arg, size_t pair) {
    const decode_run *r = arg;
    const attn_shape *a = r->a;
    const int64_t ld = fr_attn_ld(a->dim), size = a->rows * (ld + 2);
    for (int64_t row = 0; row < a->rows; row++) {
        int64_t head = (int64_t)pair % a->kv_heads * a->group + row % a->group;
        int64_t b = (int64_t)pair / a->kv_heads, query = row / a->group;
        float *to = r->part + (int64_t)pair * r->chunks * size + row * (ld + 2);
        for (int64_t k = 1; k < r->chunks; k++)
            attn_join(to, to + ld, to + ld + 1, to + k * size, to[k * size + ld],
                      to[k * size + ld + 1], a->dim, a->c);
        float sum = r->chunks ? to[ld + 1] : 0.0f, by = sum == 0.0f ? 0.0f : 1.0f / sum;
        void *y = attn_row(&r->y, b, query, head);
        for (int64_t d = 0; d < a->dim; d++) {
            float x = sum == 0.0f ? 0.0f : to[d] * by;
            if (a->half)
                ((uint16_t *)y)[d] = fr_f32_to_bf16(x);
            else
                ((float *)y)[d] = x;
        }
        r->lse[(b * a->heads + head) * a->m + query] =
            sum == 0.0f ? -INFINITY : to[ld] * a->attr.scale + logf(sum);
    }
}

void attn_decode_run(const attn_shape *a, const fr_call *c) {
    attn_carve space = {.base = c->scratch};
    decode_run r = {.a = a,
                    .kernels = &fr_kernel()->attn,
                    .q = attn_side_of(&c->in[ATTN_Q]),
                    .k = attn_side_of(&c->in[ATTN_K]),
                    .v = attn_side_of(&c->in[ATTN_V]),
                    .y = attn_side_of(&c->out[0]),
                    .lse = c->out[1].data};
    carve(a, &space, c->pool, &r);
    load_queries(&r);
    fr_pool_run_thread(c->pool, (size_t)(a->batch * a->kv_heads * r.chunks), chunk, &r);
    fr_pool_run(c->pool, (size_t)(a->batch * a->kv_heads), finish, &r);
}
