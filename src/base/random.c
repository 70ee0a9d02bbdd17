/* random.c: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2,
 * 3; SC 2011), and the uniform and normal numbers made from it.
 *
 * Word i of a stream is word i % 4 of block i / 4; uniform number i uses word i, and the normal
 * numbers 2j and 2j + 1 use words 2j and 2j + 1 (Box-Muller). The logarithm, sine and cosine are
 * written out in plain double arithmetic, one rounding an operation (the build forbids
 * contraction), so that they give the same bits with every compiler and C library. */
#include "base/base.h"

#include <math.h>
#include <string.h>

/* ---- words ---- */

static inline void mul_wide(uint32_t a, uint32_t b, uint32_t *high, uint32_t *low) {
    uint64_t product = (uint64_t)a * b;
    *high = (uint32_t)(product >> 32);
    *low = (uint32_t)product;
}

void fr_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]) {
    uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32);
    uint32_t x2 = (uint32_t)stream, x3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint32_t high0, low0, high1, low1;
        mul_wide(0xD2511F53u, x0, &high0, &low0);
        mul_wide(0xCD9E8D57u, x2, &high1, &low1);
        x0 = high1 ^ x1 ^ k0;
        x1 = low1;
        x2 = high0 ^ x3 ^ k1;
        x3 = low0;
        k0 += 0x9E3779B9u; /* the golden ratio */
        k1 += 0xBB67AE85u; /* the square root of three, less one */
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

/* ---- words to numbers ---- */

static inline float uniform_of(uint32_t word) {
    return (float)(word >> 8) * 0x1p-24f;
}

/* ln x for a normal positive double: x = 2^e m with m near 1, and ln m = 2 artanh((m-1)/(m+1)). */
static inline double log_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    /* Counted from the square root of one half, so that m lies in [sqrt 1/2, sqrt 2). */
    uint64_t from = bits - 0x3FE6A09E667F3BCDull;
    int64_t e = (int64_t)from >> 52;
    bits -= (uint64_t)e << 52;
    double m;
    memcpy(&m, &bits, 8);
    double s = (m - 1.0) / (m + 1.0), z = s * s;
    double series = 1.0 / 15;
    series = series * z + 1.0 / 13;
    series = series * z + 1.0 / 11;
    series = series * z + 1.0 / 9;
    series = series * z + 1.0 / 7;
    series = series * z + 1.0 / 5;
    series = series * z + 1.0 / 3;
    series = series * z + 1.0;
    return (double)e * 0x1.62e42fefa39efp-1 + 2.0 * s * series;
}

/* Taylor series, good to 1e-13 for |a| <= pi / 4. */
static inline double sin_of(double a) {
    double z = a * a, series = 1.0 / 6227020800;
    series = series * z - 1.0 / 39916800;
    series = series * z + 1.0 / 362880;
    series = series * z - 1.0 / 5040;
    series = series * z + 1.0 / 120;
    series = series * z - 1.0 / 6;
    return a + a * z * series;
}

static inline double cos_of(double a) {
    double z = a * a, series = -1.0 / 87178291200;
    series = series * z + 1.0 / 479001600;
    series = series * z - 1.0 / 3628800;
    series = series * z + 1.0 / 40320;
    series = series * z - 1.0 / 720;
    series = series * z + 1.0 / 24;
    series = series * z - 1.0 / 2;
    return 1.0 + z * series;
}

/* Two independent normals from two words: radius sqrt(-2 ln u) with u in (0, 1], angle in turns. */
static inline void normals_of(uint32_t a, uint32_t b, float out[2]) {
    double radius = sqrt(-2.0 * log_of(((double)a + 1.0) * 0x1p-32));
    uint32_t quarter = (b + 0x20000000u) >> 30; /* the nearest quarter turn */
    int32_t rest = (int32_t)(b - (quarter << 30));
    double angle = (double)rest * (0x1.921fb54442d18p+2 * 0x1p-32);
    double s = sin_of(angle), c = cos_of(angle);
    double x = quarter & 1 ? s : c, y = quarter & 1 ? c : s;
    if (quarter == 1 || quarter == 2) x = -x;
    if (quarter == 2 || quarter == 3) y = -y;
    out[0] = (float)(radius * x);
    out[1] = (float)(radius * y);
}

/* ---- bulk: whole blocks, and parts of one at either end ---- */

typedef void block_fn(const uint32_t words[4], void *out);

static void block_u32(const uint32_t words[4], void *out) {
    memcpy(out, words, 16);
}

static void block_uniform(const uint32_t words[4], void *out) {
    float *x = out;
    for (int i = 0; i < 4; i++) x[i] = uniform_of(words[i]);
}

static void block_normal(const uint32_t words[4], void *out) {
    float *x = out;
    normals_of(words[0], words[1], x);
    normals_of(words[2], words[3], x + 2);
}

static inline void fill(uint64_t seed, uint64_t stream, uint64_t first, uint8_t *out, size_t n,
                        block_fn *make) {
    uint32_t words[4], values[4];
    while (n) {
        size_t skip = first % 4, take = FR_MIN(n, 4 - skip);
        fr_philox(seed, stream, first / 4, words);
        if (take == 4) {
            make(words, out);
        } else {
            make(words, values);
            memcpy(out, values + skip, 4 * take);
        }
        out += 4 * take;
        first += take;
        n -= take;
    }
}

void fr_random_u32(uint64_t seed, uint64_t stream, uint64_t first, uint32_t *out, size_t n) {
    fill(seed, stream, first, (uint8_t *)out, n, block_u32);
}

void fr_random_uniform(uint64_t seed, uint64_t stream, uint64_t first, float *out, size_t n) {
    fill(seed, stream, first, (uint8_t *)out, n, block_uniform);
}

void fr_random_normal(uint64_t seed, uint64_t stream, uint64_t first, float *out, size_t n) {
    fill(seed, stream, first, (uint8_t *)out, n, block_normal);
}

/* FNV-1a, then mixed so that names that differ little give streams that differ much. */
uint64_t fr_random_stream(const char *name) {
    uint64_t h = 0xcbf29ce484222325ull;
    for (const char *p = name; *p; p++) h = (h ^ (uint8_t)*p) * 0x100000001b3ull;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
    return h ^ (h >> 31);
}

/* ---- a cursor ---- */

fr_rng fr_rng_new(uint64_t seed, uint64_t stream) {
    return (fr_rng){.seed = seed, .stream = stream};
}

uint32_t fr_rng_u32(fr_rng *r) {
    uint64_t block = r->index / 4;
    if (r->block_of != block + 1) {
        fr_philox(r->seed, r->stream, block, r->block);
        r->block_of = block + 1;
    }
    return r->block[r->index++ % 4];
}

uint64_t fr_rng_u64(fr_rng *r) {
    uint64_t low = fr_rng_u32(r);
    return low | (uint64_t)fr_rng_u32(r) << 32;
}

/* Lemire, Fast random integer generation in an interval, 2019: the high half of word * n, drawn
 * again in the few cases that would make some results likelier. */
uint32_t fr_rng_below(fr_rng *r, uint32_t n) {
    if (n == 0) return 0;
    uint64_t product = (uint64_t)fr_rng_u32(r) * n;
    if ((uint32_t)product < n) {
        uint32_t least = (0u - n) % n;
        while ((uint32_t)product < least) product = (uint64_t)fr_rng_u32(r) * n;
    }
    return (uint32_t)(product >> 32);
}

float fr_rng_uniform(fr_rng *r) {
    return uniform_of(fr_rng_u32(r));
}

/* Takes two words and gives one number: a cursor keeps no second half for later. */
float fr_rng_normal(fr_rng *r) {
    float pair[2];
    uint32_t a = fr_rng_u32(r);
    normals_of(a, fr_rng_u32(r), pair);
    return pair[0];
}
