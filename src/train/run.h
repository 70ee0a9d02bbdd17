/* run.h: from a recipe to a trained model in a folder:
 *
 *     recipe                   the settings in force
 *     tokenizer.json
 *     checkpoint.safetensors   from which the training goes on with the same bits
 *     metrics.jsonl            how it went; curves.svg shows it
 *     model/                   config.json, tokenizer.json, model.safetensors */
#ifndef FR_TRAIN_RUN_H
#define FR_TRAIN_RUN_H

#include "train/recipe.h"

typedef struct fr_run_opts {
    const char *out; /* the folder */
    bool resume;     /* it holds a training that was begun with the same recipe */
    bool plot;       /* curves.svg */
    fr_pool *pool;
} fr_run_opts;

/* Ctrl-C saves, and gives FR_INTERRUPTED. */
fr_status fr_train_run(fr_recipe *r, const fr_run_opts *o);

#endif
