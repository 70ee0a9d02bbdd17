/* llama_config.c: the numbers of a model of the Llama kind. */
#include "model/llama.h"

static int64_t layer_params(const fr_llama *m) {
    int64_t q = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim;
    return m->width * (2 * q + 2 * kv + 3 * m->hidden) + 2 * m->width;
}

int64_t fr_llama_params(const fr_llama *m) {
    return (m->tied ? 1 : 2) * m->vocab * m->width + m->layers * layer_params(m) + m->width;
}
