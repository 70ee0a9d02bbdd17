/* adapter.h: what training with LoRA leaves: the adapter alone, as PEFT reads it, and the model with it added in. */
#ifndef FR_TRAIN_ADAPTER_H
#define FR_TRAIN_ADAPTER_H

#include "train/job.h"

/* A parameter of an adapter, by its name; what fr_train_opts.trainable wants. */
bool fr_adapter_part(const char *param, void *unused);
/* adapter_config.json and adapter_model.safetensors. */
fr_status fr_adapter_write(const fr_job *job, fr_session *s, const fr_graph *g, const char *folder);
/* A model's folder in which every weight is W + (alpha / rank) B A. */
fr_status fr_adapter_write_merged(const fr_job *job, const fr_decoder *m, fr_session *s,
                                  const fr_graph *g, const char *folder);

#endif
