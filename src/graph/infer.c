/* infer.c: shape inference of one node, used when it is made and again when a plan is made for
 * inputs of another shape. */
#include "graph/infer.h"

#include <string.h>

/* "f32 [2, 3], i32 [4]", cut with "..." when there are many. */
static void list_shapes(const fr_tensor *in, int nin, char *buf, size_t size) {
    size_t at = 0;
    buf[0] = 0;
    for (int i = 0; i < nin; i++) {
        char text[FR_SHAPE_TEXT];
        const char *shape = in[i].dtype == FR_NOTYPE ? "none" : fr_shape_text(&in[i], text);
        if (at + strlen(shape) + 8 > size) {
            snprintf(buf + at, size - at, ", ...");
            return;
        }
        at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? ", " : "", shape);
    }
}

static fr_status blame(const fr_node *n, const fr_tensor *in, fr_status st) {
    char shapes[400];
    list_shapes(in, n->nin, shapes, sizeof shapes);
    return fr_fail(st, "%s: %s (%s of %s)", n->name, fr_message(), n->op->name, shapes);
}

static fr_status check_outputs(const fr_node *n, fr_tensor *out) {
    for (int i = 0; i < n->nout; i++) {
        if (out[i].dtype == FR_NOTYPE)
            return fr_fail(FR_UNSUPPORTED, "the operator gave output %d no type", i);
        FR_TRY(fr_shape_check("its output", out[i].dtype, out[i].rank, out[i].dim));
        fr_set_contiguous(&out[i]);
        out[i].data = NULL;
    }
    return FR_OK;
}

fr_status fr_infer_node(const fr_node *n, const fr_tensor *in, fr_tensor *out) {
    memset(out, 0, (size_t)n->nout * sizeof *out);
    fr_call c = {
        .op = n->op, .attr = n->attr, .nin = n->nin, .nout = n->nout, .in = in, .out = out};
    if (!n->op->shape || !n->op->run)
        return fr_fail(FR_UNSUPPORTED, "%s: the operator %s cannot run yet", n->name, n->op->name);
    fr_message_clear();
    fr_status st = n->op->shape(&c);
    if (st == FR_OK) st = check_outputs(n, out);
    return st == FR_OK ? st : blame(n, in, st);
}

fr_call fr_describe_call(const fr_graph *g, const fr_node *n, fr_tensor *in, fr_tensor *out) {
    for (int i = 0; i < n->nin; i++) {
        in[i] = *fr_desc(g, n->in[i]);
        in[i].data = NULL;
    }
    for (int i = 0; i < n->nout; i++) out[i] = g->values[n->out0 + i]->desc;
    return (fr_call){
        .op = n->op, .attr = n->attr, .nin = n->nin, .nout = n->nout, .in = in, .out = out};
}
