/* attention.h (op): what the files of exact attention share.
 *
 *     attention.c          the operator: shape rule, constructor, cost, gradient rule
 *     attention_mask.c     which keys a query sees
 *     attention_tile.c     forward, tile by tile
 *     attention_decode.c   forward for few queries, cut over the keys
 *     attention_grad.c     backward, an operator of its own
 *     attention_grad_whole.c   the same where all keys of a head are at hand together
 *
 * Attention over pages (paged.h) shares the tiles: its keys and values become floats tile by tile.
 *
 * All heads that share a key head are worked on together: row r of m * group rows is query
 * r / group of head kv * group + r % group. Keys and values are packed once for all of them, and
 * few queries still fill the lanes. */
#ifndef FR_OP_ATTENTION_H
#define FR_OP_ATTENTION_H

#include "op/op.h"

typedef struct fr_attention_attr {
    float scale, cap;
    int32_t mask, window, block_q, block_k;
} fr_attention_attr;

/* The inputs of the operator. */
enum { ATTN_Q, ATTN_K, ATTN_V, ATTN_BLOCK_START, ATTN_BLOCK_INDEX, ATTN_KV_LEN, ATTN_FIRST };

/* The fields of it; attention and its gradient have the same. */
extern const fr_attr_field attn_fields[];

typedef struct attn_shape {
    fr_attention_attr attr;
    int64_t batch, m, n, heads, kv_heads, group, dim;
    int64_t rows; /* m * group */
    float c;      /* scale log2(e): exp(scale s) = 2^(c s) */
    /* With a cap scores are first made tanh(squeeze s), and `attr.scale` and c are those of that: cap, cap log2(e).
     * squeeze 0: no cap. */
    float squeeze;
    bool half;
    const int32_t *block_start, *block_index, *kv_len, *first; /* NULL where absent */
    int64_t pairs;                                             /* in block_index */
    const struct paged_shape *pages; /* where keys and values are, or NULL */
} attn_shape;

/* Rows of a strided tensor [batch, tokens, heads, dim]. */
typedef struct attn_side {
    char *data;
    int64_t batch, token, head; /* strides in bytes */
} attn_side;

/* q, k and three index tensors: what the mask and the cut need. `first` is for the caller to set. */
attn_shape attn_shape_of(const fr_attention_attr *attr, const fr_tensor *q, const fr_tensor *k,
                         const fr_tensor *start, const fr_tensor *index, const fr_tensor *kv_len);
attn_side attn_side_of(const fr_tensor *t);
static inline char *attn_row(const attn_side *s, int64_t b, int64_t token, int64_t head) {
    return s->data + b * s->batch + token * s->token + head * s->head;
}
/* The shape rule of fr_op_attention, for a call with its inputs and outputs. */
fr_status attn_shape_rule(const fr_call *c);
/* What only the data can tell: kv_len and first within the keys, block lists well formed. */
fr_status attn_check_data(const attn_shape *a);

/* Query i of batch b sees keys lo <= j < hi (both rise with i); with block lists also only those in
 * the list of its block. */
void attn_span(const attn_shape *a, int64_t b, int64_t i, int64_t *lo, int64_t *hi);

/* Rows are cut into tiles of at most `most`; under block lists no tile crosses a query block. */
int64_t attn_row_tiles(const attn_shape *a, int64_t most);
void attn_row_tile(const attn_shape *a, int64_t most, int64_t tile, int64_t *first, int64_t *end);

/* Goes through the keys that some row of a tile may see. */
typedef struct attn_keys {
    int64_t at, end;     /* the run of keys at hand */
    const int32_t *list; /* the runs after it, or NULL */
    int64_t left, block, n;
} attn_keys;
attn_keys attn_keys_of(const attn_shape *a, int64_t b, int64_t first_row, int64_t end_row);
/* Up to cap of them, rising; without block lists they follow one another. */
int64_t attn_keys_next(attn_keys *k, int64_t cap, int64_t *index);
/* Whether the list of a query block holds a key block. */
bool attn_block_seen(const attn_shape *a, int64_t query_block, int64_t key_block);

/* Keys and values first .. first + count - 1 of a head out of pages, in the type of q. */
void attn_pages_read(const struct paged_shape *p, int64_t b, int64_t head, int64_t first,
                     int64_t count, void *k, void *v);

/* tanh(squeeze s) of n scores in place. */
void attn_squeeze(const attn_shape *a, float *s, size_t n);

/* Pairs of a query and a key, per batch and head; kv_len is not known yet and taken as all. */
double attn_pairs(const attn_shape *a);

/* Cuts one block of scratch into pieces; with base NULL it only counts. */
typedef struct attn_carve {
    char *base;
    size_t used;
} attn_carve;
void *attn_take(attn_carve *c, int64_t count, size_t size);

/* The two ways forward; both want y and lse of the call. */
bool attn_is_decode(const attn_shape *a);
size_t attn_tile_scratch(const attn_shape *a, const fr_pool *pool);
void attn_tile_run(const attn_shape *a, const fr_call *c);
size_t attn_decode_scratch(const attn_shape *a, const fr_pool *pool);
void attn_decode_run(const attn_shape *a, const fr_call *c);
/* Joins a second set of weighted values into the first. */
void attn_join(float *o, float *top, float *sum, const float *o2, float top2, float sum2,
               int64_t dim, float c);

/* The backward pass, as both ways through it see it. */
typedef struct attn_grad {
    attn_shape a;
    const fr_attn_kernels *kernels;
    attn_side q, k, v, y, dy, dq, dk, dv;
    const float *lse_in;
    float *lse,
        *delta; /* [batch][kv_heads][rows]; lse in powers of two, +inf where nothing is seen */
    char *scratch;
    size_t per_thread;
    int64_t tiles;
} attn_grad;

bool attn_grad_is_whole(const attn_shape *a);
size_t attn_grad_whole_scratch(const attn_shape *a, const fr_pool *pool);
void attn_grad_whole_run(const attn_grad *r, void *scratch, fr_pool *pool);

/* fr_op_attention_grad: q, k, v, y, lse, dy, then block_start and block_index, or kv_len and first. */
fr_status attn_grad_rule(fr_grad *r);

#endif
