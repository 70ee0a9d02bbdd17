/* feeder.c: a thread of its own makes the next batches while the trainer computes.
 *
 * A ring of `ahead` + 1 batches: one that the trainer reads, and those that are ready or being made. Both sides
 * sleep on a condition when they have to wait. A failure of the source is kept and handed to take. */
#include <pthread.h>
#include <string.h>

#include "train/data.h"

typedef struct batch {
    fr_tensor inputs[FR_BATCH_INPUTS];
} batch;

struct fr_feeder {
    fr_source source;
    batch *ring;
    int slots;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t made, taken;
    uint64_t first; /* number of the first batch */
    uint64_t ready,
        consumed; /* batches since then; those before `consumed` - 1 may be overwritten */
    double waited;
    bool started, stop;
    fr_status status;
    char message[400];
};

static batch *slot_of(fr_feeder *f, uint64_t n) {
    return &f->ring[n % (uint64_t)f->slots];
}

/* Is there room to make batch number `ready`? The one that was taken last is still being read. */
static bool room(const fr_feeder *f) {
    uint64_t held = f->consumed ? f->consumed - 1 : 0;
    return f->ready - held < (uint64_t)f->slots;
}

static void *work(void *arg) {
    fr_feeder *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->stop && !f->status) {
        if (!room(f)) {
            pthread_cond_wait(&f->taken, &f->lock);
            continue;
        }
        uint64_t n = f->ready;
        pthread_mutex_unlock(&f->lock);
        fr_status st = f->source.fill(f->source.self, f->first + n, slot_of(f, n)->inputs);
        pthread_mutex_lock(&f->lock);
        if (st) {
            f->status = st;
            snprintf(f->message, sizeof f->message, "%s", fr_message());
        } else {
            f->ready++;
        }
        pthread_cond_signal(&f->made);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static fr_status make_ring(fr_feeder *f) {
    f->ring = fr_alloc(FR_MEM_OTHER, (size_t)f->slots * sizeof *f->ring);
    if (!f->ring) return FR_NOMEM;
    for (int i = 0; i < f->slots; i++)
        for (int k = 0; k < f->source.inputs; k++) {
            fr_tensor *t = &f->ring[i].inputs[k];
            *t = f->source.shape[k];
            t->data = fr_alloc(FR_MEM_OTHER, fr_bytes(t));
            if (!t->data) return FR_NOMEM;
        }
    return FR_OK;
}

fr_status fr_feeder_new(const fr_source *source, uint64_t first, int ahead, fr_feeder **out) {
    *out = NULL;
    if (source->inputs < 1 || source->inputs > FR_BATCH_INPUTS || ahead < 1 || ahead > 1000)
        return fr_fail(FR_INVALID, "a feeder wants 1 to %d inputs and 1 to 1000 batches ahead",
                       FR_BATCH_INPUTS);
    fr_feeder *f = fr_alloc(FR_MEM_OTHER, sizeof *f);
    if (!f) return FR_NOMEM;
    f->source = *source;
    f->first = first;
    f->slots = ahead + 1;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->made, NULL);
    pthread_cond_init(&f->taken, NULL);
    fr_status st = make_ring(f);
    if (!st) {
        f->started = !pthread_create(&f->thread, NULL, work, f);
        if (!f->started) st = fr_fail(FR_IO, "the system gives no thread for the data");
    }
    if (st) {
        fr_feeder_free(f);
        return st;
    }
    *out = f;
    return FR_OK;
}

fr_status fr_feeder_take(fr_feeder *f, const fr_tensor **inputs) {
    fr_status st = FR_OK;
    *inputs = NULL;
    pthread_mutex_lock(&f->lock);
    if (f->ready == f->consumed && !f->status) {
        double start = fr_now();
        while (f->ready == f->consumed && !f->status) pthread_cond_wait(&f->made, &f->lock);
        f->waited += fr_now() - start;
    }
    if (f->ready > f->consumed)
        *inputs = slot_of(f, f->consumed++)->inputs;
    else
        st = f->status;
    pthread_cond_signal(&f->taken);
    pthread_mutex_unlock(&f->lock);
    return st ? fr_fail(st, "%s", f->message) : FR_OK;
}

double fr_feeder_waited(const fr_feeder *f) {
    return f->waited;
}

/* The source stays the caller's to free. */
void fr_feeder_free(fr_feeder *f) {
    if (!f) return;
    if (f->started) {
        pthread_mutex_lock(&f->lock);
        f->stop = true;
        pthread_cond_signal(&f->taken);
        pthread_mutex_unlock(&f->lock);
        pthread_join(f->thread, NULL);
    }
    for (int i = 0; f->ring && i < f->slots; i++)
        for (int k = 0; k < f->source.inputs; k++) fr_free(f->ring[i].inputs[k].data);
    fr_free(f->ring);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->made);
    pthread_cond_destroy(&f->taken);
    fr_free(f);
}
