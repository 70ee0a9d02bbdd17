/* rows.h (kernel): elementwise, norms, reductions over rows. */
#ifndef FR_KERNEL_ROWS_H
#define FR_KERNEL_ROWS_H

#include <frugal/ops.h>

typedef struct fr_rows_kernels {
    int placeholder; /* the author of the family decides */
} fr_rows_kernels;

void fr_rows_kernels_fill(unsigned cpu, fr_rows_kernels *out);

#endif
