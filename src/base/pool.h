/* pool.h: threads that share out the items of a job.
 *
 * Work is cut by size into `count` items, never by thread count; an item may run on any thread. A
 * function that writes only what its item owns therefore gives the same bits with any pool. */
#ifndef FR_BASE_POOL_H
#define FR_BASE_POOL_H

#include <frugal/types.h>

typedef struct fr_pool fr_pool;

/* Processors that this process may use: those it is pinned to, or its container's share of time. */
int fr_processors(void);
/* That share, from a file like /proc/self/cgroup and the folder where the groups are. */
double fr_processor_share(const char *groups, const char *root);

/* threads 0: FRUGAL_THREADS, else fr_processors(). */
fr_status fr_pool_new(int threads, fr_pool **out);
void fr_pool_free(fr_pool *p);
int fr_pool_threads(const fr_pool *p); /* NULL is a pool of one */

/* fn(arg, i) for 0 <= i < count, and wait. pool NULL, one thread or count 1: in place. */
typedef void fr_pool_fn(void *arg, size_t i);
void fr_pool_run(fr_pool *p, size_t count, fr_pool_fn *fn, void *arg);

/* The same over ranges: fn(arg, start, end) with end - start <= chunk. */
typedef void fr_pool_range_fn(void *arg, size_t start, size_t end);
void fr_pool_range(fr_pool *p, size_t total, size_t chunk, fr_pool_range_fn *fn, void *arg);

/* The same, with the number of the thread that runs the item: 0 <= thread < fr_pool_threads().
 * Only to choose a private scratch block; results must not depend on it. */
typedef void fr_pool_thread_fn(void *arg, size_t thread, size_t i);
void fr_pool_run_thread(fr_pool *p, size_t count, fr_pool_thread_fn *fn, void *arg);

#endif
