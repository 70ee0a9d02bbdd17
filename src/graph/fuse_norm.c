/* fuse_norm.c: an adaptive norm in one node: modulate(norm(x), scale, shift) becomes the norm with
 * its scale and shift operands, one pass over x in place of two. */
#include <string.h>

#include "graph/fuse.h"

/* Operands of the norm before scale and shift. */
static int own_operands(const fr_op *op) {
    return op == &fr_op_rmsnorm ? 2 : 3;
}

static void fuse(fr_graph *g, const int32_t *uses, fr_node *last) {
    fr_val in[5] = {FR_NONE, FR_NONE, FR_NONE, FR_NONE, FR_NONE};
    fr_node *n = fr_maker_of(g, last->in[0], &fr_op_rmsnorm);
    if (!n) n = fr_maker_of(g, last->in[0], &fr_op_layernorm);
    if (!n || uses[last->in[0]] != 1) return;
    int own = own_operands(n->op);
    for (int i = 0; i < n->nin; i++) {
        if (i >= own && n->in[i] != FR_NONE) return; /* it has some already */
        in[i] = n->in[i];
    }
    for (int i = 1; i < last->nin && i < 3; i++) in[own + i - 1] = last->in[i];
    const char *name = n->name;
    if (!fr_rewrite_node(g, last, n->op, own + 2, in, n->attr)) return;
    last->name = name;
    n->dead = true;
}

fr_status fr_fuse_norms(fr_graph *g) {
    int32_t *uses;
    FR_TRY(fr_uses_of(g, &uses));
    for (size_t i = 0; i < g->node_count; i++) {
        fr_node *n = g->nodes[i];
        if (!n->dead && n->op == &fr_op_modulate) fuse(g, uses, n);
    }
    fr_free(uses);
    return FR_OK;
}
