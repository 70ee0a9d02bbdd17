/* view.c: shapes, strides and views. Sizes are checked once, by fr_shape_check; everything else may
 * then multiply without fear. */
#include "tensor/view.h"

#include <stdio.h>

#include "base/base.h"
#include "tensor/dtype.h"

/* Contiguous strides, with empty axes counted as 1: they then fit whenever the shape was checked.
 */
void fr_set_contiguous(fr_tensor *t) {
    int64_t stride = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        t->stride[i] = stride;
        stride *= FR_MAX_OF(t->dim[i], 1);
    }
}

fr_tensor fr_tensor_make(fr_dtype t, int rank, const int64_t *dim, void *data) {
    fr_tensor out = {.dtype = t, .rank = rank, .data = data};
    for (int i = 0; i < rank; i++) out.dim[i] = dim[i];
    fr_set_contiguous(&out);
    return out;
}

fr_status fr_shape_check(const char *what, fr_dtype t, int rank, const int64_t *dim) {
    const fr_dtype_info *info = fr_dtype_get(t);
    if (t <= FR_NOTYPE || t >= FR_DTYPE_COUNT)
        return fr_fail(FR_INVALID, "%s has no number type.", what);
    if (rank < 0 || rank > FR_MAX_DIMS)
        return fr_fail(FR_UNSUPPORTED, "%s has %d dimensions; Frugal handles at most %d.", what,
                       rank, FR_MAX_DIMS);
    /* Empty axes count as 1, so that strides fit too; bytes must fit a pointer difference. */
    int64_t values = 1, bytes;
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 0)
            return fr_fail(FR_INVALID, "%s has the negative dimension %lld.", what,
                           (long long)dim[i]);
        if (__builtin_mul_overflow(values, FR_MAX_OF(dim[i], 1), &values))
            return fr_fail(FR_NOMEM, "%s has a shape whose product does not fit 63 bits.", what);
    }
    if (info->block > 1 && (rank == 0 || dim[rank - 1] % info->block))
        return fr_fail(FR_INVALID, "%s has rows of %lld values, but %s comes in blocks of %d.",
                       what, rank ? (long long)dim[rank - 1] : 1LL, info->name, info->block);
    int64_t blocks = values / info->block + (values % info->block != 0);
    if (__builtin_mul_overflow(blocks, (int64_t)info->bytes, &bytes))
        return fr_fail(FR_NOMEM, "%s takes more bytes than 63 bits can count.", what);
    return FR_OK;
}

bool fr_is_contiguous(const fr_tensor *t) {
    int64_t stride = 1;
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] == 0) return true;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dim[i] != 1 && t->stride[i] != stride) return false;
        stride *= t->dim[i];
    }
    return true;
}

int64_t fr_values(const fr_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

size_t fr_bytes(const fr_tensor *t) {
    const fr_dtype_info *info = fr_dtype_get(t->dtype);
    return (size_t)(fr_values(t) / info->block) * (size_t)info->bytes;
}

bool fr_same_shape(const fr_tensor *a, const fr_tensor *b) {
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

int64_t fr_dim(const fr_tensor *t, int axis) {
    if (axis < 0) axis += t->rank;
    return axis >= 0 && axis < t->rank ? t->dim[axis] : 1;
}

int64_t fr_rows(const fr_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i + 1 < t->rank; i++) n *= t->dim[i];
    return n;
}

/* ---- views ---- */

/* t->data moved by a number of values; of blocks, whole ones. */
static void *moved(const fr_tensor *t, int64_t values) {
    const fr_dtype_info *info = fr_dtype_get(t->dtype);
    return t->data ? (uint8_t *)t->data + values / info->block * info->bytes : NULL;
}

fr_status fr_view_slice(const fr_tensor *t, int axis, int64_t start, int64_t count,
                        fr_tensor *out) {
    char text[FR_SHAPE_TEXT];
    if (axis < -t->rank || axis >= t->rank)
        return fr_fail(FR_INVALID, "%s has no axis %d to slice.", fr_shape_text(t, text), axis);
    if (axis < 0) axis += t->rank;
    if (start < 0 || count < 0 || start > t->dim[axis] || count > t->dim[axis] - start)
        return fr_fail(FR_INVALID, "Axis %d of %s has no slice of %lld from %lld.", axis,
                       fr_shape_text(t, text), (long long)count, (long long)start);
    fr_tensor view = *t;
    view.dim[axis] = count;
    if (count) view.data = moved(t, start * t->stride[axis]);
    int block = fr_dtype_get(t->dtype)->block;
    if (block > 1) { /* these must stay contiguous, and whole */
        bool whole = axis < t->rank - 1 || (start % block == 0 && count % block == 0);
        if (!whole || !fr_is_contiguous(&view))
            return fr_fail(FR_UNSUPPORTED, "%s cannot be sliced along axis %d without decoding it.",
                           fr_shape_text(t, text), axis);
        fr_set_contiguous(&view);
    }
    *out = view;
    return FR_OK;
}

fr_status fr_view_permute(const fr_tensor *t, const int *perm, fr_tensor *out) {
    fr_tensor view = *t;
    char text[FR_SHAPE_TEXT];
    unsigned seen = 0;
    for (int i = 0; i < t->rank; i++) {
        if (perm[i] < 0 || perm[i] >= t->rank || seen & 1u << perm[i])
            return fr_fail(FR_INVALID,
                           "The axes of %s cannot be permuted: each must be named once.",
                           fr_shape_text(t, text));
        seen |= 1u << perm[i];
        view.dim[i] = t->dim[perm[i]];
        view.stride[i] = t->stride[perm[i]];
    }
    if (fr_dtype_get(t->dtype)->block > 1) {
        bool last = t->rank == 0 || perm[t->rank - 1] == t->rank - 1;
        if (!last || !fr_is_contiguous(&view))
            return fr_fail(FR_UNSUPPORTED, "%s cannot be permuted without decoding it.",
                           fr_shape_text(t, text));
        fr_set_contiguous(&view);
    }
    *out = view;
    return FR_OK;
}

/* Strides of the new shape over the same memory, if there are any: old and new axes are matched in
 * groups of equal product, and a group must step through memory evenly. */
static bool restride(const fr_tensor *t, fr_tensor *view) {
    int64_t dim[FR_MAX_DIMS], stride[FR_MAX_DIMS];
    int old = 0, rank = 0;
    for (int i = 0; i < t->rank; i++) /* axes of 1 step nowhere */
        if (t->dim[i] != 1) dim[rank] = t->dim[i], stride[rank++] = t->stride[i];
    for (int at = 0; at < view->rank;) {
        if (view->dim[at] == 1) {
            view->stride[at++] = 1;
            continue;
        }
        int first_old = old, first_new = at;
        int64_t a = dim[old++], b = view->dim[at++];
        while (a != b) {
            if (a < b)
                a *= dim[old++];
            else
                b *= view->dim[at++];
        }
        for (int i = first_old; i + 1 < old; i++)
            if (stride[i] != stride[i + 1] * dim[i + 1]) return false;
        int64_t step = stride[old - 1];
        for (int i = at - 1; i >= first_new; i--) {
            view->stride[i] = step;
            step *= view->dim[i];
        }
    }
    return true;
}

fr_status fr_view_reshape(const fr_tensor *t, int rank, const int64_t *dim, fr_tensor *out) {
    char from[FR_SHAPE_TEXT], to[FR_SHAPE_TEXT];
    FR_TRY(fr_shape_check("The new shape", t->dtype, rank, dim));
    fr_tensor view = fr_tensor_make(t->dtype, rank, dim, t->data);
    if (fr_values(&view) != fr_values(t))
        return fr_fail(FR_INVALID, "%s cannot be seen as %s: it holds another number of values.",
                       fr_shape_text(t, from), fr_shape_text(&view, to));
    if (!fr_is_contiguous(t) && !restride(t, &view))
        return fr_fail(FR_UNSUPPORTED, "%s cannot be seen as %s without a copy.",
                       fr_shape_text(t, from), fr_shape_text(&view, to));
    *out = view;
    return FR_OK;
}

/* ---- copies ---- */

static void copy_row(uint8_t *out, const uint8_t *in, int64_t n, int64_t stride, size_t size) {
    if (stride == 1) {
        memcpy(out, in, (size_t)n * size);
        return;
    }
    ptrdiff_t step = (ptrdiff_t)stride * (ptrdiff_t)size;
    /* Constant sizes, so that each loop moves registers. */
    if (size == 4)
        for (int64_t i = 0; i < n; i++) memcpy(out + i * 4, in + i * step, 4);
    else if (size == 2)
        for (int64_t i = 0; i < n; i++) memcpy(out + i * 2, in + i * step, 2);
    else
        for (int64_t i = 0; i < n; i++) memcpy(out + i * (int64_t)size, in + i * step, size);
}

/* A walk over the rows of a view, in order. The innermost axes that lie together are one row. */
typedef struct rows {
    const uint8_t *at;
    int64_t n, stride;
    int outer; /* axes 0 .. outer - 1 are stepped */
    int64_t count[FR_MAX_DIMS];
} rows;

static rows rows_of(const fr_tensor *t) {
    rows r = {.at = t->data, .n = 1, .stride = 1};
    if (t->rank == 0) return r;
    r.outer = t->rank - 1;
    r.n = t->dim[r.outer];
    r.stride = t->stride[r.outer];
    while (r.outer > 0 && (t->stride[r.outer - 1] == r.stride * r.n || t->dim[r.outer - 1] == 1))
        r.n *= t->dim[--r.outer];
    return r;
}

static bool rows_next(const fr_tensor *t, rows *r, int64_t size) {
    for (int axis = r->outer - 1; axis >= 0; axis--) {
        r->at += t->stride[axis] * size;
        if (++r->count[axis] < t->dim[axis]) return true;
        r->at -= t->stride[axis] * t->dim[axis] * size;
        r->count[axis] = 0;
    }
    return false;
}

void fr_copy_contiguous(const fr_tensor *t, void *out) {
    if (fr_values(t) == 0) return;
    if (fr_is_contiguous(t)) {
        memcpy(out, t->data, fr_bytes(t));
        return;
    }
    size_t size = (size_t)fr_dtype_get(t->dtype)->bytes;
    uint8_t *to = out;
    rows r = rows_of(t);
    do {
        copy_row(to, r.at, r.n, r.stride, size);
        to += (size_t)r.n * size;
    } while (rows_next(t, &r, (int64_t)size));
}

void fr_decode_strided(const fr_tensor *t, float *out) {
    enum { CHUNK = 256 };
    uint8_t chunk[CHUNK * 8]; /* the widest plain type */
    size_t size = (size_t)fr_dtype_get(t->dtype)->bytes;
    if (fr_values(t) == 0) return;
    rows r = rows_of(t);
    do {
        for (int64_t i = 0; i < r.n; i += CHUNK) {
            int64_t n = FR_MIN(r.n - i, CHUNK);
            copy_row(chunk, r.at + i * r.stride * (int64_t)size, n, r.stride, size);
            fr_decode(t->dtype, chunk, (size_t)n, out);
            out += n;
        }
    } while (rows_next(t, &r, (int64_t)size));
}

char *fr_shape_text(const fr_tensor *t, char buf[FR_SHAPE_TEXT]) {
    int at = snprintf(buf, FR_SHAPE_TEXT, "%s [", fr_dtype_name(t->dtype));
    for (int i = 0; i < t->rank; i++)
        at += snprintf(buf + at, (size_t)(FR_SHAPE_TEXT - at), "%s%lld", i ? ", " : "",
                       (long long)t->dim[i]);
    snprintf(buf + at, (size_t)(FR_SHAPE_TEXT - at), "]");
    return buf;
}
