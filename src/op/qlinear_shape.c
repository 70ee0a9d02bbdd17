/* qlinear_shape.c: the shape rule of qlinear: its parts, its branch and what follows it have to fit. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "op/qlinear.h"

static const char *const names[INPUTS] = {
    [X] = "x",
    [BY] = "by",
    [DOWN] = "down",
    [LOW] = "low",
    [UP] = "up",
    [BIAS] = "the bias",
    [RESIDUAL] = "the residual",
    [NEXT_BY] = "the next by",
    [NEXT_DOWN] = "the next down",
};

static fr_status check_words(const fr_qlinear_attr *a) {
    if (!a->format || !fr_attr_word(FR_ATTR_FORMAT, a->format))
        return fr_fail(FR_INVALID, "qlinear wants a format for its weight, not number %d",
                       (int)a->format);
    if (a->act < 0 || a->act > FR_FN_HSWISH)
        return fr_fail(FR_INVALID, "function %d cannot stand behind a qlinear", (int)a->act);
    if (a->out != FR_F32 && a->out != FR_BF16)
        return fr_fail(FR_INVALID, "qlinear gives f32 or bf16, not %s",
                       a->out > 0 && a->out < FR_DTYPE_COUNT ? fr_dtype_name((fr_dtype)a->out)
                                                             : "an unknown type");
    if (!fr_attr_word(FR_ATTR_ROWS, a->next))
        return fr_fail(FR_INVALID, "there is no kind %d of rows to follow", (int)a->next);
    if (!isfinite(a->add) || !isfinite(a->next_add))
        return fr_fail(FR_INVALID, "what qlinear adds to rows is a number, not %g",
                       (double)(isfinite(a->add) ? a->next_add : a->add));
    int32_t g = a->next_group;
    if (g != 0 && (a->next != FR_ROWS_BF16 || (g != 32 && g != 64 && g != 128)))
        return fr_fail(FR_INVALID,
                       "the next rows cannot have groups of %d: rows of bf16 have "
                       "32, 64 or 128, the others their own",
                       (int)g);
    return FR_OK;
}

static fr_status check_parts(const fr_call *c, const fr_qformat *f) {
    const fr_qlinear_attr *a = c->attr;
    fr_tensor want[FR_PARTS] = {{0}};
    char have_text[FR_SHAPE_TEXT], want_text[FR_SHAPE_TEXT];
    FR_TRY(f->describe(f, a->n, a->k, want));
    for (int i = 0; i < FR_PARTS; i++) {
        if (i >= f->parts) {
            if (fr_has(c, PARTS + i))
                return fr_fail(FR_INVALID, "a weight in %s has %d parts, and qlinear got more",
                               f->name, f->parts);
            continue;
        }
        if (!fr_has(c, PARTS + i))
            return fr_fail(FR_INVALID, "a weight in %s needs its part '%s'", f->name,
                           f->part_name[i]);
        const fr_tensor *have = &c->in[PARTS + i];
        if (have->dtype != want[i].dtype || !fr_same_shape(have, &want[i]))
            return fr_fail(FR_INVALID,
                           "the part '%s' of a weight %lld x %lld in %s is %s, and not %s",
                           f->part_name[i], (long long)a->n, (long long)a->k, f->name,
                           fr_shape_text(&want[i], want_text), fr_shape_text(have, have_text));
    }
    return FR_OK;
}

static fr_status check_x(const fr_call *c, const fr_qrow *row) {
    const fr_qlinear_attr *a = c->attr;
    const fr_tensor *x = &c->in[X];
    char text[FR_SHAPE_TEXT];
    const char *kind = fr_attr_word(FR_ATTR_ROWS, (int32_t)row->kind);
    if (x->rank < 1 || (x->dtype != FR_F32 && x->dtype != FR_BF16 && x->dtype != FR_U8))
        return fr_fail(FR_INVALID, "qlinear takes x in f32 or bf16, or rows in u8, not %s",
                       fr_shape_text(x, text));
    if (x->dtype == FR_U8 && fr_dim(x, -1) != (int64_t)row->bytes)
        return fr_fail(FR_INVALID,
                       "qlinear over k = %lld wants rows of %s with %lld bytes, and x is %s",
                       (long long)a->k, kind, (long long)row->bytes, fr_shape_text(x, text));
    if (x->dtype != FR_U8 && fr_dim(x, -1) != a->k)
        return fr_fail(FR_INVALID, "qlinear with a weight %lld x %lld wants x [..., %lld], not %s",
                       (long long)a->n, (long long)a->k, (long long)a->k, fr_shape_text(x, text));
    return FR_OK;
}

/* Operand i, where there is one: f32, or bf16 too where `half`, of dimensions d0 (and d1 unless 0; -1: any). */
static fr_status check_operand(const fr_call *c, int i, bool half, int64_t d0, int64_t d1) {
    char text[FR_SHAPE_TEXT], want[2][24] = {"any", "any"};
    if (!fr_has(c, i)) return FR_OK;
    const fr_tensor *t = &c->in[i];
    int rank = d1 ? 2 : 1;
    bool fits =
        t->rank == rank && (d0 < 0 || t->dim[0] == d0) && (rank < 2 || d1 < 0 || t->dim[1] == d1);
    if (fits && (t->dtype == FR_F32 || (half && t->dtype == FR_BF16))) return FR_OK;
    if (d0 >= 0) snprintf(want[0], sizeof want[0], "%lld", (long long)d0);
    if (d1 >= 0) snprintf(want[1], sizeof want[1], "%lld", (long long)d1);
    return fr_fail(FR_INVALID, "qlinear wants %s as %s [%s%s%s], not %s", names[i],
                   half ? "f32 or bf16" : "f32", want[0], rank > 1 ? ", " : "",
                   rank > 1 ? want[1] : "", fr_shape_text(t, text));
}

/* The halves of the branch belong together, and come with the x that they read. */
static fr_status check_branch(const fr_call *c, bool floats) {
    const fr_qlinear_attr *a = c->attr;
    char low[FR_SHAPE_TEXT], up[FR_SHAPE_TEXT];
    int first = floats ? DOWN : LOW;
    if (!floats && (fr_has(c, BY) || fr_has(c, DOWN)))
        return fr_fail(FR_INVALID, "x is rows already: `by` and `down` belong where they are made");
    if (floats && fr_has(c, LOW))
        return fr_fail(FR_INVALID, "`low` goes with x as rows; x in floats wants `down`");
    if (fr_has(c, first) != fr_has(c, UP))
        return fr_fail(FR_INVALID, "a low-rank branch is %s and `up`, and one of them is not there",
                       floats ? "`down`" : "`low`");
    FR_TRY(check_operand(c, BY, false, a->k, 0));
    FR_TRY(check_operand(c, UP, true, a->n, -1));
    if (!fr_has(c, UP)) return FR_OK;
    int64_t rank = c->in[UP].dim[1];
    if (floats) return check_operand(c, DOWN, true, rank, a->k);
    fr_tensor want = c->in[X];
    want.dim[want.rank - 1] = rank;
    if (c->in[LOW].dtype != FR_F32 || !fr_same_shape(&c->in[LOW], &want))
        return fr_fail(FR_INVALID,
                       "`up` is %s and `low` is %s: low is f32, a row of ranks for "
                       "every row of x",
                       fr_shape_text(&c->in[UP], up), fr_shape_text(&c->in[LOW], low));
    return FR_OK;
}

static fr_status check_next(const fr_call *c) {
    const fr_qlinear_attr *a = c->attr;
    if (!a->next && (fr_has(c, NEXT_BY) || fr_has(c, NEXT_DOWN)))
        return fr_fail(FR_INVALID, "qlinear gives floats, and got operands of the next rows");
    if (a->next && a->n > FR_Q_MAX_K)
        return fr_fail(FR_UNSUPPORTED, "rows of %lld values are too long for the next product",
                       (long long)a->n);
    FR_TRY(check_operand(c, NEXT_BY, false, a->n, 0));
    return check_operand(c, NEXT_DOWN, true, -1, a->n);
}

fr_status fr_qlinear_shape(const fr_call *c) {
    const fr_qlinear_attr *a = c->attr;
    char text[2][FR_SHAPE_TEXT];
    fr_qweights w;
    fr_qrow row, next;
    if (!fr_has(c, X)) return fr_fail(FR_INVALID, "qlinear needs x");
    FR_TRY(check_words(a));
    const fr_qformat *f = fr_formats[a->format - 1];
    FR_TRY(fr_qweights_of(f, (fr_rows_kind)a->rows, a->n, a->k, &w));
    FR_TRY(check_parts(c, f));
    fr_qrow_of(w.rows, a->k, w.panel.group, &row);
    FR_TRY(check_x(c, &row));
    FR_TRY(check_branch(c, c->in[X].dtype != FR_U8));
    FR_TRY(check_operand(c, BIAS, true, a->n, 0));
    FR_TRY(check_next(c));
    fr_tensor *y = &c->out[0], *low = &c->out[1];
    y->dtype = (fr_dtype)a->out, low->dtype = FR_F32;
    y->rank = low->rank = c->in[X].rank;
    memcpy(y->dim, c->in[X].dim, sizeof y->dim);
    memcpy(low->dim, c->in[X].dim, sizeof low->dim);
    y->dim[y->rank - 1] = a->n;
    low->dim[y->rank - 1] = fr_qlinear_rank(c, NEXT_DOWN);
    if (fr_has(c, RESIDUAL)) {
        const fr_tensor *r = &c->in[RESIDUAL];
        if (!fr_same_shape(r, y) || (r->dtype != FR_F32 && r->dtype != FR_BF16))
            return fr_fail(FR_INVALID, "qlinear gives %s and the residual is %s",
                           fr_shape_text(y, text[0]), fr_shape_text(r, text[1]));
    }
    if (!a->next) return FR_OK;
    fr_qrow_of((fr_rows_kind)a->next, a->n, a->next_group, &next);
    y->dtype = FR_U8;
    y->dim[y->rank - 1] = (int64_t)next.bytes;
    return FR_OK;
}
