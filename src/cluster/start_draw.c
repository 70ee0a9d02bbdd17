/* start_draw.c: rows drawn with a chance that is their weight times their squared distance.
 *
 * Sums of grains of rows are kept, not of rows: a number drawn falls into a grain, and the distances of that grain are
 * computed once more. So what is kept is small, and the points are not read another time. */
#include "cluster/start_parts.h"

typedef struct finding {
    const fr_far *f;
    const double *at;
    int64_t *row;
} finding;

/* The first grain whose sum with all before is above `target`; behind rounding, the last one that adds anything. */
static int64_t grain_of(const fr_far *f, double target) {
    int64_t low = 0, high = fr_grains(f->p) - 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (f->upto[middle] > target)
            high = middle;
        else
            low = middle + 1;
    }
    while (low > 0 && !(f->upto[low] > f->upto[low - 1])) low--;
    return low;
}

static void find_one(void *arg, size_t thread, size_t i) {
    const finding *job = arg;
    const fr_far *f = job->f;
    double target = job->at[i] * f->upto[fr_grains(f->p) - 1];
    int64_t g = grain_of(f, target), first = g * FR_GRAIN;
    int64_t count = FR_MIN(FR_GRAIN, f->p->rows - first), found = first;
    float distance[FR_GRAIN];
    f->distances(f->arg, thread, first, count, distance);
    double sum = 0, rest = target - (g ? f->upto[g - 1] : 0);
    for (int64_t r = 0; r < count; r++) {
        double part = (double)fr_weight(f->p, first + r) * (double)distance[r];
        if (!(part > 0)) continue;
        found = first + r;
        sum += part;
        if (sum > rest) break;
    }
    job->row[i] = found;
}

void fr_far_find(const fr_far *f, int64_t count, const double *at, int64_t *row) {
    finding job = {f, at, row};
    fr_pool_run_thread(f->pool, (size_t)count, find_one, &job);
}

void fr_far_draw(const fr_far *f, int64_t count, fr_rng *rng, double *at, int64_t *row) {
    for (int64_t i = 0; i < count; i++) at[i] = fr_draw(rng);
    fr_far_find(f, count, at, row);
}
