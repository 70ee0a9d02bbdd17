/* fuzz_graph.c: any text as a graph: read and used, or refused.
 */
#include "graph_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fr_json *j;
    fr_graph *g;
    if (fr_json_parse((const char *)data, bytes, "fuzz", &j)) return 0;
    if (!fr_graph_from_json(j, NULL, &g)) {
        fuzz_use(g);
        fr_graph_free(g);
    }
    fr_json_free(j);
    return 0;
}
