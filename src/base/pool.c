/* pool.c: the thread pool: a few threads that share out the items of one job at a time.
 *
 * The items are cut into one range a thread, so that a thread meets the same data in one operator after
 * another; whoever has done its own range goes on in those of the others. A range is one atomic word,
 * "job number, next item", and an item is taken by raising it. A thread that was late, or stopped by the
 * system, finds another job number there and takes nothing: so the caller waits for the items, never
 * for the threads, and a busy machine costs no more than the time that it takes away.
 *
 * Threads spin for some microseconds between jobs and then sleep; with more threads than processors
 * they sleep at once. A pool used from inside one of its own items runs the inner work in place. */
#include "base/base.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MOST 1024
/* Items of one job: the low half of a range's word. */
#define ITEMS_MOST ((size_t)1 << 30)
/* A range that is closed: beyond its last item, however many there are. */
#define CLOSED 0xffffffffu
/* Turns of the waiting loop: about 50 microseconds. */
#define SPINS 2000

/* What an item does. */
typedef struct job {
    fr_pool_fn *fn;
    fr_pool_range_fn *range_fn;
    fr_pool_thread_fn *thread_fn;
    void *arg;
    size_t total, chunk; /* of range_fn */
    size_t first;        /* number of the first item */
} job;

/* A late thread may read the job while the next one is written. What it read is void then, and it
 * finds out when it takes an item: all ranges are closed before the first of these is changed, so the
 * word is no longer what it was. */
typedef struct shared_job {
    _Atomic(fr_pool_fn *) fn;
    _Atomic(fr_pool_range_fn *) range_fn;
    _Atomic(fr_pool_thread_fn *) thread_fn;
    _Atomic(void *) arg;
    atomic_size_t total, chunk, first;
    atomic_uint count; /* of items */
} shared_job;

typedef struct range {
    _Alignas(64) _Atomic uint64_t word; /* number of the job << 32 | next item */
} range;

typedef struct worker {
    struct fr_pool *pool;
    pthread_t thread;
    int number;
} worker;

struct fr_pool {
    int count, started, spins;
    pthread_mutex_t calls; /* one job at a time */
    shared_job job;
    range *ranges;
    worker *workers;
    _Alignas(64) atomic_uint number; /* of the job; changes when there is work */
    _Alignas(64) atomic_uint left;   /* items not done */
    atomic_bool stop;
    /* For those who sleep: workers until `number` changes, the caller until `left` is 0. */
    pthread_mutex_t lock;
    pthread_cond_t work, done;
    atomic_int sleeping;
    atomic_bool caller_sleeps;
};

/* The pool in whose item this thread is, and its number there. */
static _Thread_local struct {
    const fr_pool *pool;
    size_t thread;
} inside;

static void pause_a_little(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- items ---- */

static void run_item(const job *j, size_t i, size_t thread) {
    if (j->fn) {
        j->fn(j->arg, i);
    } else if (j->thread_fn) {
        j->thread_fn(j->arg, thread, i);
    } else {
        size_t start = i * j->chunk;
        j->range_fn(j->arg, start, j->total - start < j->chunk ? j->total : start + j->chunk);
    }
}

static job load_job(const shared_job *s, uint32_t *count) {
    *count = atomic_load_explicit(&s->count, memory_order_acquire);
    return (job){.fn = atomic_load_explicit(&s->fn, memory_order_acquire),
                 .range_fn = atomic_load_explicit(&s->range_fn, memory_order_acquire),
                 .thread_fn = atomic_load_explicit(&s->thread_fn, memory_order_acquire),
                 .arg = atomic_load_explicit(&s->arg, memory_order_acquire),
                 .total = atomic_load_explicit(&s->total, memory_order_acquire),
                 .chunk = atomic_load_explicit(&s->chunk, memory_order_acquire),
                 .first = atomic_load_explicit(&s->first, memory_order_acquire)};
}

static void store_job(shared_job *s, const job *j, size_t first, uint32_t count) {
    atomic_store_explicit(&s->fn, j->fn, memory_order_release);
    atomic_store_explicit(&s->range_fn, j->range_fn, memory_order_release);
    atomic_store_explicit(&s->thread_fn, j->thread_fn, memory_order_release);
    atomic_store_explicit(&s->arg, j->arg, memory_order_release);
    atomic_store_explicit(&s->total, j->total, memory_order_release);
    atomic_store_explicit(&s->chunk, j->chunk, memory_order_release);
    atomic_store_explicit(&s->first, first, memory_order_release);
    atomic_store_explicit(&s->count, count, memory_order_release);
}

static uint32_t range_start(uint32_t count, int threads, int r) {
    return (uint32_t)((uint64_t)count * (uint64_t)r / (uint64_t)threads);
}

static void item_done(fr_pool *p) {
    if (atomic_fetch_sub(&p->left, 1) != 1 || !atomic_load(&p->caller_sleeps)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->done);
    pthread_mutex_unlock(&p->lock);
}

/* Takes items of job `number` from range r until there are none. */
static void work_on_range(fr_pool *p, uint32_t number, int r, size_t thread) {
    _Atomic uint64_t *word = &p->ranges[r].word;
    uint64_t seen = atomic_load(word);
    while (seen >> 32 == number) {
        uint32_t count, item = (uint32_t)seen;
        job j = load_job(&p->job, &count);
        if (item >= range_start(count, p->count, r + 1)) return;
        if (!atomic_compare_exchange_weak(word, &seen, seen + 1)) continue;
        run_item(&j, j.first + item, thread);
        item_done(p);
        seen = atomic_load(word);
    }
}

static void work_on(fr_pool *p, uint32_t number, int thread) {
    inside.pool = p;
    inside.thread = (size_t)thread;
    for (int i = 0; i < p->count; i++)
        work_on_range(p, number, (thread + i) % p->count, (size_t)thread);
    inside.pool = NULL;
}

/* ---- threads ---- */

static uint32_t wait_for_job(fr_pool *p, uint32_t last) {
    for (int i = 0; i < p->spins; i++) {
        uint32_t number = atomic_load(&p->number);
        if (number != last) return number;
        pause_a_little();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleeping, 1);
    while (atomic_load(&p->number) == last) pthread_cond_wait(&p->work, &p->lock);
    atomic_fetch_sub(&p->sleeping, 1);
    pthread_mutex_unlock(&p->lock);
    return atomic_load(&p->number);
}

static void *worker_main(void *arg) {
    const worker *w = arg;
    for (uint32_t number = 0;;) {
        number = wait_for_job(w->pool, number);
        if (atomic_load(&w->pool->stop)) return NULL;
        work_on(w->pool, number, w->number);
    }
}

/* The number changes, and whoever sleeps is woken. By an exchange: the load behind it must not overtake it, and
 * emulators of ARM are known to let one overtake a plain store. */
static uint32_t announce(fr_pool *p, uint32_t number) {
    atomic_exchange(&p->number, number);
    if (atomic_load(&p->sleeping)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->work);
        pthread_mutex_unlock(&p->lock);
    }
    return number;
}

static void wait_until_done(fr_pool *p) {
    for (int i = 0; i < p->spins; i++) {
        if (!atomic_load(&p->left)) return;
        pause_a_little();
    }
    pthread_mutex_lock(&p->lock);
    atomic_exchange(&p->caller_sleeps, true); /* as in announce() */
    while (atomic_load(&p->left)) pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

/* ---- making and ending ---- */

static fr_status choose_threads(int asked, int *out) {
    const char *text = getenv("FRUGAL_THREADS");
    if (asked < 0 || asked > THREADS_MOST) {
        return fr_fail(FR_INVALID, "%d threads were asked for; 1 to %d make sense", asked,
                       THREADS_MOST);
    }
    if (asked > 0) {
        *out = asked;
    } else if (text && *text) {
        char *end;
        errno = 0;
        long n = strtol(text, &end, 10);
        if (*end || errno || n < 1 || n > THREADS_MOST) {
            return fr_fail(FR_INVALID, "FRUGAL_THREADS is \"%s\", not a number from 1 to %d", text,
                           THREADS_MOST);
        }
        *out = (int)n;
    } else {
        *out = FR_MIN(fr_processors(), THREADS_MOST);
    }
    return FR_OK;
}

static fr_status start_threads(fr_pool *p) {
    for (int i = 1; i < p->count; i++) {
        p->workers[i] = (worker){.pool = p, .number = i};
        int why = pthread_create(&p->workers[i].thread, NULL, worker_main, &p->workers[i]);
        if (why)
            return fr_fail(FR_NOMEM, "the system gives no %d threads: %s", p->count, strerror(why));
        p->started = i;
    }
    return FR_OK;
}

fr_status fr_pool_new(int threads, fr_pool **out) {
    *out = NULL;
    int count = 1;
    FR_TRY(choose_threads(threads, &count));
    fr_pool *p = fr_alloc(FR_MEM_OTHER, sizeof *p);
    if (!p) return FR_NOMEM;
    p->count = count;
    p->spins = count > fr_processors() ? 0 : SPINS;
    pthread_mutex_init(&p->calls, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    p->ranges = fr_alloc(FR_MEM_OTHER, (size_t)count * sizeof *p->ranges);
    p->workers = fr_alloc(FR_MEM_OTHER, (size_t)count * sizeof *p->workers);
    fr_status st = p->ranges && p->workers ? start_threads(p) : FR_NOMEM;
    if (st) {
        fr_pool_free(p);
        return st;
    }
    *out = p;
    return FR_OK;
}

void fr_pool_free(fr_pool *p) {
    if (!p) return;
    atomic_store(&p->stop, true);
    announce(p, atomic_load(&p->number) + 1);
    for (int i = 1; i <= p->started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->calls);
    fr_free(p->ranges);
    fr_free(p->workers);
    fr_free(p);
}

int fr_pool_threads(const fr_pool *p) {
    return p ? p->count : 1;
}

/* ---- jobs ---- */

static void share_out(fr_pool *p, size_t first, uint32_t count, const job *j) {
    uint32_t number = atomic_load(&p->number) + 1;
    uint64_t word = (uint64_t)number << 32;
    for (int r = 0; r < p->count; r++) atomic_store(&p->ranges[r].word, word | CLOSED);
    store_job(&p->job, j, first, count);
    atomic_store(&p->left, count);
    for (int r = 0; r < p->count; r++)
        atomic_store(&p->ranges[r].word, word | range_start(count, p->count, r));
    announce(p, number);
    work_on(p, number, 0);
    wait_until_done(p);
}

static void run_job(fr_pool *p, size_t count, const job *j) {
    if (count <= 1 || !p || p->count == 1 || inside.pool) {
        /* Inside an item of the same pool the thread keeps its number: its scratch is its own. */
        size_t thread = p && inside.pool == p ? inside.thread : 0;
        for (size_t i = 0; i < count; i++) run_item(j, i, thread);
        return;
    }
    pthread_mutex_lock(&p->calls);
    for (size_t first = 0; first < count; first += ITEMS_MOST)
        share_out(p, first, (uint32_t)FR_MIN(ITEMS_MOST, count - first), j);
    pthread_mutex_unlock(&p->calls);
}

void fr_pool_run(fr_pool *p, size_t count, fr_pool_fn *fn, void *arg) {
    run_job(p, count, &(job){.fn = fn, .arg = arg});
}

void fr_pool_range(fr_pool *p, size_t total, size_t chunk, fr_pool_range_fn *fn, void *arg) {
    if (chunk == 0) chunk = total;
    size_t count = total ? (total - 1) / chunk + 1 : 0;
    run_job(p, count, &(job){.range_fn = fn, .arg = arg, .total = total, .chunk = chunk});
}

void fr_pool_run_thread(fr_pool *p, size_t count, fr_pool_thread_fn *fn, void *arg) {
    run_job(p, count, &(job){.thread_fn = fn, .arg = arg});
}
