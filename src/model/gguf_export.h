/* gguf_export.h: a decoder as a GGUF file, so that others can run it. */
#ifndef FR_MODEL_GGUF_EXPORT_H
#define FR_MODEL_GGUF_EXPORT_H

#include "model/folder.h"

/* blocks: FR_Q4_0, FR_Q8_0 or FR_BF16, of the linears in layers; with FR_Q4_0 the table of tokens and the weight of the
 * logits are FR_Q8_0. Norms and biases are f32. Matrices whose rows are not whole blocks are bf16. A model in few bits
 * is decoded first. bytes: of the file, may be NULL.
 * Families: llama, mistral, qwen2, qwen3; a tokenizer.json of the byte-level kind in the model's folder goes along. */
fr_status fr_gguf_export(const fr_model *m, const char *path, fr_dtype blocks, double *bytes);

#endif
