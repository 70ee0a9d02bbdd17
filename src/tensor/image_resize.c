/* image_resize.c: a picture at another size, in whole numbers, so that every machine gives the same.
 *
 * Area: each new pixel is the exact average of the rectangle of old pixels that it covers; in units
 * of 1 / (new size) all overlaps are whole, so the sums are too, and only the last division rounds.
 * Bicubic: the kernel of Keys (1981) with a = -1/2, stretched when shrinking; rows first, then
 * columns, rounded to bytes in between, with weights of 22 bits, as Pillow does it.
 * Colours count by their alpha: what is clear must not bleed into what is not. */
#include "tensor/image_codec.h"

#include <math.h>
#include <string.h>

/* ---- area ---- */

typedef struct area {
    const fr_image *in;
    fr_image *out;
    uint32_t *row; /* one old row, averaged along x: sums over overlaps, out of in->width */
    uint64_t *sum; /* one new row, out of in->width * in->height */
    int row_of;    /* the old row that `row` holds; -1: none */
} area;

/* Calls for each old pixel that new pixel i covers a part of: [i*from, (i+1)*from) against
 * [x*to, (x+1)*to), lengths in 1/to of an old pixel. */
static inline uint64_t first_of(uint64_t i, uint64_t from, uint64_t to) {
    return i * from / to;
}
static inline uint32_t overlap(uint64_t i, uint64_t x, uint64_t from, uint64_t to) {
    uint64_t start = FR_MAX_OF(i * from, x * to), end = FR_MIN((i + 1) * from, (x + 1) * to);
    return (uint32_t)(end - start);
}

static void average_row(area *a, int y) {
    int channels = a->in->channels;
    uint64_t from = (uint64_t)a->in->width, to = (uint64_t)a->out->width;
    const uint8_t *pixels = a->in->pixels + (size_t)y * from * (size_t)channels;
    memset(a->row, 0, to * (size_t)channels * sizeof *a->row);
    for (uint64_t i = 0; i < to; i++) {
        uint32_t *sum = a->row + i * (size_t)channels;
        for (uint64_t x = first_of(i, from, to); x * to < (i + 1) * from; x++) {
            const uint8_t *p = pixels + x * (size_t)channels;
            uint32_t part = overlap(i, x, from, to);
            uint32_t weight = channels == 4 ? part * p[3] : part; /* 65535 * 255 * 255 fits */
            for (int c = 0; c < FR_MIN(channels, 3); c++) sum[c] += weight * p[c];
            if (channels == 4) sum[3] += weight;
        }
    }
    a->row_of = y;
}

static void finish_area_row(const area *a, uint8_t *out) {
    uint64_t all = (uint64_t)a->in->width * (uint64_t)a->in->height;
    int channels = a->in->channels;
    size_t values = (size_t)a->out->width * (size_t)channels;
    for (size_t i = 0; i < values; i++) {
        if (channels == 4 && i % 4 != 3) {
            uint64_t alpha = a->sum[i | 3];
            out[i] = (uint8_t)(alpha ? (a->sum[i] + alpha / 2) / alpha : 0);
        } else {
            out[i] = (uint8_t)((a->sum[i] + all / 2) / all);
        }
    }
}

static void run_area(area *a) {
    uint64_t from = (uint64_t)a->in->height, to = (uint64_t)a->out->height;
    size_t values = (size_t)a->out->width * (size_t)a->in->channels;
    for (uint64_t i = 0; i < to; i++) {
        memset(a->sum, 0, values * sizeof *a->sum);
        for (uint64_t y = first_of(i, from, to); y * to < (i + 1) * from; y++) {
            if (a->row_of != (int)y) average_row(a, (int)y);
            uint64_t part = overlap(i, y, from, to);
            for (size_t v = 0; v < values; v++) a->sum[v] += part * a->row[v];
        }
        finish_area_row(a, a->out->pixels + i * values);
    }
}

static fr_status resize_area(const fr_image *in, fr_image *out) {
    size_t values = (size_t)out->width * (size_t)in->channels;
    area a = {.in = in, .out = out, .row_of = -1};
    a.row = fr_alloc_array(FR_MEM_IMAGE, values, sizeof *a.row);
    a.sum = fr_alloc_array(FR_MEM_IMAGE, values, sizeof *a.sum);
    bool good = a.row && a.sum;
    if (good) run_area(&a);
    fr_free(a.row);
    fr_free(a.sum);
    return good ? FR_OK : FR_NOMEM;
}

/* ---- bicubic ---- */

#define WEIGHT_BITS 22 /* 32, less 8 of the pixel, less 2 for sums beyond 1 */

/* For each new place the old ones that count, and how much. */
typedef struct taps {
    int most; /* per place */
    int *first, *count;
    int32_t *weight; /* [place][most] */
} taps;

static double keys(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

static void taps_free(taps *t) {
    fr_free(t->first);
    fr_free(t->count);
    fr_free(t->weight);
}

static void make_place(taps *t, int i, int from, double scale, double stretch, double *w) {
    double centre = (i + 0.5) * scale, reach = 2 * stretch, sum = 0;
    int first = FR_MAX_OF((int)(centre - reach + 0.5), 0);
    int end = FR_MIN((int)(centre + reach + 0.5), from);
    for (int k = 0; k < end - first; k++) {
        w[k] = keys((k + first - centre + 0.5) * (1.0 / stretch));
        sum += w[k];
    }
    t->first[i] = first;
    t->count[i] = end - first;
    for (int k = 0; k < end - first; k++) {
        double fixed = w[k] / sum * (1 << WEIGHT_BITS);
        t->weight[(size_t)i * (size_t)t->most + (size_t)k] =
            (int32_t)(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
}

static fr_status taps_make(int from, int to, taps *t) {
    double scale = (double)from / to, stretch = FR_MAX_OF(scale, 1.0);
    *t = (taps){.most = (int)ceil(2 * stretch) * 2 + 1};
    size_t all;
    if (!fr_size_mul((size_t)to, (size_t)t->most, &all)) all = SIZE_MAX;
    double *w = fr_alloc_array(FR_MEM_IMAGE, (size_t)t->most, sizeof *w);
    t->first = fr_alloc_array(FR_MEM_IMAGE, (size_t)to, sizeof *t->first);
    t->count = fr_alloc_array(FR_MEM_IMAGE, (size_t)to, sizeof *t->count);
    t->weight = fr_alloc_array(FR_MEM_IMAGE, all, sizeof *t->weight);
    bool good = w && t->first && t->count && t->weight;
    for (int i = 0; good && i < to; i++) make_place(t, i, from, scale, stretch, w);
    fr_free(w);
    if (!good) taps_free(t);
    return good ? FR_OK : FR_NOMEM;
}

static uint8_t to_byte(int32_t sum) {
    int32_t value = sum >> WEIGHT_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void resize_rows(const fr_image *in, const taps *t, fr_image *out) {
    size_t channels = (size_t)in->channels;
    for (int y = 0; y < in->height; y++) {
        const uint8_t *from = in->pixels + (size_t)y * (size_t)in->width * channels;
        uint8_t *to = out->pixels + (size_t)y * (size_t)out->width * channels;
        for (size_t i = 0; i < (size_t)out->width * channels; i++) {
            size_t x = i / channels, c = i % channels;
            const int32_t *w = t->weight + x * (size_t)t->most;
            const uint8_t *p = from + (size_t)t->first[x] * channels + c;
            int32_t sum = 1 << (WEIGHT_BITS - 1);
            for (int k = 0; k < t->count[x]; k++) sum += p[(size_t)k * channels] * w[k];
            to[i] = to_byte(sum);
        }
    }
}

static void resize_columns(const fr_image *in, const taps *t, fr_image *out) {
    size_t stride = (size_t)in->width * (size_t)in->channels;
    for (int y = 0; y < out->height; y++) {
        const int32_t *w = t->weight + (size_t)y * (size_t)t->most;
        const uint8_t *from = in->pixels + (size_t)t->first[y] * stride;
        uint8_t *to = out->pixels + (size_t)y * stride;
        for (size_t i = 0; i < stride; i++) {
            int32_t sum = 1 << (WEIGHT_BITS - 1);
            for (int k = 0; k < t->count[y]; k++) sum += from[(size_t)k * stride + i] * w[k];
            to[i] = to_byte(sum);
        }
    }
}

static fr_status along_x(const fr_image *in, int width, fr_image *out) {
    taps t;
    FR_TRY(fr_image_new(width, in->height, in->channels, out));
    FR_TRY(taps_make(in->width, width, &t));
    resize_rows(in, &t, out);
    taps_free(&t);
    return FR_OK;
}

static fr_status along_y(const fr_image *in, fr_image *out) {
    taps t;
    FR_TRY(taps_make(in->height, out->height, &t));
    resize_columns(in, &t, out);
    taps_free(&t);
    return FR_OK;
}

static void times_alpha(fr_image *im) {
    uint8_t *p = im->pixels;
    for (size_t n = (size_t)im->width * (size_t)im->height; n; n--, p += 4) {
        for (int c = 0; c < 3; c++) p[c] = (uint8_t)((p[c] * p[3] + 127) / 255);
    }
}

static void by_alpha(fr_image *im) {
    uint8_t *p = im->pixels;
    for (size_t n = (size_t)im->width * (size_t)im->height; n; n--, p += 4) {
        for (int c = 0; c < 3 && p[3]; c++) p[c] = (uint8_t)FR_MIN(p[c] * 255 / p[3], 255);
    }
}

static fr_status resize_bicubic(const fr_image *in, fr_image *out) {
    fr_image clear = {0}, narrow = {0};
    fr_status status = FR_OK;
    if (in->channels == 4) {
        status = fr_image_new(in->width, in->height, 4, &clear);
        if (status == FR_OK) {
            memcpy(clear.pixels, in->pixels, (size_t)in->width * (size_t)in->height * 4);
            times_alpha(&clear);
        }
    }
    if (status == FR_OK) status = along_x(clear.pixels ? &clear : in, out->width, &narrow);
    if (status == FR_OK) status = along_y(&narrow, out);
    if (status == FR_OK && in->channels == 4) by_alpha(out);
    fr_image_free(&clear);
    fr_image_free(&narrow);
    return status;
}

fr_status fr_image_resize(const fr_image *in, int width, int height, fr_resize how, fr_image *out) {
    *out = (fr_image){0};
    if (!in->pixels) return fr_fail(FR_INVALID, "there is no picture to resize");
    FR_TRY(fr_image_new(width, height, in->channels, out));
    if (width == in->width &&
        height == in->height) { /* nothing to do: clear pixels keep their colour */
        memcpy(out->pixels, in->pixels, (size_t)width * (size_t)height * (size_t)in->channels);
        return FR_OK;
    }
    fr_status status;
    switch (how) {
    case FR_RESIZE_AREA: status = resize_area(in, out); break;
    case FR_RESIZE_BICUBIC: status = resize_bicubic(in, out); break;
    default: status = fr_fail(FR_INVALID, "there is no way %d to resize a picture", (int)how);
    }
    if (status != FR_OK) fr_image_free(out);
    return status;
}
