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
    const size_t bytes = (size_t)height * (size_t)k->width * 4;
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

/* ---- bounds ---- */

/* Two bounds a lane, as a scan of `panels` panels would leave them, and the centroids that they are of. */
typedef struct held {
    int rows, width, panels;
    int32_t mask;
    float *best, *second; /* [rows][width] */
    float *bound;         /* [rows][panels][width], marked */
} held;

static float marked(float x, int32_t mask, int32_t number) {
    uint32_t u;
    memcpy(&u, &x, 4);
    u = (u & ~(uint32_t)mask) | (uint32_t)number;
    memcpy(&x, &u, 4);
    return x;
}

static held make_held(const fr_nearest_kernels *k, int rows, int panels) {
    held h = {.rows = rows, .width = k->width, .panels = panels};
    const size_t width = (size_t)k->width;
    while (h.mask + 1 < panels) h.mask = 2 * h.mask + 1;
    h.best = check_alloc((size_t)rows * width * 4),
    h.second = check_alloc((size_t)rows * width * 4);
    h.bound = check_f32((size_t)rows * (size_t)panels * width, CHECK_NORMAL);
    for (size_t i = 0; i < (size_t)rows * width; i++) {
        h.best[i] = h.second[i] = FR_NEAREST_NONE;
        for (int p = 0; p < panels; p++) {
            float *b = h.bound + (i / width * (size_t)panels + (size_t)p) * width + i % width;
            *b = marked(*b, h.mask, p);
            if (*b < h.best[i])
                h.second[i] = h.best[i], h.best[i] = *b;
            else if (*b < h.second[i])
                h.second[i] = *b;
        }
    }
    return h;
}

/* What lies within a limit is listed, or its lane is said to be deep. */
static void check_limits(const fr_nearest_kernels *k, int panels) {
    const held h = make_held(k, 1, panels);
    const int count = panels * k->width;
    for (int j = 0; j < count; j++) {
        const float limit = h.bound[j];
        int32_t list[2 * FR_NEAREST_LANES];
        uint32_t deep;
        const int n = k->near(h.best, h.second, h.mask, limit, list, &deep);
        for (int i = 0; i < n; i++)
            if (!(h.bound[list[i]] <= limit)) check_fail("centroid %d is not within", list[i]);
        for (int i = 0; i < count; i++) {
            int listed = 0;
            for (int m = 0; m < n; m++) listed += list[m] == i;
            const bool within = h.bound[i] <= limit, is_deep = deep >> i % k->width & 1;
            if (listed != (within && !is_deep))
                check_fail("centroid %d is listed %d times", i, listed);
        }
        for (int lane = 0; lane < k->width; lane++) {
            int within = 0;
            for (int i = lane; i < count; i += k->width) within += h.bound[i] <= limit;
            if ((within > 1) != (deep >> lane & 1)) check_fail("lane %d", lane);
        }
    }
}

static void check_prove(const fr_nearest_kernels *k, int panels) {
    enum { ROWS = 9 };
    const held h = make_held(k, ROWS, panels);
    const int count = panels * k->width;
    float *error = check_f32(ROWS, CHECK_NORMAL), *unit = check_f32(ROWS, CHECK_NORMAL);
    float *reach = check_f32((size_t)count, CHECK_NORMAL),
          *fixed = check_f32((size_t)count, CHECK_NORMAL);
    for (int i = 0; i < ROWS; i++) {
        error[i] = fabsf(error[i]), unit[i] = fabsf(unit[i]);
        if (i % 4 == 3) error[i] = i == 3 ? INFINITY : NAN;
    }
    for (int j = 0; j < count; j++) {
        reach[j] = fabsf(reach[j]) * 0.1f + 1e-3f;
        fixed[j] = fabsf(fixed[j]) * 0.1f;
    }
    float *limit = check_alloc(ROWS * 4);
    int32_t *label = check_alloc(ROWS * 4), *open = check_alloc(ROWS * 4);
    const fr_nearest_proof p = {ROWS,  h.mask, h.best, h.second, error, unit,
                                reach, fixed,  label,  limit,    open};
    const int n = k->prove(&p);
    int at = 0;
    for (int i = 0; i < ROWS; i++) {
        const float *bound = h.bound + (size_t)i * (size_t)count;
        int within = 0;
        for (int j = 0; j < count; j++)
            if (bound[j] < bound[label[i]]) check_fail("row %d: %d is not the least", i, label[i]);
        const double least = bound[label[i]];
        const double add = (double)error[i] * reach[label[i]] + (double)unit[i] * fixed[label[i]];
        const double top = least + 2 * add, last = (h.mask + 1) * 0x1p-22 * (fabs(least) + 2 * add);
        const bool listed = at < n && open[at] == i;
        at += listed;
        if (!(top < INFINITY)) {
            if (!listed || limit[i] != INFINITY) check_fail("row %d without a limit", i);
            continue;
        }
        if (!(limit[i] >= top + last))
            check_fail("limit %g of row %d, wanted %g", limit[i], i, top);
        check_value(limit[i], top, 0, 4 * last + 1e-5 * (fabs(least) + 2 * add));
        for (int j = 0; j < count; j++) within += bound[j] <= limit[i];
        if (listed != (within > 1)) check_fail("row %d is %d, %d are within", i, listed, within);
    }
    if (at != n) check_fail("%d rows are open, %d of them known", n, at);
}

static void check_products(const fr_nearest_kernels *k, size_t width) {
    enum { ROWS = 5, MOST = 11 };
    float *x = check_f32(ROWS * width, CHECK_NORMAL), *c = check_f32(ROWS * width, CHECK_NORMAL);
    for (int count = 1; count <= MOST; count++) {
        int32_t *row = check_alloc((size_t)count * 4), *centroid = check_alloc((size_t)count * 4);
        float *out = check_alloc((size_t)count * 4);
        for (int i = 0; i < count; i++)
            row[i] = (7 * i + 3) % ROWS, centroid[i] = (3 * i + 1) % ROWS;
        k->products(x, c, row, centroid, count, width, out);
        for (int i = 0; i < count; i++) {
            double sum = 0, size = 0;
            for (size_t d = 0; d < width; d++) {
                const double v =
                    (double)x[(size_t)row[i] * width + d] * c[(size_t)centroid[i] * width + d];
                sum += v, size += fabs(v);
            }
            check_value(out[i], sum, 0, 0x1p-24 * (double)width * size);
        }
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
    const float one = k->bounds[FR_NEAREST_BF16].round(x, 1, width, middle, width, 0,
                                                       (uint32_t *)out, 0, &norm, &lost);
    check_value(one, 1, 0, 0);
    double length = 0, taken = 0;
    for (size_t d = 0; d < 2 * steps; d++) {
        const float v = d < width ? x[d] - middle[d] : 0, h = from_bf16(out[d]);
        if (fabsf(v) > 0x1.fep127f) continue; /* becomes infinite, or does not */
        if (fabsf(v) >= 0x1p-126f)
            check_value(h, v, 0x1p-8, 0);
        else
            check_value(h, 0, 0, 0x1p-126);
        length += (double)v * v, taken += ((double)v - h) * ((double)v - h);
    }
    if (length < 1e38) check_value(norm, length, 0x1p-10, 0x1p-130);
    if (taken < 1e38) check_value(lost, taken, 0x1p-10, 0x1p-130);
}

/* ---- in bytes ---- */

static void check_bytes(const fr_nearest_kernels *k, size_t width, int bias) {
    enum { ROWS = 5 };
    const size_t stride = width + 3, steps = (width + 3) / 4, out_stride = steps + 2;
    float *rows = check_f32(ROWS * stride, CHECK_NORMAL), *middle = check_f32(width, CHECK_NORMAL);
    uint32_t *out = check_alloc(ROWS * out_stride * 4);
    float *norm = check_alloc(ROWS * 4), *lost = check_alloc(ROWS * 4);
    for (int zero = 0; zero < 2; zero++) {
        if (zero)
            for (size_t i = 0; i < ROWS; i++) memcpy(rows + i * stride, middle, width * 4);
        const float step = k->bounds[FR_NEAREST_INT8].round(rows, ROWS, stride, middle, width, bias,
                                                            out, out_stride, norm, lost);
        float most = 0;
        for (size_t i = 0; i < ROWS; i++)
            for (size_t d = 0; d < width; d++)
                most = fmaxf(most, fabsf(rows[i * stride + d] - middle[d]));
        check_value(step, zero ? FR_NEAREST_STEP : most / 127, 0x1p-22, 0);
        for (size_t i = 0; i < ROWS; i++) {
            const uint8_t *code = (const uint8_t *)(out + i * out_stride);
            double length = 0, taken = 0;
            for (size_t d = 0; d < 4 * steps; d++) {
                const float v = d < width ? rows[i * stride + d] - middle[d] : 0;
                const int q = bias ? code[d] - bias : (int8_t)code[d];
                if (q < -127 || q > 127) check_fail("code %d", q);
                check_value(q * step, v, 0, 0.5001 * step);
                length += (double)v * v;
                taken += ((double)v - (double)q * step) * ((double)v - (double)q * step);
            }
            check_value(norm[i], length, 0x1p-10, 0x1p-130);
            check_value(lost[i], taken, 0x1p-10, 1e-12 * length + 0x1p-130);
        }
    }
}

/* ---- their tiles ---- */

static void *some_codes(fr_nearest_bits bits, size_t steps) {
    if (bits == FR_NEAREST_BF16) return check_bf16(2 * steps, CHECK_NORMAL);
    uint32_t *p = check_alloc(4 * steps);
    for (size_t i = 0; i < steps; i++) p[i] = (uint32_t)check_random();
    return p;
}

/* The sum of products of point i and centroid j, and of their sizes. */
static double sum_of(const fr_nearest_bounds *s, fr_nearest_bits bits, int bias, int width,
                     size_t i, size_t j, double *size) {
    const size_t lane = j % (size_t)width, panel = j / (size_t)width;
    double sum = 0;
    *size = 0;
    for (size_t d = 0; d < s->steps; d++) {
        const void *x = s->points + i * s->point_stride + d;
        const void *c = s->panels + panel * s->stride + d * (size_t)width + lane;
        for (size_t e = 0; e < (bits == FR_NEAREST_BF16 ? 2 : 4); e++) {
            double a, b;
            if (bits == FR_NEAREST_BF16) {
                a = (double)from_bf16(((const uint16_t *)x)[e]);
                b = (double)from_bf16(((const uint16_t *)c)[e]);
            } else {
                a = bias ? ((const uint8_t *)x)[e] - bias : ((const int8_t *)x)[e];
                b = ((const int8_t *)c)[e];
            }
            sum += a * b, *size += fabs(a * b);
        }
    }
    return sum;
}

/* Bounds of each lane against the definition, whose two least in a lane they are up to their last bits. */
static void check_lanes(const fr_nearest_bounds *s, fr_nearest_bits bits, int bias, int width,
                        size_t count) {
    for (size_t i = 0; i < (size_t)s->height; i++)
        for (size_t lane = 0; lane < (size_t)width; lane++) {
            double least = FR_NEAREST_NONE, next = FR_NEAREST_NONE, mine = NAN, error = 0;
            int32_t number;
            memcpy(&number, s->best + i * (size_t)width + lane, 4);
            for (size_t j = lane; j < count; j += (size_t)width) {
                double size, sum = sum_of(s, bits, bias, width, i, j, &size);
                const double low = (double)s->by * s->low[j] - (double)s->error * s->reach[j];
                const double bound = low + (double)s->step[j] * sum;
                const double away =
                    (bits == FR_NEAREST_BF16 ? 8 * 0x1p-23 * (double)s->steps : 0x1p-22) *
                        fabs(s->step[j]) * size +
                    (s->mask + 2) * 0x1p-22 * (fabs(low) + fabs(bound)) + 1e-30;
                if (away > error) error = away;
                if ((size_t)(number & s->mask) == j / (size_t)width) mine = bound;
                if (bound < least)
                    next = least, least = bound;
                else if (bound < next)
                    next = bound;
            }
            const float best = s->best[i * (size_t)width + lane];
            const float second = s->second[i * (size_t)width + lane];
            check_value(best, least, 0, error);
            check_value(second, next, 0, error);
            if (least < FR_NEAREST_NONE) check_value(mine, least, 0, 2 * error);
        }
}

static void check_bounds(const fr_nearest_kernels *k, fr_nearest_bits bits, int height,
                         size_t count, size_t steps) {
    const size_t width = (size_t)k->width, panels = (count + width - 1) / width,
                 all = panels * width;
    const int bias = k->bounds[bits].bias;
    const size_t last = count % width;
    lanes l = make_lanes(k, height);
    int32_t *start = check_alloc(all * 4);
    float *step = check_f32(all, CHECK_NORMAL), *low = check_f32(all, CHECK_NORMAL);
    float *reach = check_f32(all, CHECK_NORMAL);
    fr_nearest_bounds s = {.height = height,
                           .steps = steps,
                           .points = some_codes(bits, (size_t)height * steps),
                           .point_stride = steps,
                           .panels = some_codes(bits, all * steps),
                           .stride = steps * width,
                           .count = panels,
                           .narrow = last > 0 && last <= (size_t)k->lanes,
                           .start = start,
                           .step = step,
                           .low = low,
                           .reach = reach,
                           .by = 3,
                           .error = 0.5f,
                           .fresh = true,
                           .best = l.best,
                           .second = l.second};
    while ((size_t)s.mask + 1 < panels) s.mask = 2 * s.mask + 1;
    for (size_t j = 0; j < all; j++) {
        start[j] = 0;
        for (size_t d = 0; bias && d < 4 * steps; d++) {
            const uint32_t *at = s.panels + j / width * s.stride + d / 4 * width + j % width;
            start[j] -= bias * ((const int8_t *)at)[d % 4];
        }
        if (bits == FR_NEAREST_INT8) step[j] *= 1e-3f;
        if (j >= count) low[j] = INFINITY, step[j] = reach[j] = 0;
    }
    k->bounds[bits].scan(&s);
    check_lanes(&s, bits, bias, k->width, count);
    /* One panel after another. */
    fr_nearest_bounds part = s;
    for (size_t p = 0; p < panels; p++) {
        part.panels = s.panels + p * s.stride, part.start = start + p * width;
        part.step = step + p * width, part.low = low + p * width, part.reach = reach + p * width;
        part.count = 1, part.first = (int32_t)p, part.fresh = p == 0;
        part.narrow = s.narrow && p == panels - 1;
        k->bounds[bits].scan(&part);
    }
    check_lanes(&s, bits, bias, k->width, count);
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
                for (int b = 0; b < FR_NEAREST_KINDS; b++) {
                    if (!n->bounds[b].scan ||
                        !check_begin("nearest.bounds bits=%d height=%d count=%zu steps=%zu",
                                     b ? 8 : 16, n->heights[h], counts[c], steps[s]))
                        continue;
                    check_bounds(n, (fr_nearest_bits)b, n->heights[h], counts[c], steps[s]);
                    check_end();
                }
            }
    for (size_t c = 0; c < COUNT(counts); c++) {
        if (n->near && check_begin("nearest.near panels=%zu", counts[c])) {
            check_limits(n, (int)counts[c]);
            check_end();
        }
        if (n->prove && check_begin("nearest.prove panels=%zu", counts[c])) {
            check_prove(n, (int)counts[c]);
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
        if (n->products && s && check_begin("nearest.products width=%zu", s)) {
            check_products(n, s);
            check_end();
        }
        if (n->bounds[FR_NEAREST_INT8].round && s &&
            check_begin("nearest.bytes width=%zu", 3 * s)) {
            check_bytes(n, 3 * s, 128);
            check_bytes(n, 3 * s, 0);
            check_end();
        }
        if (n->bounds[FR_NEAREST_BF16].round && s && check_begin("nearest.pairs width=%zu", s)) {
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
    fr_nearest_bits bits;
    fr_nearest_bounds bounds;
} timing;

static void once_f32(void *arg) {
    const timing *t = arg;
    t->k->scan(&t->scan);
}
static void once_bounds(void *arg) {
    const timing *t = arg;
    t->k->bounds[t->bits].scan(&t->bounds);
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
        memset(s.panel, 0, (size_t)s.panels * (size_t)n->width * steps * 4);
        for (int b = 0; b < FR_NEAREST_KINDS; b++) {
            const int each = b == FR_NEAREST_INT8 ? 4 : 2;
            if (!n->bounds[b].scan) continue;
            t.bits = (fr_nearest_bits)b;
            t.bounds = (fr_nearest_bounds){.height = height,
                                           .steps = steps,
                                           .points = (const uint32_t *)s.x,
                                           .point_stride = steps,
                                           .panels = (const uint32_t *)s.panel,
                                           .stride = t.scan.stride,
                                           .count = t.scan.count,
                                           .start = (const int32_t *)s.square,
                                           .step = s.square,
                                           .low = s.square,
                                           .reach = s.square,
                                           .mask = 31,
                                           .by = 1,
                                           .error = 1,
                                           .fresh = true,
                                           .best = l.best,
                                           .second = l.second};
            snprintf(name, sizeof name, "nearest.bounds %d %dx%zux%zu", 32 / each, height, count,
                     (size_t)each * steps);
            check_bench(name, each == 4 ? CHECK_INT8 : CHECK_BF16, each * ops, bytes, once_bounds,
                        &t);
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
