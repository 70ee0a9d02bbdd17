/* times.c: where the time of a run goes, operator by operator.
 *
 * Nodes that do the same (operator, attributes, shapes) are one line. The time of a node is its shortest over
 * the runs, and of processor time where there is one thread, so that what else the machine did does not
 * count; beside it stands what it takes at
 * least in operations and in bytes moved. What runs took in all, by the clock, is added up by operator. */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "graph/infer.h"
#include "graph/session.h"

fr_status fr_session_time_nodes(fr_session *s) {
    if (s->times) return FR_OK;
    s->times = fr_alloc_array(FR_MEM_OTHER, 4 * s->node_count + 1, sizeof *s->times);
    if (!s->times) return FR_NOMEM;
    s->took = s->times + 2 * s->node_count;
    for (size_t i = 0; i < 2 * s->node_count; i++) s->times[i] = DBL_MAX;
    return FR_OK;
}

/* ---- by operator, over many runs ---- */

static double *time_of(fr_op_times *t, const char *name) {
    int i = 0;
    while (i < t->count && strcmp(t->op[i].name, name) != 0) i++;
    if (i == (int)FR_COUNT(t->op)) i--; /* more kinds than places: the last takes them in */
    if (i == t->count) t->op[t->count++] = (fr_op_time){.name = name};
    return &t->op[i].seconds;
}

void fr_session_add_times(const fr_session *s, fr_op_times *to) {
    if (!s->took || !s->ran) return;
    const fr_plan *p = s->current->plan;
    for (size_t i = 0; i < p->step_count; i++) {
        const fr_step *step = &p->steps[i];
        *time_of(to, step->copy ? "copy" : step->op->name) +=
            s->took[(size_t)step->node * 2 + step->copy];
    }
}

/* ---- node by node, at its shortest ---- */

/* One line of the table; copies that the plan made of a node's value are apart. */
typedef struct line {
    const fr_step *step; /* one of them */
    size_t count;
    double seconds, ops, bytes;
} line;

static bool same_tensors(const fr_operand *a, const fr_operand *b, int n) {
    for (int i = 0; i < n; i++) {
        if ((a[i].place < 0) != (b[i].place < 0)) return false;
        if (a[i].place < 0) continue;
        if (a[i].desc.dtype != b[i].desc.dtype || !fr_same_shape(&a[i].desc, &b[i].desc))
            return false;
    }
    return true;
}

static bool alike(const fr_step *a, const fr_step *b) {
    return a->op == b->op && a->copy == b->copy && a->nin == b->nin && a->nout == b->nout &&
           (!a->attr || !b->attr || !memcmp(a->attr, b->attr, a->op->attr_bytes)) &&
           same_tensors(a->in, b->in, a->nin) && same_tensors(a->out, b->out, a->nout);
}

static int by_time(const void *a, const void *b) {
    double x = ((const line *)a)->seconds, y = ((const line *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void add(const fr_session *s, const fr_step *step, line *to) {
    fr_cost c = {0};
    double least = s->times[(size_t)step->node * 2 + step->copy];
    to->count++;
    if (least < DBL_MAX) to->seconds += least;
    if (step->copy)
        c.read = c.write = (double)fr_bytes(&step->out[0].desc);
    else
        fr_step_cost(s->current->plan, step, &c);
    to->ops += c.ops;
    to->bytes += c.read + c.write + c.param;
}

static size_t collect(const fr_session *s, const fr_plan *p, line *lines) {
    size_t count = 0;
    for (size_t i = 0; i < p->step_count; i++) {
        size_t at = 0;
        while (at < count && !alike(lines[at].step, &p->steps[i])) at++;
        if (at == count) lines[count++] = (line){.step = &p->steps[i]};
        add(s, &p->steps[i], &lines[at]);
    }
    qsort(lines, count, sizeof *lines, by_time);
    return count;
}

static void print_line(const fr_session *s, const line *l, double total, fr_table *t) {
    char shape[2][FR_SHAPE_TEXT], attrs[200] = "copy";
    const fr_step *step = l->step;
    if (!step->copy) fr_node_attr_text(s->graph->nodes[step->node], attrs, sizeof attrs);
    fr_table_cell(t, "%s", step->op->name);
    fr_table_cell(t, "%s", attrs);
    fr_table_cell(t, "%s", step->nin ? fr_shape_text(&step->in[0].desc, shape[0]) : "");
    fr_table_cell(t, "%s", fr_shape_text(&step->out[0].desc, shape[1]));
    fr_table_cell(t, "%zu", l->count);
    fr_table_cell(t, "%.3f", l->seconds * 1e3);
    fr_table_cell(t, "%.1f%%", 100 * l->seconds / total);
    fr_table_cell(t, "%.1f", l->ops / l->seconds / 1e9);
    fr_table_cell(t, "%.1f", l->bytes / l->seconds / 1e9);
}

fr_status fr_session_print_times(const fr_session *s, FILE *out) {
    if (!s->times || !s->current) return fr_fail(FR_INVALID, "No run of the session was timed.");
    const fr_plan *p = s->current->plan;
    line *lines = fr_alloc_array(FR_MEM_OTHER, p->step_count + 1, sizeof *lines);
    fr_table *t = fr_table_new("operator|attributes|input|output|>nodes|>ms|>share|>Gop/s|>GB/s");
    if (!lines || !t) {
        fr_free(lines);
        fr_table_free(t);
        return FR_NOMEM;
    }
    size_t count = collect(s, p, lines);
    double total = 1e-12;
    for (size_t i = 0; i < count; i++) total += lines[i].seconds;
    for (size_t i = 0; i < count; i++) print_line(s, &lines[i], total, t);
    fr_table_print(t, out);
    fprintf(out, "%zu nodes, %.3f ms, each at its shortest\n", p->step_count, total * 1e3);
    fr_table_free(t);
    fr_free(lines);
    return FR_OK;
}
