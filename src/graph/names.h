/* names.h: a map from names to small numbers, for thousands of parameters and nodes. */
#ifndef FR_GRAPH_NAMES_H
#define FR_GRAPH_NAMES_H

#include "graph/graph.h"

/* The number kept for a name, to read or to change; NULL when there is none. */
int32_t *fr_names_get(const fr_names *m, const char *name);
/* The name must live as long as the map, and be new. */
fr_status fr_names_put(fr_names *m, const char *name, int32_t number);
void fr_names_free(fr_names *m);

#endif
