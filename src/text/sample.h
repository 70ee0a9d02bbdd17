/* sample.h: from the logits of a token to the token. */
#ifndef FR_TEXT_SAMPLE_H
#define FR_TEXT_SAMPLE_H

#include <frugal/types.h>

typedef struct fr_sampling {
    float temperature; /* 0: always the likeliest, the lower number when two are */
    int32_t top_k;     /* only the k likeliest; 0: all */
    float
        top_p; /* of these the likeliest that together have this share; 0 or 1: all (Holtzman et al. 2020) */
    uint64_t seed;
} fr_sampling;

fr_status fr_sampling_check(const fr_sampling *s);
/* A pure function of its arguments: draw number `index` of stream `stream`. work: room for 2 n values of 32 bits. */
int32_t fr_sample(const fr_sampling *s, const float *logits, int32_t n, uint64_t stream,
                  uint64_t index, void *work);

#endif
