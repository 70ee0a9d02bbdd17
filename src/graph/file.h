/* file.h: a graph as JSON, and graph and weights together as one safetensors file.
 *
 * The JSON is a list of steps that builds the graph again, in order:
 *
 *     {"version": 1,
 *      "steps": [{"input": "x", "dtype": "f32", "dim": [1, 784]},
 *                {"param": "fc.weight", "dtype": "f32", "dim": [10, 784]},
 *                {"constant": "constant.4", "dtype": "f32", "dim": [10]},
 *                {"op": "linear", "name": "fc.linear", "in": [1, 2, 0, 0],
 *                 "attr": {"act": "relu"}}],
 *      "outputs": {"y": 4}}
 *
 * Each step makes the next value, or as many as its operator has outputs. "in" counts values from
 * 1, and 0 is an absent operand. The values of a constant are the tensor of that name. In a
 * safetensors file the text is the metadata "frugal.graph". */
#ifndef FR_GRAPH_FILE_H
#define FR_GRAPH_FILE_H

#include "graph/graph.h"

#define FR_GRAPH_METADATA "frugal.graph"

/* Dead nodes and nodes of the backward pass are left out. */
fr_status fr_graph_to_json(const fr_graph *g, fr_json **out);
/* constants: where constants are found; may be NULL when there are none. */
fr_status fr_graph_from_json(const fr_json *j, const fr_store *constants, fr_graph **out);

#endif
