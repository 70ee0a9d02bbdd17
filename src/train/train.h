/* train.h: the face of the room that turns gradients into better parameters. */
#ifndef FR_TRAIN_H
#define FR_TRAIN_H

#include "graph/graph.h"

typedef enum fr_optimizer_kind {
    FR_SGD,
    FR_ADAMW,
    FR_ADAMW8, /* moments in 8 bits: dynamic maps over blocks (Dettmers et al. 2022) */
    FR_CAME,   /* moments as rows and columns, steps by confidence (Luo et al. 2023) */
    FR_CAME8   /* the same with the first moment in 8 bits, as SANA-1.5 trains */
} fr_optimizer_kind;
/* "sgd", "adamw", "adamw8", "came", "came8", and NULL behind the last. */
extern const char *const fr_optimizer_names[];

typedef enum fr_schedule_kind {
    FR_SCHEDULE_CONSTANT,
    FR_SCHEDULE_LINEAR,
    FR_SCHEDULE_COSINE
} fr_schedule_kind;

typedef struct fr_train_opts {
    fr_optimizer_kind optimizer;
    float lr;           /* peak */
    float momentum;     /* SGD */
    float beta1, beta2; /* AdamW, CAME; 0: 0.9, 0.999 */
    float beta3;        /* CAME, of the instability; 0: 0.9999 */
    float eps;          /* 0: 1e-8, and for CAME 1e-30, which it adds to squares */
    float eps2;         /* CAME, added to the instability; 0: 1e-16 */
    /* For what is kept in 8 bits; 0: as the papers have it. */
    int block8;        /* values a block, a power of two; 0: 2048, in small tensors of ADAMW8 256 */
    int64_t least8;    /* smaller tensors stay f32; 0: 4096, for CAME8 16385 */
    bool around_zero8; /* CAME8: codes around 0, not from the smallest value to the largest */
    float weight_decay; /* decoupled for AdamW and CAME, added to the gradient for SGD */
    float clip;         /* global norm of the gradient; 0: none */
    fr_schedule_kind schedule;
    int64_t warmup, steps; /* linear rise, then down to final_lr at `steps` */
    float final_lr;
    bool (*decay)(const char *param); /* which parameters decay; NULL: those of rank 2 and more */
    /* Which parameters train; NULL: all. The others get no gradient and no memory here, and are not
     * in checkpoints: they must have their values before a resume. */
    bool (*trainable)(const char *param, void *arg);
    void *trainable_arg;
    /* A second copy of the weights that follows them: after t steps it moves by 1 - d of the way,
     * d = min(ema, (1 + t) / (10 + t)); 0: none. */
    float ema;
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
/* A step in parts: accumulate as often as wanted, then update with the mean of the gradients, added
 * up in f32 in the order of the calls. A loss that is not finite counts as no call; an update that
 * fails forgets what was accumulated. A second accumulate before an update takes memory for the
 * sums; before that, nothing else may run the session between an accumulate and its update. */
fr_status fr_trainer_accumulate(fr_trainer *t, const fr_tensor *inputs, int count, float *loss);
fr_status fr_trainer_update(fr_trainer *t, float *norm);

/* Exchanges the weights of the session and their averages, for evaluation; again, and they are
 * back. In between nothing can be trained, saved or resumed. */
fr_status fr_trainer_swap_ema(fr_trainer *t);
/* Bytes that the trainer itself holds: moments, master weights, averages, sums of gradients. */
size_t fr_trainer_state_bytes(const fr_trainer *t);

/* Trained parameters, states, moments, master weights, averages and the step number in one
 * safetensors file: resuming gives the same bits as never having stopped. What was accumulated since
 * the last update is not in it. A resume that fails changes nothing. */
fr_status fr_trainer_save(fr_trainer *t, const char *path);
fr_status fr_trainer_resume(fr_trainer *t, const char *path);

#include "train/run.h"

#endif
