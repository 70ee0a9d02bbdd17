/* hadamard_base.h: the small matrices that hadamard.c multiplies by those of Sylvester. */
#ifndef FR_QUANT_HADAMARD_BASE_H
#define FR_QUANT_HADAMARD_BASE_H

#include "base/base.h"

#define FR_HADAMARD_BASE 1024 /* the largest: a product costs that much a value */

/* Fills sign [k, k] with 1 and -1, for a size that fr_hadamard_base_is one of ours. */
fr_status fr_hadamard_base(int64_t k, int8_t *sign);
bool fr_hadamard_base_is(int64_t k);

#endif
