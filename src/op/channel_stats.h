/* channel_stats.h: statistics for each channel of a channels-last tensor, shared by group norm and
 * batch norm.
 *
 * The tensor is seen as samples x positions x channels. Values are counted from a centre, the first
 * position of the sample, so that data far from zero keeps its digits; chunks of positions are summed
 * in f32 and the chunks, in their order, in f64. */
#ifndef FR_OP_CHANNEL_STATS_H
#define FR_OP_CHANNEL_STATS_H

#include "op/op.h"

typedef struct fr_channels {
    const fr_tensor *x, *dy; /* dy NULL: moments of x; else sums of dy and dy (x - centre) */
    int64_t samples, positions, channels;
} fr_channels;

/* Positions that one item of work takes. */
#define FR_CHANNEL_CHUNK 128

size_t fr_channel_scratch(const fr_channels *c);
/* centre [samples, channels] f32 is filled when dy is NULL and read otherwise. sum and sum2
 * [samples, channels]: of x - centre and its square, or of dy and dy (x - centre). */
void fr_channel_sums(const fr_channels *c, float *centre, double *sum, double *sum2, void *scratch,
                     fr_pool *pool);

/* Rows of any real type as f32, and back, at most FR_CHANNEL_TILE values at a time. */
#define FR_CHANNEL_TILE 512
const float *fr_load_tile(const fr_tensor *t, int64_t at, int64_t n, float *buf);
void fr_store_tile(const fr_tensor *t, int64_t at, int64_t n, const float *v);

#endif
