/* paged.h (op): attention over pages of keys and values.
 *
 *     kv_write.c           puts new rows into pages
 *     paged_attention.c    the operator: shape rule, constructor, cost, checks, the way for many rows
 *     paged_decode.c       few rows: straight from the codes
 *
 * Many rows share each key, so there pages are turned into floats and go through attention_tile.c. */
#ifndef FR_OP_PAGED_H
#define FR_OP_PAGED_H

#include "format/format.h"
#include "op/attention.h"

/* The inputs of the operator. */
enum { PAGED_Q, PAGED_K, PAGED_V, PAGED_TABLE, PAGED_KV_LEN };

typedef struct fr_paged_attr {
    int32_t kind;
    float scale, cap;
    int32_t window;
} fr_paged_attr;

typedef struct paged_shape {
    attn_shape a;
    fr_kv_layout layout;
    int64_t pages, most; /* in k and v; in a row of the table */
    const uint8_t *k, *v;
    const int32_t *table;
} paged_shape;

/* Where the codes of one head of page `page` (of the sequence) of k or v lie. */
fr_kvattn_head paged_head(const paged_shape *p, const uint8_t *side, int64_t b, int64_t page,
                          int64_t head);

/* The page a table names, or a sentence of operator `op`. */
fr_status paged_check_table(const char *op, const int32_t *table, int64_t b, int64_t count,
                            int64_t pages);

bool paged_is_decode(const paged_shape *p);
size_t paged_decode_scratch(const paged_shape *p, const fr_pool *pool);
void paged_decode_run(const paged_shape *p, const fr_call *c);

#endif
