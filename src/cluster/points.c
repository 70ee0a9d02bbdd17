/* points.c: rows of points as dense floats, from any plain type and any strides.
 *
 * Dense f32 rows are read where they lie. All others are written to the caller's scratch, which is small enough for a
 * block of rows to stay in cache until it has been used. */
#include "cluster/points.h"

#include <math.h>
#include <string.h>

#include "kernel/kernel.h"

fr_status fr_points_of(const fr_tensor *points, int64_t problem, bool unit, fr_points *out) {
    char text[FR_SHAPE_TEXT];
    const fr_dtype_info *type = fr_dtype_get(points->dtype);
    if (points->rank != 2 && points->rank != 3)
        return fr_fail(FR_INVALID, "Points are a tensor [N, D] or [B, N, D], not %s.",
                       fr_shape_text(points, text));
    if (points->dtype <= FR_NOTYPE || points->dtype >= FR_DTYPE_COUNT || type->block != 1)
        return fr_fail(FR_UNSUPPORTED, "Points cannot be read from %s.",
                       fr_shape_text(points, text));
    int lead = points->rank - 2;
    int64_t problems = lead ? points->dim[0] : 1;
    int64_t rows = points->dim[lead], width = points->dim[lead + 1];
    if (problem < 0 || problem >= problems)
        return fr_fail(FR_INVALID, "There is no problem %lld in %s.", (long long)problem,
                       fr_shape_text(points, text));
    if (rows < 1 || width < 1)
        return fr_fail(FR_INVALID, "There are no points in %s.", fr_shape_text(points, text));
    if (rows > INT32_MAX || width > INT32_MAX)
        return fr_fail(FR_UNSUPPORTED, "There are more than 2^31 - 1 points or coordinates in %s.",
                       fr_shape_text(points, text));
    if (!points->data)
        return fr_fail(FR_INVALID, "There are no values behind the points %s.",
                       fr_shape_text(points, text));
    *out = (fr_points){.rows = rows, .width = width, .problem = lead ? problem : -1, .unit = unit};
    out->view = (fr_tensor){.dtype = points->dtype,
                            .rank = 2,
                            .dim = {rows, width},
                            .stride = {points->stride[lead], points->stride[lead + 1]},
                            .data = points->data};
    if (lead) out->view.data = (char *)points->data + problem * points->stride[0] * type->bytes;
    return FR_OK;
}

/* ---- rows as floats ---- */

static bool in_place(const fr_points *p) {
    const fr_tensor *v = &p->view;
    return v->dtype == FR_F32 && !p->unit && (v->stride[1] == 1 || p->width == 1) &&
           (v->stride[0] == p->width || p->rows == 1);
}

size_t fr_points_scratch(const fr_points *p, int64_t count) {
    return in_place(p) ? 0 : (size_t)count * (size_t)p->width;
}

static void decode(fr_dtype t, const void *in, size_t n, float *out) {
    switch (t) {
    case FR_F32: memcpy(out, in, n * sizeof *out); break;
    case FR_BF16: fr_kernel()->convert.bf16_to_f32(in, n, out); break;
    case FR_F16: fr_kernel()->convert.f16_to_f32(in, n, out); break;
    default: fr_decode(t, in, n, out); break;
    }
}

static const char *value_at(const fr_tensor *v, int64_t row, int64_t column) {
    return (const char *)v->data +
           (row * v->stride[0] + column * v->stride[1]) * fr_dtype_get(v->dtype)->bytes;
}

/* Columns that lie dense (Fortran's order), in squares so that neither side leaves the cache. */
static void gather_columns(const fr_tensor *v, int64_t first, int64_t count, float *out) {
    enum { SIDE = 64 };
    int64_t width = v->dim[1];
    float run[SIDE];
    for (int64_t i = 0; i < count; i += SIDE) {
        int64_t n = FR_MIN(count - i, SIDE);
        for (int64_t j = 0; j < width; j++) {
            decode(v->dtype, value_at(v, first + i, j), (size_t)n, run);
            for (int64_t r = 0; r < n; r++) out[(i + r) * width + j] = run[r];
        }
    }
}

static void gather(const fr_tensor *v, int64_t first, int64_t count, float *out) {
    int64_t width = v->dim[1];
    if (v->stride[1] == 1 && v->stride[0] == width) {
        decode(v->dtype, value_at(v, first, 0), (size_t)(count * width), out);
    } else if (v->stride[1] == 1) {
        for (int64_t i = 0; i < count; i++)
            decode(v->dtype, value_at(v, first + i, 0), (size_t)width, out + i * width);
    } else if (v->stride[0] == 1) {
        gather_columns(v, first, count, out);
    } else {
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j < width; j++)
                decode(v->dtype, value_at(v, first + i, j), 1, out + i * width + j);
    }
}

/* The length in double, so that it neither overflows nor vanishes; four sums, as the compiler may not make them. */
static void make_unit(float *x, int64_t n) {
    double s[4] = {0};
    int64_t j = 0;
    for (; j + 4 <= n; j += 4)
        for (int k = 0; k < 4; k++) s[k] += (double)x[j + k] * (double)x[j + k];
    for (; j < n; j++) s[0] += (double)x[j] * (double)x[j];
    double square = (s[0] + s[1]) + (s[2] + s[3]);
    if (square == 0) return;
    double scale = 1 / sqrt(square);
    for (j = 0; j < n; j++) x[j] = (float)((double)x[j] * scale);
}

const float *fr_points_rows(const fr_points *p, int64_t first, int64_t count, float *scratch) {
    if (in_place(p)) return (const float *)p->view.data + first * p->width;
    gather(&p->view, first, count, scratch);
    for (int64_t i = 0; p->unit && i < count; i++) make_unit(scratch + i * p->width, p->width);
    return scratch;
}

void fr_points_row(const fr_points *p, int64_t row, float *out) {
    gather(&p->view, row, 1, out);
    if (p->unit) make_unit(out, p->width);
}
