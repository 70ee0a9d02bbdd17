/* rotate.h: turning what flows through a decoder, without changing what it computes.
 *
 * A norm without a weight gives the same for a turned vector, turned; so the whole residual stream may be multiplied
 * by one orthonormal matrix R when what writes into it and what reads from it are multiplied too (SliceGPT, Ashkboos et
 * al. 2024; QuaRot 2024). With R a Hadamard matrix a channel that is far larger than the others becomes a little of
 * every channel, and few bits suffice. The same holds between v and o, inside each head. */
#ifndef FR_MODEL_ROTATE_H
#define FR_MODEL_ROTATE_H

#include "model/layer_weights.h"

typedef struct fr_rotate_opts {
    bool fold;     /* weights of norms go into the linears behind, and say 1 afterwards */
    bool residual; /* R; the norms must say 1: with fold, or folded before */
    bool heads;    /* another matrix of head_dim, between v and o */
    bool back;     /* RT instead of R: takes a rotation back */
} fr_rotate_opts;

/* Every parameter in f32, contiguous, found by name in the list and changed in place. One layer at a time; layer -1
 * stands for the embedding, the last norm and lm_head. The model must not be tied: fr_decoder_untie first.
 * A model with norms behind attention and MLP (Gemma 2) is refused, except for `heads` alone. */
fr_status fr_rotate(const fr_decoder *m, const fr_rotate_opts *o, const fr_named_tensor *weights,
                    size_t count, int64_t layer, fr_pool *pool);
/* Whether fr_rotate can do that to such a model, before any weight is loaded. */
fr_status fr_rotate_check(const fr_decoder *m, const fr_rotate_opts *o);

/* Gives a tied model a weight of its own for the logits: a copy of the embedding, "lm_head.weight". *list, from
 * fr_model_weights or the like, is freed; the new one is one block as well, with all values. Nothing happens to a
 * model that is not tied. */
fr_status fr_decoder_untie(fr_decoder *m, fr_named_tensor **list, size_t *count);

#endif
