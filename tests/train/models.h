/* models.h: the two small models that tests/oracle/training.py trains with PyTorch. */
#ifndef TEST_MODELS_H
#define TEST_MODELS_H

#include "train/train.h"

/* Inputs: "tokens" i32 [batch, t], "target" i32 [batch, t], "pos" i32 [t, 1]. Returns the loss. */
fr_val model_lm(fr_graph *g, int batch, int tokens);
/* Input: "x" f32 [batch, 16, 16, 3]. */
fr_val model_autoencoder(fr_graph *g, int batch);

#endif
