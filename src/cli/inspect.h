/* inspect.h: the parts of `frugal inspect`: what was asked for, the figures of a tensor, and the
 * two ways to print. */
#ifndef FR_CLI_INSPECT_H
#define FR_CLI_INSPECT_H

#include "cli/cli.h"
#include "tensor/tensor.h"

typedef struct fr_inspect {
    const char *path;
    const char *names; /* a pattern; NULL: all */
    size_t limit;      /* tensors shown; they all count in the totals */
    bool json, stats, offsets;
    const char *graph; /* "graph" or "dot"; NULL: the tensors */
    bool fused;
    fr_store *store;
    size_t *chosen; /* the tensors whose name fits */
    size_t count;
} fr_inspect;

typedef struct fr_tensor_stats {
    double values, finite, nans, infinities;
    double min, max, mean, std; /* of the finite values; NaN when there is none */
} fr_tensor_stats;

/* The same figures for any number of threads. */
fr_status fr_inspect_stats(const fr_tensor *t, fr_pool *pool, fr_tensor_stats *out);
/* Of all tensors that are shown, with a progress bar; *out is to be freed. */
fr_status fr_inspect_all_stats(const fr_inspect *in, fr_tensor_stats **out);

typedef struct fr_inspect_total {
    size_t tensors;
    double values, bytes;
} fr_inspect_total;
/* One for each number type. */
void fr_inspect_totals(const fr_inspect *in, fr_inspect_total total[FR_DTYPE_COUNT]);

/* The JSON files of a model that are there: calls fn for each of their names. */
void fr_inspect_configs(const fr_inspect *in, void (*fn)(void *user, const char *name), void *user);

/* stats is NULL when they were not asked for. */
fr_status fr_inspect_print(const fr_inspect *in, const fr_tensor_stats *stats);
fr_status fr_inspect_print_json(const fr_inspect *in, const fr_tensor_stats *stats);

#endif
