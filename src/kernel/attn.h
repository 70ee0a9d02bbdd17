/* attn.h (kernel): attention. */
#ifndef FR_KERNEL_ATTN_H
#define FR_KERNEL_ATTN_H

#include <frugal/ops.h>

typedef struct fr_attn_kernels {
    int placeholder; /* the author of the family decides */
} fr_attn_kernels;

void fr_attn_kernels_fill(unsigned cpu, fr_attn_kernels *out);

#endif
