/* train.h: the face of the room that turns gradients into better parameters. */
#ifndef FR_TRAIN_H
#define FR_TRAIN_H

#include "graph/graph.h"

typedef enum fr_optimizer_kind { FR_SGD, FR_ADAMW } fr_optimizer_kind;
typedef enum fr_schedule_kind {
    FR_SCHEDULE_CONSTANT,
    FR_SCHEDULE_LINEAR,
    FR_SCHEDULE_COSINE
} fr_schedule_kind;

typedef struct fr_train_opts {
    fr_optimizer_kind optimizer;
    float lr;                /* peak */
    float momentum;          /* SGD */
    float beta1, beta2, eps; /* AdamW; 0: 0.9, 0.999, 1e-8 */
    float weight_decay;      /* decoupled for AdamW, added to the gradient for SGD */
    float clip;              /* global norm of the gradient; 0: none */
    fr_schedule_kind schedule;
    int64_t warmup, steps; /* linear rise, then down to final_lr at `steps` */
    float final_lr;
    bool (*decay)(const char *param); /* which parameters decay; NULL: those of rank 2 and more */
} fr_train_opts;

/* A graph with a scalar loss, its gradients, and the optimizer's memory. Parameters of bf16 get an
 * f32 master copy, taken before the first step: what is written into one after that, other than by
 * resuming, is not seen. The graph gets the outputs "loss" and "grad/<parameter>". */
typedef struct fr_trainer fr_trainer;
fr_status fr_trainer_new(fr_graph *g, fr_val loss, const fr_train_opts *opts, fr_pool *pool,
                         fr_trainer **out);
void fr_trainer_free(fr_trainer *t);
fr_session *fr_trainer_session(fr_trainer *t);
int64_t fr_trainer_step_count(const fr_trainer *t);
float fr_learning_rate(const fr_train_opts *o, int64_t step);
/* Forward, backward, clip, update. The loss and the norm of the gradient before clipping come out
 * (either may be NULL). When one of them is not finite, the step fails and no parameter changes. */
fr_status fr_trainer_step(fr_trainer *t, const fr_tensor *inputs, int count, float *loss,
                          float *norm);
/* Parameters, states, moments, master weights and the step number in one safetensors file: resuming
 * gives the same bits as never having stopped. A resume that fails changes nothing. */
fr_status fr_trainer_save(fr_trainer *t, const char *path);
fr_status fr_trainer_resume(fr_trainer *t, const char *path);

#endif
