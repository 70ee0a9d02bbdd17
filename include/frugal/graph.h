/* frugal/graph.h: describe a model as a graph of operators, then run it.
 *
 *     fr_graph *g = fr_graph_new();
 *     fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){1, 784});
 *     fr_val w = fr_param(g, "fc.weight", FR_F32, 2, (int64_t[]){10, 784});
 *     fr_output(g, "y", fr_linear(g, x, w, FR_NONE, FR_NONE, FR_FN_RELU));
 *     fr_session *s;
 *     fr_session_new(g, &s);             says what is wrong with the graph, naming the node
 *     fr_session_load(s, store);         parameters by name
 *     fr_session_run(s, &x_tensor, 1);   inputs in the order in which they were declared
 *     const fr_tensor *y = fr_session_output(s, "y");
 *
 * An error while building is kept in the graph (the first one wins), and every later call quietly
 * returns FR_NONE; fr_graph_check() or fr_session_new() reports it. */
#ifndef FRUGAL_GRAPH_H
#define FRUGAL_GRAPH_H

#include <frugal/store.h>
#include <frugal/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fr_graph fr_graph;
typedef struct fr_session fr_session;

/* A value in a graph. FR_NONE stands for an optional operand that is not there; it is 0, so what is
 * left out of a struct of options is absent. */
typedef int32_t fr_val;
#define FR_NONE ((fr_val)0)

FR_API fr_graph *fr_graph_new(void);
FR_API void fr_graph_free(fr_graph *g);
/* The first error of the building, if any. */
FR_API fr_status fr_graph_check(fr_graph *g);

/* Names nest: between fr_scope("layers.0") and fr_scope_end() a node is "layers.0.<op>". */
FR_API void fr_scope(fr_graph *g, const char *name);
FR_API void fr_scope_end(fr_graph *g);

/* What comes from outside at every run. Another leading shape at run time makes a new plan. */
FR_API fr_val fr_input(fr_graph *g, const char *name, fr_dtype t, int rank, const int64_t *dim);
/* A weight: bound by name, owned by the session. */
FR_API fr_val fr_param(fr_graph *g, const char *name, fr_dtype t, int rank, const int64_t *dim);
/* Lives between runs, starts as zeros; changed only by fr_assign and fr_update_rows. */
FR_API fr_val fr_state(fr_graph *g, const char *name, fr_dtype t, int rank, const int64_t *dim);
/* A value known now; copied. */
FR_API fr_val fr_constant(fr_graph *g, const fr_tensor *value);
FR_API void fr_output(fr_graph *g, const char *name, fr_val v);

/* Adds the backward graph of a scalar; grad[i] becomes the gradient of wrt[i]. */
FR_API fr_status fr_gradients(fr_graph *g, fr_val loss, int count, const fr_val *wrt, fr_val *grad);

FR_API fr_status fr_session_new(fr_graph *g, fr_session **out);
FR_API void fr_session_free(fr_session *s);
/* Binds every parameter from the store by name; shapes must agree, floats are converted. */
FR_API fr_status fr_session_load(fr_session *s, const fr_store *store);
FR_API fr_status fr_session_run(fr_session *s, const fr_tensor *inputs, int count);
/* Good until the next run; NULL when there is no such output. */
FR_API const fr_tensor *fr_session_output(const fr_session *s, const char *name);

#ifdef __cplusplus
}
#endif
#endif
