/* sample.h: how a token is chosen from its logits. All zero: always the likeliest, of equals the lower number.
 *
 * What is set happens in this order:
 *
 *     bias         logits of listed tokens are raised or lowered
 *     grammar      what the constraint of the sequence does not allow is out (sampler.h)
 *     penalties    for what stands among the last tokens: repetition first, then presence and frequency
 *     temperature 0 takes the likeliest here; else
 *     top_k        the k likeliest stay
 *     typical_p    those whose surprise is nearest to the mean surprise stay (Meister et al. 2023)
 *     top_p        the likeliest that together have this share of what is left stay (Holtzman et al. 2020)
 *     min_p        those stay that have this share of the likeliest's (Nguyen et al. 2024)
 *     temperature  divides the logits that are left; one is drawn
 *
 * So temperature decides among what stays, not what stays. Ties at an edge go to the lower number. */
#ifndef FR_TEXT_SAMPLE_H
#define FR_TEXT_SAMPLE_H

#include <frugal/types.h>

typedef struct fr_logit_bias {
    int32_t token;
    float value; /* -INFINITY: never */
} fr_logit_bias;

typedef struct fr_sampling {
    float temperature;
    int32_t top_k;   /* 0: all */
    float top_p;     /* 0 or 1: all */
    float min_p;     /* 0: all */
    float typical_p; /* 0 or 1: all */
    /* Positive logits of tokens that were there are divided by this, others multiplied (Keskar et al. 2019);
     * 0 or 1: nothing. */
    float repetition_penalty;
    float presence_penalty;    /* taken from the logit of a token that was there */
    float frequency_penalty;   /* taken as often as it was there */
    int32_t penalty_window;    /* of so many last tokens, with the prompt's; 0: 64; below: all */
    const fr_logit_bias *bias; /* must outlive the call that is given it */
    int32_t biases;
    uint64_t seed;
} fr_sampling;

fr_status fr_sampling_check(const fr_sampling *s);

#endif
