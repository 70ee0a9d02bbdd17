/* linear_attention.h (op): what linear attention and its gradient share.
 *
 *     y_i = (a_i S) / (a_i z + eps)    a = relu(q)  S = sum_j relu(k_j)T v_j  z = sum_j relu(k_j)
 *
 * A state is S and z of one head: S in panels of `lanes` columns, [panel][ld][lanes], zeros past
 * dim, then z [ld]. Sums over tokens are cut into chunks whose size follows from the number of tokens
 * alone, and the chunks are added in order. */
#ifndef FR_OP_LINEAR_ATTENTION_H
#define FR_OP_LINEAR_ATTENTION_H

#include "op/attention.h"

typedef struct lin_shape {
    int64_t batch, m, n, heads, dim, ld;
    int64_t width; /* dim in whole panels */
    int lanes, panels;
    int64_t state; /* values of one state */
    bool half;
    float eps;
} lin_shape;

typedef struct lin_attr {
    float eps;
} lin_attr;
extern const fr_attr_field lin_fields[];
/* Refuses operands and attributes that do not fit; op: for the message. */
fr_status lin_check(const char *op, const fr_tensor *q, const fr_tensor *k, const fr_tensor *v,
                    const lin_attr *a);

lin_shape lin_shape_of(const fr_tensor *q, const fr_tensor *k, float eps);
int64_t lin_chunk(int64_t tokens);
static inline int64_t lin_chunks(int64_t tokens) {
    return tokens ? (tokens + lin_chunk(tokens) - 1) / lin_chunk(tokens) : 0;
}

/* Values of scratch for the states of `tokens` tokens, one a chunk and head, and for a thread. */
int64_t lin_state_values(const lin_shape *s, int64_t tokens);
int64_t lin_thread_values(const lin_shape *s);
/* S and z of every head (b heads + h), `stride` values apart; blocks: one a thread. */
void lin_states(const lin_shape *s, const fr_tensor *k, const fr_tensor *v, float *states,
                float *blocks, fr_pool *pool);
/* Adds the other chunks of each head into its first. */
void lin_join(const lin_shape *s, int64_t chunks, float *states, fr_pool *pool);

fr_status lin_grad_rule(fr_grad *r);

#endif
