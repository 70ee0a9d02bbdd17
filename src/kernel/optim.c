/* optim.c: the maps of 8 bits, and the part of the table. */
#include "kernel/kernel.h"

#include "kernel/optim_list.h"

#include <math.h>

/* Decade d has `first` 2^d places, the middles of equal parts of 0.1..1 times 10^(d - 6); above all
 * stands 1 itself. */
static void fill_places(fr_map8 *m, int first, float *at) {
    int n = 0;
    double unit = 1e-6;
    at[n++] = 0;
    for (int d = 0; d < 7; d++, unit *= 10) {
        int parts = first << d;
        m->slope[d] = (float)(parts / (0.9 * unit));
        m->shift[d] = (float)(n - parts / 9.0);
        for (int k = 0; k < parts; k++) at[n++] = (float)(unit * (0.1 + 0.9 * (k + 0.5) / parts));
        m->top[d] = (float)(n - 1);
    }
    at[n] = 1;
}

void fr_map8_make(fr_map8 *m, bool with_signs) {
    float at[256];
    int first = with_signs ? 1 : 2;
    *m = (fr_map8){.zero = with_signs ? 127 : 0, .most = with_signs ? 128 : 255};
    fill_places(m, first, at);
    for (int k = 0; k <= m->most; k++) {
        m->value[m->zero + k] = at[k];
        if (with_signs && k < 128) m->value[m->zero - k] = -at[k];
        double middle = k < m->most ? ((double)at[k] + (double)at[k + 1]) / 2 : (double)INFINITY;
        m->edge[k] = (float)middle;
        if ((double)m->edge[k] > middle) m->edge[k] = nextafterf(m->edge[k], 0);
    }
    for (int d = 0; d < 7; d++) m->above[d] = m->edge[first * ((1 << d) - 1)];
}

#define OPTIM_TABLE(isa)                                                                           \
    (fr_optim_kernels) {                                                                           \
        .came_squares = optim_came_squares_##isa, .came_length = optim_came_length_##isa,          \
        .came_moment = optim_came_moment_##isa, .came_step = optim_came_step_##isa,                \
        .came_plain = optim_came_plain_##isa, .came_plain_moment = optim_came_plain_moment_##isa,  \
        .range = optim_range_##isa, .even8_encode = optim_even8_encode_##isa,                      \
        .even8_decode = optim_even8_decode_##isa, .map8_encode = optim_map8_encode_##isa,          \
        .map8_decode = optim_map8_decode_ref,                                                      \
    }

void fr_optim_kernels_fill(unsigned cpu, fr_optim_kernels *out) {
    *out = OPTIM_TABLE(ref);
    (void)cpu;
#if defined(__x86_64__)
    if (cpu & FR_CPU_AVX2) *out = OPTIM_TABLE(avx2);
    if (cpu & FR_CPU_AVX512) *out = OPTIM_TABLE(avx512);
#elif defined(__aarch64__)
    if (cpu & FR_CPU_NEON) *out = OPTIM_TABLE(neon);
#endif
}
