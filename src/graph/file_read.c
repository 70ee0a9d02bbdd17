/* file_read.c: from JSON (file.h) to a graph. The text may come from anybody: every name, number
 * and count is checked here, and what the numbers mean together by the shape rule of the operator.
 */
#include "graph/builder.h"
#include "graph/file.h"
#include "graph/infer.h"

#include <math.h>
#include <string.h>

/* ---- attributes ---- */

static bool read_float(const json_t *j, float *out) {
    const char *text = json_string_value(j);
    if (text && !strcmp(text, "inf"))
        *out = INFINITY;
    else if (text && !strcmp(text, "-inf"))
        *out = -INFINITY;
    else if (text && !strcmp(text, "nan"))
        *out = NAN;
    else if (json_is_number(j))
        *out = (float)json_number_value(j);
    else
        return false;
    return true;
}

static bool read_element(fr_attr_kind kind, const json_t *j, char *at, int i) {
    json_int_t n = json_integer_value(j);
    switch (kind) {
    case FR_ATTR_I32: {
        int32_t v = (int32_t)n;
        if (!json_is_integer(j) || n < INT32_MIN || n > INT32_MAX) return false;
        memcpy(at + (size_t)i * sizeof v, &v, sizeof v);
        return true;
    }
    case FR_ATTR_I64: {
        int64_t v = n;
        memcpy(at + (size_t)i * sizeof v, &v, sizeof v);
        return json_is_integer(j);
    }
    case FR_ATTR_F32: {
        float v;
        if (!read_float(j, &v)) return false;
        memcpy(at + (size_t)i * sizeof v, &v, sizeof v);
        return true;
    }
    case FR_ATTR_BOOL: {
        bool v = json_is_true(j);
        memcpy(at + (size_t)i * sizeof v, &v, sizeof v);
        return json_is_boolean(j);
    }
    default: { /* one that chooses */
        const char *word = json_string_value(j);
        int32_t v;
        if (!word || !fr_attr_from_word(kind, word, &v)) return false;
        memcpy(at + (size_t)i * sizeof v, &v, sizeof v);
        return true;
    }
    }
}

static fr_status read_attr(const fr_op *op, const json_t *j, char *attr) {
    for (const fr_attr_field *f = op->fields; f && f->kind != FR_ATTR_END; f++) {
        const json_t *value = json_object_get(j, f->name);
        bool good = value;
        if (good && f->count == 0) good = read_element(f->kind, value, attr + f->offset, 0);
        if (good && f->count) good = json_array_size(value) == (size_t)f->count;
        for (int i = 0; good && i < f->count; i++)
            good = read_element(f->kind, json_array_get(value, (size_t)i), attr + f->offset, i);
        if (!good)
            return fr_fail(FR_FORMAT, "the attribute \"%s\" of %s is missing or of a wrong kind",
                           f->name, op->name);
    }
    return FR_OK;
}

/* ---- steps ---- */

static fr_status read_shape(const json_t *step, fr_tensor *out) {
    const json_t *dim = json_object_get(step, "dim");
    const char *dtype = json_string_value(json_object_get(step, "dtype"));
    size_t rank = json_array_size(dim);
    fr_dtype t = dtype ? fr_dtype_from_name(dtype) : FR_NOTYPE;
    if (t == FR_NOTYPE) return fr_fail(FR_FORMAT, "its number type is missing or unknown");
    if (!json_is_array(dim) || rank > FR_MAX_DIMS)
        return fr_fail(FR_FORMAT, "its \"dim\" is no list of at most %d numbers", FR_MAX_DIMS);
    *out = (fr_tensor){.dtype = t, .rank = (int)rank};
    for (size_t d = 0; d < rank; d++) {
        const json_t *n = json_array_get(dim, d);
        if (!json_is_integer(n))
            return fr_fail(FR_FORMAT, "its \"dim\" holds what is no whole number");
        out->dim[d] = json_integer_value(n);
    }
    return fr_shape_check("it", t, out->rank, out->dim);
}

static fr_status read_constant(fr_graph *g, const char *name, const fr_tensor *shape,
                               const fr_store *store) {
    const fr_tensor *t = store ? fr_store_find(store, name) : NULL;
    if (!t) return fr_fail(FR_FORMAT, "the file has no tensor \"%s\" for that constant", name);
    if (t->dtype != shape->dtype || !fr_same_shape(t, shape))
        return fr_fail(FR_FORMAT, "the tensor \"%s\" has another shape or type than the graph says",
                       name);
    fr_constant_named(g, name, t); /* it keeps the name that the file knows it by */
    return fr_graph_check(g);
}

static fr_status read_node(fr_graph *g, const json_t *step, const char *name) {
    const fr_op *op = fr_op_find(name);
    const json_t *list = json_object_get(step, "in");
    const char *label = json_string_value(json_object_get(step, "name"));
    fr_val in[FR_NODE_INPUTS];
    char attr[FR_ATTR_MAX] = {0};
    if (!op) return fr_fail(FR_FORMAT, "there is no operator \"%s\"", name);
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > FR_NODE_INPUTS)
        return fr_fail(FR_FORMAT, "\"in\" of %s is no list of at most %d values", name,
                       FR_NODE_INPUTS);
    for (size_t i = 0; i < count; i++) {
        const json_t *n = json_array_get(list, i);
        json_int_t v = json_integer_value(n);
        if (!json_is_integer(n) || v < 0 || v >= (json_int_t)g->value_count)
            return fr_fail(FR_FORMAT, "%s uses value %lld, which is not there yet", name,
                           (long long)v);
        in[i] = (fr_val)v; /* 0 is FR_NONE */
    }
    FR_TRY(read_attr(op, json_object_get(step, "attr"), attr));
    fr_emit(g, op, (int)count, in, attr);
    FR_TRY(fr_graph_check(g));
    if (label && *label) g->nodes[g->node_count - 1]->name = fr_arena_strdup(g->arena, label);
    return g->nodes[g->node_count - 1]->name ? FR_OK : FR_NOMEM;
}

static fr_status read_step(fr_graph *g, const json_t *step, const fr_store *store) {
    const char *op = json_string_value(json_object_get(step, "op"));
    const char *input = json_string_value(json_object_get(step, "input"));
    const char *param = json_string_value(json_object_get(step, "param"));
    const char *state = json_string_value(json_object_get(step, "state"));
    const char *constant = json_string_value(json_object_get(step, "constant"));
    if (op) return read_node(g, step, op);
    if (!input && !param && !state && !constant)
        return fr_fail(FR_FORMAT, "it is neither an operator nor a value");
    fr_tensor t;
    FR_TRY(read_shape(step, &t));
    if (constant) return read_constant(g, constant, &t, store);
    if (input)
        fr_input(g, input, t.dtype, t.rank, t.dim);
    else if (param)
        fr_param(g, param, t.dtype, t.rank, t.dim);
    else
        fr_state(g, state, t.dtype, t.rank, t.dim);
    return fr_graph_check(g);
}

static fr_status read_outputs(fr_graph *g, const json_t *outputs) {
    const char *name;
    const json_t *number;
    if (!json_is_object(outputs)) return fr_fail(FR_FORMAT, "\"outputs\" is missing");
    json_object_foreach((json_t *)(uintptr_t)outputs, name, number) {
        json_int_t v = json_integer_value(number);
        if (!json_is_integer(number) || v < 1 || v >= (json_int_t)g->value_count)
            return fr_fail(FR_FORMAT, "the output \"%s\" is no value of the graph", name);
        fr_output(g, name, (fr_val)v);
    }
    return fr_graph_check(g);
}

static fr_status read_graph(fr_graph *g, const fr_json *j, const fr_store *store) {
    const json_t *steps = json_object_get(j, "steps");
    size_t i;
    json_t *step;
    if (json_integer_value(json_object_get(j, "version")) != 1)
        return fr_fail(FR_UNSUPPORTED, "it has no \"version\" 1, the one that this program reads");
    if (!json_is_array(steps)) return fr_fail(FR_FORMAT, "it has no list of \"steps\"");
    json_array_foreach((json_t *)(uintptr_t)steps, i, step) {
        fr_status st = read_step(g, step, store);
        if (st) return fr_fail_in(st, "step %zu", i);
    }
    return read_outputs(g, json_object_get(j, "outputs"));
}

fr_status fr_graph_from_json(const fr_json *j, const fr_store *constants, fr_graph **out) {
    fr_graph *g = fr_graph_new();
    if (!g) return FR_NOMEM;
    fr_status st = read_graph(g, j, constants);
    if (st) {
        fr_graph_free(g);
        return fr_fail_in(st, "the graph");
    }
    *out = g;
    return FR_OK;
}

fr_status fr_graph_open(const fr_store *store, fr_graph **out) {
    const char *text;
    fr_json *j;
    FR_TRY(fr_json_string(fr_store_metadata(store), FR_GRAPH_METADATA, "", &text));
    if (!*text)
        return fr_fail(
            FR_UNSUPPORTED,
            "%s holds tensors but no graph: only files that Frugal saved say how to compute",
            fr_store_path(store));
    FR_TRY(fr_json_parse(text, strlen(text), FR_GRAPH_METADATA, &j));
    fr_status st = fr_graph_from_json(j, store, out);
    fr_json_free(j);
    return st ? fr_fail_in(st, "%s", fr_store_path(store)) : FR_OK;
}
