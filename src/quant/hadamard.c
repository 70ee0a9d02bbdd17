/* hadamard.c: see hadamard.h. */
#include "quant/hadamard.h"
