/* peak.h (kernel): the machine's peaks. */
#ifndef FR_KERNEL_PEAK_H
#define FR_KERNEL_PEAK_H

#include <frugal/ops.h>

typedef struct fr_peak_kernels {
    int placeholder; /* the author of the family decides */
} fr_peak_kernels;

void fr_peak_kernels_fill(unsigned cpu, fr_peak_kernels *out);

#endif
