/* trainer.h: the inside of a trainer, for the files of this room. */
#ifndef FR_TRAIN_TRAINER_H
#define FR_TRAIN_TRAINER_H

#include "train/block8.h"
#include "train/train.h"

/* Memory that is kept for one parameter and goes into checkpoints, as "<prefix>/<parameter>". */
typedef struct fr_kept {
    const char *prefix;
    fr_tensor tensor;
} fr_kept;

#define FR_KEPT 9 /* the most: CAME with 8 bits, a master and an average */

/* Values in 8 bits, block after block (block8.h). code NULL: there are none. */
typedef struct fr_codes {
    uint8_t *code;
    float *scale; /* of each block; of a map: its largest magnitude */
    float *low;   /* NULL unless steps begin at the smallest value */
} fr_codes;

/* The moments of a matrix as those of its rows and columns, and what they are added up in: a piece
 * of the matrix touches at most `row_room` rows, and all columns. */
typedef struct fr_factors {
    size_t rows, cols;
    float *row, *col;         /* NULL: not a matrix */
    float *res_row, *res_col; /* of the instability */
    float *by_row, *by_col;   /* one over the roots of the moments, as factors */
    float *res_by_row, *res_by_col;
    float *row_part, *col_part;
    size_t row_room;
} fr_factors;

/* One parameter and what the optimizer remembers of it: `values` floats each where nothing else is
 * said, NULL when unused. */
typedef struct fr_slot {
    fr_val param, grad;
    const char *name;
    const char *grad_name; /* the output that holds its gradient */
    fr_tensor *storage;    /* in the session, of the declared type */
    const void *seen;      /* the data of the storage when the master was taken from it */
    size_t values;
    bool decays;
    fr_kept kept[FR_KEPT]; /* owns what the pointers below lead to */
    int kept_count;
    float *master; /* the truth in f32; the storage itself when that is f32 */
    bool owns;     /* the master is memory of its own */
    float *ema;    /* the average of the master */
    float *m;      /* first moment, or the momentum of SGD */
    float *v;      /* second moment */
    fr_codes m8, v8;
    size_t block; /* values in a block of these */
    fr_factors factors;
    size_t first_piece, piece_count, piece; /* the last: values in each */
    float shrink;                           /* CAME: by which the step is made shorter */
    float *sum; /* of accumulated gradients; owned, not in checkpoints */
} fr_slot;

struct fr_trainer {
    fr_graph *graph;
    fr_session *session;
    fr_pool *pool;
    fr_train_opts opts;
    fr_slot *slots;
    size_t slot_count;
    const fr_tensor **grads; /* of the last run, slot by slot */
    int64_t step;            /* steps done */
    int64_t pending;         /* gradients accumulated since */
    size_t state_bytes;
    /* The parameters cut into pieces, so that big and small ones share the threads evenly. */
    struct fr_piece *pieces;
    size_t piece_count;
    struct fr_map8 *maps; /* with and without signs; NULL when none is needed */
    double *partial;      /* a sum of squares for each piece */
    bool ready;           /* masters were taken from the parameters */
    bool sums;            /* gradients are in the slots' sums, not in the session */
    bool swapped;         /* the session holds the averages */
};

/* Values a piece, or in a part of it where pieces are larger: fixed, so that sums do not depend on
 * threads. */
#define FR_PIECE 16384

typedef struct fr_piece {
    uint32_t slot;
    size_t first, count;
} fr_piece;

/* slot.c: what is kept for each parameter. */
fr_status fr_slots_new(fr_trainer *t, fr_val loss);
void fr_slots_free(fr_trainer *t);
fr_status fr_slots_add_sums(fr_trainer *t);
/* Takes the masters from the bound parameters: once, and again when the session keeps them in other
 * memory than before. */
fr_status fr_trainer_prepare(fr_trainer *t);
/* Writes a piece of the master to the parameter, when that is of another type. */
void fr_slot_store(const fr_slot *s, size_t first, size_t count);

/* What holds for all pieces of one update. */
typedef struct fr_update {
    fr_trainer *t;
    float lr, scale; /* scale: of the gradient, from clipping and from the mean */
    float follow;    /* how far the averages go */
    double bias1, bias2;
} fr_update;

/* optimizer.c: from the gradients of the last run, or their sums, to new parameters. */
fr_status fr_optimizer_check(const fr_train_opts *o);
void fr_optimizer_defaults(fr_train_opts *o);
fr_status fr_optimizer_apply(fr_trainer *t, float *norm);
/* Up to FR_PIECE values of the gradient, without the factor `scale`: in place when they are f32,
 * else in buf. */
const float *fr_optimizer_gradient(const fr_trainer *t, uint32_t slot, size_t first, size_t count,
                                   float *buf);
/* After the master has changed: the average follows, the parameter is written. */
void fr_optimizer_finish(const fr_update *u, const fr_slot *s, size_t first, size_t count);
/* Adds the gradients of the last run to the sums, or begins these with them. */
void fr_optimizer_add(fr_trainer *t, bool begin);

/* came.c: the squares of the gradients in t->partial; then, when these are finite, the update. */
void fr_came_squares(fr_trainer *t);
void fr_came_update(const fr_update *u);

/* schedule.c */
fr_status fr_schedule_check(const fr_train_opts *o);

#endif
