/* check_nearest.c: the nearest rows against plain C, bit for bit: tiles of every height, panels full, narrow and
 * partly empty, chains in pieces, points across the lanes; in bf16 within the bounds of any order of its sums. */
#include "check.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Scores by the definition. */
static float score_of(const float *x, const float *c, size_t steps, float square, float factor) {
    float sum = 0;
    for (size_t d = 0; d < steps; d++) sum = fmaf(x[d], c[d], sum);
    return fmaf(factor, sum, square);
}

typedef struct found {
    int32_t label;
    float best, second;
} found;

static void take(found *f, float score, int32_t j) {
    if (score < f->best) {
        f->second = f->best;
        f->best = score, f->label = j;
    } else if (score < f->second) {
        f->second = score;
    }
}

typedef struct set {
    size_t count, steps, points;
    int panels, width;
    float *x, *c, *panel, *square;
    found *want;
} set;

/* `count` centroids, some twice, and panels of them; every product against every point. */
static set make(const fr_nearest_kernels *k, size_t points, size_t count, size_t steps,
                float factor) {
    set s = {.count = count, .steps = steps, .points = points, .width = k->width};
    s.panels = (int)((count + (size_t)k->width - 1) / (size_t)k->width);
    const size_t lanes = (size_t)s.panels * (size_t)k->width;
    s.x = check_f32(points * steps, CHECK_NORMAL);
    s.c = check_f32(count * steps, CHECK_NORMAL);
    s.panel = check_alloc(lanes * steps * 4);
    s.square = check_alloc(lanes * 4);
    s.want = check_alloc(points * sizeof(found));
    for (size_t j = 2; j < count; j += 5) memcpy(s.c + j * steps, s.c + (j / 2) * steps, steps * 4);
    for (size_t j = 0; j < lanes; j++) {
        float square = 0;
        for (size_t d = 0; d < steps; d++) {
            float v = j < count ? s.c[j * steps + d] : 0;
            square += v * v;
            s.panel[(j / (size_t)k->width * steps + d) * (size_t)k->width + j % (size_t)k->width] =
                v;
        }
        s.square[j] = j >= count ? INFINITY : factor == -2 ? square : 0;
    }
    for (size_t i = 0; i < points; i++) {
        s.want[i] = (found){0, INFINITY, INFINITY};
        for (size_t j = 0; j < count; j++)
            take(s.want + i, score_of(s.x + i * steps, s.c + j * steps, steps, s.square[j], factor),
                 (int32_t)j);
    }
    return s;
}

typedef struct lanes {
    float *best, *second;
    int32_t *index;
} lanes;

static lanes make_lanes(const fr_nearest_kernels *k, int height) {
    const size_t bytes = (size_t)height * (size_t)k->lanes * 4;
    return (lanes){check_alloc(bytes), check_alloc(bytes), check_alloc(bytes)};
}

static fr_nearest_scan scan_of(const fr_nearest_kernels *k, const set *s, const lanes *l,
                               float factor) {
    return (fr_nearest_scan){
        .height = (int)s->points,
        .steps = s->steps,
        .points = s->x,
        .point_stride = s->steps,
        .panels = s->panel,
        .stride = s->steps * (size_t)k->width,
        .count = (size_t)s->panels,
        .narrow = k->width == 2 * k->lanes && s->count % (size_t)k->width > 0 &&
                  s->count % (size_t)k->width <= (size_t)k->lanes,
        .square = s->square,
        .factor = factor,
        .fresh = true,
        .best = l->best,
        .index = l->index,
        .second = l->second,
    };
}

static void check_found(const fr_nearest_kernels *k, const set *s, const lanes *l, bool two) {
    int32_t *label = check_alloc(s->points * 4);
    float *least = check_alloc(s->points * 4), *next = check_alloc(s->points * 4);
    k->finish((int)s->points, l->best, l->index, l->second, label, least, two ? next : NULL);
    for (size_t i = 0; i < s->points; i++) {
        check_same(label + i, &s->want[i].label, 1, 4);
        check_same(least + i, &s->want[i].best, 1, 4);
        if (two) check_same(next + i, &s->want[i].second, 1, 4);
    }
}

/* All panels at once; one after another; coordinates in two pieces. */
static void check_scan(const fr_nearest_kernels *k, int height, size_t count, size_t steps,
                       float factor) {
    set s = make(k, (size_t)height, count, steps, factor);
    for (int two = 0; two < 2; two++) {
        lanes l = make_lanes(k, height);
        fr_nearest_scan scan = scan_of(k, &s, &l, factor), part = scan;
        if (!two) scan.second = part.second = NULL;
        scan.next = s.x;
        k->scan(&scan);
        check_found(k, &s, &l, two);
        part.count = 1, part.narrow = false;
        for (int p = 0; p < s.panels; p++) {
            part.narrow = scan.narrow && p == s.panels - 1;
            part.fresh = p == 0;
            part.first = p * k->width;
            part.panels = s.panel + (size_t)p * scan.stride;
            part.square = s.square + (size_t)p * (size_t)k->width;
            k->scan(&part);
        }
        check_found(k, &s, &l, two);
        if (steps < 2) continue;
        part = scan;
        part.sums = check_alloc((size_t)s.panels * (size_t)height * (size_t)k->width * 4);
        part.begin = true, part.steps = steps / 2;
        k->scan(&part);
        part.begin = false, part.end = true, part.steps = steps - steps / 2;
        part.points = s.x + steps / 2;
        part.panels = s.panel + steps / 2 * (size_t)k->width;
        k->scan(&part);
        check_found(k, &s, &l, two);
    }
}

/* What lies within a limit: known to the lanes, all of it, or said to be unknown. */
static void check_within(const fr_nearest_kernels *k, size_t count) {
    set s = make(k, 1, count, 7, -2);
    lanes l = make_lanes(k, 1);
    fr_nearest_scan scan = scan_of(k, &s, &l, -2);
    k->scan(&scan);
    float *score = check_alloc((size_t)s.panels * (size_t)k->width * 4);
    k->row(s.x, s.steps, s.panel, scan.stride, (size_t)s.panels, s.square, -2, score);
    for (size_t j = 0; j < count; j++) {
        float want = score_of(s.x, s.c + j * s.steps, s.steps, s.square[j], -2);
        check_same(score + j, &want, 1, 4);
        int32_t list[FR_NEAREST_LANES],
            n = k->within(l.best, l.index, l.second, s.want->label, score[j], list);
        int wanted = 0;
        for (size_t i = 0; i < count; i++)
            wanted += score[i] <= score[j] && (int32_t)i != s.want->label;
        if (n < 0 ? wanted == 0 : n != wanted) check_fail("%d within, wanted %d", n, wanted);
        for (int i = 0; i < n; i++)
            if (list[i] == s.want->label || !(score[list[i]] <= score[j]))
                check_fail("centroid %d is not within", list[i]);
    }
}

static void check_across(const fr_nearest_kernels *k, size_t count, size_t steps, float factor) {
    const size_t points = (size_t)k->points;
    set s = make(k, points, count, steps, factor);
    float *turned = check_alloc(points * steps * 4);
    for (size_t i = 0; i < points; i++)
        for (size_t d = 0; d < steps; d++) turned[d * points + i] = s.x[i * steps + d];
    int32_t *label = check_alloc(points * 4);
    float *best = check_alloc(points * 4), *second = check_alloc(points * 4);
    fr_nearest_across a = {steps,  turned, s.c,  (int32_t)count, s.square,
                           factor, label,  best, second};
    for (int two = 1; two >= 0; two--) {
        if (!two) a.second = NULL;
        k->across(&a);
        for (size_t i = 0; i < points; i++) {
            check_same(label + i, &s.want[i].label, 1, 4);
            check_same(best + i, &s.want[i].best, 1, 4);
            check_same(second + i, &s.want[i].second, 1, 4);
        }
    }
}

static void check_chains(const fr_nearest_kernels *k, size_t steps) {
    const float *x[FR_NEAREST_CHAINS], *c[FR_NEAREST_CHAINS];
    float sum[FR_NEAREST_CHAINS];
    for (int i = 0; i < FR_NEAREST_CHAINS; i++)
        x[i] = check_f32(steps, CHECK_NORMAL), c[i] = check_f32(steps, CHECK_NORMAL);
    k->chains(x, c, steps, sum);
    for (int i = 0; i < FR_NEAREST_CHAINS; i++) {
        float want = score_of(x[i], c[i], steps, 0, 1);
        check_same(sum + i, &want, 1, 4);
    }
}

/* ---- in bf16 ---- */

static float from_bf16(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static void check_pairs(const fr_nearest_kernels *k, size_t width, check_kind kind) {
    const float *x = check_f32(width, kind);
    float *middle = check_f32(width, CHECK_NORMAL);
    if (kind == CHECK_WIDE) memset(middle, 0, width * 4);
    const size_t steps = (width + 1) / 2;
    uint16_t *out = check_alloc(steps * 4);
    float norm = NAN, lost = NAN;
    k->pairs(x, middle, width, (uint32_t *)out, &norm, &lost);
    double length = 0, taken = 0;
    for (size_t d = 0; d < 2 * steps; d++) {
        const float v = d < width ? x[d] - middle[d] : 0, h = from_bf16(out[d]);
        if (fabsf(v) >= 0x1p-126f)
            check_value(h, v, 0x1p-8, 0);
        else
            check_value(h, 0, 0, 0x1p-126);
        length += (double)v * v, taken += ((double)v - h) * ((double)v - h);
    }
    if (length < 1e38) check_value(norm, length, 0x1p-10, 0x1p-130);
    if (taken < 1e38) check_value(lost, taken, 0x1p-10, 0x1p-130);
}

static void check_scan_bf16(const fr_nearest_kernels *k, int height, size_t count, size_t steps) {
    set s = make(k, (size_t)height, count, steps, -2);
    /* The bits of the floats of `make` are no bf16: both sides anew. */
    uint16_t *x = check_bf16(s.points * steps * 2, CHECK_NORMAL);
    const size_t all = (size_t)s.panels * (size_t)k->width;
    uint16_t *panel = check_bf16(all * steps * 2, CHECK_NORMAL);
    lanes l = make_lanes(k, height);
    fr_nearest_scan scan = scan_of(k, &s, &l, -2);
    scan.points = x, scan.panels = panel;
    k->scan_bf16(&scan);
    int32_t *label = check_alloc(s.points * 4);
    float *least = check_alloc(s.points * 4), *next = check_alloc(s.points * 4);
    k->finish(height, l.best, l.index, l.second, label, least, next);
    for (size_t i = 0; i < s.points; i++) {
        double best = INFINITY, second = INFINITY, mine = NAN, error = 0;
        for (size_t j = 0; j < count; j++) {
            double sum = 0, size = 0;
            for (size_t d = 0; d < 2 * steps; d++) {
                const size_t row = j / (size_t)k->width * steps + d / 2;
                double v =
                    (double)from_bf16(x[i * 2 * steps + d]) *
                    from_bf16(panel[(row * (size_t)k->width + j % (size_t)k->width) * 2 + d % 2]);
                sum += v, size += fabs(v);
            }
            const double score = s.square[j] - 2 * sum;
            const double bound =
                4 * 0x1p-23 * (double)(2 * steps) * size + 0x1p-23 * fabs(score) + 1e-30;
            if (bound > error) error = bound;
            if ((int32_t)j == label[i]) mine = score;
            if (score < best)
                second = best, best = score;
            else if (score < second)
                second = score;
        }
        check_value(least[i], best, 0, error);
        check_value(mine, best, 0, 2 * error);
        if (count > 1) check_value(next[i], second, 0, error);
    }
}

static void run(const fr_kernels *k, const fr_kernels *ref) {
    (void)ref;
    const fr_nearest_kernels *n = &k->nearest;
    static const size_t counts[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 32, 33, 48, 49, 100};
    static const size_t steps[] = {1, 2, 5, 16, 33};
    for (int h = 0; h < FR_NEAREST_HEIGHTS; h++)
        for (size_t c = 0; c < COUNT(counts); c++)
            for (size_t s = 0; s < COUNT(steps); s++) {
                if (check_begin("nearest.scan height=%d count=%zu steps=%zu", n->heights[h],
                                counts[c], steps[s])) {
                    check_scan(n, n->heights[h], counts[c], steps[s], (c + s) % 2 ? -2 : -1);
                    check_end();
                }
                if (n->scan_bf16 && check_begin("nearest.scan_bf16 height=%d count=%zu steps=%zu",
                                                n->heights[h], counts[c], steps[s])) {
                    check_scan_bf16(n, n->heights[h], counts[c], steps[s]);
                    check_end();
                }
            }
    for (size_t c = 0; c < COUNT(counts); c++) {
        if (check_begin("nearest.within count=%zu", counts[c])) {
            check_within(n, counts[c]);
            check_end();
        }
        for (size_t s = 0; s < COUNT(steps); s++) {
            if (!check_begin("nearest.across count=%zu steps=%zu", counts[c], steps[s])) continue;
            check_across(n, counts[c], steps[s], (c + s) % 2 ? -2 : -1);
            check_end();
        }
    }
    for (size_t s = 0; s < 70; s++) {
        if (check_begin("nearest.chains steps=%zu", s)) {
            check_chains(n, s);
            check_end();
        }
        if (n->pairs && s && check_begin("nearest.pairs width=%zu", s)) {
            check_pairs(n, s, CHECK_NORMAL);
            check_pairs(n, s, CHECK_WIDE);
            check_end();
        }
    }
}

/* ---- times ---- */

typedef struct timing {
    const fr_nearest_kernels *k;
    fr_nearest_scan scan;
    fr_nearest_across across;
} timing;

static void once_f32(void *arg) {
    const timing *t = arg;
    t->k->scan(&t->scan);
}
static void once_bf16(void *arg) {
    const timing *t = arg;
    t->k->scan_bf16(&t->scan);
}
static void once_across(void *arg) {
    const timing *t = arg;
    t->k->across(&t->across);
}

static void bench(const fr_kernels *k) {
    const fr_nearest_kernels *n = &k->nearest;
    static const size_t widths[] = {2, 16, 128, 1024};
    const int height = n->heights[0];
    for (size_t w = 0; w < COUNT(widths); w++) {
        const size_t steps = widths[w], count = steps > 128 ? 64 : 256;
        set s = make(n, (size_t)(height > n->points ? height : n->points), count, steps, -2);
        lanes l = make_lanes(n, height);
        timing t = {.k = n, .scan = scan_of(n, &s, &l, -2)};
        t.scan.height = height;
        const double bytes = (double)(count * steps) * 4;
        double ops = 2.0 * height * (double)count * (double)steps;
        char name[64];
        t.scan.second = NULL;
        snprintf(name, sizeof name, "nearest.scan %dx%zux%zu", height, count, steps);
        check_bench(name, CHECK_F32, ops, bytes, once_f32, &t);
        t.scan.second = l.second;
        snprintf(name, sizeof name, "nearest.scan %dx%zux%zu two", height, count, steps);
        check_bench(name, CHECK_F32, ops, bytes, once_f32, &t);
        if (n->scan_bf16) {
            memset(s.panel, 0, (size_t)s.panels * (size_t)n->width * steps * 4);
            snprintf(name, sizeof name, "nearest.scan_bf16 %dx%zux%zu", height, count, 2 * steps);
            check_bench(name, CHECK_BF16, 2 * ops, bytes, once_bf16, &t);
        }
        int32_t *label = check_alloc((size_t)n->points * 4);
        t.across =
            (fr_nearest_across){steps, s.x, s.c, (int32_t)count, s.square, -2, label, NULL, NULL};
        snprintf(name, sizeof name, "nearest.across %dx%zux%zu", n->points, count, steps);
        check_bench(name, CHECK_F32, 2.0 * n->points * (double)count * (double)steps, bytes,
                    once_across, &t);
    }
}

CHECK_FAMILY("nearest", run, bench)
