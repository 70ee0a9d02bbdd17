/* sampler_filters.h: what may still be chosen, as it becomes less filter by filter. */
#ifndef FR_TEXT_SAMPLER_FILTERS_H
#define FR_TEXT_SAMPLER_FILTERS_H

#include "text/sample.h"

/* Candidates in rising order of their ids. The memory is the caller's, room for all tokens each. */
typedef struct fr_choice {
    float *x;     /* logits */
    float *p;     /* shares, up to a factor */
    float *key;   /* of a filter: the smaller the better */
    int32_t *ids; /* whose they are */
    int32_t *at;  /* of a filter */
    int32_t count;
    double mass; /* the sum of p */
    bool weighed;
} fr_choice;

/* From count logits in x: drops what has none (-INFINITY, NaN), then filters. p holds the chances up to mass. False:
 * nothing is left. */
bool fr_choice_make(fr_choice *c, const fr_sampling *how, int32_t count);
/* The place of a candidate, for a number in [0, 1). */
int32_t fr_choice_draw(const fr_choice *c, double uniform);

#endif
