/* folder.h: a model as a folder of Hugging Face's layout: config.json, generation_config.json, model.safetensors,
 * and beside them what others write (tokenizer.json). */
#ifndef FR_MODEL_FOLDER_H
#define FR_MODEL_FOLDER_H

#include "model/decoder.h"

/* A path as it is; else a shipped model's name, looked for in $FRUGAL_MODELS, in models/ here and in the
 * source tree that the program was built in, and in share/frugal/models of its prefix. fr_free(path). */
fr_status fr_model_find(const char *name, char **path);

typedef struct fr_model {
    fr_decoder decoder;
    fr_store *store; /* must outlive the sessions that load from it */
    char *path;
    fr_kv_kind
        pages; /* how it wants its keys and values kept ("frugal_kv" of the config); else bf16 */
} fr_model;
/* By fr_model_find. A model of a kind that we do not know is refused by name. */
fr_status fr_model_open(const char *name, fr_model *out);
void fr_model_close(fr_model *m);

/* All parameters of a model in f32, to be changed; names and shapes are those of its store. One block: fr_free(list). */
fr_status fr_model_weights(const fr_model *m, fr_named_tensor **list, size_t *count);

/* Writes the folder; each file is the old one or the new one, and the weights come first. f32 becomes bf16. */
fr_status fr_model_folder_write(const char *dir, const fr_decoder *m,
                                const fr_named_tensor *tensors, size_t count);
/* The same with the parameters of a session, adapters left out. */
fr_status fr_decoder_save(const char *dir, const fr_decoder *m, fr_session *s, const fr_graph *g);

#endif
