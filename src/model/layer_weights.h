/* layer_weights.h: the weights of a decoder's layer as f32 matrices to be changed in place, found by name in a list.
 *
 * What a file keeps in one piece (Phi-3's qkv_proj, gate_up_proj) is seen as its parts. For passes that rewrite
 * weights: rotate.h, smooth.h, reorder.h. */
#ifndef FR_MODEL_LAYER_WEIGHTS_H
#define FR_MODEL_LAYER_WEIGHTS_H

#include "model/decoder.h"

/* Linears that read the same value, by what that is. */
typedef enum fr_place {
    FR_PLACE_QKV,  /* the first norm; q, k, v */
    FR_PLACE_OUT,  /* what attention gives; o */
    FR_PLACE_UP,   /* the second norm; gate and up of all experts, and the router */
    FR_PLACE_DOWN, /* act(gate) up; down */
    FR_PLACES
} fr_place;
extern const char *const fr_place_names[FR_PLACES]; /* "qkv" */
/* How many values flow into the linears of a place; of all experts, one after the other. */
int64_t fr_place_inputs(const fr_decoder *m, fr_place place);

typedef struct fr_matrix {
    float *data; /* NULL: there is none */
    float *bias; /* [rows], or NULL */
    int64_t rows, cols;
} fr_matrix;

typedef struct fr_weights { /* what a pass is given */
    const fr_decoder *m;
    const fr_named_tensor *list;
    size_t count;
    int64_t layer;
} fr_weights;

/* One row for vectors. What is not there, or is not f32 of this shape, is refused by name. */
fr_status fr_weights_find(const fr_weights *w, const char *name, int64_t rows, int64_t cols,
                          fr_matrix *out);

typedef struct fr_attention_weights {
    fr_matrix norm;           /* before it, [1, width] */
    fr_matrix q, k, v, o;     /* with biases where the model has them */
    fr_matrix q_norm, k_norm; /* of each head, [1, head_dim]; data NULL: none */
} fr_attention_weights;
fr_status fr_weights_attention(const fr_weights *w, fr_attention_weights *out);

typedef struct fr_mlp_weights {
    fr_matrix gate, up, down;
} fr_mlp_weights;
/* The norm before it, and the router of experts (data NULL: there is one MLP for all). */
fr_status fr_weights_mlp_front(const fr_weights *w, fr_matrix *norm, fr_matrix *router);
/* Expert 0 is the MLP of a model without any. */
fr_status fr_weights_mlp(const fr_weights *w, int64_t expert, fr_mlp_weights *out);
static inline int64_t fr_weights_mlps(const fr_decoder *m) {
    return m->experts ? m->experts : 1;
}

/* ---- changes ---- */

/* Row r times by[r], with its bias; column c times by[c]. */
void fr_matrix_scale_rows(const fr_matrix *a, const float *by);
void fr_matrix_scale_columns(const fr_matrix *a, const float *by);
/* The largest magnitude of each column, where that is above most[c]. */
void fr_matrix_column_most(const fr_matrix *a, float *most);

#endif
