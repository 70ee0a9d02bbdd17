/* outlier.h: a twin of a model that computes the same, with channels that are far larger than the others.
 *
 * Large models have such channels (Dettmers et al., LLM.int8(), 2022), and numbers in few bits suffer from them;
 * small models have none. The twin puts them where they hurt: into what linears read, into keys and values. */
#ifndef FR_MODEL_OUTLIER_H
#define FR_MODEL_OUTLIER_H

#include "model/decoder.h"

typedef struct fr_outlier_opts {
    double share;  /* of the channels of each place; at least one is taken */
    double factor; /* a power of two changes no bit of a mantissa, so that bf16 files stay exact */
    uint64_t seed; /* which channels */
} fr_outlier_opts;

/* Every parameter in f32, contiguous, found by name and changed in place. In each layer:
 *     norm weights up, columns of the linears behind down (both norms; the last one when lm_head is its own)
 *     rows of v up, columns of o down, in all heads that share the value
 *     rows of k up and of q down, both halves of a rotated pair, in all heads that share the key
 *     rows of up up, columns of down down
 * channels gets how many were scaled; may be NULL. */
fr_status fr_outliers(const fr_decoder *m, const fr_outlier_opts *o, const fr_named_tensor *weights,
                      size_t count, int64_t *channels);

#endif
