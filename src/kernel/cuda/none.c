/* none.c (cuda): stands in where the CUDA component was not built. */
#include "kernel/cuda.h"

#include <string.h>

int fr_cuda_count(void) {
    return 0;
}

bool fr_cuda_device_get(int index, fr_cuda_device *out) {
    (void)index;
    memset(out, 0, sizeof *out);
    return false;
}

const char *fr_cuda_state(void) {
    return "not built in";
}
