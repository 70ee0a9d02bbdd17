/* learner.h: a language model that is being trained: its graph, its trainer, the way it is looked at between the
 * steps (forward alone, on lines that it never learns from), and the folder that it becomes. */
#ifndef FR_TRAIN_LEARNER_H
#define FR_TRAIN_LEARNER_H

#include "text/text.h"
#include "train/data.h"
#include "train/job.h"

typedef struct fr_learner {
    const fr_job *job;
    fr_decoder model;
    const fr_tokenizer *tokenizer;
    fr_graph *graph, *look; /* look: the forward pass alone */
    fr_trainer *trainer;
    fr_session *looking;
    fr_source data, unseen;
    fr_tensor *batches; /* validate_batches times the inputs of a batch */
} fr_learner;

/* Everything is ready for the first step; the parameters are not bound yet. */
fr_status fr_learner_new(const fr_job *job, const fr_tokenizer *tokenizer, fr_pool *pool,
                         fr_learner **out);
void fr_learner_free(fr_learner *l);
/* From the base, or from random values. Before a resume too: what is not trained is in no checkpoint. */
fr_status fr_learner_start(fr_learner *l);
/* The mean loss of a token of the lines for validation. */
fr_status fr_learner_validate(fr_learner *l, double *loss);
/* The model's folder, with a tokenizer.json; with LoRA also that of the adapter, which is added into the model. */
fr_status fr_learner_write(fr_learner *l, const char *model, const char *adapter);

#endif
