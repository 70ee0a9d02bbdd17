/* copy.c: moving values between two strided layouts.
 *
 * The axes are put into the order of the destination, axes of one value are dropped and neighbours
 * that are contiguous on both sides are merged. What is left is walked plane by plane; a plane is
 * the last two axes and is copied in one of three ways:
 *   rows      the last axis is contiguous on both sides: memcpy
 *   tiles     the destination runs along the last axis and the source along the other one: a
 *             transpose, in blocks of 16 by 16 so that whole cache lines are used
 *   elements  anything else
 * The pool gets pieces of planes of about 128 KB. */
#include "op/copy.h"

#include <string.h>

#define PIECE_BYTES (128 * 1024)

typedef struct plan {
    fr_copy c;
    int64_t outer;          /* number of planes */
    int64_t piece;          /* rows of a plane in one item */
    int64_t pieces;         /* items a plane */
    int64_t planes_at_once; /* for small planes: in one item */
    bool rows, tiles;
} plan;

static void drop_axis(fr_copy *c, int axis) {
    for (int i = axis; i + 1 < c->rank; i++) {
        c->dim[i] = c->dim[i + 1];
        c->src_stride[i] = c->src_stride[i + 1];
        c->dst_stride[i] = c->dst_stride[i + 1];
    }
    c->rank--;
}

static void swap_axes(fr_copy *c, int a, int b) {
    int64_t d = c->dim[a], s = c->src_stride[a], t = c->dst_stride[a];
    c->dim[a] = c->dim[b], c->src_stride[a] = c->src_stride[b], c->dst_stride[a] = c->dst_stride[b];
    c->dim[b] = d, c->src_stride[b] = s, c->dst_stride[b] = t;
}

static void add_axis(fr_copy *c) {
    for (int i = c->rank; i > 0; i--) {
        c->dim[i] = c->dim[i - 1];
        c->src_stride[i] = c->src_stride[i - 1];
        c->dst_stride[i] = c->dst_stride[i - 1];
    }
    c->dim[0] = 1, c->src_stride[0] = 0, c->dst_stride[0] = 0;
    c->rank++;
}

/* Destination order, no axes of 1, neighbours merged, at least two axes. */
static void normalize(fr_copy *c) {
    for (int i = c->rank - 1; i >= 0; i--)
        if (c->dim[i] == 1) drop_axis(c, i);
    for (int i = 1; i < c->rank; i++)
        for (int j = i; j > 0 && c->dst_stride[j] > c->dst_stride[j - 1]; j--)
            swap_axes(c, j, j - 1);
    for (int i = c->rank - 2; i >= 0; i--) {
        if (c->src_stride[i] != c->dim[i + 1] * c->src_stride[i + 1] ||
            c->dst_stride[i] != c->dim[i + 1] * c->dst_stride[i + 1])
            continue;
        c->dim[i + 1] *= c->dim[i];
        drop_axis(c, i);
    }
    if (c->rank == 0) {
        c->dim[0] = c->src_stride[0] = c->dst_stride[0] = 1;
        c->rank = 1;
    }
    if (c->rank == 1) {
        /* One long run: cut it, so that threads can share it. */
        int64_t step = (int64_t)(PIECE_BYTES / c->size);
        add_axis(c);
        if (c->dim[1] > step && c->dim[1] % step == 0) {
            c->dim[0] = c->dim[1] / step, c->dim[1] = step;
            c->src_stride[0] = step * c->src_stride[1];
            c->dst_stride[0] = step * c->dst_stride[1];
        }
    }
}

static void rows_fixed(char *dst, const char *src, int64_t n, int64_t ds, int64_t ss,
                       size_t bytes) {
#define ROWS(b)                                                                                    \
    case b:                                                                                        \
        for (int64_t i = 0; i < n; i++) memcpy(dst + i * ds, src + i * ss, b);                     \
        return
    switch (bytes) {
        ROWS(2);
        ROWS(4);
        ROWS(8);
        ROWS(12);
        ROWS(16);
        ROWS(32);
        ROWS(64);
    default: break;
    }
#undef ROWS
    for (int64_t i = 0; i < n; i++) memcpy(dst + i * ds, src + i * ss, bytes);
}

/* dst[a * da + b] = src[a + b * sb] in blocks; one function a width by a constant argument. */
static inline void tiles_of(char *dst, const char *src, int64_t na, int64_t nb, int64_t da,
                            int64_t sb, size_t size) {
    enum { BLOCK = 16 };
    for (int64_t a0 = 0; a0 < na; a0 += BLOCK) {
        int64_t a1 = FR_MIN(a0 + BLOCK, na);
        for (int64_t b0 = 0; b0 < nb; b0 += BLOCK) {
            int64_t b1 = FR_MIN(b0 + BLOCK, nb);
            for (int64_t a = a0; a < a1; a++) {
                char *d = dst + (size_t)(a * da + b0) * size;
                const char *s = src + (size_t)(a + b0 * sb) * size;
                for (int64_t b = b0; b < b1; b++, d += size, s += (size_t)sb * size)
                    memcpy(d, s, size);
            }
        }
    }
}

static void copy_tiles(const fr_copy *c, const char *src, char *dst, int64_t na) {
    int64_t nb = c->dim[c->rank - 1], da = c->dst_stride[c->rank - 2];
    int64_t sb = c->src_stride[c->rank - 1];
    switch (c->size) {
    case 1: tiles_of(dst, src, na, nb, da, sb, 1); break;
    case 2: tiles_of(dst, src, na, nb, da, sb, 2); break;
    case 4: tiles_of(dst, src, na, nb, da, sb, 4); break;
    default: tiles_of(dst, src, na, nb, da, sb, c->size); break;
    }
}

static inline void elements_of(char *dst, const char *src, int64_t n, int64_t ds, int64_t ss,
                               size_t size) {
    for (int64_t i = 0; i < n; i++)
        memcpy(dst + (size_t)(i * ds) * size, src + i * ss * (int64_t)size, size);
}

static void copy_elements(const fr_copy *c, const char *src, char *dst, int64_t na) {
    int a = c->rank - 2, b = c->rank - 1;
    for (int64_t i = 0; i < na; i++) {
        char *d = dst + (size_t)(i * c->dst_stride[a]) * c->size;
        const char *s = src + (size_t)(i * c->src_stride[a]) * c->size;
        int64_t n = c->dim[b], ds = c->dst_stride[b], ss = c->src_stride[b];
        switch (c->size) {
        case 1: elements_of(d, s, n, ds, ss, 1); break;
        case 2: elements_of(d, s, n, ds, ss, 2); break;
        case 4: elements_of(d, s, n, ds, ss, 4); break;
        default: elements_of(d, s, n, ds, ss, c->size); break;
        }
    }
}

static void copy_piece(const plan *p, const char *src, char *dst, int64_t row, int64_t rows) {
    const fr_copy *c = &p->c;
    int a = c->rank - 2;
    src += (size_t)(row * c->src_stride[a]) * c->size;
    dst += (size_t)(row * c->dst_stride[a]) * c->size;
    if (p->rows)
        rows_fixed(dst, src, rows, c->dst_stride[a] * (int64_t)c->size,
                   c->src_stride[a] * (int64_t)c->size, (size_t)c->dim[a + 1] * c->size);
    else if (p->tiles)
        copy_tiles(c, src, dst, rows);
    else
        copy_elements(c, src, dst, rows);
}

/* Planes first .. last-1, rows row .. row+rows-1 of each. */
static void walk(const plan *p, int64_t first, int64_t last, int64_t row, int64_t rows) {
    const fr_copy *c = &p->c;
    int64_t at[FR_COPY_DIMS] = {0}, s = 0, d = 0, left = first;
    for (int i = c->rank - 3; i >= 0; i--) {
        at[i] = left % c->dim[i];
        left /= c->dim[i];
        s += at[i] * c->src_stride[i];
        d += at[i] * c->dst_stride[i];
    }
    for (int64_t plane = first; plane < last; plane++) {
        copy_piece(p, (const char *)c->src + s * (int64_t)c->size,
                   (char *)c->dst + d * (int64_t)c->size, row, rows);
        for (int i = c->rank - 3; i >= 0; i--) {
            s += c->src_stride[i], d += c->dst_stride[i];
            if (++at[i] < c->dim[i]) break;
            s -= at[i] * c->src_stride[i], d -= at[i] * c->dst_stride[i];
            at[i] = 0;
        }
    }
}

static void run_item(void *arg, size_t item) {
    const plan *p = arg;
    int64_t rows = p->c.dim[p->c.rank - 2];
    if (p->pieces > 1) {
        int64_t plane = (int64_t)item / p->pieces, row = (int64_t)item % p->pieces * p->piece;
        walk(p, plane, plane + 1, row, FR_MIN(p->piece, rows - row));
    } else {
        int64_t first = (int64_t)item * p->planes_at_once;
        walk(p, first, FR_MIN(first + p->planes_at_once, p->outer), 0, rows);
    }
}

/* A transpose wants the source's contiguous axis next to the last. */
static void choose_way(plan *p) {
    fr_copy *c = &p->c;
    int last = c->rank - 1;
    if (c->dst_stride[last] != 1) return;
    if (c->src_stride[last] == 1) {
        p->rows = true;
        return;
    }
    for (int i = last - 1; i >= 0 && !p->tiles; i--) {
        if (c->src_stride[i] != 1 || c->dim[i] < 4) continue;
        swap_axes(c, i, last - 1);
        p->tiles = true;
    }
}

void fr_copy_run(const fr_copy *copy, fr_pool *pool) {
    plan p = {.c = *copy};
    for (int i = 0; i < copy->rank; i++)
        if (copy->dim[i] == 0) return;
    normalize(&p.c);
    choose_way(&p);
    p.outer = 1;
    for (int i = 0; i < p.c.rank - 2; i++) p.outer *= p.c.dim[i];
    int64_t rows = p.c.dim[p.c.rank - 2];
    int64_t row_bytes = p.c.dim[p.c.rank - 1] * (int64_t)p.c.size;
    /* Whole blocks of a transpose stay in one piece. */
    p.piece = (int64_t)fr_round_up((size_t)(PIECE_BYTES / row_bytes + 1), 16);
    if (p.rows) p.piece = FR_MAX_OF(PIECE_BYTES / row_bytes, 1);
    p.pieces = (rows + p.piece - 1) / p.piece;
    p.planes_at_once = FR_MAX_OF(PIECE_BYTES / (row_bytes * rows), 1);
    int64_t items =
        p.pieces > 1 ? p.outer * p.pieces : (p.outer + p.planes_at_once - 1) / p.planes_at_once;
    fr_pool_run(items > 1 ? pool : NULL, (size_t)items, run_item, &p);
}

void fr_copy_tensor(const fr_tensor *src, const fr_tensor *dst, fr_pool *pool) {
    fr_copy c = {
        .rank = src->rank, .size = fr_value_bytes(src->dtype), .src = src->data, .dst = dst->data};
    for (int i = 0; i < src->rank; i++) {
        c.dim[i] = src->dim[i];
        c.src_stride[i] = src->stride[i];
        c.dst_stride[i] = dst->stride[i];
    }
    fr_copy_run(&c, pool);
}

fr_status fr_need_plain(const char *op, const fr_tensor *t) {
    char text[FR_SHAPE_TEXT];
    if (fr_dtype_get(t->dtype)->block == 1) return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "%s of %s: values of this type are packed in blocks and cannot be moved singly",
                   op, fr_shape_text(t, text));
}

fr_status fr_need_axis(const char *op, const fr_tensor *t, int axis, int *out) {
    char text[FR_SHAPE_TEXT];
    if (axis < -t->rank || axis >= t->rank)
        return fr_fail(FR_INVALID, "%s of %s: there is no axis %d", op, fr_shape_text(t, text),
                       axis);
    *out = axis < 0 ? axis + t->rank : axis;
    return FR_OK;
}

void fr_cost_move(const fr_call *c, fr_cost *cost) {
    (void)c;
    cost->ops = 0;
}
