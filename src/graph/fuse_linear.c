/* fuse_linear.c: what stands behind a linear or a convolution goes into its epilogue:
 *
 *     x wT, + bias, act(...), + residual
 *
 * so that the product is touched once, while it is still in registers. The last node of the chain
 * takes over the work, for only there are all operands known. */
#include <string.h>

#include "graph/fuse.h"

enum { X, WEIGHT, BIAS, RESIDUAL, OPERANDS };

/* A linear or convolution whose result nobody else reads; its operands, absent ones FR_NONE. */
static fr_node *product(const fr_graph *g, const int32_t *uses, fr_val v, fr_val in[OPERANDS]) {
    fr_node *n = fr_maker_of(g, v, &fr_op_linear);
    if (!n) n = fr_maker_of(g, v, &fr_op_conv);
    if (!n || uses[v] != 1) return NULL;
    for (int i = 0; i < OPERANDS; i++) in[i] = i < n->nin ? n->in[i] : FR_NONE;
    return n;
}

/* Both attributes begin with the function. */
static int32_t act_of(const fr_node *n) {
    return *(const int32_t *)n->attr;
}

static bool take_over(fr_graph *g, fr_node *last, fr_node *n, const fr_val *in, int32_t act) {
    uint8_t attr[FR_ATTR_MAX];
    memcpy(attr, n->attr, n->op->attr_bytes);
    memcpy(attr, &act, sizeof act);
    if (!fr_rewrite_node(g, last, n->op, OPERANDS, in, attr)) return false;
    last->name = n->name;
    n->dead = true;
    return true;
}

static void fuse_act(fr_graph *g, const int32_t *uses, fr_node *last) {
    fr_val in[OPERANDS];
    fr_node *n = product(g, uses, last->in[0], in);
    int32_t fn = fr_attr_of(last, "fn", FR_FN_NONE);
    if (!n || fn <= FR_FN_NONE || fn > FR_FN_HSWISH) return;
    if (act_of(n) == FR_FN_NONE && in[RESIDUAL] == FR_NONE) take_over(g, last, n, in, fn);
}

static bool is_bias(const fr_graph *g, fr_val v, const fr_node *n) {
    const fr_tensor *t = &g->values[v]->desc;
    const fr_tensor *w = &g->values[n->in[WEIGHT]]->desc;
    return g->values[v]->kind == FR_VALUE_PARAM && t->rank == 1 && t->dim[0] == w->dim[0];
}

/* One side of an addition is a product, the other a bias or a residual. */
static bool fuse_side(fr_graph *g, const int32_t *uses, fr_node *last, int side) {
    fr_val in[OPERANDS], other = last->in[1 - side];
    fr_node *n = product(g, uses, last->in[side], in);
    if (!n || in[RESIDUAL] != FR_NONE) return false;
    const fr_tensor *a = &g->values[last->in[side]]->desc, *b = &g->values[other]->desc;
    if (is_bias(g, other, n) && in[BIAS] == FR_NONE && act_of(n) == FR_FN_NONE)
        in[BIAS] = other;
    else if (fr_same_shape(a, b) && a->dtype == b->dtype)
        in[RESIDUAL] = other;
    else
        return false;
    return take_over(g, last, n, in, act_of(n));
}

fr_status fr_fuse_linears(fr_graph *g) {
    int32_t *uses;
    FR_TRY(fr_uses_of(g, &uses));
    for (size_t i = 0; i < g->node_count; i++) {
        fr_node *n = g->nodes[i];
        if (n->dead) continue;
        if (n->op == &fr_op_unary) {
            fuse_act(g, uses, n);
        } else if (n->op == &fr_op_binary && fr_attr_of(n, "kind", -1) == FR_ADD) {
            /* The later product last: the other one is ready by then. */
            if (!fuse_side(g, uses, n, 1)) fuse_side(g, uses, n, 0);
        }
    }
    fr_free(uses);
    return FR_OK;
}
