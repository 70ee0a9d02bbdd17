/* squares_list.h: the kernels of squares.h by name, one an instruction set. */
#ifndef FR_KERNEL_SQUARES_LIST_H
#define FR_KERNEL_SQUARES_LIST_H

#include "kernel/squares.h"

#define FR_SQUARES_SET(isa)                                                                        \
    void squares_rows_##isa(const float *x, size_t rows, size_t width, const float *panel,         \
                            float *out);

FR_SQUARES_SET(ref)
FR_SQUARES_SET(avx2)
FR_SQUARES_SET(avx512)
FR_SQUARES_SET(neon)

#endif
