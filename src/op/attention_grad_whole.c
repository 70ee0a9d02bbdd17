/* attention_grad_whole.c: the backward pass of attention where all keys of a head fit into the second cache.
 *
 * One item of work owns a key head of one of the batch: its keys and values are packed once, and the queries of
 * all heads that share it come by, as many as a panel has lanes. A pair is looked at once, with the query in the
 * lanes: ds makes dq as weights make the sums forwards, and p and ds as rows, over the rows of dy and q, add to
 * dv and dk. So five products, where tiles of queries and tiles of keys by themselves need seven. In bf16 all
 * five take the dot instruction; p and ds are rounded as p is forwards, and all sums are f32. */
#include <string.h>

#include "op/attention.h"

enum { KEYS = 64 };
enum { WHOLE = 32768 };      /* values of the keys of a head */
enum { ITEMS = 16 };         /* heads that are enough for many threads */
enum { ONE_ITEM = 1 << 16 }; /* pairs in a head that need not be cut */

typedef struct whole_work {
    void *k_rows, *v_rows, *k_cols;                  /* of all keys */
    void *q_panel, *dy_panel, *q_spread, *dy_spread; /* of a panel of queries */
    float *dk, *dv, *dq, *s, *dp;
    void *pairs;
    const void **k, **v; /* where the keys lie */
    int64_t lo[FR_ATTN_LANES], hi[FR_ATTN_LANES];
} whole_work;

typedef struct whole_run {
    const attn_grad *r;
    const fr_attn_path *path;
    char *scratch;
    size_t per_thread;
} whole_run;

static const fr_attn_path *path_of(const attn_shape *a) {
    const fr_attn_kernels *k = &fr_kernel()->attn;
    return a->half && k->bf16.score ? &k->bf16 : &k->f32;
}

static int64_t room(const attn_shape *a) {
    return (int64_t)fr_round_up((size_t)a->n, FR_ATTN_GROUP);
}

bool attn_grad_is_whole(const attn_shape *a) {
    if (a->attr.mask == FR_MASK_BLOCKS || a->n * fr_attn_ld(a->dim) > WHOLE) return false;
    return a->batch * a->kv_heads >= ITEMS || a->rows * a->n <= ONE_ITEM;
}

static whole_work *carve(const attn_shape *a, attn_carve *c) {
    const int64_t ld = fr_attn_ld(a->dim), all = room(a) * ld, panel = FR_ATTN_LANES * ld;
    whole_work *w = attn_take(c, 1, sizeof *w);
    void *big[5], *small[5], *tile[3], *keys[2];
    for (int i = 0; i < 5; i++) big[i] = attn_take(c, all, 4);
    for (int i = 0; i < 5; i++) small[i] = attn_take(c, panel, 4);
    for (int i = 0; i < 3; i++) tile[i] = attn_take(c, KEYS * FR_ATTN_LANES, 4);
    for (int i = 0; i < 2; i++) keys[i] = attn_take(c, a->n, sizeof(void *));
    if (!w) return NULL;
    w->k_rows = big[0], w->v_rows = big[1], w->k_cols = big[2], w->dk = big[3], w->dv = big[4];
    w->q_panel = small[0], w->dy_panel = small[1], w->q_spread = small[2], w->dy_spread = small[3];
    w->dq = small[4];
    w->s = tile[0], w->dp = tile[1], w->pairs = tile[2];
    w->k = keys[0], w->v = keys[1];
    return w;
}

size_t attn_grad_whole_scratch(const attn_shape *a, const fr_pool *pool) {
    attn_carve c = {0};
    carve(a, &c);
    return c.used * (size_t)fr_pool_threads(pool);
}

/* ---- a panel of queries ---- */

typedef struct panel {
    int64_t b, kv, first, count;
} panel;

static void rows_of(const attn_grad *r, const attn_side *side, const panel *p, int lanes,
                    void **row) {
    const int64_t group = r->a.group;
    for (int l = 0; l < lanes; l++) {
        int64_t x = p->first + l;
        row[l] = l < p->count ? attn_row(side, p->b, x / group, p->kv * group + x % group) : NULL;
    }
}

static void pack_queries(const whole_run *t, whole_work *w, const panel *p) {
    const attn_shape *a = &t->r->a;
    void *row[FR_ATTN_LANES];
    rows_of(t->r, &t->r->q, p, t->path->lanes, row);
    t->path->pack_panel((const void *const *)row, a->half, a->dim, w->q_panel);
    t->path->pack_spread((const void *const *)row, a->half, a->dim, w->q_spread);
    rows_of(t->r, &t->r->dy, p, t->path->lanes, row);
    t->path->pack_panel((const void *const *)row, a->half, a->dim, w->dy_panel);
    t->path->pack_spread((const void *const *)row, a->half, a->dim, w->dy_spread);
}

/* Keys from .. from + count - 1, which some row of the panel sees. */
static void keys_step(const whole_run *t, whole_work *w, const panel *p, int64_t from,
                      int64_t count, const float *lse, const float *delta) {
    const attn_shape *a = &t->r->a;
    const fr_attn_path *path = t->path;
    const size_t size = path->pairs ? 2 : 4;
    const int64_t ld = fr_attn_ld(a->dim);
    int32_t lo[FR_ATTN_LANES], hi[FR_ATTN_LANES];
    bool cut = false;
    for (int l = 0; l < path->lanes; l++) {
        int64_t low = w->lo[l] - from, high = w->hi[l] - from;
        lo[l] = (int32_t)FR_MIN(FR_MAX_OF(low, 0), count);
        hi[l] = (int32_t)FR_MIN(FR_MAX_OF(high, 0), count);
        cut = cut || (l < p->count && (low > 0 || high < count));
    }
    path->score(w->q_panel, (char *)w->k_rows + (size_t)(from * ld) * size, count, a->dim, w->s);
    if (cut) t->r->kernels->mask_lanes(w->s, count, path->lanes, lo, hi);
    path->score(w->dy_panel, (char *)w->v_rows + (size_t)(from * ld) * size, count, a->dim, w->dp);
    path->grad(w->s, w->dp, count, a->c, lse, delta, w->pairs);
    path->accumulate(path->pairs ? w->pairs : w->dp,
                     (char *)w->k_cols + (size_t)(from * path->group) * size, count, a->dim,
                     room(a), NULL, w->dq);
    path->spread(w->s, w->dy_spread, count, a->dim, w->dv + from * ld);
    path->spread(w->dp, w->q_spread, count, a->dim, w->dk + from * ld);
}

static void queries(const whole_run *t, whole_work *w, const panel *p) {
    const attn_grad *r = t->r;
    const attn_shape *a = &r->a;
    const int lanes = t->path->lanes;
    const int64_t at = (p->b * a->kv_heads + p->kv) * a->rows + p->first;
    float lse[FR_ATTN_LANES] = {0}, delta[FR_ATTN_LANES] = {0}, by[FR_ATTN_LANES];
    for (int l = 0; l < lanes; l++) {
        w->lo[l] = w->hi[l] = 0;
        by[l] = a->attr.scale;
        if (l >= p->count) continue;
        lse[l] = r->lse[at + l];
        delta[l] = r->delta[at + l];
        attn_span(a, p->b, (p->first + l) / a->group, &w->lo[l], &w->hi[l]);
    }
    pack_queries(t, w, p);
    memset(w->dq, 0, (size_t)(lanes * fr_attn_ld(a->dim)) * sizeof(float));
    /* Both ends rise with the query. */
    int64_t from = w->lo[0] / FR_ATTN_GROUP * FR_ATTN_GROUP, to = w->hi[p->count - 1];
    for (; from < to; from += KEYS) keys_step(t, w, p, from, FR_MIN(to - from, KEYS), lse, delta);
    void *row[FR_ATTN_LANES];
    rows_of(r, &r->dq, p, lanes, row);
    r->kernels->store(w->dq, lanes, a->dim, by, a->half, row);
}

/* ---- a key head ---- */

static void store_keys(const attn_grad *r, const attn_side *side, int64_t b, int64_t kv,
                       const float *sum) {
    const attn_shape *a = &r->a;
    for (int64_t j = 0; j < a->n; j++) {
        const float *from = sum + j * fr_attn_ld(a->dim);
        if (a->half)
            fr_kernel()->convert.f32_to_bf16(from, (size_t)a->dim,
                                             (uint16_t *)(void *)attn_row(side, b, j, kv));
        else
            memcpy(attn_row(side, b, j, kv), from, (size_t)a->dim * sizeof *from);
    }
}

static void item(void *arg, size_t thread, size_t i) {
    const whole_run *t = arg;
    const attn_grad *r = t->r;
    const attn_shape *a = &r->a;
    attn_carve space = {.base = t->scratch + thread * t->per_thread};
    whole_work *w = carve(a, &space);
    panel p = {.b = (int64_t)i / a->kv_heads, .kv = (int64_t)i % a->kv_heads};
    const size_t values = (size_t)(room(a) * fr_attn_ld(a->dim));
    for (int64_t j = 0; j < a->n; j++) {
        w->k[j] = attn_row(&r->k, p.b, j, p.kv);
        w->v[j] = attn_row(&r->v, p.b, j, p.kv);
    }
    t->path->pack_rows(w->k, a->n, a->half, a->dim, w->k_rows);
    t->path->pack_rows(w->v, a->n, a->half, a->dim, w->v_rows);
    t->path->pack_cols(w->k, a->n, a->half, a->dim, room(a), w->k_cols);
    memset(w->dk, 0, values * sizeof *w->dk);
    memset(w->dv, 0, values * sizeof *w->dv);
    for (; p.first < a->rows; p.first += t->path->lanes) {
        p.count = FR_MIN(a->rows - p.first, t->path->lanes);
        queries(t, w, &p);
    }
    fr_kernel()->rows.affine(w->dk, a->attr.scale, 0, values, w->dk);
    store_keys(r, &r->dk, p.b, p.kv, w->dk);
    store_keys(r, &r->dv, p.b, p.kv, w->dv);
}

void attn_grad_whole_run(const attn_grad *r, void *scratch, fr_pool *pool) {
    attn_carve one = {0};
    carve(&r->a, &one);
    whole_run t = {.r = r, .path = path_of(&r->a), .scratch = scratch, .per_thread = one.used};
    fr_pool_run_thread(pool, (size_t)(r->a.batch * r->a.kv_heads), item, &t);
}
