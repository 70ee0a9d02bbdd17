/* kv.h: pages of a cache of keys or values, 64 tokens each, in 32, 16, 8 or 4 bits. docs/formats.md has the bytes.
 *
 * A page belongs to one layer and holds either keys or values. It is one block of memory, 64-byte aligned:
 * codes [heads][64][dim], then for 8 and 4 bits scales [heads][64] and offsets [heads][64], both f16. */
#ifndef FR_FORMAT_KV_H
#define FR_FORMAT_KV_H

#include <frugal/ops.h>

#include "base/base.h"

typedef struct fr_kv_layout {
    fr_kv_kind kind;
    int32_t heads, dim;
    int32_t bits;           /* of a code */
    size_t row;             /* bytes of one token of one head */
    size_t scales, offsets; /* where they begin in the page; codes begin at 0 */
    size_t bytes;           /* of a page: a multiple of 64 */
} fr_kv_layout;

/* Refuses sizes that do not fit, and an odd dim in 4 bits. */
fr_status fr_kv_layout_of(fr_kv_kind kind, int32_t heads, int32_t dim, fr_kv_layout *out);
/* Bits a value takes in a page, scales and all. */
double fr_kv_bits(const fr_kv_layout *l);

/* Writes one token, 0 .. 63, of all heads: x [heads, dim]. A value that is not finite, or beyond 65504 in
 * 8 or 4 bits or f16, is refused by head and channel, and the page stays as it was. */
fr_status fr_kv_page_write(const fr_kv_layout *l, void *page, int token, const float *x);
/* Tokens token .. token + count - 1 of one head as floats: out [count, dim]. */
void fr_kv_page_read(const fr_kv_layout *l, const void *page, int head, int token, int count,
                     float *out);

#endif
