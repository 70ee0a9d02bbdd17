/* attention_tile.c: attention forward, tile by tile with online softmax (FlashAttention, Dao et al.
 * 2022): memory linear in tokens.
 *
 * One item of work is one tile of query rows of one key head. Its queries are packed into panels
 * once; then the keys that some row sees come by in tiles of KEYS. Per tile and panel: scores, mask
 * where it cuts, softmax step, sums. Tiles that no row sees are never touched, and in the tile on
 * the diagonal each panel stops at the last key that it sees.
 *
 * A masked pair has weight 0, and 0 * NaN would leak a value that a row must not see. So where v is
 * not finite those values are taken out of the tile and added to the rows that do see them. */
#include <math.h>
#include <string.h>

#include "op/attention.h"

enum { ROWS = 256, KEYS = 256 };

/* Rows of a tile: many share each packing of keys, few make enough items for all threads. */
static int64_t most_rows(const attn_shape *a) {
    return a->rows >= 2048 ? ROWS : ROWS / 2;
}

/* Which keys a tile holds, and where they lie. */
typedef struct key_tile {
    int64_t count, key[KEYS];
    const void *k[KEYS], *v[KEYS];
} key_tile;

typedef struct tile_work {
    void *panel, *rows, *cols;
    float *o, *s;
    float top[ROWS], sum[ROWS], by[FR_ATTN_LANES], fade[FR_ATTN_LANES];
    int64_t lo[ROWS], hi[ROWS]; /* what each row sees; nothing past the last row */
    key_tile now, next;
    char *read[2]; /* keys then values of a tile that come out of pages: of this and of the next */
    int turn;
} tile_work;

typedef struct tile_run {
    const attn_shape *a;
    const fr_attn_kernels *kernels;
    const fr_attn_path *path;
    attn_side q, k, v, y;
    float *lse;
    char *scratch;
    size_t per_thread;
    int64_t tiles;
} tile_run;

/* One item as it goes: batch, key head, rows. */
typedef struct tile_item {
    int64_t b, kv, first, end;
    int panels;
} tile_item;

static const fr_attn_path *path_of(const attn_shape *a) {
    const fr_attn_kernels *k = &fr_kernel()->attn;
    return a->half && k->bf16.score ? &k->bf16 : &k->f32;
}

static tile_work *carve(const attn_shape *a, attn_carve *c) {
    const int64_t ld = fr_attn_ld(a->dim);
    tile_work *w = attn_take(c, 1, sizeof(tile_work));
    void *panel = attn_take(c, ROWS * ld, 4), *rows = attn_take(c, KEYS * ld, 4);
    void *cols = attn_take(c, KEYS * ld, 4), *o = attn_take(c, ROWS * ld, 4);
    void *s = attn_take(c, KEYS * FR_ATTN_LANES, 4);
    void *read[2] = {NULL, NULL};
    for (int i = 0; a->pages && i < 2; i++)
        read[i] = attn_take(c, 2 * KEYS * a->dim, a->half ? 2 : 4);
    if (!w) return NULL;
    w->panel = panel;
    w->rows = rows;
    w->cols = cols;
    w->o = o;
    w->s = s;
    w->turn = 0;
    w->read[0] = read[0];
    w->read[1] = read[1];
    return w;
}

size_t attn_tile_scratch(const attn_shape *a, const fr_pool *pool) {
    attn_carve c = {0};
    carve(a, &c);
    return c.used * (size_t)fr_pool_threads(pool);
}

static void begin(const tile_run *t, tile_item *it, tile_work *w) {
    const attn_shape *a = t->a;
    const int lanes = t->path->lanes;
    const int64_t ld = fr_attn_ld(a->dim);
    it->panels = (int)((it->end - it->first + lanes - 1) / lanes);
    for (int p = 0; p < it->panels; p++) {
        const void *row[FR_ATTN_LANES];
        for (int lane = 0; lane < lanes; lane++) {
            int64_t r = it->first + p * lanes + lane, x = p * lanes + lane;
            bool there = r < it->end;
            row[lane] = there
                            ? attn_row(&t->q, it->b, r / a->group, it->kv * a->group + r % a->group)
                            : NULL;
            w->top[x] = -INFINITY;
            w->sum[x] = 0.0f;
            w->lo[x] = w->hi[x] = 0;
            if (there) attn_span(a, it->b, r / a->group, &w->lo[x], &w->hi[x]);
        }
        t->path->pack_panel(row, a->half, a->dim, (float *)w->panel + p * lanes * ld);
    }
    memset(w->o, 0, (size_t)(it->panels * lanes * ld) * sizeof(float));
}

/* ---- values that are not finite ---- */

static void take_out(const tile_run *t, tile_work *w) {
    const size_t values = (size_t)(KEYS * fr_attn_ld(t->a->dim));
    if (t->path->pairs) {
        uint16_t *x = w->cols;
        for (size_t i = 0; i < values; i++)
            if ((x[i] & 0x7f80) == 0x7f80) x[i] = 0;
    } else {
        float *x = w->cols;
        for (size_t i = 0; i < values; i++)
            if (!isfinite(x[i])) x[i] = 0.0f;
    }
}

static float value(const void *row, bool half, int64_t d) {
    return half ? fr_bf16_to_f32(((const uint16_t *)row)[d]) : ((const float *)row)[d];
}

static void put_back(const tile_run *t, tile_work *w, int p, int64_t from, int64_t to) {
    const int lanes = t->path->lanes;
    float *o = w->o + p * lanes * fr_attn_ld(t->a->dim);
    for (int64_t j = from; j < to; j++)
        for (int64_t d = 0; d < t->a->dim; d++) {
            float x = value(w->now.v[j], t->a->half, d);
            if (isfinite(x)) continue;
            for (int lane = 0; lane < lanes; lane++)
                if (w->now.key[j] >= w->lo[p * lanes + lane] &&
                    w->now.key[j] < w->hi[p * lanes + lane])
                    o[d * lanes + lane] += x;
        }
}

/* ---- one tile of keys ---- */

/* The rows of the tile that panel p can see at all, and whether some lane sees less than those. */
static bool limits(const tile_item *it, const tile_work *w, int lanes, int p, int64_t first,
                   int64_t *from, int64_t *to) {
    int64_t last = FR_MIN(it->end - it->first, (int64_t)(p + 1) * lanes) - 1;
    int64_t low = w->lo[p * lanes] - first, high = w->hi[last] - first;
    *from = FR_MAX_OF(*from, low) / FR_ATTN_GROUP * FR_ATTN_GROUP;
    *to = FR_MIN(*to, high);
    return w->lo[last] - first > *from || w->hi[p * lanes] - first < *to;
}

static void mask(const tile_run *t, tile_work *w, int p, int64_t first, int64_t count) {
    const int lanes = t->path->lanes;
    int32_t lo[FR_ATTN_LANES], hi[FR_ATTN_LANES];
    for (int lane = 0; lane < lanes; lane++) {
        int64_t low = w->lo[p * lanes + lane] - first, high = w->hi[p * lanes + lane] - first;
        lo[lane] = (int32_t)FR_MIN(FR_MAX_OF(low, 0), count);
        hi[lane] = (int32_t)FR_MIN(FR_MAX_OF(high, 0), count);
    }
    t->kernels->mask_lanes(w->s, count, lanes, lo, hi);
}

static void panel_step(const tile_run *t, const tile_item *it, tile_work *w, int p, int64_t count,
                       bool finite) {
    const attn_shape *a = t->a;
    const fr_attn_path *path = t->path;
    const int lanes = path->lanes;
    const int64_t ld = fr_attn_ld(a->dim);
    int64_t from = 0, to = count;
    bool cut = false;
    if (a->attr.mask != FR_MASK_BLOCKS) cut = limits(it, w, lanes, p, w->now.key[0], &from, &to);
    if (from >= to) return;
    const size_t size = path->pairs ? 2 : 4;
    path->score((float *)w->panel + p * lanes * ld, (char *)w->rows + (size_t)(from * ld) * size,
                to - from, a->dim, w->s);
    if (a->squeeze != 0.0f) attn_squeeze(a, w->s, (size_t)((to - from) * lanes));
    if (cut) mask(t, w, p, w->now.key[from], to - from);
    path->softmax(w->s, to - from, a->c, w->top + p * lanes, w->sum + p * lanes, w->fade);
    path->accumulate(w->s, (char *)w->cols + (size_t)(from * path->group) * size, to - from, a->dim,
                     KEYS, w->fade, w->o + p * lanes * ld);
    if (!finite) put_back(t, w, p, from, to);
}

static void finish(const tile_run *t, const tile_item *it, tile_work *w) {
    const attn_shape *a = t->a;
    const int lanes = t->path->lanes;
    for (int p = 0; p < it->panels; p++) {
        void *row[FR_ATTN_LANES];
        for (int lane = 0; lane < lanes; lane++) {
            int64_t r = it->first + p * lanes + lane;
            float sum = w->sum[p * lanes + lane];
            w->by[lane] = sum == 0.0f ? 0.0f : 1.0f / sum;
            row[lane] = NULL;
            if (r >= it->end) continue;
            int64_t i = r / a->group, head = it->kv * a->group + r % a->group;
            row[lane] = attn_row(&t->y, it->b, i, head);
            if (!t->lse) continue;
            t->lse[(it->b * a->heads + head) * a->m + i] =
                sum == 0.0f ? -INFINITY : w->top[p * lanes + lane] * a->attr.scale + logf(sum);
        }
        t->kernels->store(w->o + p * lanes * fr_attn_ld(a->dim), lanes, a->dim, w->by, a->half,
                          row);
    }
}

/* Keys of pages follow one another. */
static void read_pages(const attn_shape *a, const tile_item *it, tile_work *w, key_tile *out) {
    const int64_t row = a->dim * (a->half ? 2 : 4);
    char *k = w->read[w->turn], *v = k + KEYS * row;
    w->turn = !w->turn;
    if (out->count) attn_pages_read(a->pages, it->b, it->kv, out->key[0], out->count, k, v);
    for (int64_t j = 0; j < out->count; j++) {
        out->k[j] = k + j * row;
        out->v[j] = v + j * row;
    }
}

static void next_keys(const tile_run *t, const tile_item *it, tile_work *w, attn_keys *keys,
                      key_tile *out) {
    out->count = attn_keys_next(keys, KEYS, out->key);
    if (t->a->pages) {
        read_pages(t->a, it, w, out);
        return;
    }
    for (int64_t j = 0; j < out->count; j++) {
        out->k[j] = attn_row(&t->k, it->b, out->key[j], it->kv);
        out->v[j] = attn_row(&t->v, it->b, out->key[j], it->kv);
    }
}

/* Rows of one head lie far apart, where no prefetcher of the machine looks: part `p` of `parts`. */
static void fetch(const attn_shape *a, const key_tile *k, int p, int parts) {
    const int64_t bytes = a->dim * (a->half ? 2 : 4);
    for (int64_t j = k->count * p / parts; j < k->count * (p + 1) / parts; j++)
        for (int64_t at = 0; at < bytes; at += 64) {
            __builtin_prefetch((const char *)k->k[j] + at, 0, 2);
            __builtin_prefetch((const char *)k->v[j] + at, 0, 2);
        }
}

/* Packs the tile of keys at hand and takes every panel over it; the tile after it is on its way. */
static void key_tile_step(const tile_run *t, const tile_item *it, tile_work *w, attn_keys *keys) {
    const attn_shape *a = t->a;
    t->path->pack_rows(w->now.k, w->now.count, a->half, a->dim, w->rows);
    bool finite = t->path->pack_cols(w->now.v, w->now.count, a->half, a->dim, KEYS, w->cols);
    if (!finite) take_out(t, w);
    next_keys(t, it, w, keys, &w->next);
    for (int p = 0; p < it->panels; p++) {
        if (!a->pages) fetch(a, &w->next, p, it->panels);
        panel_step(t, it, w, p, w->now.count, finite);
    }
}

static void item(void *arg, size_t thread, size_t i) {
    const tile_run *t = arg;
    const attn_shape *a = t->a;
    attn_carve c = {.base = t->scratch + thread * t->per_thread};
    tile_work *w = carve(a, &c);
    const int64_t pair = (int64_t)i / t->tiles;
    tile_item it = {.b = pair / a->kv_heads, .kv = pair % a->kv_heads};
    attn_row_tile(a, most_rows(a), (int64_t)i % t->tiles, &it.first, &it.end);
    if (it.first >= it.end) return;
    begin(t, &it, w);
    attn_keys keys = attn_keys_of(a, it.b, it.first, it.end);
    /* Tiles of the same keys, wherever a piece of a text begins: so its rows are summed alike in any piece. */
    if (a->pages) keys.at -= keys.at % KEYS;
    next_keys(t, &it, w, &keys, &w->now);
    while (w->now.count) {
        key_tile_step(t, &it, w, &keys);
        w->now = w->next;
    }
    finish(t, &it, w);
}

void attn_tile_run(const attn_shape *a, const fr_call *c) {
    attn_carve count = {0};
    carve(a, &count);
    tile_run t = {.a = a,
                  .kernels = &fr_kernel()->attn,
                  .path = path_of(a),
                  .q = attn_side_of(&c->in[ATTN_Q]),
                  .k = a->pages ? (attn_side){0} : attn_side_of(&c->in[ATTN_K]),
                  .v = a->pages ? (attn_side){0} : attn_side_of(&c->in[ATTN_V]),
                  .y = attn_side_of(&c->out[0]),
                  .lse = c->nout > 1 ? c->out[1].data : NULL,
                  .scratch = c->scratch,
                  .per_thread = count.used,
                  .tiles = attn_row_tiles(a, most_rows(a))};
    fr_pool_run_thread(c->pool, (size_t)(a->batch * a->kv_heads * t.tiles), item, &t);
}
