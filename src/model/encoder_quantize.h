/* encoder_quantize.h: an encoder with weights in few bits, made from one in many.
 *
 * Layer by layer, and in a layer linear by linear: beside what flows through the rounded encoder goes what flows
 * through the original, so that each linear is rounded by GPTQ not to what it was, but to what brings its outputs back
 * to those of the original, and its bias takes what is wrong on average. An encoder norms behind each sum and adds
 * what it normed, so nothing can be rotated or smoothed in it.
 *
 *     encoder_quantize.c   the way through the layers, and the folder
 *     encoder_round.c      one layer
 *     encoder_look.c       what flows through it, and what its outputs lack
 *
 * It takes seconds, so nothing is kept for going on: a call that was stopped leaves nothing behind. */
#ifndef FR_MODEL_ENCODER_QUANTIZE_H
#define FR_MODEL_ENCODER_QUANTIZE_H

#include "model/encoder.h"
#include "model/quantize.h"

/* A folder of Hugging Face's layout, as fr_model is for decoders. */
typedef struct fr_encoder_folder {
    fr_encoder encoder;
    fr_store *store;
    char *path;
} fr_encoder_folder;
/* By fr_model_find; out->path is NULL where it is there and no encoder. */
fr_status fr_encoder_open(const char *name, fr_encoder_folder *out);
void fr_encoder_close(fr_encoder_folder *f);

/* The first is the usual one; name NULL behind the last. Of decoders' recipes those with a format for linears suit
 * encoders too: there are no keys, values and logits that could be in few bits. */
extern const fr_quantize_recipe fr_encoder_recipes[];
const fr_quantize_recipe *fr_encoder_recipe_find(const char *name);

/* Bytes of memory that it takes at most, besides the mapped file. */
double fr_encoder_quantize_bytes(const fr_encoder *m, const fr_quantizing *o);
/* Writes the folder `out`, which fr_embedder_open takes: linears in the recipe's format, tables of embeddings in bf16, the rest in f32;
 * what else was in the file goes along. */
fr_status fr_encoder_quantize(const fr_encoder_folder *m, const char *out, const fr_quantizing *o,
                              fr_quantize_report *report);

#endif
