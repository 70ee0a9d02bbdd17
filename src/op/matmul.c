/* matmul.c: scale * op(a) op(b) over the last two axes; leading axes broadcast as in NumPy.
 *
 * When b has no leading axes of its own, the leading axes of a are rows of one large product.
 * Otherwise the innermost leading axis (with those around it that run on at the same stride) is a
 * batch, and what is left is a loop around it.
 *
 * Gradient of c = s op(a) op(b):
 *     da = s dc op(b)T, or, stored transposed, s op(b) dcT
 *     db = s op(a)T dc, or s dcT op(a)
 * summed over the axes along which an operand was broadcast. */
#include <string.h>

#include "op/each.h"
#include "op/gemm.h"
#include "op/grads.h"

typedef struct matmul_attr {
    bool ta, tb;
    float scale;
} matmul_attr;

static const fr_attr_field matmul_fields[] = {
    {"ta", FR_ATTR_BOOL, offsetof(matmul_attr, ta), 0},
    {"tb", FR_ATTR_BOOL, offsetof(matmul_attr, tb), 0},
    {"scale", FR_ATTR_F32, offsetof(matmul_attr, scale), 0},
    {0},
};

fr_val fr_matmul(fr_graph *g, fr_val a, fr_val b, bool ta, bool tb, float scale) {
    matmul_attr attr;
    memset(&attr, 0, sizeof attr); /* padding too: attributes are compared and copied as bytes */
    attr.ta = ta, attr.tb = tb, attr.scale = scale;
    fr_val in[] = {a, b};
    return fr_emit(g, &fr_op_matmul, 2, in, &attr);
}

/* ---- shape ---- */

static fr_status refuse(const fr_call *c, const char *why) {
    const matmul_attr *attr = c->attr;
    char a[FR_SHAPE_TEXT], b[FR_SHAPE_TEXT];
    return fr_fail(FR_INVALID, "matmul of a %s%s and b %s%s: %s", fr_shape_text(&c->in[0], a),
                   attr->ta ? " (transposed)" : "", fr_shape_text(&c->in[1], b),
                   attr->tb ? " (transposed)" : "", why);
}

static bool is_float(const fr_tensor *t) {
    return t->dtype == FR_F32 || t->dtype == FR_BF16;
}

static fr_status matmul_shape(const fr_call *c) {
    const matmul_attr *attr = c->attr;
    const fr_tensor *a = &c->in[0], *b = &c->in[1];
    fr_tensor *y = &c->out[0];
    if (!is_float(a) || !is_float(b)) return refuse(c, "both must be f32 or bf16");
    if (a->rank < 2 || b->rank < 2) return refuse(c, "both need at least two axes");
    if (fr_dim(a, attr->ta ? -2 : -1) != fr_dim(b, attr->tb ? -1 : -2))
        return refuse(c, "the inner dimensions differ");
    y->dtype = a->dtype == b->dtype ? a->dtype : FR_F32;
    y->rank = FR_MAX_OF(a->rank, b->rank);
    y->dim[y->rank - 2] = fr_dim(a, attr->ta ? -1 : -2);
    y->dim[y->rank - 1] = fr_dim(b, attr->tb ? -2 : -1);
    for (int i = 0; i < y->rank - 2; i++) {
        int ia = i - (y->rank - a->rank), ib = i - (y->rank - b->rank);
        int64_t da = ia < 0 ? 1 : a->dim[ia], db = ib < 0 ? 1 : b->dim[ib];
        if (da != db && da != 1 && db != 1) return refuse(c, "the leading axes do not broadcast");
        y->dim[i] = da == 1 ? db : da;
    }
    return FR_OK;
}

/* ---- run ---- */

/* One leading axis: its length, and the stride of each operand along it (0: broadcast). */
typedef struct axis {
    int64_t count, a, b, c;
} axis;

typedef struct job {
    fr_gemm_batch batch;
    axis outer[FR_MAX_DIMS]; /* loops around the batch */
    int outers;
} job;

static int64_t stride_of(const fr_tensor *t, int i) {
    return i < 0 || t->dim[i] == 1 ? 0 : t->stride[i];
}

/* The leading axes from the inside out, joined where all three run on. */
static int leading_axes(const fr_call *c, axis out[FR_MAX_DIMS]) {
    const fr_tensor *a = &c->in[0], *b = &c->in[1], *y = &c->out[0];
    int64_t c_stride = y->dim[y->rank - 2] * y->dim[y->rank - 1];
    int count = 0;
    for (int i = y->rank - 3; i >= 0; i--) {
        if (y->dim[i] == 1) continue;
        axis x = {y->dim[i], stride_of(a, i - (y->rank - a->rank)),
                  stride_of(b, i - (y->rank - b->rank)), c_stride};
        axis *in = count ? &out[count - 1] : NULL;
        if (in && x.a == in->a * in->count && x.b == in->b * in->count) {
            in->count *= x.count;
        } else {
            out[count++] = x;
        }
        c_stride *= y->dim[i];
    }
    return count;
}

static int64_t row_step(const fr_tensor *t) {
    return t->dim[t->rank - 2] == 1 ? t->dim[t->rank - 1] : t->stride[t->rank - 2];
}

static job plan(const fr_call *c) {
    const matmul_attr *attr = c->attr;
    const fr_tensor *a = &c->in[0], *b = &c->in[1], *y = &c->out[0];
    job j = {.batch.count = 1};
    fr_gemm *g = &j.batch.g;
    g->m = y->dim[y->rank - 2], g->n = y->dim[y->rank - 1];
    g->k = fr_dim(a, attr->ta ? -2 : -1);
    g->a = a->data, g->a_type = a->dtype, g->lda = row_step(a), g->ta = attr->ta;
    g->b = b->data, g->b_type = b->dtype, g->ldb = row_step(b), g->tb = attr->tb;
    g->c = y->data, g->c_type = y->dtype, g->ldc = g->n;
    g->alpha = attr->scale;
    g->b_packed = c->packed;
    axis lead[FR_MAX_DIMS];
    int count = leading_axes(c, lead), used = 0;
    if (count && lead[0].b == 0 && !g->ta && (g->m == 1 || lead[0].a == g->m * g->lda)) {
        if (g->m == 1) g->lda = lead[0].a; /* rows of one product */
        g->m *= lead[0].count;
        used = 1;
    }
    if (count > used) {
        axis x = lead[used++];
        j.batch.count = x.count, j.batch.stride_a = x.a, j.batch.stride_b = x.b;
        j.batch.stride_c = x.c;
    }
    while (used < count) j.outer[j.outers++] = lead[used++];
    return j;
}

static fr_status matmul_run(const fr_call *c) {
    const matmul_attr *attr = c->attr;
    if (fr_values(&c->out[0]) == 0) return FR_OK;
    if (attr->scale == 0) { /* which the driver reads as 1 */
        memset(c->out[0].data, 0, fr_bytes(&c->out[0]));
        return FR_OK;
    }
    job j = plan(c);
    int64_t total = 1;
    for (int i = 0; i < j.outers; i++) total *= j.outer[i].count;
    for (int64_t at = 0; at < total; at++) {
        fr_gemm_batch b = j.batch;
        int64_t left = at, a_off = 0, b_off = 0, c_off = 0;
        for (int i = 0; i < j.outers; i++) {
            int64_t index = left % j.outer[i].count;
            left /= j.outer[i].count;
            a_off += index * j.outer[i].a, b_off += index * j.outer[i].b;
            c_off += index * j.outer[i].c;
        }
        b.g.a = (const char *)b.g.a + (size_t)a_off * (b.g.a_type == FR_BF16 ? 2 : 4);
        b.g.b = (const char *)b.g.b + (size_t)b_off * (b.g.b_type == FR_BF16 ? 2 : 4);
        b.g.c = (char *)b.g.c + (size_t)c_off * (b.g.c_type == FR_BF16 ? 2 : 4);
        fr_gemm_batch_run(&b, c->scratch, c->pool);
    }
    return FR_OK;
}

static size_t matmul_scratch(const fr_call *c) {
    job j = plan(c);
    return fr_gemm_batch_scratch(&j.batch, c->pool);
}

/* Only a single b is packed ahead. */
static size_t matmul_pack_bytes(const fr_call *c) {
    job j = plan(c);
    const fr_tensor *b = &c->in[1];
    for (int i = 0; i < b->rank - 2; i++)
        if (b->dim[i] != 1) return 0;
    return fr_gemm_pack_bytes(&j.batch.g);
}

static fr_status matmul_pack(const fr_call *c, void *out) {
    job j = plan(c);
    fr_gemm_pack_b(&j.batch.g, out, c->pool);
    return FR_OK;
}

/* ---- gradient ---- */

static fr_val as_like(fr_graph *g, fr_val v, fr_val like) {
    return fr_as_type(g, fr_unbroadcast(g, v, like), like);
}

static fr_val grad_b(fr_grad *r, const matmul_attr *attr) {
    fr_graph *g = r->g;
    fr_val a = r->in[0], b = r->in[1], dc = r->dout[0];
    const fr_tensor *da = fr_desc(g, a), *db = fr_desc(g, b);
    if (db->rank == 2 && da->rank > 2 && !attr->ta && fr_dim(da, -1) > 0) {
        /* the sum over rows does it all */
        int64_t k = fr_dim(da, -1), rows = fr_rows(da), n = db->dim[attr->tb ? 0 : 1];
        /* The number of rows may be another one at run time. */
        a = fr_reshape(g, a, 2, (int64_t[]){-1, k});
        dc = fr_reshape(g, dc, 2, (int64_t[]){n > 0 ? -1 : rows, n});
    }
    fr_val d = attr->tb ? fr_matmul(g, dc, a, true, attr->ta, attr->scale)
                        : fr_matmul(g, a, dc, !attr->ta, false, attr->scale);
    return as_like(g, d, b);
}

static fr_status matmul_grad(fr_grad *r) {
    const matmul_attr *attr = r->attr;
    fr_graph *g = r->g;
    fr_val a = r->in[0], b = r->in[1], dc = r->dout[0];
    if (dc == FR_NONE) return FR_OK;
    if (r->need[0]) {
        fr_val d = attr->ta ? fr_matmul(g, b, dc, attr->tb, true, attr->scale)
                            : fr_matmul(g, dc, b, false, !attr->tb, attr->scale);
        r->din[0] = as_like(g, d, a);
    }
    if (r->need[1]) r->din[1] = grad_b(r, attr);
    return FR_OK;
}

static void matmul_cost(const fr_call *c, fr_cost *cost) {
    const matmul_attr *attr = c->attr;
    double k = (double)fr_dim(&c->in[0], attr->ta ? -2 : -1);
    cost->ops = 2 * k * (double)fr_values(&c->out[0]);
    cost->read = (double)fr_bytes(&c->in[0]) + (double)fr_bytes(&c->in[1]);
    cost->write = (double)fr_bytes(&c->out[0]);
}

const fr_op fr_op_matmul = {
    .name = "matmul",
    .nin_min = 2,
    .nin_max = 2,
    .nout = 1,
    .strided = 3,
    .attr_bytes = sizeof(matmul_attr),
    .fields = matmul_fields,
    .shape = matmul_shape,
    .run = matmul_run,
    .scratch = matmul_scratch,
    .pack_inputs = 2,
    .pack_bytes = matmul_pack_bytes,
    .pack = matmul_pack,
    .grad = matmul_grad,
    .cost = matmul_cost,
};
