/* device.cu: which CUDA devices this machine has. Everything here also runs where there is no
 * driver: the runtime library is linked statically and answers with an error, which means none. */
#include "kernel/cuda.h"

#include <cstdio>
#include <cstring>

#include <cuda_runtime_api.h>

namespace {

/* Asked once: a machine does not grow a device while the program runs. */
struct Survey {
    int count = 0;
    char state[128] = "";

    Survey() {
        cudaError_t error = cudaGetDeviceCount(&count);
        if (error == cudaSuccess) {
            std::snprintf(state, sizeof state, "%d device%s", count, count == 1 ? "" : "s");
            return;
        }
        cudaGetLastError(); /* the error must not surprise the next caller */
        count = 0;
        /* Without any driver the runtime complains of too old a one; its version 0 tells. */
        int driver = 0;
        bool none = cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0;
        std::snprintf(state, sizeof state, "no device: %s",
                      none ? "this machine has no CUDA driver" : cudaGetErrorString(error));
    }
};

const Survey &survey() {
    static const Survey once;
    return once;
}

} // namespace

extern "C" int fr_cuda_count(void) {
    return survey().count;
}

extern "C" const char *fr_cuda_state(void) {
    return survey().state;
}

extern "C" bool fr_cuda_device_get(int index, fr_cuda_device *out) {
    std::memset(out, 0, sizeof *out);
    if (index < 0 || index >= survey().count) return false;

    cudaDeviceProp prop;
    if (cudaGetDeviceProperties(&prop, index) != cudaSuccess) {
        cudaGetLastError();
        return false;
    }
    std::snprintf(out->name, sizeof out->name, "%s", prop.name);
    out->memory = prop.totalGlobalMem;
    out->major = prop.major;
    out->minor = prop.minor;
    out->processors = prop.multiProcessorCount;

    int before = 0;
    size_t total = 0;
    if (cudaGetDevice(&before) == cudaSuccess && cudaSetDevice(index) == cudaSuccess) {
        if (cudaMemGetInfo(&out->free, &total) != cudaSuccess) cudaGetLastError();
        cudaSetDevice(before);
    }
    return true;
}
