/* smooth.h: moving magnitude from activations into weights, or from keys into queries, channel by channel.
 *
 * What grows on one side of a product shrinks on the other, so the model computes the same, and a channel that was far
 * larger than the others no longer decides the scale of all (SmoothQuant, Xiao et al. 2023; keys: QServe, Lin et al.
 * 2024). The factors come from the largest magnitudes seen: fr_channel_most over fr_taps. */
#ifndef FR_MODEL_SMOOTH_H
#define FR_MODEL_SMOOTH_H

#include "model/layer_weights.h"

typedef struct fr_smooth_opts {
    double alpha, beta; /* s = most of the input ^ alpha / most of its column of weights ^ beta */
    bool interleaved;   /* keys: pairs that turn are (0, 1), (2, 3) ..., not (i, i + half) */
} fr_smooth_opts;

/* Inputs of the linears of a place, whose columns grow by s; who makes them shrinks: the norm's weight (FR_PLACE_QKV,
 * _UP), rows of v (_OUT: one s for all heads that share a value), rows of up (_DOWN).
 * most: fr_place_inputs largest magnitudes; after each other for all experts. by: as many, gets the s; may be NULL.
 * A channel whose s is zero or not finite stays as it is. */
fr_status fr_smooth(const fr_decoder *m, fr_place place, const fr_smooth_opts *o, const float *most,
                    const fr_named_tensor *weights, size_t count, int64_t layer, float *by);

/* Keys shrink by s = most of the key ^ alpha / most of the query ^ beta, queries grow. Both halves of a pair that turns
 * together share it, and all query heads that share a key; with norms of heads (Qwen3) all heads do.
 * keys [kv_heads, head_dim] and queries [heads, head_dim]: largest magnitudes, turned. by: as keys, may be NULL. */
fr_status fr_smooth_keys(const fr_decoder *m, const fr_smooth_opts *o, const float *keys,
                         const float *queries, const fr_named_tensor *weights, size_t count,
                         int64_t layer, float *by);
/* The s alone, [kv_heads, head_dim], and nothing is changed: for those who choose alpha and beta. */
void fr_key_factors(const fr_decoder *m, const fr_smooth_opts *o, const float *keys,
                    const float *queries, float *by);

#endif
