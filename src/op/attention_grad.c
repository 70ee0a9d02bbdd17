/* attention_grad.c: the backward pass of attention (FlashAttention-2, Dao 2023), tile by tile.
 *
 *     p = exp(scale s - lse)    delta = sum(dy y)    ds = p (dy vT - delta)
 *     dv = pT dy                dk = scale dsT q     dq = scale ds k
 *
 * The weights are made again from lse, so memory stays linear in tokens. Two passes over the pairs:
 * one owns tiles of queries and sums dq, the other owns tiles of keys and sums dk and dv over all
 * queries of all heads that share the key head. Each sum has one owner and a fixed order, at the
 * price of making the weights twice. Pass two is pass one with the sides exchanged: keys lie in the
 * lanes and queries are broadcast. Heads whose keys are all at hand together need one pass only
 * (attention_grad_whole.c). */
#include <math.h>
#include <string.h>

#include "op/attention.h"

enum { TILE = 128 };
enum { IN_Q, IN_K, IN_V, IN_Y, IN_LSE, IN_DY, IN_AUX0, IN_AUX1 };

typedef struct grad_work {
    float *panel0, *panel1; /* q and dy, or k and v */
    float *sum0, *sum1;     /* dq, or dk and dv */
    float *rows0, *rows1, *cols0, *cols1;
    float *s, *dp;
    float lse[TILE], delta[TILE];
    int64_t lo[TILE], hi[TILE], index[TILE];
    const void *ptr[2][TILE];
} grad_work;

/* What one item owns: rows of queries or keys first .. end of key head kv. */
typedef struct grad_item {
    int64_t b, kv, first, end;
    int panels;
} grad_item;

static grad_work *carve_work(const attn_shape *a, attn_carve *c) {
    const int64_t size = TILE * fr_attn_ld(a->dim);
    grad_work *w = attn_take(c, 1, sizeof(grad_work));
    float *block[10];
    for (int i = 0; i < 8; i++) block[i] = attn_take(c, size, sizeof(float));
    for (int i = 8; i < 10; i++) block[i] = attn_take(c, TILE * FR_ATTN_LANES, sizeof(float));
    if (!w) return NULL;
    w->panel0 = block[0];
    w->panel1 = block[1];
    w->sum0 = block[2];
    w->sum1 = block[3];
    w->rows0 = block[4];
    w->rows1 = block[5];
    w->cols0 = block[6];
    w->cols1 = block[7];
    w->s = block[8];
    w->dp = block[9];
    return w;
}

static void carve(attn_grad *r, attn_carve *c, const fr_pool *pool) {
    const int64_t rows = r->a.batch * r->a.kv_heads * r->a.rows;
    attn_carve one = {0};
    if (!attn_grad_is_whole(&r->a)) carve_work(&r->a, &one);
    r->per_thread = attn_grad_is_whole(&r->a) ? attn_grad_whole_scratch(&r->a, NULL) : one.used;
    r->lse = attn_take(c, rows, sizeof(float));
    r->delta = attn_take(c, rows, sizeof(float));
    r->scratch = attn_take(c, fr_pool_threads(pool), r->per_thread);
}

static attn_shape shape_of(const fr_call *c) {
    const fr_attention_attr *at = c->attr;
    const bool blocks = at->mask == FR_MASK_BLOCKS;
    const fr_tensor *aux0 = fr_has(c, IN_AUX0) ? &c->in[IN_AUX0] : NULL;
    const fr_tensor *aux1 = fr_has(c, IN_AUX1) ? &c->in[IN_AUX1] : NULL;
    attn_shape a = attn_shape_of(at, &c->in[IN_Q], &c->in[IN_K], blocks ? aux0 : NULL,
                                 blocks ? aux1 : NULL, blocks ? NULL : aux0);
    a.first = !blocks && aux1 ? aux1->data : NULL;
    return a;
}

/* Row r of the group that shares key head kv. */
static char *row_of(const attn_grad *r, const attn_side *s, const grad_item *it, int64_t row) {
    return attn_row(s, it->b, row / r->a.group, it->kv * r->a.group + row % r->a.group);
}

/* ---- before: delta and lse, row by row ---- */

static float dot(const void *a, const void *b, bool half, int64_t dim) {
    const fr_rows_kernels *k = &fr_kernel()->rows;
    if (!half) return k->dot(a, b, (size_t)dim);
    float x[128], y[128], sum = 0;
    for (int64_t d = 0; d < dim; d += 128) {
        size_t n = (size_t)FR_MIN(dim - d, 128);
        fr_kernel()->convert.bf16_to_f32((const uint16_t *)a + d, n, x);
        fr_kernel()->convert.bf16_to_f32((const uint16_t *)b + d, n, y);
        sum += k->dot(x, y, n);
    }
    return sum;
}

static void prepare(void *arg, size_t first, size_t end) {
    const attn_grad *r = arg;
    const attn_shape *a = &r->a;
    for (int64_t x = (int64_t)first; x < (int64_t)end; x++) {
        const int64_t pair = x / a->rows, row = x % a->rows;
        grad_item it = {.b = pair / a->kv_heads, .kv = pair % a->kv_heads};
        const void *y = row_of(r, &r->y, &it, row), *dy = row_of(r, &r->dy, &it, row);
        r->delta[x] = dot(y, dy, a->half, a->dim);
        int64_t head = it.kv * a->group + row % a->group;
        float lse = r->lse_in[(it.b * a->heads + head) * a->m + row / a->group];
        r->lse[x] = lse == -INFINITY ? INFINITY : lse * 1.44269504088896f;
    }
}

/* ---- what both passes do ---- */

static void pack_panels(const attn_grad *r, const attn_side *side, const grad_item *it, bool keys,
                        float *panel) {
    const int lanes = r->kernels->f32.lanes;
    const void *row[FR_ATTN_LANES];
    for (int p = 0; p < it->panels; p++) {
        for (int lane = 0; lane < lanes; lane++) {
            int64_t x = it->first + p * lanes + lane;
            row[lane] = x >= it->end ? NULL
                        : keys       ? attn_row(side, it->b, x, it->kv)
                                     : row_of(r, side, it, x);
        }
        r->kernels->f32.pack_panel(row, r->a.half, r->a.dim,
                                   panel + p * lanes * fr_attn_ld(r->a.dim));
    }
}

static void store(const attn_grad *r, const attn_side *side, const grad_item *it, bool keys,
                  float scale, const float *sum) {
    const int lanes = r->kernels->f32.lanes;
    void *row[FR_ATTN_LANES];
    float by[FR_ATTN_LANES];
    for (int p = 0; p < it->panels; p++) {
        for (int lane = 0; lane < lanes; lane++) {
            int64_t x = it->first + p * lanes + lane;
            by[lane] = scale;
            row[lane] = x >= it->end ? NULL
                        : keys       ? attn_row(side, it->b, x, it->kv)
                                     : row_of(r, side, it, x);
        }
        r->kernels->store(sum + p * lanes * fr_attn_ld(r->a.dim), lanes, r->a.dim, by, r->a.half,
                          row);
    }
}

static int32_t clamp(int64_t x, int64_t most) {
    return (int32_t)(x < 0 ? 0 : x > most ? most : x);
}

/* ---- pass one: queries in the lanes ---- */

static void query_step(const attn_grad *r, const grad_item *it, grad_work *w, int p,
                       int64_t count) {
    const attn_shape *a = &r->a;
    const fr_attn_path *path = &r->kernels->f32;
    const int lanes = path->lanes;
    const int64_t at = (int64_t)p * lanes * fr_attn_ld(a->dim);
    float lse[FR_ATTN_LANES], delta[FR_ATTN_LANES];
    int32_t lo[FR_ATTN_LANES], hi[FR_ATTN_LANES];
    bool seen = false, cut = false;
    for (int lane = 0; lane < lanes; lane++) {
        int64_t x = p * lanes + lane;
        bool there = it->first + x < it->end;
        lse[lane] = there ? w->lse[x] : 0.0f;
        delta[lane] = there ? w->delta[x] : 0.0f;
        lo[lane] = there ? clamp(w->lo[x] - w->index[0], count) : 0;
        hi[lane] = there ? clamp(w->hi[x] - w->index[0], count) : 0;
        seen = seen || lo[lane] < hi[lane];
        cut = cut || (there && (lo[lane] > 0 || hi[lane] < count));
    }
    if (a->attr.mask == FR_MASK_BLOCKS)
        cut = false;
    else if (!seen)
        return;
    path->score(w->panel0 + at, w->rows0, count, a->dim, w->s);
    if (cut) r->kernels->mask_lanes(w->s, count, lanes, lo, hi);
    path->score(w->panel1 + at, w->rows1, count, a->dim, w->dp);
    r->kernels->grad_lanes(w->s, w->dp, count, a->c, lse, delta);
    path->accumulate(w->dp, w->cols0, count, a->dim, TILE, NULL, w->sum0 + at);
}

static void query_item(void *arg, size_t thread, size_t i) {
    const attn_grad *r = arg;
    const attn_shape *a = &r->a;
    const fr_attn_path *path = &r->kernels->f32;
    attn_carve space = {.base = r->scratch + thread * r->per_thread};
    grad_work *w = carve_work(a, &space);
    const int64_t pair = (int64_t)i / r->tiles;
    grad_item it = {.b = pair / a->kv_heads, .kv = pair % a->kv_heads};
    attn_row_tile(a, TILE, (int64_t)i % r->tiles, &it.first, &it.end);
    if (it.first >= it.end) return;
    it.panels = (int)((it.end - it.first + path->lanes - 1) / path->lanes);
    for (int64_t x = 0; x < it.end - it.first; x++) {
        w->lse[x] = r->lse[pair * a->rows + it.first + x];
        w->delta[x] = r->delta[pair * a->rows + it.first + x];
        attn_span(a, it.b, (it.first + x) / a->group, &w->lo[x], &w->hi[x]);
    }
    pack_panels(r, &r->q, &it, false, w->panel0);
    pack_panels(r, &r->dy, &it, false, w->panel1);
    memset(w->sum0, 0, (size_t)(TILE * fr_attn_ld(a->dim)) * sizeof(float));
    attn_keys keys = attn_keys_of(a, it.b, it.first, it.end);
    for (int64_t count; (count = attn_keys_next(&keys, TILE, w->index)) > 0;) {
        for (int64_t j = 0; j < count; j++) {
            w->ptr[0][j] = attn_row(&r->k, it.b, w->index[j], it.kv);
            w->ptr[1][j] = attn_row(&r->v, it.b, w->index[j], it.kv);
        }
        path->pack_rows(w->ptr[0], count, a->half, a->dim, w->rows0);
        path->pack_rows(w->ptr[1], count, a->half, a->dim, w->rows1);
        path->pack_cols(w->ptr[0], count, a->half, a->dim, TILE, w->cols0);
        for (int p = 0; p < it.panels; p++) query_step(r, &it, w, p, count);
    }
    store(r, &r->dq, &it, false, a->attr.scale, w->sum0);
}

/* ---- pass two: keys in the lanes ---- */

/* Tiles of keys; under block lists none crosses a key block. */
static int64_t keys_of_block(const attn_shape *a) {
    if (a->attr.mask == FR_MASK_BLOCKS && a->attr.block_k < a->n) return a->attr.block_k;
    return a->n;
}

static int64_t key_tiles(const attn_shape *a) {
    if (!a->n) return 0;
    const int64_t block = keys_of_block(a);
    return (a->n + block - 1) / block * ((block + TILE - 1) / TILE);
}

static void key_tile(const attn_shape *a, int64_t tile, int64_t *first, int64_t *end) {
    const int64_t block = keys_of_block(a), per = (block + TILE - 1) / TILE;
    const int64_t from = tile / per * block;
    *first = FR_MIN(from + tile % per * TILE, a->n);
    *end = FR_MIN(FR_MIN(*first + TILE, from + block), a->n);
}

/* Goes through the rows that may see a tile of keys. */
typedef struct rows_left {
    int64_t at, end; /* the run of rows at hand */
    int64_t block;   /* the query block to look at next */
} rows_left;

static rows_left rows_of(const attn_shape *a, const grad_item *it) {
    rows_left left = {0, 0, 0};
    if (a->attr.mask == FR_MASK_BLOCKS) return left;
    int64_t lo, hi, first = 0, end = a->m;
    for (; first < end; first++) { /* both ends rise with the query */
        attn_span(a, it->b, first, &lo, &hi);
        if (hi > it->first) break;
    }
    for (; end > first; end--) {
        attn_span(a, it->b, end - 1, &lo, &hi);
        if (lo < it->end) break;
    }
    left.at = first * a->group;
    left.end = end * a->group;
    return left;
}

static int64_t rows_next(const attn_shape *a, const grad_item *it, rows_left *left,
                         int64_t index[TILE]) {
    int64_t count = 0;
    const bool blocks = a->attr.mask == FR_MASK_BLOCKS;
    while (count < TILE) {
        if (left->at < left->end) {
            index[count++] = left->at++;
        } else if (blocks && left->block * a->attr.block_q < a->m) {
            int64_t q = left->block++;
            if (!attn_block_seen(a, q, it->first / a->attr.block_k)) continue;
            left->at = q * a->attr.block_q * a->group;
            left->end = FR_MIN((q + 1) * a->attr.block_q, a->m) * a->group;
        } else {
            break;
        }
    }
    return count;
}

static void key_step(const attn_grad *r, const grad_item *it, grad_work *w, int p, int64_t count) {
    const attn_shape *a = &r->a;
    const fr_attn_path *path = &r->kernels->f32;
    const int lanes = path->lanes;
    const int64_t at = (int64_t)p * lanes * fr_attn_ld(a->dim), key = it->first + p * lanes;
    int32_t lo[TILE], hi[TILE];
    bool cut = false, seen = false;
    for (int64_t j = 0; j < count; j++) {
        lo[j] = clamp(w->lo[j] - key, lanes);
        hi[j] = clamp(w->hi[j] - key, lanes);
        cut = cut || lo[j] > 0 || hi[j] < lanes;
        seen = seen || lo[j] < hi[j];
    }
    if (a->attr.mask == FR_MASK_BLOCKS)
        cut = false;
    else if (!seen)
        return;
    path->score(w->panel0 + at, w->rows0, count, a->dim, w->s);
    if (cut) r->kernels->mask_rows(w->s, count, lanes, lo, hi);
    path->score(w->panel1 + at, w->rows1, count, a->dim, w->dp);
    r->kernels->grad_rows(w->s, w->dp, count, a->c, w->lse, w->delta);
    path->accumulate(w->s, w->cols1, count, a->dim, TILE, NULL, w->sum1 + at);
    path->accumulate(w->dp, w->cols0, count, a->dim, TILE, NULL, w->sum0 + at);
}

static void key_item(void *arg, size_t thread, size_t i) {
    const attn_grad *r = arg;
    const attn_shape *a = &r->a;
    const fr_attn_path *path = &r->kernels->f32;
    attn_carve space = {.base = r->scratch + thread * r->per_thread};
    grad_work *w = carve_work(a, &space);
    const int64_t pair = (int64_t)i / r->tiles;
    grad_item it = {.b = pair / a->kv_heads, .kv = pair % a->kv_heads};
    key_tile(a, (int64_t)i % r->tiles, &it.first, &it.end);
    if (it.first >= it.end) return;
    it.panels = (int)((it.end - it.first + path->lanes - 1) / path->lanes);
    pack_panels(r, &r->k, &it, true, w->panel0);
    pack_panels(r, &r->v, &it, true, w->panel1);
    memset(w->sum0, 0, (size_t)(TILE * fr_attn_ld(a->dim)) * sizeof(float));
    memset(w->sum1, 0, (size_t)(TILE * fr_attn_ld(a->dim)) * sizeof(float));
    rows_left left = rows_of(a, &it);
    for (int64_t count; (count = rows_next(a, &it, &left, w->index)) > 0;) {
        for (int64_t j = 0; j < count; j++) {
            const int64_t row = w->index[j];
            w->ptr[0][j] = row_of(r, &r->q, &it, row);
            w->ptr[1][j] = row_of(r, &r->dy, &it, row);
            w->lse[j] = r->lse[pair * a->rows + row];
            w->delta[j] = r->delta[pair * a->rows + row];
            attn_span(a, it.b, row / a->group, &w->lo[j], &w->hi[j]);
        }
        path->pack_rows(w->ptr[0], count, a->half, a->dim, w->rows0);
        path->pack_rows(w->ptr[1], count, a->half, a->dim, w->rows1);
        path->pack_cols(w->ptr[0], count, a->half, a->dim, TILE, w->cols0);
        path->pack_cols(w->ptr[1], count, a->half, a->dim, TILE, w->cols1);
        for (int p = 0; p < it.panels; p++) key_step(r, &it, w, p, count);
    }
    store(r, &r->dk, &it, true, a->attr.scale, w->sum0);
    store(r, &r->dv, &it, true, 1.0f, w->sum1);
}

/* ---- the operator ---- */

/* Is input i like this output of the forward operator? */
static fr_status check_like(const fr_call *c, int i, const fr_tensor *want) {
    static const char *const names[] = {[IN_Y] = "y", [IN_LSE] = "lse", [IN_DY] = "dy"};
    char have[FR_SHAPE_TEXT], text[FR_SHAPE_TEXT];
    if (c->in[i].dtype == want->dtype && fr_same_shape(&c->in[i], want)) return FR_OK;
    return fr_fail(FR_INVALID, "attention_grad: %s is %s and must be %s", names[i],
                   fr_shape_text(&c->in[i], have), fr_shape_text(want, text));
}

static fr_status shape(const fr_call *c) {
    const bool blocks = ((const fr_attention_attr *)c->attr)->mask == FR_MASK_BLOCKS;
    const fr_tensor none = {.dtype = FR_NOTYPE};
    const fr_tensor aux0 = fr_has(c, IN_AUX0) ? c->in[IN_AUX0] : none;
    const fr_tensor aux1 = fr_has(c, IN_AUX1) ? c->in[IN_AUX1] : none;
    const fr_tensor in[] = {c->in[IN_Q],          c->in[IN_K],          c->in[IN_V],
                            blocks ? aux0 : none, blocks ? aux1 : none, blocks ? none : aux0,
                            blocks ? none : aux1};
    fr_tensor out[2] = {none, none};
    fr_call forward = {
        .op = &fr_op_attention, .attr = c->attr, .nin = 7, .nout = 2, .in = in, .out = out};
    FR_TRY(attn_shape_rule(&forward));
    FR_TRY(check_like(c, IN_Y, &out[0]));
    FR_TRY(check_like(c, IN_LSE, &out[1]));
    FR_TRY(check_like(c, IN_DY, &out[0]));
    for (int i = 0; i < 3; i++) {
        c->out[i].dtype = c->in[i].dtype;
        c->out[i].rank = 4;
        for (int d = 0; d < 4; d++) c->out[i].dim[d] = c->in[i].dim[d];
    }
    return FR_OK;
}

/* Nothing sees anything: then the gradients are zero, where there are any. */
static bool no_pairs(const fr_call *c) {
    return !fr_values(&c->in[IN_Q]) || !fr_values(&c->in[IN_K]);
}

static size_t scratch(const fr_call *c) {
    attn_grad r = {.a = shape_of(c)};
    if (no_pairs(c)) return 0;
    attn_carve space = {0};
    carve(&r, &space, c->pool);
    return space.used;
}

static fr_status run(const fr_call *c) {
    attn_grad r = {.a = shape_of(c),
                   .kernels = &fr_kernel()->attn,
                   .q = attn_side_of(&c->in[IN_Q]),
                   .k = attn_side_of(&c->in[IN_K]),
                   .v = attn_side_of(&c->in[IN_V]),
                   .y = attn_side_of(&c->in[IN_Y]),
                   .dy = attn_side_of(&c->in[IN_DY]),
                   .dq = attn_side_of(&c->out[0]),
                   .dk = attn_side_of(&c->out[1]),
                   .dv = attn_side_of(&c->out[2]),
                   .lse_in = c->in[IN_LSE].data};
    const attn_shape *a = &r.a;
    if (no_pairs(c)) {
        for (int i = 0; i < 3; i++) memset(c->out[i].data, 0, fr_bytes(&c->out[i]));
        return FR_OK;
    }
    FR_TRY(attn_check_data(a));
    attn_carve space = {.base = c->scratch};
    carve(&r, &space, c->pool);
    const int64_t pairs = a->batch * a->kv_heads;
    fr_pool_range(c->pool, (size_t)(pairs * a->rows), 64, prepare, &r);
    if (attn_grad_is_whole(a)) {
        attn_grad_whole_run(&r, r.scratch, c->pool);
        return FR_OK;
    }
    r.tiles = attn_row_tiles(a, TILE);
    fr_pool_run_thread(c->pool, (size_t)(pairs * r.tiles), query_item, &r);
    r.tiles = key_tiles(a);
    fr_pool_run_thread(c->pool, (size_t)(pairs * r.tiles), key_item, &r);
    return FR_OK;
}

/* Seven products of dim multiply-adds a pair: scores and dy vT in both passes, and three sums. Five in one. */
static void cost(const fr_call *c, fr_cost *out) {
    attn_shape a = shape_of(c);
    double products = attn_grad_is_whole(&a) ? 5 : 7;
    out->ops = attn_pairs(&a) * (double)(a.batch * a.heads) * (2 * products * (double)a.dim + 12.0);
}

const fr_op fr_op_attention_grad = {
    .name = "attention_grad",
    .nin_min = 6,
    .nin_max = 8,
    .nout = 3,
    .flags = FR_OP_NO_GRAD,
    .strided = 1u << IN_Q | 1u << IN_K | 1u << IN_V,
    .attr_bytes = sizeof(fr_attention_attr),
    .fields = attn_fields,
    .shape = shape,
    .run = run,
    .scratch = scratch,
    .cost = cost,
};

fr_status attn_grad_rule(fr_grad *r) {
    const fr_attention_attr *at = r->attr;
    if (r->nout > 1 && r->dout[1] != FR_NONE)
        return fr_fail(FR_UNSUPPORTED, "attention: there is no gradient through lse");
    if (r->dout[0] == FR_NONE) return FR_OK;
    if (at->cap != 0.0f)
        return fr_fail(
            FR_UNSUPPORTED,
            "attention: scores with a cap (%g) have no gradient yet, so such a model cannot be "
            "trained",
            (double)at->cap);
    const bool blocks = at->mask == FR_MASK_BLOCKS;
    fr_val aux[2] = {FR_NONE, FR_NONE};
    if (blocks && r->nin > ATTN_BLOCK_INDEX) {
        aux[0] = r->in[ATTN_BLOCK_START];
        aux[1] = r->in[ATTN_BLOCK_INDEX];
    } else if (!blocks) {
        if (r->nin > ATTN_KV_LEN) aux[0] = r->in[ATTN_KV_LEN];
        if (r->nin > ATTN_FIRST) aux[1] = r->in[ATTN_FIRST];
    }
    const fr_val in[8] = {r->in[ATTN_Q], r->in[ATTN_K], r->in[ATTN_V], r->out[0],
                          r->out[1],     r->dout[0],    aux[0],        aux[1]};
    fr_val first = fr_emit(r->g, &fr_op_attention_grad, 8, in, at);
    for (int i = 0; i < 3; i++)
        if (r->need[i]) r->din[i] = first == FR_NONE ? FR_NONE : first + i;
    return FR_OK;
}
