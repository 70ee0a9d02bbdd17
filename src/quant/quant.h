/* quant.h: the face of the room that makes weights small: what knows layers and numbers, and no architecture. */
#ifndef FR_QUANT_H
#define FR_QUANT_H

#include "quant/cholesky.h"
#include "quant/descend.h"
#include "quant/gptq.h"
#include "quant/hadamard.h"
#include "quant/hessian.h"
#include "quant/range.h"
#include "quant/taps.h"

#endif
