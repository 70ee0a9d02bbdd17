/* conv.h (kernel): convolution and pooling. */
#ifndef FR_KERNEL_CONV_H
#define FR_KERNEL_CONV_H

#include <frugal/ops.h>

typedef struct fr_conv_kernels {
    int placeholder; /* the author of the family decides */
} fr_conv_kernels;

void fr_conv_kernels_fill(unsigned cpu, fr_conv_kernels *out);

#endif
