/* attn.h (ref): the plain C kernels of attention; what they mean is said in kernel/attn.h. */
#ifndef FR_KERNEL_REF_ATTN_H
#define FR_KERNEL_REF_ATTN_H

#include "kernel/attn.h"

void fr_attn_ref_fill(fr_attn_kernels *out);

#endif
