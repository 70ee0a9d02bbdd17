/* nearest_ref.c: the nearest rows in plain C; see kernel/nearest.h. A tile has one lane, so that what it keeps of a
 * point is what is wanted in the end. */
#include <math.h>

#include "kernel/kernel.h"

void fr_nearest_fill_ref(fr_nearest_kernels *out);

enum { WIDTH = 4, POINTS = 3 };

static void take(float score, int32_t j, float *best, int32_t *index, float *second) {
    if (score < *best) {
        if (second) *second = *best;
        *best = score, *index = j;
    } else if (second && score < *second) {
        *second = score;
    }
}

static void scan_ref(const fr_nearest_scan *s) {
    for (size_t p = 0; p < s->count; p++) {
        const float *panel = s->panels + p * s->stride;
        for (int i = 0; i < s->height; i++) {
            if (s->fresh && p == 0 && (!s->sums || s->end)) {
                s->best[i] = INFINITY, s->index[i] = 0;
                if (s->second) s->second[i] = INFINITY;
            }
            float *sums = s->sums ? s->sums + (p * (size_t)s->height + (size_t)i) * WIDTH : NULL;
            for (int j = 0; j < WIDTH; j++) {
                const float *x = s->points + (size_t)i * s->point_stride;
                float sum = sums && !s->begin ? sums[j] : 0;
                for (size_t d = 0; d < s->steps; d++)
                    sum = fmaf(x[d], panel[d * WIDTH + (size_t)j], sum);
                if (sums && !s->end) {
                    sums[j] = sum;
                    continue;
                }
                take(fmaf(s->factor, sum, s->square[p * WIDTH + (size_t)j]),
                     s->first + (int32_t)(p * WIDTH) + j, s->best + i, s->index + i,
                     s->second ? s->second + i : NULL);
            }
        }
    }
}

static void finish_ref(int rows, const float *best, const int32_t *index, const float *second,
                       int32_t *label, float *least, float *next) {
    for (int i = 0; i < rows; i++) {
        label[i] = index[i];
        if (least) least[i] = best[i];
        if (next) next[i] = second[i];
    }
}

static void across_ref(const fr_nearest_across *a) {
    for (int i = 0; i < POINTS; i++) {
        float best = INFINITY, second = INFINITY;
        int32_t label = 0;
        for (int32_t j = 0; j < a->count; j++) {
            float sum = 0;
            for (size_t d = 0; d < a->steps; d++)
                sum =
                    fmaf(a->points[d * POINTS + (size_t)i], a->rows[(size_t)j * a->steps + d], sum);
            take(fmaf(a->factor, sum, a->square[j]), j, &best, &label, &second);
        }
        a->label[i] = label;
        if (a->best) a->best[i] = best;
        if (a->second) a->second[i] = second;
    }
}

static void chains_ref(const float *const *x, const float *const *c, size_t steps, float *sum) {
    for (int i = 0; i < FR_NEAREST_CHAINS; i++) {
        sum[i] = 0;
        for (size_t d = 0; d < steps; d++) sum[i] = fmaf(x[i][d], c[i][d], sum[i]);
    }
}

static void row_ref(const float *x, size_t steps, const float *panels, size_t stride, size_t count,
                    const float *square, float factor, float *score) {
    for (size_t p = 0; p < count; p++, panels += stride)
        for (size_t j = 0; j < WIDTH; j++) {
            float sum = 0;
            for (size_t d = 0; d < steps; d++) sum = fmaf(x[d], panels[d * WIDTH + j], sum);
            score[p * WIDTH + j] = fmaf(factor, sum, square[p * WIDTH + j]);
        }
}

void fr_nearest_fill_ref(fr_nearest_kernels *out) {
    *out = (fr_nearest_kernels){
        .heights = {4, 3, 2, 1},
        .width = WIDTH,
        .lanes = 1,
        .points = POINTS,
        .scan = scan_ref,
        .finish = finish_ref,
        .across = across_ref,
        .chains = chains_ref,
        .row = row_ref,
    };
}
