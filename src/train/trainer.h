/* trainer.h: the inside of a trainer, for the files of this room. */
#ifndef FR_TRAIN_TRAINER_H
#define FR_TRAIN_TRAINER_H

#include "train/train.h"

/* One parameter and what the optimizer remembers of it. All of `values` floats each. */
typedef struct fr_slot {
    fr_val param, grad;
    const char *name;
    const char *grad_name; /* the output that holds its gradient */
    fr_tensor *storage;    /* in the session, of the declared type */
    const void *seen;      /* the data of the storage when the master was taken from it */
    size_t values;
    float *master; /* the truth in f32; the storage itself when that is f32 */
    bool owns;     /* the master is memory of its own */
    float *m;      /* first moment, or the momentum of SGD; NULL when unused */
    float *v;      /* second moment of AdamW */
    bool decays;
} fr_slot;

struct fr_trainer {
    fr_graph *graph;
    fr_session *session;
    fr_pool *pool;
    fr_train_opts opts;
    fr_slot *slots;
    size_t slot_count;
    int64_t step; /* steps done */
    /* The parameters cut into pieces, so that big and small ones share the threads evenly. */
    struct fr_piece *pieces;
    size_t piece_count;
    double *partial; /* a sum of squares for each piece */
    bool ready;      /* masters were taken from the parameters */
};

/* Values a piece: fixed, so that sums do not depend on threads. */
#define FR_PIECE 16384

typedef struct fr_piece {
    uint32_t slot;
    uint32_t count;
    size_t first;
} fr_piece;

/* optimizer.c: from the gradients of the last run to new parameters. Returns the norm. */
fr_status fr_optimizer_apply(fr_trainer *t, const fr_tensor *const *grads, float *norm);

/* trainer.c: takes the masters from the bound parameters: once, and again when the session keeps
 * them in other memory than before. */
fr_status fr_trainer_prepare(fr_trainer *t);

#endif
