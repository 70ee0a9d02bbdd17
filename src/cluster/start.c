/* start.c: the first centroids: which way, those that are given, and points drawn at random.
 *
 * Every number drawn belongs to (seed, problem, attempt); threads never show. */
#include "cluster/start_parts.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- given ---- */

static fr_status start_given(const fr_points *p, const fr_kmeans_opts *o, int64_t problem,
                             float *centroids) {
    fr_points given;
    if (!o->given)
        return fr_fail(FR_INVALID, "The first centroids are to be given, and there are none.");
    fr_status st = fr_points_of(o->given, o->given->rank == 3 ? problem : 0, p->unit, &given);
    if (st != FR_OK) return fr_fail_in(st, "The given centroids");
    if (given.rows != o->k || given.width != p->width) {
        char text[FR_SHAPE_TEXT];
        return fr_fail(FR_INVALID,
                       "The given centroids are %s, where %lld of width %lld are needed.",
                       fr_shape_text(o->given, text), (long long)o->k, (long long)p->width);
    }
    st = fr_points_check(&given, NULL, NULL);
    if (st != FR_OK) return fr_fail_in(st, "The given centroids");
    for (int64_t j = 0; j < o->k; j++) fr_points_row(&given, j, centroids + j * p->width);
    return FR_OK;
}

/* ---- random ---- */

int64_t fr_start_one(const fr_points *p, fr_rng *rng) {
    if (!p->weights) return (int64_t)fr_rng_below(rng, (uint32_t)p->rows);
    double all = 0, sum = 0;
    for (int64_t i = 0; i < p->rows; i++) all += (double)p->weights[i];
    double target = fr_draw(rng) * all;
    int64_t found = 0;
    for (int64_t i = 0; i < p->rows; i++) {
        if (!(p->weights[i] > 0)) continue;
        found = i;
        sum += (double)p->weights[i];
        if (sum > target) break;
    }
    return found;
}

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void fr_sort_rows(int64_t *row, int64_t count) {
    qsort(row, (size_t)count, sizeof *row, by_number);
}

/* A set of numbers from 0, in a table that is never more than half full; -1: free. */
typedef struct number_set {
    int64_t *slot;
    uint64_t mask;
} number_set;

static bool set_add(number_set *s, int64_t number) {
    uint64_t at = (uint64_t)number * 0x9E3779B97F4A7C15u;
    for (at ^= at >> 32;; at++) {
        int64_t *slot = &s->slot[at & s->mask];
        if (*slot == number) return false;
        if (*slot >= 0) continue;
        *slot = number;
        return true;
    }
}

/* Floyd's sample without repetition (Bentley, Floyd 1987): exactly k draws, whatever k and n. */
static fr_status draw_evenly(int64_t n, int64_t k, fr_rng *rng, int64_t *row) {
    uint64_t slots = 16;
    while (slots < 2 * (uint64_t)k) slots *= 2;
    number_set s = {.slot = fr_alloc_array(FR_MEM_OTHER, slots, sizeof *s.slot), .mask = slots - 1};
    if (!s.slot) return FR_NOMEM;
    memset(s.slot, 0xff, slots * sizeof *s.slot);
    for (int64_t i = n - k; i < n; i++) {
        int64_t one = (int64_t)fr_rng_below(rng, (uint32_t)(i + 1));
        row[i - (n - k)] = set_add(&s, one) ? one : (set_add(&s, i), i);
    }
    fr_free(s.slot);
    return FR_OK;
}

typedef struct keyed {
    double key;
    int64_t row;
} keyed;

/* The largest key goes to the top of the heap. */
static void sift_down(keyed *heap, int64_t count, int64_t at) {
    for (int64_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && heap[child + 1].key > heap[child].key;
        if (heap[at].key >= heap[child].key) return;
        keyed was = heap[at];
        heap[at] = heap[child];
        heap[child] = was;
    }
}

/* The k least of -ln(u) / w are a weighted sample without repetition (Efraimidis, Spirakis 2006). */
static fr_status draw_by_weight(const fr_points *p, int64_t k, fr_rng *rng, int64_t *row) {
    keyed *heap = fr_alloc_array(FR_MEM_OTHER, (size_t)k, sizeof *heap);
    if (!heap) return FR_NOMEM;
    int64_t count = 0;
    for (int64_t i = 0; i < p->rows; i++) {
        if (!(p->weights[i] > 0)) continue;
        keyed one = {-log(1 - fr_draw(rng)) / (double)p->weights[i], i};
        if (count < k) {
            heap[count++] = one;
            for (int64_t j = k / 2; count == k && j-- > 0;) sift_down(heap, k, j);
        } else if (one.key < heap[0].key) {
            heap[0] = one;
            sift_down(heap, k, 0);
        }
    }
    for (int64_t j = 0; j < count; j++) row[j] = heap[j].row;
    fr_free(heap);
    return FR_OK;
}

fr_status fr_start_different(const fr_points *p, int64_t k, fr_rng *rng, int64_t *row) {
    FR_TRY(p->weights ? draw_by_weight(p, k, rng, row) : draw_evenly(p->rows, k, rng, row));
    fr_sort_rows(row, k);
    return FR_OK;
}

void fr_start_rows(const fr_points *p, int64_t count, const int64_t *row, fr_reader *reader,
                   float *out) {
    for (int64_t i = 0; i < count; i += FR_POINTS_BLOCK)
        fr_reader_rows(reader, p, row + i, FR_MIN(FR_POINTS_BLOCK, count - i), out + i * p->width);
}

static fr_status start_random(const fr_points *p, int64_t k, fr_rng *rng, fr_reader *reader,
                              float *centroids) {
    int64_t *row = fr_alloc_array(FR_MEM_OTHER, (size_t)k, sizeof *row);
    if (!row) return FR_NOMEM;
    fr_status st = fr_start_different(p, k, rng, row);
    if (st == FR_OK) fr_start_rows(p, k, row, reader, centroids);
    fr_free(row);
    return st;
}

/* ---- which ---- */

static int64_t count_heavy(const fr_points *p) {
    int64_t count = p->weights ? 0 : p->rows;
    for (int64_t i = 0; p->weights && i < p->rows; i++) count += p->weights[i] > 0;
    return count;
}

static fr_status check_count(const fr_points *p, int64_t k) {
    int64_t count = count_heavy(p);
    if (k < 1)
        return fr_fail(FR_INVALID, "At least one cluster is needed, not %lld.", (long long)k);
    if (k > count)
        return fr_fail(FR_INVALID, "%lld clusters are more than the %lld points%s.", (long long)k,
                       (long long)count, p->weights ? " whose weight is not zero" : "");
    return FR_OK;
}

static fr_status start_drawn(const fr_points *p, const fr_kmeans_opts *o, fr_rng *rng,
                             fr_reader *reader, fr_pool *pool, float *centroids) {
    switch (o->start) {
    case FR_START_RANDOM: return start_random(p, o->k, rng, reader, centroids);
    case FR_START_PLUSPLUS: return fr_start_plusplus(p, o->k, rng, reader, pool, centroids);
    case FR_START_PARALLEL: return fr_start_parallel(p, o, rng, reader, pool, centroids);
    default: return fr_fail(FR_INVALID, "There is no way %d to begin k-means.", (int)o->start);
    }
}

/* Of `many` points alone, drawn by weight, so that all of them count the same. */
static fr_status start_from_some(const fr_points *p, const fr_kmeans_opts *o, int64_t many,
                                 fr_rng *rng, fr_reader *reader, fr_pool *pool, float *centroids) {
    fr_points some;
    int64_t *row = fr_alloc_array(FR_MEM_OTHER, (size_t)many, sizeof *row);
    float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)many, (size_t)p->width * sizeof *x);
    fr_status st = row && x ? fr_start_different(p, many, rng, row) : FR_NOMEM;
    if (st == FR_OK) {
        fr_start_rows(p, many, row, reader, x);
        fr_tensor t = fr_tensor_make(FR_F32, 2, (int64_t[]){many, p->width}, x);
        st = fr_points_of(&t, 0, p->unit, &some);
    }
    if (st == FR_OK) st = fr_points_check(&some, NULL, pool);
    if (st == FR_OK) st = start_drawn(&some, o, rng, NULL, pool, centroids);
    fr_free(row);
    fr_free(x);
    return st;
}

fr_status fr_start(const fr_points *p, const fr_kmeans_opts *o, int64_t problem, int64_t attempt,
                   fr_reader *reader, fr_pool *pool, float *centroids) {
    if (o->start == FR_START_GIVEN) return start_given(p, o, problem, centroids);
    FR_TRY(check_count(p, o->k));
    char stream[80];
    snprintf(stream, sizeof stream, "kmeans.start.%lld.%lld", (long long)problem,
             (long long)attempt);
    fr_rng rng = fr_rng_new(o->seed, fr_random_stream(stream));
    /* Mini-batches would not be worth it if their beginning went over all points again and again. */
    int64_t some = FR_MAX_OF(3 * o->batch, 10 * o->k);
    if (o->method == FR_KMEANS_MINIBATCH && count_heavy(p) > some)
        return start_from_some(p, o, some, &rng, reader, pool, centroids);
    return start_drawn(p, o, &rng, reader, pool, centroids);
}
