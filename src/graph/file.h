/* file.h: a graph as JSON, and graph and weights together as one safetensors file.
 *
 * The JSON is a list of steps that builds the graph again, in order:
 *
 *     {"version": 1,
 *      "steps": [{"input": "x", "dtype": "f32", "dim": [1, 784]},
 *                {"param": "fc.weight", "dtype": "f32", "dim": [10, 784]},
 *                {"constant": "constant.4", "dtype": ...},        its values are a tensor of the
 * file
 *                {"op": "linear", "name": "fc.linear", "in": [0, 1, -1, -1], "attr": {"act":
 * "relu"}}], "outputs": {"y": 2}}
 *
 * Each step makes the next value, or as many as its operator has outputs; "in" counts values from
 * 0, and -1 is an absent operand. In a safetensors file the text is the metadata "frugal.graph". */
#ifndef FR_GRAPH_FILE_H
#define FR_GRAPH_FILE_H

#include "graph/graph.h"

#define FR_GRAPH_METADATA "frugal.graph"

/* Dead nodes and nodes of the backward pass are left out. */
fr_status fr_graph_to_json(const fr_graph *g, fr_json **out);
/* constants: where constants are found; may be NULL when there are none. */
fr_status fr_graph_from_json(const fr_json *j, const fr_store *constants, fr_graph **out);

#endif
