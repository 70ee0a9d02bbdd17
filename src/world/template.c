/* template.c: a row of a shape is one span of pixels, or the difference of two: its ends in closed form. */
#include <math.h>

#include "world/template.h"

/* Bits lo .. hi - 1, for whole-number ends that may lie outside. */
static uint64_t bits(int lo, int hi) {
    lo = lo < 0 ? 0 : lo;
    hi = hi > 64 ? 64 : hi;
    if (lo >= hi) return 0;
    uint64_t upto = hi == 64 ? ~0ull : (1ull << hi) - 1;
    return upto & ~((1ull << lo) - 1);
}

/* Pixels whose centres lie within half of the middle x. */
static uint64_t span(float x, float half) {
    if (half < 0) return 0;
    return bits((int)ceilf(x - half - 0.5f), (int)floorf(x + half - 0.5f) + 1);
}

static uint64_t disc(float x, float y, float r) {
    float left = r * r - y * y;
    return left < 0 ? 0 : span(x, sqrtf(left));
}

/* Half the width of the star at height y, in units of r; lower: the notch between its feet. */
static float star_half(float y, float *notch) {
    *notch = -1;
    if (y < -1.1f || y > 0.88991869f) return -1;
    /* from the bottom notch (0, 0.495) to the foot (0.6466, 0.8899) */
    if (y > 0.495f) *notch = (y - 0.495f) * (0.64656378f / 0.39491869f);
    if (y < -0.40046341f) return (y + 1.1f) * (0.29095370f / 0.69953659f);
    if (y < -0.33991869f) return 0.29095370f + (y + 0.40046341f) * (0.75520847f / 0.06054472f);
    if (y < 0.15296341f) return 1.04616217f - (y + 0.33991869f) * (0.57538919f / 0.49288210f);
    return 0.47077298f + (y - 0.15296341f) * (0.17579080f / 0.73695528f);
}

static uint64_t star(float x, float y, float r) {
    float notch, half = star_half(y / r, &notch);
    uint64_t all = span(x, half * r);
    return notch < 0 ? all : all & ~span(x, notch * r);
}

static uint64_t template_row(fr_shape_class class, float x, float y, float r) {
    float a = fabsf(y);
    switch (class) {
    case FR_CIRCLE: return disc(x, y, r);
    case FR_SQUARE: return a <= 0.88f * r ? span(x, 0.88f * r) : 0;
    case FR_TRIANGLE: return y <= 0.8f * r ? span(x, (y + r) / 1.8f) : 0;
    case FR_DIAMOND: return span(x, 1.1f * r - a);
    case FR_CROSS: return a <= 0.34f * r ? span(x, r) : a <= r ? span(x, 0.34f * r) : 0;
    case FR_RING: {
        uint64_t all = disc(x, y, r);
        return a < 0.5f * r ? all & ~disc(x, y, 0.5f * r) : all;
    }
    case FR_STAR: return star(x, y, r);
    default: return y <= 0.5f * r ? disc(x, y - 0.5f * r, r) : 0;
    }
}

float fr_template_iou(const fr_shape_mask *seen, int area, fr_shape_class class, float x, float y,
                      float r) {
    int both = 0, own = 0;
    fr_shape s = {.class = class, .x = x, .y = y, .r = r};
    fr_box b = fr_shape_box(&s);
    /* What sticks out of the mask's frame counts against the template. */
    int top = (int)floorf(b.y0), bottom = (int)ceilf(b.y1);
    for (int j = top; j < bottom; j++) {
        uint64_t row = template_row(class, x + 2, (float)j + 0.5f - y, r);
        own += __builtin_popcountll(row);
        if (j >= 0 && j < seen->height) both += __builtin_popcountll(row & seen->row[j] << 2);
    }
    return (float)both / (float)(area + own - both);
}

void fr_template_fit(fr_shape_class class, fr_box box, float *x, float *y, float *r,
                     float *aspect) {
    fr_shape unit = {.class = class, .r = 1};
    fr_box u = fr_shape_box(&unit);
    float w = box.x1 - box.x0, h = box.y1 - box.y0;
    float rw = w / (u.x1 - u.x0), rh = h / (u.y1 - u.y0);
    *r = (rw + rh) / 2;
    *x = (box.x0 + box.x1) / 2;
    *y = (box.y0 + box.y1) / 2 - (u.y0 + u.y1) / 2 * *r;
    *aspect = rw < rh ? rw / rh : rh / rw;
}
