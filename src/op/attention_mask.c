/* attention_mask.c: which keys a query sees, and how the queries are cut into tiles. */
#include <math.h>

#include "op/attention.h"

attn_shape attn_shape_of(const fr_attention_attr *attr, const fr_tensor *q, const fr_tensor *k,
                         const fr_tensor *start, const fr_tensor *index, const fr_tensor *kv_len) {
    attn_shape a = {.attr = *attr};
    a.batch = q->dim[0];
    a.m = q->dim[1];
    a.heads = q->dim[2];
    a.dim = q->dim[3];
    a.n = k->dim[1];
    a.kv_heads = k->dim[2];
    a.group = a.kv_heads ? a.heads / a.kv_heads : 0;
    a.rows = a.m * a.group;
    float scale = attr->scale != 0.0f ? attr->scale : a.dim ? 1.0f / sqrtf((float)a.dim) : 1.0f;
    a.squeeze = attr->cap != 0.0f ? scale / attr->cap : 0.0f;
    a.attr.scale = attr->cap != 0.0f ? attr->cap : scale;
    a.c = a.attr.scale * 1.44269504088896f;
    a.half = q->dtype == FR_BF16;
    a.block_start = start ? start->data : NULL;
    a.block_index = index ? index->data : NULL;
    a.pairs = index ? index->dim[0] : 0;
    a.kv_len = kv_len ? kv_len->data : NULL;
    return a;
}

attn_side attn_side_of(const fr_tensor *t) {
    const int64_t size = t->dtype == FR_BF16 ? 2 : 4;
    return (attn_side){t->data, t->stride[0] * size, t->stride[1] * size, t->stride[2] * size};
}

void attn_squeeze(const attn_shape *a, float *s, size_t n) {
    const fr_rows_kernels *rows = &fr_kernel()->rows;
    rows->affine(s, a->squeeze, 0.0f, n, s);
    rows->unary(FR_FN_TANH, s, n, s);
}

static int64_t blocks_of(int64_t n, int64_t size) {
    return (n + size - 1) / size;
}

static fr_status check_blocks(const attn_shape *a) {
    const int64_t queries = blocks_of(a->m, a->attr.block_q);
    const int64_t keys = blocks_of(a->n, a->attr.block_k);
    for (int64_t i = 0; i < queries; i++) {
        int64_t from = a->block_start[i], to = a->block_start[i + 1];
        if (from < 0 || to < from || to > a->pairs)
            return fr_fail(
                FR_INVALID,
                "attention: the list of query block %lld runs from %lld to %lld, but there "
                "are %lld visible pairs",
                (long long)i, (long long)from, (long long)to, (long long)a->pairs);
        for (int64_t p = from; p < to; p++) {
            int64_t block = a->block_index[p];
            if (block < 0 || block >= keys || (p > from && block <= a->block_index[p - 1]))
                return fr_fail(
                    FR_INVALID,
                    "attention: the list of query block %lld holds key block %lld; blocks "
                    "must rise and stay below %lld",
                    (long long)i, (long long)block, (long long)keys);
        }
    }
    return FR_OK;
}

static fr_status check_first(const attn_shape *a) {
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t i = 0; i < a->m; i++) {
            const int32_t *first = a->first + b * a->m + i;
            if (*first >= (i ? first[-1] : 0) && *first <= a->n) continue;
            return fr_fail(
                FR_INVALID,
                "attention: first[%lld][%lld] is %d; it must not fall within a row and lie "
                "in 0 to %lld",
                (long long)b, (long long)i, (int)*first, (long long)a->n);
        }
    return FR_OK;
}

fr_status attn_check_data(const attn_shape *a) {
    if (a->first) FR_TRY(check_first(a));
    if (a->kv_len)
        for (int64_t b = 0; b < a->batch; b++)
            if (a->kv_len[b] < 0 || a->kv_len[b] > a->n)
                return fr_fail(FR_INVALID, "attention: kv_len[%lld] is %d, but there are %lld keys",
                               (long long)b, (int)a->kv_len[b], (long long)a->n);
    return a->attr.mask == FR_MASK_BLOCKS ? check_blocks(a) : FR_OK;
}

void attn_span(const attn_shape *a, int64_t b, int64_t i, int64_t *lo, int64_t *hi) {
    const int64_t n = a->kv_len ? a->kv_len[b] : a->n;
    *lo = 0;
    *hi = n;
    if (a->attr.mask == FR_MASK_CAUSAL || a->attr.mask == FR_MASK_WINDOW) {
        int64_t end = n - a->m + i + 1;
        *hi = end < 0 ? 0 : end;
        if (a->attr.mask == FR_MASK_WINDOW && *hi > a->attr.window) *lo = *hi - a->attr.window;
    }
    if (a->first) *lo = FR_MAX_OF(*lo, a->first[b * a->m + i]);
}

/* Rows that must not be parted from, or joined with, others. */
static int64_t rows_of_block(const attn_shape *a) {
    int64_t rows = a->attr.mask == FR_MASK_BLOCKS ? a->attr.block_q * a->group : a->rows;
    return rows > 0 && rows < a->rows ? rows : a->rows;
}

int64_t attn_row_tiles(const attn_shape *a, int64_t most) {
    if (!a->rows) return 0;
    const int64_t block = rows_of_block(a);
    return blocks_of(a->rows, block) * blocks_of(block, most);
}

void attn_row_tile(const attn_shape *a, int64_t most, int64_t tile, int64_t *first, int64_t *end) {
    const int64_t block = rows_of_block(a), per = blocks_of(block, most);
    const int64_t from = tile / per * block;
    *first = FR_MIN(from + tile % per * most, a->rows);
    *end = FR_MIN(FR_MIN(*first + most, from + block), a->rows);
}

attn_keys attn_keys_of(const attn_shape *a, int64_t b, int64_t first_row, int64_t end_row) {
    attn_keys k = {.block = a->attr.block_k, .n = a->n};
    if (a->attr.mask == FR_MASK_BLOCKS) {
        int64_t block = first_row / a->group / a->attr.block_q;
        k.list = a->block_index + a->block_start[block];
        k.left = a->block_start[block + 1] - a->block_start[block];
        return k;
    }
    int64_t unused;
    attn_span(a, b, first_row / a->group, &k.at, &unused);
    attn_span(a, b, (end_row - 1) / a->group, &unused, &k.end);
    return k;
}

int64_t attn_keys_next(attn_keys *k, int64_t cap, int64_t *index) {
    int64_t count = 0;
    while (count < cap) {
        if (k->at < k->end) {
            index[count++] = k->at++;
        } else if (k->left) {
            k->at = *k->list++ * k->block;
            k->end = FR_MIN(k->at + k->block, k->n);
            k->left--;
        } else {
            break;
        }
    }
    return count;
}

bool attn_block_seen(const attn_shape *a, int64_t query_block, int64_t key_block) {
    int64_t from = a->block_start[query_block], to = a->block_start[query_block + 1];
    while (from < to) {
        int64_t middle = from + (to - from) / 2;
        if (a->block_index[middle] < key_block)
            from = middle + 1;
        else
            to = middle;
    }
    return from < a->block_start[query_block + 1] && a->block_index[from] == key_block;
}

void *attn_take(attn_carve *c, int64_t count, size_t size) {
    void *p = c->base ? c->base + c->used : NULL;
    c->used += fr_round_up((size_t)count * size, FR_ALIGN);
    return p;
}
