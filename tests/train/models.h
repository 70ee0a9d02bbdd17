/* models.h: the two small models that tests/oracle/training.py trains with PyTorch. */
#ifndef TEST_MODELS_H
#define TEST_MODELS_H

#include "train/train.h"

typedef struct lm_config {
    int vocab, dim, layers, heads, kv_heads, hidden, batch, tokens;
} lm_config;

/* What the golden run has. */
extern const lm_config lm_small;

/* A transformer of the Llama kind. Inputs: "tokens" i32 [batch, t], "target" i32 [batch, t], "pos"
 * i32 [t, 1]. Returns the loss. */
fr_val model_lm(fr_graph *g, const lm_config *c);
/* Input: "x" f32 [batch, 16, 16, 3]. */
fr_val model_autoencoder(fr_graph *g, int batch);

#endif
