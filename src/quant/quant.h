/* quant.h: the face of the room that makes weights small: what knows layers and numbers, and no architecture. */
#ifndef FR_QUANT_H
#define FR_QUANT_H

#include "quant/hadamard.h"
#include "quant/taps.h"

#endif
