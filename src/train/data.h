/* data.h: what a trainer is fed: batches by number, made ahead by a thread of their own.
 *
 * A batch is a pure function of (seed, number), so a run that resumes sees what it would have seen. */
#ifndef FR_TRAIN_DATA_H
#define FR_TRAIN_DATA_H

#include "graph/graph.h"

#define FR_BATCH_INPUTS 4

/* A source makes batches. Several threads may call fill for different batches at once. */
typedef struct fr_source {
    void *self;
    int inputs;                       /* of the graph, in their order */
    fr_tensor shape[FR_BATCH_INPUTS]; /* type and dims; data NULL */
    fr_status (*fill)(void *self, uint64_t number, fr_tensor *inputs);
    void (*free)(void *self);
} fr_source;

/* Keeps the next few batches ready. `take` waits for batch `number`; numbers come in rising order. */
typedef struct fr_feeder fr_feeder;
fr_status fr_feeder_new(const fr_source *source, uint64_t first, int ahead, fr_feeder **out);
/* Good until the next take. */
fr_status fr_feeder_take(fr_feeder *f, const fr_tensor **inputs);
double fr_feeder_waited(const fr_feeder *f); /* seconds that take had to wait, in all */
void fr_feeder_free(fr_feeder *f);

#endif
