/* lora.h: low-rank adapters (Hu et al., LoRA, 2021): for some matrices W of a model, W + alpha / rank B A.
 *
 * Trained in a graph that was built with lora_rank (decoder.h), where they stand beside W; kept in folders
 * of PEFT's layout (adapter_config.json, adapter_model.safetensors); and merged into the weights of a
 * session of the plain graph, which then runs as fast as without. Several can be held, and merged one
 * after another or together. */
#ifndef FR_MODEL_LORA_H
#define FR_MODEL_LORA_H

#include "graph/graph.h"

typedef struct fr_lora fr_lora;

/* For fr_train_opts.trainable: adapters alone. */
bool fr_lora_trains(const char *param, void *unused);

/* A copy of what stands in a session under PEFT's names. */
fr_status fr_lora_take(fr_session *s, const fr_graph *g, float alpha, fr_lora **out);
fr_status fr_lora_open(const char *dir, fr_lora **out);
/* base: the model that it belongs to, for the file; may be NULL. */
fr_status fr_lora_save(const fr_lora *l, const char *base, const char *dir);
void fr_lora_free(fr_lora *l);
size_t fr_lora_count(const fr_lora *l); /* matrices that it changes */
int fr_lora_rank(const fr_lora *l);

/* W += times alpha / rank B A in all its matrices, or in none when one of them is missing. With times -1
 * an adapter goes out again, up to the rounding of W; exactly with `kept` (may be NULL), which holds the
 * weights as they were. */
typedef struct fr_lora_kept fr_lora_kept;
fr_status fr_lora_merge(const fr_lora *l, float times, fr_session *s, const fr_graph *g,
                        fr_lora_kept **kept);
/* Puts them back; they are kept on. */
fr_status fr_lora_restore(const fr_lora_kept *k);
void fr_lora_kept_free(fr_lora_kept *k);

#endif
