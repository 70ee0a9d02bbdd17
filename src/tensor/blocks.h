/* blocks.h: the block formats of GGUF. A block holds 32 or 256 values with their scales; its bytes
 * need no alignment. */
#ifndef FR_TENSOR_BLOCKS_H
#define FR_TENSOR_BLOCKS_H

#include "tensor/dtype.h"

/* n values, a whole number of blocks; false when t is not a block type. */
bool fr_decode_blocks(fr_dtype t, const uint8_t *in, size_t n, float *out);
void fr_encode_q8_0(const float *in, size_t n, uint8_t *out);

#endif
