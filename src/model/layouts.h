/* layouts.h: other programs' files brought to what the rest of the house knows: Hugging Face's names, floats or
 * matrices in formats of our own, and the numbers of a config.json.
 *
 *     gguf_model.c    a GGUF file: names, rows, experts
 *     gguf_config.c   its metadata as a config.json
 *     packed.c        AWQ, GPTQ, QServe and FP8 checkpoints
 *     describe.c      what there is, for --verbose */
#ifndef FR_MODEL_LAYOUTS_H
#define FR_MODEL_LAYOUTS_H

#include "format/format.h"

/* Whether the store is a model from a GGUF file. */
bool fr_gguf_is_model(const fr_store *s);
/* The config.json that says what the metadata and some tensors of a GGUF model say. */
fr_status fr_gguf_config(const fr_store *s, fr_json **out);
/* *s becomes a store over what it was; its owner closes it, also when this failed. config: of fr_gguf_config. */
fr_status fr_gguf_model(fr_store **s, const fr_json *config);

/* The same for a folder whose config.json (or tensors) say that matrices are packed; others stay as they are. */
fr_status fr_packed_model(fr_store **s, const fr_json *config);

/* Says under --verbose how many matrices there are in each format, and which are decoded. */
void fr_model_describe(const fr_store *s);

/* For those who fill a derived store: the matrix `name` as parts and metadata; q->memory, if any, goes to the store
 * in every case. */
fr_status fr_store_derive_quantized(fr_store *s, const char *name, const fr_quantized *q);

#endif
