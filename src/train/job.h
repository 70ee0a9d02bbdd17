/* job.h: what a recipe asks for, read once and checked. docs/training.md lists the keys. */
#ifndef FR_TRAIN_JOB_H
#define FR_TRAIN_JOB_H

#include "model/model.h"
#include "train/recipe.h"
#include "train/train.h"
#include "world/world.h"

typedef enum fr_job_kind { FR_JOB_TOKENIZER, FR_JOB_LLAMA } fr_job_kind;

typedef struct fr_job {
    fr_job_kind kind;
    uint64_t seed;
    /* a tokenizer */
    int64_t vocab, lines;
    /* a language model; vocab, bos and eos are the tokenizer's */
    const char *tokenizer; /* as the recipe says it; belongs to the recipe; NULL: that of base */
    const char *base;      /* a model to begin with; NULL: random values */
    fr_decoder model;
    fr_decoder_opts model_opts;
    /* its batches */
    int64_t rows, tokens, ahead;
    double prompt_loss;
    double share[FR_LINE_TASKS]; /* of the lines; all 0: the world's own mix */
    /* its training */
    fr_train_opts train;
    int64_t accumulate; /* batches whose gradients make a step */
    int64_t log_every, validate_every, validate_batches, checkpoint_every;
    double checkpoint_minutes;
} fr_job;

/* All keys of the recipe's kind; then fr_recipe_done. */
fr_status fr_job_read(fr_recipe *r, fr_job *out);
/* Keys that may change between a stop and going on: they do not touch what is learned. */
extern const char *const fr_job_free_keys[];

#endif
