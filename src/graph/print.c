/* print.c: a graph for people: a table, one line a node, and a drawing for Graphviz. */
#include <string.h>

#include "graph/infer.h"
#include "graph/plan.h"

/* ---- words ---- */

static const char *value_name(const fr_graph *g, fr_val v) {
    const fr_value *x = g->values[v];
    return x->kind == FR_VALUE_NODE ? g->nodes[x->node]->name : x->name;
}

static size_t put_element(char *buf, size_t size, const fr_attr_field *f, const uint8_t *at,
                          int i) {
    const char *word;
    int n = 0;
    switch (f->kind) {
    case FR_ATTR_I32: n = snprintf(buf, size, "%d", ((const int32_t *)(const void *)at)[i]); break;
    case FR_ATTR_I64:
        n = snprintf(buf, size, "%lld", (long long)((const int64_t *)(const void *)at)[i]);
        break;
    case FR_ATTR_F32:
        n = snprintf(buf, size, "%g", (double)((const float *)(const void *)at)[i]);
        break;
    case FR_ATTR_BOOL: n = snprintf(buf, size, "%s", ((const bool *)at)[i] ? "yes" : "no"); break;
    default: /* one that chooses */
        word = fr_attr_word(f->kind, ((const int32_t *)(const void *)at)[i]);
        n = snprintf(buf, size, "%s", word ? word : "?");
    }
    return n > 0 ? FR_MIN((size_t)n, size - 1) : 0;
}

static size_t element_bytes(fr_attr_kind kind) {
    return kind == FR_ATTR_BOOL ? sizeof(bool) : kind == FR_ATTR_I64 ? 8 : 4;
}

/* Zero is worth a word where it is one choice among equals. */
static bool zero_counts(fr_attr_kind kind) {
    return kind == FR_ATTR_BINARY || kind == FR_ATTR_REDUCTION;
}

void fr_node_attr_text(const fr_node *n, char *buf, size_t size) {
    static const uint8_t zeros[FR_ATTR_MAX];
    size_t at = 0;
    buf[0] = 0;
    for (const fr_attr_field *f = n->op->fields; f && f->kind != FR_ATTR_END; f++) {
        const uint8_t *value = (const uint8_t *)n->attr + f->offset;
        int count = FR_MAX_OF(f->count, 1);
        bool zero = !memcmp(value, zeros, element_bytes(f->kind) * (size_t)count);
        if (zero && !zero_counts(f->kind)) continue;
        if (at + strlen(f->name) + 24 > size) return;
        at += (size_t)snprintf(buf + at, size - at, "%s%s=", at ? " " : "", f->name);
        for (int i = 0; i < count && at + 24 < size; i++) {
            if (i) buf[at++] = ',';
            at += put_element(buf + at, size - at, f, value, i);
        }
    }
}

static char *count_text(char *buf, double n) {
    if (n > 0) return fr_show_count(buf, n);
    strcpy(buf, "-");
    return buf;
}

/* ---- the table ---- */

static void print_node(const fr_graph *g, size_t i, fr_table *t) {
    const fr_node *n = g->nodes[i];
    char attrs[200], shape[FR_SHAPE_TEXT], number[3][32];
    fr_cost c = {0};
    if (fr_node_cost(g, i, &c)) return;
    fr_node_attr_text(n, attrs, sizeof attrs);
    fr_table_cell(t, "%s", n->name);
    fr_table_cell(t, "%s", n->op->name);
    fr_table_cell(t, "%s", attrs);
    fr_table_cell(t, "%s", fr_shape_text(&g->values[n->out0]->desc, shape));
    fr_table_cell(t, "%s", count_text(number[0], c.ops));
    fr_table_cell(t, "%s", fr_show_bytes(number[1], c.read + c.write));
    fr_table_cell(t, "%s", fr_show_bytes(number[2], c.param));
}

static void print_totals(const fr_graph_cost *cost, FILE *out) {
    const fr_graph_cost c = *cost;
    char text[7][32];
    fprintf(out,
            "%zu nodes, %s operations, %s read, %s written; parameters %s, states %s, arena %s\n",
            c.nodes, fr_show_count(text[0], c.total.ops), fr_show_bytes(text[1], c.total.read),
            fr_show_bytes(text[2], c.total.write), fr_show_bytes(text[3], c.param_bytes),
            fr_show_bytes(text[4], c.state_bytes), fr_show_bytes(text[5], c.peak_activation_bytes));
}

fr_status fr_graph_print(fr_graph *g, FILE *out) {
    bool *live;
    fr_graph_cost cost;
    FR_TRY(fr_graph_cost_of(g, &cost));
    FR_TRY(fr_live_nodes(g, &live));
    fr_table *t = fr_table_new("node|op|attributes|output|>operations|>activations|>weights");
    for (size_t i = 0; t && i < g->node_count; i++)
        if (live[i]) print_node(g, i, t);
    if (t) fr_table_print(t, out);
    fr_free(live);
    if (!t) return FR_NOMEM;
    fr_table_free(t);
    print_totals(&cost, out);
    return FR_OK;
}

/* ---- the drawing ---- */

/* Inside a quoted string of the DOT language. */
static void put_escaped(const char *s, FILE *out) {
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') fputc('\\', out);
        if ((unsigned char)*s < 32)
            fprintf(out, "\\\\x%02x", (unsigned char)*s);
        else
            fputc(*s, out);
    }
}

static void draw_value(const fr_graph *g, fr_val v, FILE *out) {
    static const char *const look[] = {
        [FR_VALUE_INPUT] = "shape=ellipse, style=filled, fillcolor=\"#cfe8ff\"",
        [FR_VALUE_PARAM] = "shape=box, style=\"filled,rounded\", fillcolor=\"#eeeeee\"",
        [FR_VALUE_STATE] = "shape=cylinder, style=filled, fillcolor=\"#ffe6b3\"",
        [FR_VALUE_CONST] = "shape=box, style=dashed",
    };
    char shape[FR_SHAPE_TEXT];
    fprintf(out, "  v%d [label=\"", v);
    put_escaped(value_name(g, v), out);
    fprintf(out, "\\n%s\", %s];\n", fr_shape_text(&g->values[v]->desc, shape),
            look[g->values[v]->kind]);
}

static void draw_edge(const fr_graph *g, fr_val v, const char *to, size_t index, FILE *out) {
    const fr_value *x = g->values[v];
    if (x->kind == FR_VALUE_NODE)
        fprintf(out, "  n%d -> %s%zu;\n", x->node, to, index);
    else
        fprintf(out, "  v%d -> %s%zu;\n", v, to, index);
}

static void draw_node(const fr_graph *g, size_t i, bool *drawn, FILE *out) {
    const fr_node *n = g->nodes[i];
    char attrs[200], shape[FR_SHAPE_TEXT];
    fr_node_attr_text(n, attrs, sizeof attrs);
    fprintf(out, "  n%zu [shape=box, label=\"", i);
    put_escaped(n->name, out);
    fprintf(out, "\\n%s%s", n->op->name, attrs[0] ? " " : "");
    put_escaped(attrs, out);
    fprintf(out, "\\n%s\"];\n", fr_shape_text(&g->values[n->out0]->desc, shape));
    for (int k = 0; k < n->nin; k++) {
        fr_val v = n->in[k];
        if (v == FR_NONE) continue;
        if (g->values[v]->kind != FR_VALUE_NODE && !drawn[v]) draw_value(g, v, out);
        drawn[v] = true;
        draw_edge(g, v, "n", i, out);
    }
}

static void draw_output(const fr_graph *g, size_t i, bool *drawn, FILE *out) {
    fr_val v = g->outputs[i];
    if (g->values[v]->kind != FR_VALUE_NODE && !drawn[v]) draw_value(g, v, out);
    drawn[v] = true;
    fprintf(out, "  out%zu [shape=ellipse, style=filled, fillcolor=\"#d5f5d5\", label=\"", i);
    put_escaped(g->output_names[i], out);
    fprintf(out, "\"];\n");
    draw_edge(g, v, "out", i, out);
}

fr_status fr_graph_dot(fr_graph *g, FILE *out) {
    bool *live;
    FR_TRY(fr_graph_check(g));
    FR_TRY(fr_live_nodes(g, &live));
    bool *drawn = fr_alloc(FR_MEM_OTHER, g->value_count + 1);
    if (!drawn) {
        fr_free(live);
        return FR_NOMEM;
    }
    fprintf(out, "digraph frugal {\n  rankdir=TB;\n  node [fontname=\"sans-serif\"];\n");
    for (size_t i = 0; i < g->node_count; i++)
        if (live[i]) draw_node(g, i, drawn, out);
    for (size_t i = 0; i < g->output_count; i++) draw_output(g, i, drawn, out);
    fprintf(out, "}\n");
    fr_free(live);
    fr_free(drawn);
    return FR_OK;
}
