/* kmeans_plot.c: clusters as a picture, an SVG that stands alone.
 *
 * Two coordinates are drawn as they are; more are projected on the two directions in which the points that are drawn
 * differ most (principal components, by orthogonal iteration). Eight colours that also people tell apart who see fewer
 * (Okabe and Ito's, the yellow darkened) go to the clusters as on a map: each takes the one that is farthest away in
 * use. With few clusters each has its number, too. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/kmeans.h"

enum { MOST_POINTS = 5000, MOST_VALUES = 1 << 24, TURNS = 100, NUMBERED = 40, MOST_MARKS = 4096 };
enum { WIDTH = 860, HEIGHT = 720, LEFT = 76, RIGHT = 24, TOP = 76, BOTTOM = 60, COLOURS = 8 };

static const char *const colours[COLOURS] = {"#0072b2", "#e69f00", "#009e73", "#d55e00",
                                             "#cc79a7", "#56b4e9", "#b5a300", "#6b6b6b"};

typedef struct drawing {
    const fr_kmeans_picture *p;
    int64_t width, count, marks; /* coordinates; points and centroids that are drawn */
    int64_t *row;                /* [count] */
    float *x;                    /* [count + marks, width], later without its mean */
    double *axis;                /* [2, width] */
    double *at;                  /* [count + marks, 2] */
    uint8_t *colour;             /* [k] */
    double share[2], lo[2], hi[2];
} drawing;

/* ---- the points ---- */

static void read_row(const drawing *d, int64_t i, float *out) {
    const fr_tensor *t = d->p->points;
    double square = 0;
    const size_t bytes = (size_t)fr_dtype_get(t->dtype)->bytes;
    fr_tensor row = {.dtype = t->dtype, .rank = 1, .dim = {d->width}, .stride = {t->stride[1]}};
    row.data = (char *)t->data + i * t->stride[0] * (int64_t)bytes;
    fr_decode_strided(&row, out);
    for (int64_t j = 0; j < d->width; j++) square += (double)out[j] * (double)out[j];
    for (int64_t j = 0; j < d->width && d->p->unit && square > 0; j++)
        out[j] = (float)((double)out[j] / sqrt(square));
}

/* One point out of each of `count` ranges of the same size: spread over the file, and read in its order. */
static fr_status sample(drawing *d) {
    const fr_kmeans_picture *p = d->p;
    const int64_t n = p->points->dim[0];
    const uint64_t stream = fr_random_stream("kmeans plot");
    d->width = p->points->dim[1];
    d->count = FR_MIN(n, FR_MIN((int64_t)MOST_POINTS, MOST_VALUES / d->width + 1));
    d->marks = FR_MIN(p->k, MOST_MARKS);
    const size_t all = (size_t)(d->count + d->marks);
    d->row = fr_alloc_array(FR_MEM_OTHER, (size_t)d->count, sizeof *d->row);
    d->x = fr_alloc_array(FR_MEM_OTHER, all * (size_t)d->width, sizeof *d->x);
    d->at = fr_alloc_array(FR_MEM_OTHER, 2 * all, sizeof *d->at);
    d->axis = fr_alloc(FR_MEM_OTHER, 2 * (size_t)d->width * sizeof *d->axis);
    d->colour = fr_alloc(FR_MEM_OTHER, (size_t)p->k);
    if (!d->row || !d->x || !d->at || !d->axis || !d->colour) return FR_NOMEM;
    for (int64_t i = 0; i < d->count; i++) {
        float u = 0;
        if (n > d->count) fr_random_uniform(p->seed, stream, (uint64_t)i, &u, 1);
        int64_t row = (int64_t)(((double)i + (double)u) * ((double)n / (double)d->count));
        d->row[i] = FR_MIN(row, n - 1);
        read_row(d, d->row[i], d->x + i * d->width);
    }
    memcpy(d->x + d->count * d->width, p->centroids, (size_t)(d->marks * d->width) * sizeof *d->x);
    return FR_OK;
}

/* ---- the plane ---- */

static double product(const double *a, const float *x, int64_t n) {
    double s[4] = {0};
    int64_t j = 0;
    for (; j + 4 <= n; j += 4)
        for (int e = 0; e < 4; e++) s[e] += a[j + e] * (double)x[j + e];
    for (; j < n; j++) s[0] += a[j] * (double)x[j];
    return s[0] + s[1] + s[2] + s[3];
}

static void take_mean(drawing *d) {
    const int64_t w = d->width;
    for (int64_t j = 0; j < w; j++) {
        double mean = 0;
        for (int64_t i = 0; i < d->count; i++) mean += (double)d->x[i * w + j];
        mean /= (double)d->count;
        for (int64_t i = 0; i < d->count + d->marks; i++)
            d->x[i * w + j] = (float)((double)d->x[i * w + j] - mean);
    }
}

/* Orthogonal to the axis before it, and of length 1; what has no length left stays zero. Returns the length. */
static double straighten(double *a, const double *before, int64_t n) {
    double along = 0, length = 0;
    for (int64_t j = 0; before && j < n; j++) along += a[j] * before[j];
    for (int64_t j = 0; before && j < n; j++) a[j] -= along * before[j];
    for (int64_t j = 0; j < n; j++) length += a[j] * a[j];
    length = sqrt(length);
    for (int64_t j = 0; j < n; j++) a[j] = length > 1e-300 ? a[j] / length : 0;
    return length;
}

/* One turn of orthogonal iteration: axes times the covariance of the points that are drawn. How much they turned. */
static double turn(drawing *d, double *next) {
    const int64_t w = d->width;
    double moved = 0;
    memset(next, 0, 2 * (size_t)w * sizeof *next);
    for (int64_t i = 0; i < d->count; i++) {
        const float *x = d->x + i * w;
        const double a = product(d->axis, x, w), b = product(d->axis + w, x, w);
        for (int64_t j = 0; j < w; j++) {
            next[j] += a * (double)x[j];
            next[w + j] += b * (double)x[j];
        }
    }
    for (int a = 0; a < 2; a++) {
        straighten(next + a * w, a ? next : NULL, w);
        double same = 0;
        for (int64_t j = 0; j < w; j++) same += next[a * w + j] * d->axis[a * w + j];
        moved = FR_MAX_OF(moved, 1 - fabs(same));
    }
    memcpy(d->axis, next, 2 * (size_t)w * sizeof *next);
    return moved;
}

/* The largest coordinate of an axis is positive, so that the picture does not flip. */
static void fix_sign(double *a, int64_t n) {
    int64_t best = 0;
    for (int64_t j = 1; j < n; j++)
        if (fabs(a[j]) > fabs(a[best])) best = j;
    for (int64_t j = 0; j < n && a[best] < 0; j++) a[j] = -a[j];
}

static fr_status find_axes(drawing *d) {
    const int64_t w = d->width;
    if (w <= 2) {
        d->axis[0] = 1;
        if (w == 2) d->axis[3] = 1;
        return FR_OK;
    }
    double *next = fr_alloc_array(FR_MEM_OTHER, 2 * (size_t)w, sizeof *next), total = 0;
    if (!next) return FR_NOMEM;
    take_mean(d);
    for (int64_t j = 0; j < 2 * w; j++) {
        float g;
        fr_random_normal(1, fr_random_stream("kmeans plot axes"), (uint64_t)j, &g, 1);
        d->axis[j] = (double)g;
    }
    for (int a = 0; a < 2; a++) straighten(d->axis + a * w, a ? d->axis : NULL, w);
    for (int t = 0; t < TURNS && turn(d, next) > 1e-9 && !fr_interrupted(); t++) continue;
    fr_free(next);
    for (int64_t i = 0; i < d->count * w; i++) total += (double)d->x[i] * (double)d->x[i];
    for (int a = 0; a < 2; a++) {
        double part = 0;
        fix_sign(d->axis + a * w, w);
        for (int64_t i = 0; i < d->count; i++) {
            double along = product(d->axis + a * w, d->x + i * w, w);
            part += along * along;
        }
        d->share[a] = total > 0 ? part / total : 0;
    }
    return FR_OK;
}

/* Numbers that hardly differ from one another must not fill the picture with their rounding. */
static void widen(double *lo, double *hi, double least) {
    const double more = (least - (*hi - *lo)) / 2;
    if (more > 0) *lo -= more, *hi += more;
}

static void project(drawing *d) {
    const double inside[2] = {WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM};
    for (int a = 0; a < 2; a++) {
        d->lo[a] = DBL_MAX, d->hi[a] = -DBL_MAX;
        for (int64_t i = 0; i < d->count + d->marks; i++) {
            double v = product(d->axis + a * d->width, d->x + i * d->width, d->width);
            d->at[2 * i + a] = v;
            d->lo[a] = FR_MIN(d->lo[a], v);
            d->hi[a] = FR_MAX_OF(d->hi[a], v);
        }
        const double most = FR_MAX_OF(fabs(d->lo[a]), fabs(d->hi[a]));
        const double room = (d->hi[a] - d->lo[a]) * 0.08;
        widen(&d->lo[a], &d->hi[a], d->hi[a] - d->lo[a] + room);
        widen(&d->lo[a], &d->hi[a], most > 0 ? most * 1e-6 : 1);
    }
    /* One scale for both, unless one would be a line. */
    const double each[2] = {(d->hi[0] - d->lo[0]) / inside[0], (d->hi[1] - d->lo[1]) / inside[1]};
    const double scale = FR_MAX_OF(each[0], each[1]);
    if (d->width > 1 && scale < 4 * FR_MIN(each[0], each[1]))
        for (int a = 0; a < 2; a++) widen(&d->lo[a], &d->hi[a], scale * inside[a]);
}

/* As on a map: far from all others of the same colour. */
static void choose_colours(drawing *d) {
    const double *c = d->at + 2 * d->count;
    for (int64_t i = 0; i < d->p->k; i++) {
        double near[COLOURS];
        for (int e = 0; e < COLOURS; e++) near[e] = DBL_MAX;
        for (int64_t j = 0; i < d->marks && j < i; j++) {
            double dx = c[2 * i] - c[2 * j], dy = c[2 * i + 1] - c[2 * j + 1];
            near[d->colour[j]] = FR_MIN(near[d->colour[j]], dx * dx + dy * dy);
        }
        int best = i < d->marks ? 0 : (int)(i % COLOURS);
        for (int e = 1; e < COLOURS && i < d->marks; e++)
            if (near[e] > near[best]) best = e;
        d->colour[i] = (uint8_t)best;
    }
}

/* ---- writing ---- */

static double x_of(const drawing *d, double v) {
    return LEFT + (WIDTH - LEFT - RIGHT) * (v - d->lo[0]) / (d->hi[0] - d->lo[0]);
}
static double y_of(const drawing *d, double v) {
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (v - d->lo[1]) / (d->hi[1] - d->lo[1]);
}

static void write_text(FILE *out, const char *text) {
    for (; *text; text++)
        *text == '<'   ? fputs("&lt;", out)
        : *text == '&' ? fputs("&amp;", out)
                       : fputc((unsigned char)*text < 32 ? ' ' : *text, out);
}

static void write_axis(const drawing *d, FILE *out, int a) {
    static const char *const names[2][2] = {{"first", "second"},
                                            {"principal component", "coordinate"}};
    const double span = d->hi[a] - d->lo[a], power = pow(10, floor(log10(span / 7)));
    const double m = span / 7 / power, step = power * (m <= 2 ? 2 : m <= 5 ? 5 : 10);
    const double first = ceil(d->lo[a] / step);
    for (int i = 0; i < 12; i++) {
        double v = (first + i) * step, x = x_of(d, v), y = y_of(d, v);
        if (!(v <= d->hi[a])) break;
        if (fabs(v) < step * 1e-6) v = 0;
        if (a == 0)
            fprintf(out,
                    "<path class=\"g\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" "
                    "class=\"m\">%.6g</text>\n",
                    x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 18, v);
        else
            fprintf(out,
                    "<path class=\"g\" d=\"M%d %.1fH%d\"/><text x=\"%d\" y=\"%.1f\" "
                    "class=\"e\">%.6g</text>\n",
                    LEFT, y, WIDTH - RIGHT, LEFT - 8, y + 4, v);
    }
    if (a == 1 && d->width == 1) return;
    if (a == 0)
        fprintf(out, "<text x=\"%d\" y=\"%d\" class=\"m\">", (LEFT + WIDTH - RIGHT) / 2,
                HEIGHT - 18);
    else
        fprintf(out, "<text transform=\"translate(20 %d) rotate(-90)\" class=\"m\">",
                (TOP + HEIGHT - BOTTOM) / 2);
    fprintf(out, "%s %s", names[0][a], names[1][d->width <= 2]);
    if (d->width > 2) fprintf(out, ", %.1f%% of the variance", 100 * d->share[a]);
    fprintf(out, "</text>\n");
}

/* All points of a colour are one path of dots. */
static void write_points(const drawing *d, FILE *out) {
    const double size = d->count > 2000 ? 3.4 : d->count > 400 ? 4.6 : 6.5;
    fprintf(
        out,
        "<g fill=\"none\" stroke-linecap=\"round\" stroke-width=\"%.1f\" stroke-opacity=\".62\">\n",
        size);
    for (int e = 0; e < COLOURS; e++) {
        bool any = false;
        for (int64_t i = 0; i < d->count; i++) {
            const int32_t l = d->p->labels[d->row[i]];
            if (l < 0 || l >= d->p->k || d->colour[l] != e) continue;
            if (!any) fprintf(out, "<path stroke=\"%s\" d=\"", colours[e]);
            any = true;
            fprintf(out, "M%.1f %.1fh0", x_of(d, d->at[2 * i]), y_of(d, d->at[2 * i + 1]));
        }
        if (any) fprintf(out, "\"/>\n");
    }
    fprintf(out, "</g>\n");
}

static void write_marks(const drawing *d, FILE *out) {
    const bool numbered = d->p->k <= NUMBERED;
    const double size = numbered ? 10 : d->marks <= 400 ? 4.2 : 2.8;
    fprintf(out, "<g stroke=\"%s\" stroke-width=\"%s\">\n", numbered ? "#fff" : "#222",
            numbered ? "2" : "1.3");
    for (int64_t i = 0; i < d->marks; i++) {
        const double *at = d->at + 2 * (d->count + i);
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"/>\n", x_of(d, at[0]),
                y_of(d, at[1]), size, colours[d->colour[i]]);
    }
    fprintf(out, "</g>\n");
    for (int64_t i = 0; numbered && i < d->marks; i++) {
        const double *at = d->at + 2 * (d->count + i);
        fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"n\">%lld</text>\n", x_of(d, at[0]),
                y_of(d, at[1]) + 3.8, (long long)i);
    }
}

static void write_svg(const drawing *d, FILE *out) {
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" "
            "font-size=\"12\">\n<style>text{fill:#555}.m,.n{text-anchor:middle}.e{text-anchor:end}"
            ".g{fill:none;stroke:#ececec}.n{fill:#fff;font-weight:bold;font-size:10.5px}.t{fill:#"
            "222;font-size:17px}"
            "</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text x=\"%d\" "
            "y=\"32\" class=\"t\">",
            WIDTH, HEIGHT, LEFT);
    write_text(out, d->p->title);
    fprintf(out, "</text>\n<text x=\"%d\" y=\"54\">", LEFT);
    if (d->count < d->p->points->dim[0])
        fprintf(out, "%lld of %lld points are drawn", (long long)d->count,
                (long long)d->p->points->dim[0]);
    else
        fprintf(out, "all points are drawn");
    if (d->width > 2)
        fprintf(out, ", from %lld dimensions on the two in which they differ most",
                (long long)d->width);
    fprintf(out, "; %s</text>\n",
            d->p->k <= NUMBERED ? "numbers mark centroids" : "rings are centroids");
    for (int a = 0; a < 2; a++) write_axis(d, out, a);
    write_points(d, out);
    write_marks(d, out);
    fprintf(out, "</svg>\n");
}

static fr_status draw(drawing *d, const char *path) {
    char *text = NULL;
    size_t bytes = 0;
    FR_TRY(sample(d));
    FR_TRY(find_axes(d));
    project(d);
    choose_colours(d);
    FILE *out = open_memstream(&text, &bytes);
    if (out) write_svg(d, out);
    fr_status st = out && !fclose(out)
                       ? fr_write_file(path, text, bytes)
                       : fr_fail(FR_NOMEM, "There is no memory for the picture %s.", path);
    free(text);
    return st;
}

fr_status fr_kmeans_plot(const fr_kmeans_picture *p, const char *path) {
    drawing d = {.p = p};
    if (p->points->dim[0] < 1 || p->points->dim[1] < 1)
        return fr_fail(FR_INVALID, "There is no point to draw in %s.", path);
    fr_status st = draw(&d, path);
    fr_free(d.row);
    fr_free(d.x);
    fr_free(d.at);
    fr_free(d.axis);
    fr_free(d.colour);
    return st;
}
