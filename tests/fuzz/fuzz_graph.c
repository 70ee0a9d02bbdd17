/* fuzz_graph.c: any text as a graph: read, planned and printed, or refused. */
#include "graph/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fr_json *j;
    fr_graph *g;
    if (fr_json_parse((const char *)data, bytes, "fuzz", &j)) return 0;
    if (!fr_graph_from_json(j, NULL, &g)) {
        fr_json *again;
        fr_graph_cost cost;
        if (!fr_graph_to_json(g, &again)) fr_json_free(again);
        fr_graph_cost_of(g, &cost);
        fr_graph_free(g);
    }
    fr_json_free(j);
    return 0;
}
