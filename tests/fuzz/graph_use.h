/* graph_use.h: does with a graph all that a file of unknown origin may make the program do: writes
 * it as JSON, prints, draws, costs it; and when it is small runs it, as it is and fused. Whatever
 * it says, that computes something or fails with a message.
 */
#ifndef FUZZ_GRAPH_USE_H
#define FUZZ_GRAPH_USE_H

#include "graph/file.h"

#define FUZZ_RUN_BYTES 1e6
#define FUZZ_RUN_OPS   1e6

/* Numbers without a pattern, most integers small: as indices they may lie anywhere. */
static inline void fuzz_fill(fr_tensor *t, uint64_t stream) {
    size_t bytes = fr_bytes(t);
    fr_rng r = fr_rng_new(7, stream);
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)t->data)[i] = (uint8_t)fr_rng_below(&r, 256);
    if (t->dtype == FR_BOOL)
        for (size_t i = 0; i < bytes; i++) ((uint8_t *)t->data)[i] &= 1;
    if (t->dtype == FR_I32)
        for (size_t i = 0; i < bytes / 4; i++)
            if (i % 8 != 7) ((int32_t *)t->data)[i] &= 3;
}

static inline void fuzz_run(fr_graph *g) {
    enum { MOST = 8 };
    fr_tensor in[MOST];
    fr_session *s;
    if (g->input_count > MOST || fr_session_new_with(g, NULL, &s)) return;
    bool ready = !fr_session_init_random(s, 1, 1);
    for (size_t i = 0; i < g->input_count; i++) {
        in[i] = g->values[g->inputs[i]]->desc;
        in[i].data = fr_alloc(FR_MEM_OTHER, fr_bytes(&in[i]));
        if (in[i].data)
            fuzz_fill(&in[i], i);
        else
            ready = false;
    }
    /* Twice: the second time the plan and the packed weights are there. */
    for (int k = 0; ready && k < 2; k++) fr_session_run(s, in, (int)g->input_count);
    for (size_t i = 0; i < g->input_count; i++) fr_free(in[i].data);
    fr_session_free(s);
}

static inline double fuzz_outside_bytes(const fr_graph *g) {
    double bytes = 0;
    for (size_t v = 0; v < g->value_count; v++)
        if (g->values[v]->kind != FR_VALUE_NONE && g->values[v]->kind != FR_VALUE_NODE)
            bytes += (double)fr_bytes(&g->values[v]->desc);
    return bytes;
}

static inline void fuzz_run_if_small(fr_graph *g) {
    fr_graph_cost cost;
    if (fr_graph_cost_of(g, &cost)) return;
    if (cost.total.ops > FUZZ_RUN_OPS) return;
    if (cost.peak_activation_bytes + fuzz_outside_bytes(g) > FUZZ_RUN_BYTES) return;
    fuzz_run(g);
}

static inline void fuzz_use(fr_graph *g) {
    fr_json *again;
    FILE *nowhere = fopen("/dev/null", "w");
    if (!fr_graph_to_json(g, &again)) fr_json_free(again);
    if (nowhere) {
        fr_graph_print(g, nowhere);
        fr_graph_dot(g, nowhere);
        fclose(nowhere);
    }
    fuzz_run_if_small(g);
    if (!fr_fuse(g, FR_FUSE_ALL, NULL)) fuzz_run_if_small(g);
}

#endif
