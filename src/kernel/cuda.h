/* cuda.h (kernel): the CUDA devices of this machine. The component is optional (-DFRUGAL_CUDA=ON);
 * without it, or on a machine without a driver, there are simply none, and fr_cuda_state() says
 * why. */
#ifndef FR_KERNEL_CUDA_H
#define FR_KERNEL_CUDA_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fr_cuda_device {
    char name[256];
    size_t memory, free; /* bytes */
    int major, minor;    /* compute capability */
    int processors;      /* streaming multiprocessors */
} fr_cuda_device;

int fr_cuda_count(void);
/* False when there is no such device or it does not answer; *out is zeros then. */
bool fr_cuda_device_get(int index, fr_cuda_device *out);
/* One line for a person: "not built in", "2 devices", "no device: no CUDA driver here". */
const char *fr_cuda_state(void);

#ifdef __cplusplus
}
#endif
#endif
