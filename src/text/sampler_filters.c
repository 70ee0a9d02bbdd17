/* sampler_filters.c: see sampler_filters.h.
 *
 * A filter keeps a part of the tokens with the smallest keys, and only needs to know where that part ends: nothing is
 * sorted. Keys are counted in buckets, the bucket in which the edge lies is taken apart again, and so on until few
 * are left. 128k tokens are passed over a few times, and what a filter drops is seen by no later one. */
#include "text/sampler_filters.h"

#include <float.h>
#include <math.h>

#include "base/base.h"
#include "kernel/kernel.h"

enum { BUCKETS = 1024, FEW = 32 };

/* ---- where a part ends ---- */

typedef struct edge {
    float key;
    int32_t id; /* of those with this key the ones up to here */
} edge;

/* What is still wanted. */
typedef struct want {
    int64_t count;
    double mass;
} want;

static bool before(const fr_choice *c, int32_t a, int32_t b) {
    return c->key[a] < c->key[b] || (c->key[a] == c->key[b] && a < b);
}

static void sort_few(const fr_choice *c, int32_t *at, int32_t n) {
    for (int32_t i = 1; i < n; i++) {
        int32_t item = at[i], j = i;
        for (; j > 0 && before(c, item, at[j - 1]); j--) at[j] = at[j - 1];
        at[j] = item;
    }
}

static void take(const fr_choice *c, int32_t at, want *w) {
    w->count--;
    w->mass -= (double)c->p[at];
}

static bool enough(const want *w) {
    return w->count <= 0 || w->mass <= 0;
}

/* Sorted places, or places with the same key. */
static edge edge_in_order(const fr_choice *c, const int32_t *at, int32_t n, want *w) {
    int32_t last = at[0];
    for (int32_t i = 0; i < n; i++) {
        last = at[i];
        take(c, last, w);
        if (enough(w)) break;
    }
    return (edge){c->key[last], c->ids[last]};
}

static int bucket_of(double key, double low, double scale) {
    double b = (key - low) * scale;
    return b < BUCKETS - 1 ? (int)b : BUCKETS - 1;
}

/* Keeps the places of the bucket with the edge; what lies before it counts as taken. */
static int32_t narrow(const fr_choice *c, int32_t *at, int32_t n, double low, double high,
                      want *w) {
    int32_t count[BUCKETS] = {0}, kept = 0;
    double mass[BUCKETS] = {0}, scale = (BUCKETS - 1) / (high - low);
    for (int32_t i = 0; i < n; i++) {
        int b = bucket_of((double)c->key[at[i]], low, scale);
        count[b]++;
        mass[b] += (double)c->p[at[i]];
    }
    int b = 0, last = BUCKETS - 1;
    while (!count[last]) last--;
    for (; b < last && w->count > count[b] && w->mass > mass[b]; b++) {
        w->count -= count[b];
        w->mass -= mass[b];
    }
    for (int32_t i = 0; i < n; i++)
        if (bucket_of((double)c->key[at[i]], low, scale) == b) at[kept++] = at[i];
    return kept;
}

static edge find_edge(const fr_choice *c, want w) {
    int32_t *at = c->at, n = c->count;
    for (int32_t i = 0; i < n; i++) at[i] = i;
    for (;;) {
        float low = c->key[at[0]], high = low;
        for (int32_t i = 1; i < n; i++) {
            low = FR_MIN(low, c->key[at[i]]);
            high = FR_MAX_OF(high, c->key[at[i]]);
        }
        if (n <= FEW) sort_few(c, at, n);
        if (n <= FEW || low == high) return edge_in_order(c, at, n, &w);
        n = narrow(c, at, n, (double)low, (double)high, &w);
    }
}

/* ---- candidates ---- */

static void keep_if(fr_choice *c, int32_t i, bool keep, int32_t *kept) {
    c->x[*kept] = c->x[i];
    c->p[*kept] = c->p[i];
    c->ids[*kept] = c->ids[i];
    *kept += keep;
}

static void keep_to(fr_choice *c, edge e) {
    int32_t kept = 0;
    for (int32_t i = 0; i < c->count; i++)
        keep_if(c, i, c->key[i] < e.key || (c->key[i] == e.key && c->ids[i] <= e.id), &kept);
    c->count = kept;
}

static float highest(const fr_choice *c) {
    return fr_kernel()->rows.max(c->x, (size_t)c->count);
}

/* The sum of exp_sum is in floats; shares of it are asked for to the last digit. */
static void add_up(fr_choice *c) {
    c->mass = 0;
    for (int32_t i = 0; i < c->count; i++) c->mass += (double)c->p[i];
}

static void weigh(fr_choice *c) {
    if (!c->weighed) fr_kernel()->rows.exp_sum(c->x, highest(c), (size_t)c->count, c->p);
    c->weighed = true;
    add_up(c);
}

/* ---- filters ---- */

static void by_logit(fr_choice *c) {
    float top = highest(c);
    for (int32_t i = 0; i < c->count; i++) c->key[i] = top - c->x[i];
}

static void keep_count(fr_choice *c, int32_t k) {
    if (k <= 0 || k >= c->count) return;
    by_logit(c);
    if (!c->weighed)
        for (int32_t i = 0; i < c->count; i++) c->p[i] = 0;
    keep_to(c, find_edge(c, (want){k, INFINITY}));
}

static void keep_share(fr_choice *c, float share) {
    keep_to(c, find_edge(c, (want){INT64_MAX, (double)share * c->mass}));
}

static void keep_likeliest(fr_choice *c, float share) {
    if (share <= 0 || share >= 1) return;
    weigh(c);
    by_logit(c);
    keep_share(c, share);
}

/* The key is how far the surprise of a token is from the mean of all. */
static void keep_typical(fr_choice *c, float share) {
    if (share <= 0 || share >= 1) return;
    weigh(c);
    double all = log(c->mass) + (double)highest(c), mean = 0;
    for (int32_t i = 0; i < c->count; i++)
        mean += (double)c->p[i] / c->mass * (all - (double)c->x[i]);
    for (int32_t i = 0; i < c->count; i++) c->key[i] = (float)fabs(all - (double)c->x[i] - mean);
    keep_share(c, share);
}

static void keep_above(fr_choice *c, float share) {
    if (share <= 0) return;
    double least = (double)highest(c) + log((double)share);
    int32_t kept = 0;
    for (int32_t i = 0; i < c->count; i++) keep_if(c, i, (double)c->x[i] >= least, &kept);
    c->count = kept;
}

/* Differences to the top are divided, as a quotient of logits might not be a number. */
static void heat(fr_choice *c, float temperature) {
    float top = highest(c), scale = 1 / temperature;
    if (temperature != 1) {
        for (int32_t i = 0; i < c->count; i++) {
            float down = (top - c->x[i]) * scale;
            c->x[i] = down > 0 ? -down : 0;
        }
        c->weighed = false;
    }
    weigh(c);
}

static int32_t likeliest(const fr_choice *c) {
    int32_t best = 0;
    for (int32_t i = 1; i < c->count; i++)
        if (c->x[i] > c->x[best]) best = i;
    return best;
}

static bool begin(fr_choice *c, int32_t count) {
    int32_t kept = 0;
    for (int32_t i = 0; i < count; i++) {
        float x = c->x[i];
        c->x[kept] = x < FLT_MAX ? x : FLT_MAX;
        c->ids[kept] = i;
        kept += x > -INFINITY;
    }
    c->count = kept;
    c->weighed = false;
    return kept > 0;
}

static void only(fr_choice *c, int32_t at) {
    c->ids[0] = c->ids[at];
    c->p[0] = 1;
    c->mass = 1;
    c->count = 1;
}

bool fr_choice_make(fr_choice *c, const fr_sampling *how, int32_t count) {
    if (!begin(c, count)) return false;
    if (how->temperature <= 0) {
        only(c, likeliest(c));
        return true;
    }
    keep_count(c, how->top_k);
    keep_typical(c, how->typical_p);
    keep_likeliest(c, how->top_p);
    keep_above(c, how->min_p);
    heat(c, how->temperature);
    return true;
}

int32_t fr_choice_draw(const fr_choice *c, double uniform) {
    double left = uniform * c->mass;
    int32_t last = 0;
    for (int32_t i = 0; i < c->count; i++) {
        if (c->p[i] <= 0) continue;
        last = i;
        left -= (double)c->p[i];
        if (left < 0) break;
    }
    return last;
}
