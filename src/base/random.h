/* random.h: counter-based random numbers (Philox 4x32-10, Salmon et al. 2011).
 *
 * A number is a pure function of (seed, stream, index): any thread may draw any of them in any
 * order, and the result is the same on every machine. */
#ifndef FR_BASE_RANDOM_H
#define FR_BASE_RANDOM_H

#include <frugal/types.h>

void fr_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);

/* A cursor over one stream, for code that draws one after another. */
typedef struct fr_rng {
    uint64_t seed, stream, index; /* index counts 32-bit words */
    uint32_t block[4];
    uint64_t block_of; /* counter that block holds, plus 1; 0: none */
} fr_rng;

fr_rng fr_rng_new(uint64_t seed, uint64_t stream);
uint32_t fr_rng_u32(fr_rng *r);
uint64_t fr_rng_u64(fr_rng *r);
uint32_t fr_rng_below(fr_rng *r, uint32_t n); /* 0 .. n-1, without bias */
float fr_rng_uniform(fr_rng *r);              /* [0, 1) on a grid of 2^-24 */
float fr_rng_normal(fr_rng *r);

/* out[i] = value number first + i of the stream. Same bits whatever the cut and the threads. The
 * normal is Box-Muller with our own log, sin and cos, so that no math library changes it. */
void fr_random_u32(uint64_t seed, uint64_t stream, uint64_t first, uint32_t *out, size_t n);
void fr_random_uniform(uint64_t seed, uint64_t stream, uint64_t first, float *out, size_t n);
void fr_random_normal(uint64_t seed, uint64_t stream, uint64_t first, float *out, size_t n);
/* A stream number from a name, so that a weight's values depend on its name alone. */
uint64_t fr_random_stream(const char *name);

#endif
