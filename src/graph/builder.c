/* builder.c: how a graph comes to be: values, nodes, names and scopes.
 *
 * An error is kept in the graph, the first one wins, and whatever is called after it returns
 * FR_NONE; so a model is written without a check on every line, and fr_graph_check says at the end
 * what went wrong and where. */
#include "graph/builder.h"

#include <string.h>

#include "graph/infer.h"

static fr_val keep_error(fr_graph *g, fr_status st) {
    if (g->status) return FR_NONE;
    g->status = st ? st : FR_INVALID;
    fr_free(g->message);
    g->message = fr_strdup(fr_message());
    return FR_NONE;
}

/* For errors of constructors, which do not know where in the model they stand. */
static fr_val keep_constructor_error(fr_graph *g, fr_status st) {
    if (!g->status && g->scope[0]) fr_fail_in(st, "%s", g->scope);
    return keep_error(g, st);
}

/* ---- names ---- */

static const char *scoped_name(fr_graph *g, const char *name) {
    size_t a = strlen(g->scope), b = strlen(name);
    char *full = fr_arena_alloc(g->arena, a + b + 16);
    if (full) snprintf(full, a + b + 16, "%s%s%s", g->scope, a ? "." : "", name);
    return full;
}

/* "layers.0.linear", then "layers.0.linear_2" and so on. */
static fr_status name_node(fr_graph *g, fr_node *n) {
    const char *base = scoped_name(g, n->op->name);
    if (!base) return FR_NOMEM;
    size_t number;
    bool again;
    n->name = base;
    FR_TRY(fr_names_add(&g->node_names, base, &number, &again));
    FR_TRY(fr_grow((void **)&g->node_name_uses, &g->node_name_cap, g->node_names.count,
                   sizeof *g->node_name_uses));
    if (!again) {
        g->node_name_uses[number] = 1;
        return FR_OK;
    }
    char *full = fr_arena_alloc(g->arena, strlen(base) + 16);
    if (!full) return FR_NOMEM;
    snprintf(full, strlen(base) + 16, "%s_%d", base, ++g->node_name_uses[number]);
    n->name = full;
    return FR_OK;
}

void fr_scope(fr_graph *g, const char *name) {
    if (!g || g->status) return;
    size_t old = strlen(g->scope), len = name ? strlen(name) : 0;
    if (!len) {
        fr_fail(FR_INVALID, "A scope needs a name, and got an empty one.");
        keep_constructor_error(g, FR_INVALID);
        return;
    }
    fr_status st = fr_grow((void **)&g->scope_ends, &g->scope_depth_cap, g->scope_depth + 1,
                           sizeof *g->scope_ends);
    if (!st) st = fr_grow((void **)&g->scope, &g->scope_cap, old + len + 2, 1);
    if (st) {
        keep_error(g, st);
        return;
    }
    g->scope_ends[g->scope_depth++] = old;
    snprintf(g->scope + old, len + 2, "%s%s", old ? "." : "", name);
}

void fr_scope_end(fr_graph *g) {
    if (!g || g->status) return;
    if (!g->scope_depth) {
        keep_error(g, fr_fail(FR_INVALID, "fr_scope_end was called without an open scope."));
        return;
    }
    g->scope[g->scope_ends[--g->scope_depth]] = 0;
}

/* ---- values ---- */

static const fr_tensor *desc(const fr_graph *g, fr_val v) {
    static const fr_tensor none;
    return v > 0 && (size_t)v < g->value_count ? &g->values[v]->desc : &none;
}

static fr_value *add_value(fr_graph *g, fr_value_kind kind, const fr_tensor *t) {
    if (g->value_count >= INT32_MAX - 1) {
        fr_fail(FR_NOMEM, "The graph has more than 2^31 values.");
        return NULL;
    }
    if (fr_grow((void **)&g->values, &g->value_cap, g->value_count + 1, sizeof *g->values))
        return NULL;
    fr_value *v = fr_arena_alloc(g->arena, sizeof *v);
    if (!v) return NULL;
    *v = (fr_value){.kind = kind, .desc = *t, .node = -1, .input = -1, .whole = FR_NONE};
    g->values[g->value_count++] = v;
    return v;
}

static const char *const kind_word[] = {"none", "node", "input", "parameter", "state", "constant"};

static fr_status check_free(const fr_graph *g, const char *name) {
    if (fr_names_find(&g->value_names, name) == FR_NO_NAME) return FR_OK;
    return fr_fail(FR_INVALID,
                   "The graph already has an input, parameter, state or constant named '%s'.",
                   name);
}

/* The value that was made last gets a name that is free. */
static fr_status name_last(fr_graph *g, const char *name) {
    size_t number;
    bool again;
    FR_TRY(fr_names_add(&g->value_names, name, &number, &again));
    FR_TRY(fr_grow((void **)&g->named_values, &g->named_cap, number + 1, sizeof *g->named_values));
    g->named_values[number] = (fr_val)(g->value_count - 1);
    g->values[g->value_count - 1]->name = name;
    return FR_OK;
}

static fr_status add_named(fr_graph *g, fr_value_kind kind, const char *name, fr_dtype t, int rank,
                           const int64_t *dim, fr_val *out) {
    if (!name || !name[0]) return fr_fail(FR_INVALID, "The %s needs a name.", kind_word[kind]);
    const char *full = scoped_name(g, name);
    if (!full) return FR_NOMEM;
    if (t <= FR_NOTYPE || t >= FR_DTYPE_COUNT)
        return fr_fail(FR_INVALID, "The %s '%s' has no valid number type.", kind_word[kind], full);
    if (rank > 0 && !dim)
        return fr_fail(FR_INVALID, "The %s '%s' has no dimensions.", kind_word[kind], full);
    FR_TRY(fr_shape_check(full, t, rank, dim));
    FR_TRY(check_free(g, full));
    fr_tensor shape = fr_tensor_make(t, rank, dim, NULL);
    if (!add_value(g, kind, &shape)) return FR_NOMEM;
    *out = (fr_val)(g->value_count - 1);
    return name_last(g, full);
}

static fr_val named(fr_graph *g, fr_value_kind kind, const char *name, fr_dtype t, int rank,
                    const int64_t *dim) {
    fr_val v = FR_NONE;
    if (!g || g->status) return FR_NONE;
    fr_status st = add_named(g, kind, name, t, rank, dim, &v);
    return st ? keep_error(g, st) : v;
}

fr_val fr_input(fr_graph *g, const char *name, fr_dtype t, int rank, const int64_t *dim) {
    fr_val v = named(g, FR_VALUE_INPUT, name, t, rank, dim);
    if (v == FR_NONE) return v;
    fr_status st =
        fr_grow((void **)&g->inputs, &g->input_cap, g->input_count + 1, sizeof *g->inputs);
    if (st) return keep_error(g, st);
    g->values[v]->input = (int32_t)g->input_count;
    g->inputs[g->input_count++] = v;
    return v;
}

fr_val fr_param(fr_graph *g, const char *name, fr_dtype t, int rank, const int64_t *dim) {
    return named(g, FR_VALUE_PARAM, name, t, rank, dim);
}

fr_val fr_state(fr_graph *g, const char *name, fr_dtype t, int rank, const int64_t *dim) {
    return named(g, FR_VALUE_STATE, name, t, rank, dim);
}

/* "constant.7", or the first number behind that is free. */
static fr_status constant_name(fr_graph *g, const char **out) {
    char name[32];
    for (size_t n = g->value_count;; n++) {
        snprintf(name, sizeof name, "constant.%zu", n);
        if (fr_names_find(&g->value_names, name) == FR_NO_NAME) break;
    }
    *out = fr_arena_strdup(g->arena, name);
    return *out ? FR_OK : FR_NOMEM;
}

static fr_status add_constant(fr_graph *g, const char *name, const fr_tensor *value, fr_val *out) {
    if (!value || value->dtype <= FR_NOTYPE || value->dtype >= FR_DTYPE_COUNT)
        return fr_fail(FR_INVALID, "A constant has no valid number type.");
    FR_TRY(fr_shape_check("a constant", value->dtype, value->rank, value->dim));
    fr_tensor t = fr_tensor_make(value->dtype, value->rank, value->dim, NULL);
    if (!value->data && fr_bytes(&t)) return fr_fail(FR_INVALID, "A constant has no data.");
    if (name) {
        FR_TRY(check_free(g, name));
        name = fr_arena_strdup(g->arena, name);
        if (!name) return FR_NOMEM;
    } else {
        FR_TRY(constant_name(g, &name));
    }
    uint8_t *copy = fr_arena_alloc(g->arena, fr_bytes(&t) + FR_ALIGN);
    fr_value *v = copy ? add_value(g, FR_VALUE_CONST, &t) : NULL;
    if (!v) return FR_NOMEM;
    v->desc.data = copy + (-(uintptr_t)copy & (FR_ALIGN - 1));
    if (value->data) fr_copy_contiguous(value, v->desc.data);
    *out = (fr_val)(g->value_count - 1);
    return name_last(g, name);
}

fr_val fr_constant_named(fr_graph *g, const char *name, const fr_tensor *value) {
    fr_val v = FR_NONE;
    if (!g || g->status) return FR_NONE;
    fr_status st = add_constant(g, name, value, &v);
    return st ? keep_constructor_error(g, st) : v;
}

fr_val fr_constant(fr_graph *g, const fr_tensor *value) {
    return fr_constant_named(g, NULL, value);
}

static fr_status add_output(fr_graph *g, const char *name, fr_val v) {
    if (!name || !name[0]) return fr_fail(FR_INVALID, "An output needs a name.");
    if (v <= 0 || (size_t)v >= g->value_count)
        return fr_fail(FR_INVALID, "The output '%s' is given no value.", name);
    if (fr_names_find(&g->output_index, name) != FR_NO_NAME)
        return fr_fail(FR_INVALID, "The graph already has an output named '%s'.", name);
    FR_TRY(fr_grow((void **)&g->outputs, &g->output_cap, g->output_count + 1, sizeof *g->outputs));
    FR_TRY(fr_grow((void **)&g->output_names, &g->output_name_cap, g->output_count + 1,
                   sizeof *g->output_names));
    const char *copy = fr_arena_strdup(g->arena, name);
    if (!copy) return FR_NOMEM;
    size_t number;
    bool again;
    FR_TRY(fr_names_add(&g->output_index, copy, &number, &again));
    g->output_names[g->output_count] = copy;
    g->outputs[g->output_count++] = v;
    return FR_OK;
}

void fr_output(fr_graph *g, const char *name, fr_val v) {
    if (!g || g->status) return;
    fr_status st = add_output(g, name, v);
    if (st) keep_error(g, st);
}

/* ---- nodes ---- */

static fr_status check_emit(const fr_graph *g, const fr_node *n) {
    const fr_op *op = n->op;
    if (n->nin < op->nin_min || n->nin > op->nin_max || n->nin > FR_NODE_INPUTS)
        return fr_fail(FR_INVALID, "%s: %s takes %d to %d inputs and was given %d.", n->name,
                       op->name, op->nin_min, op->nin_max, n->nin);
    if (op->nout < 1 || op->nout > FR_NODE_OUTPUTS)
        return fr_fail(FR_INVALID, "%s: %s says that it has %d outputs.", n->name, op->name,
                       op->nout);
    if (op->attr_bytes > FR_ATTR_MAX)
        return fr_fail(FR_INVALID, "%s: the attributes of %s have %zu bytes, more than %d.",
                       n->name, op->name, op->attr_bytes, FR_ATTR_MAX);
    for (int i = 0; i < n->nin; i++) {
        if (n->in[i] == FR_NONE ? i < op->nin_min
                                : n->in[i] < 0 || (size_t)n->in[i] >= g->value_count)
            return fr_fail(FR_INVALID, "%s: input %d of %s is missing.", n->name, i, op->name);
    }
    if ((op->flags & FR_OP_STATE) && fr_state_of(g, n->in[0]) == FR_NONE)
        return fr_fail(FR_INVALID, "%s: %s may only write to a state.", n->name, op->name);
    return FR_OK;
}

fr_val fr_state_of(const fr_graph *g, fr_val v) {
    while (v != FR_NONE && g->values[v]->kind == FR_VALUE_NODE) {
        const fr_node *n = g->nodes[g->values[v]->node];
        if (!(n->op->flags & FR_OP_STATE) || g->values[v]->out != 0) return FR_NONE;
        v = n->in[0];
    }
    return v != FR_NONE && g->values[v]->kind == FR_VALUE_STATE ? v : FR_NONE;
}

bool fr_state_changes(const fr_graph *g, fr_val state, size_t from) {
    for (size_t i = from; i < g->node_count; i++) {
        const fr_node *n = g->nodes[i];
        if (!n->dead && (n->op->flags & FR_OP_STATE) && fr_state_of(g, n->in[0]) == state)
            return true;
    }
    return false;
}

static fr_node *make_node(fr_graph *g, const fr_op *op, int nin, const fr_val *in,
                          const void *attr) {
    fr_node *n = fr_arena_alloc(g->arena, sizeof *n);
    fr_val *ins = fr_arena_alloc(g->arena, (size_t)FR_MAX_OF(nin, 1) * sizeof *ins);
    size_t bytes = attr ? FR_MIN(op->attr_bytes, (size_t)FR_ATTR_MAX) : 0;
    void *attrs = fr_arena_alloc(g->arena, FR_MAX_OF(op->attr_bytes, 1));
    if (!n || !ins || !attrs) return NULL;
    if (nin > 0) memcpy(ins, in, (size_t)nin * sizeof *ins);
    if (bytes) memcpy(attrs, attr, bytes);
    *n = (fr_node){.op = op,
                   .nin = nin,
                   .nout = op->nout,
                   .in = ins,
                   .attr = attrs,
                   .backward = g->backward,
                   .segment = g->segment};
    return n;
}

static fr_status add_node(fr_graph *g, fr_node *n) {
    fr_tensor in[FR_NODE_INPUTS], out[FR_NODE_OUTPUTS];
    FR_TRY(name_node(g, n));
    FR_TRY(check_emit(g, n));
    for (int i = 0; i < n->nin; i++) {
        in[i] = *desc(g, n->in[i]);
        in[i].data = NULL;
    }
    FR_TRY(fr_infer_node(n, in, out));
    FR_TRY(fr_grow((void **)&g->nodes, &g->node_cap, g->node_count + 1, sizeof *g->nodes));
    n->out0 = (fr_val)g->value_count;
    for (int i = 0; i < n->nout; i++) {
        fr_value *v = add_value(g, FR_VALUE_NODE, &out[i]);
        if (!v) return FR_NOMEM;
        v->node = (int32_t)g->node_count;
        v->out = i;
    }
    g->nodes[g->node_count++] = n;
    return FR_OK;
}

static fr_val emit(fr_graph *g, const fr_op *op, int nin, const fr_val *in, const void *attr) {
    if (g->status) return FR_NONE;
    fr_node *n = nin < 0 ? NULL : make_node(g, op, nin, in, attr);
    if (!n) return keep_error(g, fr_fail(FR_NOMEM, "There is no memory for a node %s.", op->name));
    fr_status st = add_node(g, n);
    return st ? keep_error(g, st) : n->out0;
}

/* ---- the graph itself ---- */

fr_graph *fr_graph_new(void) {
    fr_graph *g = fr_alloc(FR_MEM_OTHER, sizeof *g);
    if (!g) return NULL;
    g->builder = (fr_builder){.emit = emit, .desc = desc, .refuse = keep_constructor_error};
    g->segment = -1;
    g->arena = fr_arena_new();
    fr_status st = fr_grow((void **)&g->scope, &g->scope_cap, 64, 1);
    if (!g->arena || st || !add_value(g, FR_VALUE_NONE, &(fr_tensor){.dtype = FR_NOTYPE})) {
        fr_graph_free(g);
        return NULL;
    }
    g->scope[0] = 0;
    return g;
}

void fr_graph_free(fr_graph *g) {
    if (!g) return;
    fr_arena_free(g->arena);
    fr_free(g->values);
    fr_free(g->nodes);
    fr_free(g->inputs);
    fr_free(g->outputs);
    fr_free(g->output_names);
    fr_names_free(&g->value_names);
    fr_names_free(&g->node_names);
    fr_names_free(&g->output_index);
    fr_free(g->named_values);
    fr_free(g->node_name_uses);
    fr_free(g->scope);
    fr_free(g->scope_ends);
    fr_free(g->message);
    fr_free(g);
}

fr_status fr_graph_check(fr_graph *g) {
    if (!g) return fr_fail(FR_INVALID, "There is no graph.");
    if (!g->status) return FR_OK;
    return fr_fail(g->status, "%s", g->message ? g->message : "The graph could not be built.");
}

fr_val fr_graph_find(const fr_graph *g, const char *name) {
    if (!g || !name) return FR_NONE;
    size_t at = fr_names_find(&g->value_names, name);
    if (at != FR_NO_NAME) return g->named_values[at];
    at = fr_names_find(&g->output_index, name);
    return at != FR_NO_NAME ? g->outputs[at] : FR_NONE;
}
