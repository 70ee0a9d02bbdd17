/* file_write.c: from a graph to JSON (file.h), and to a file together with a session's weights. */
#include "graph/file.h"
#include "graph/session.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- attributes ---- */

static json_t *float_json(float v) {
    if (isfinite(v)) return json_real((double)v);
    return json_string(isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

static json_t *element_json(fr_attr_kind kind, const char *at, int i) {
    switch (kind) {
    case FR_ATTR_I32: return json_integer(((const int32_t *)(const void *)at)[i]);
    case FR_ATTR_I64: return json_integer(((const int64_t *)(const void *)at)[i]);
    case FR_ATTR_F32: return float_json(((const float *)(const void *)at)[i]);
    case FR_ATTR_BOOL: return json_boolean(((const bool *)at)[i]);
    /* one that chooses */
    default: return json_string(fr_attr_word(kind, ((const int32_t *)(const void *)at)[i]));
    }
}

static json_t *attr_json(const fr_node *n) {
    json_t *out = json_object();
    for (const fr_attr_field *f = n->op->fields; f && f->kind != FR_ATTR_END; f++) {
        const char *at = (const char *)n->attr + f->offset;
        json_t *value = NULL;
        if (f->count == 0) {
            value = element_json(f->kind, at, 0);
        } else {
            value = json_array();
            for (int i = 0; i < f->count; i++)
                json_array_append_new(value, element_json(f->kind, at, i));
        }
        json_object_set_new(out, f->name, value);
    }
    return out;
}

/* ---- steps ---- */

typedef struct writer {
    const fr_graph *g;
    json_t *steps;
    fr_val *number; /* of each value of the graph in the file; FR_NONE: left out */
    fr_val next;
} writer;

static void write_value(writer *w, fr_val v, const char *kind) {
    const fr_value *value = fr_value_of(w->g, v);
    json_t *dim = json_array();
    for (int d = 0; d < value->desc.rank; d++)
        json_array_append_new(dim, json_integer(value->desc.dim[d]));
    json_array_append_new(w->steps, json_pack("{s:s, s:s, s:o}", kind, value->name, "dtype",
                                              fr_dtype_name(value->desc.dtype), "dim", dim));
    w->number[v] = w->next++;
}

static void write_node(writer *w, const fr_node *n) {
    json_t *in = json_array();
    for (int i = 0; i < n->nin; i++) json_array_append_new(in, json_integer(w->number[n->in[i]]));
    json_t *step = json_pack("{s:s, s:s, s:o}", "op", n->op->name, "name", n->name, "in", in);
    if (n->op->attr_bytes) json_object_set_new(step, "attr", attr_json(n));
    json_array_append_new(w->steps, step);
    for (int i = 0; i < n->nout; i++) w->number[n->out0 + i] = w->next++;
}

static bool is_written(const fr_node *n) {
    return !n->dead && !n->backward;
}

/* Values from outside that a node or an output uses come first, inputs always and in order. */
static void write_sources(writer *w) {
    static const struct {
        fr_value_kind kind;
        const char *name;
    } kinds[] = {{FR_VALUE_INPUT, "input"},
                 {FR_VALUE_PARAM, "param"},
                 {FR_VALUE_STATE, "state"},
                 {FR_VALUE_CONST, "constant"}};
    const fr_graph *g = w->g;
    bool *used = fr_alloc(FR_MEM_OTHER, g->value_count + 1);
    if (!used) return;
    for (size_t i = 0; i < g->node_count; i++)
        for (int k = 0; is_written(g->nodes[i]) && k < g->nodes[i]->nin; k++)
            if (g->nodes[i]->in[k] != FR_NONE) used[g->nodes[i]->in[k]] = true;
    for (size_t i = 0; i < g->output_count; i++) used[g->outputs[i]] = true;
    for (size_t i = 0; i < g->input_count; i++) write_value(w, g->inputs[i], "input");
    for (size_t k = 1; k < FR_COUNT(kinds); k++)
        for (size_t v = 0; v < g->value_count; v++)
            if (used[v] && g->values[v]->kind == kinds[k].kind)
                write_value(w, (fr_val)v, kinds[k].name);
    fr_free(used);
}

/* Outputs of the backward pass are left out with it. */
static json_t *write_outputs(const writer *w) {
    json_t *out = json_object();
    for (size_t i = 0; i < w->g->output_count; i++)
        if (w->number[w->g->outputs[i]] != FR_NONE)
            json_object_set_new(out, w->g->output_names[i],
                                json_integer(w->number[w->g->outputs[i]]));
    return out;
}

fr_status fr_graph_to_json(const fr_graph *g, fr_json **out) {
    writer w = {.g = g, .steps = json_array(), .next = 1};
    w.number = fr_alloc_array(FR_MEM_OTHER, g->value_count, sizeof *w.number);
    if (!w.number) {
        json_decref(w.steps);
        return FR_NOMEM;
    }
    for (size_t i = 0; i < g->value_count; i++) w.number[i] = FR_NONE;
    write_sources(&w);
    for (size_t i = 0; i < g->node_count; i++)
        if (is_written(g->nodes[i])) write_node(&w, g->nodes[i]);
    *out =
        json_pack("{s:i, s:o, s:o}", "version", 1, "steps", w.steps, "outputs", write_outputs(&w));
    fr_free(w.number);
    return *out ? FR_OK : fr_fail(FR_NOMEM, "The graph does not fit into memory as JSON.");
}

/* ---- graph and weights in one file ---- */

static size_t collect_tensors(fr_session *s, const fr_graph *g, const fr_json *j,
                              fr_named_tensor *list) {
    size_t n = 0, i;
    json_t *step;
    json_array_foreach(json_object_get(j, "steps"), i, step) {
        const char *param = json_string_value(json_object_get(step, "param"));
        const char *constant = json_string_value(json_object_get(step, "constant"));
        if (param) {
            list[n++] = (fr_named_tensor){param, fr_session_tensor(s, fr_graph_find(g, param))};
        } else if (constant) {
            list[n++] = (fr_named_tensor){constant, &g->values[fr_graph_find(g, constant)]->desc};
        }
    }
    return n;
}

fr_status fr_session_save(fr_session *s, const char *path) {
    const fr_graph *g = s->graph;
    fr_json *j;
    FR_TRY(fr_graph_to_json(g, &j));
    char *text = json_dumps(j, JSON_COMPACT);
    size_t steps = json_array_size(json_object_get(j, "steps"));
    fr_named_tensor *list = fr_alloc_array(FR_MEM_OTHER, steps, sizeof *list);
    fr_status st =
        text && list ? FR_OK : fr_fail(FR_NOMEM, "%s: no memory to write the graph.", path);
    size_t n = st ? 0 : collect_tensors(s, g, j, list);
    for (size_t i = 0; !st && i < n; i++)
        if (!list[i].tensor || !list[i].tensor->data)
            st = fr_fail(FR_INVALID, "%s: the parameter %s has no value yet.", path, list[i].name);
    fr_meta_pair meta[] = {{FR_GRAPH_METADATA, text}, {"format", "frugal"}};
    if (!st) st = fr_safetensors_write(path, list, n, meta, FR_COUNT(meta));
    fr_free(list);
    free(text);
    fr_json_free(j);
    return st;
}
