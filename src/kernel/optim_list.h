/* optim_list.h: the kernels of optim.h by name, one set an instruction set. */
#ifndef FR_KERNEL_OPTIM_LIST_H
#define FR_KERNEL_OPTIM_LIST_H

#include "kernel/optim.h"

#define FR_OPTIM_SET(isa)                                                                          \
    float optim_came_squares_##isa(const float *x, size_t n, float *sum);                          \
    float optim_came_length_##isa(const float *g, const float *col, float scale, size_t n);        \
    float optim_came_moment_##isa(const float *g, const float *col, float scale, float beta,       \
                                  size_t n, float *m, float *sum);                                 \
    void optim_came_step_##isa(const float *m, const float *col, float scale, float keep,          \
                               size_t n, float *p);                                                \
    float optim_came_plain_##isa(const float *g, float scale, float beta, float eps, size_t n,     \
                                 float *v);                                                        \
    void optim_came_plain_moment_##isa(const float *g, const float *v, float scale, float beta,    \
                                       size_t n, float *m);                                        \
    void optim_range_##isa(const float *x, size_t n, float out[2]);                                \
    void optim_even8_encode_##isa(const float *x, float low, float scale, float shift, size_t n,   \
                                  uint8_t *code);                                                  \
    void optim_even8_decode_##isa(const uint8_t *code, float low, float scale, int zero, size_t n, \
                                  float *x);                                                       \
    void optim_map8_encode_##isa(const fr_map8 *map, const float *x, float scale, bool keep,       \
                                 size_t n, uint8_t *code);

FR_OPTIM_SET(ref)
FR_OPTIM_SET(avx2)
FR_OPTIM_SET(avx512)
FR_OPTIM_SET(neon)

/* A look-up for each value, which is fastest one by one. */
void optim_map8_decode_ref(const fr_map8 *map, const uint8_t *code, float scale, size_t n,
                           float *x);

#endif
