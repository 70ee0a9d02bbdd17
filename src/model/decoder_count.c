/* decoder_count.c: what a decoder has and what a step of training costs, from its numbers alone. */
#include "model/decoder.h"

int64_t fr_decoder_window(const fr_decoder *m, int64_t layer) {
    const bool there = layer >= m->window_from && !(m->window_even && layer % 2);
    return there ? m->window : 0;
}

static int64_t attention_values(const fr_decoder *m) {
    return m->width * 2 * (m->heads + m->kv_heads) * m->head_dim;
}

/* Matrices of an MLP, or of as many experts, and what chooses among them. */
static int64_t mlp_values(const fr_decoder *m, int64_t experts) {
    const int64_t one = 3 * m->width * m->hidden;
    return m->experts ? experts * one + m->experts * m->width : one;
}

/* Norms and biases of a layer. */
static int64_t vector_values(const fr_decoder *m) {
    int64_t n = (m->around ? 4 : 2) * m->width;
    if (m->bias) n += (m->heads + 2 * m->kv_heads) * m->head_dim;
    if (m->bias_out) n += m->width;
    return n + (m->head_norm ? 2 * m->head_dim : 0);
}

int64_t fr_decoder_params(const fr_decoder *m) {
    const int64_t layer = attention_values(m) + mlp_values(m, m->experts) + vector_values(m);
    return (m->tied ? 1 : 2) * m->vocab * m->width + m->layers * layer + m->width;
}

/* Keys that a query sees, on average. */
static double seen(double tokens, double window) {
    if (window == 0 || window >= tokens) return (tokens + 1) / 2;
    return (window * (window + 1) / 2 + (tokens - window) * window) / tokens;
}

/* Two operations a value of a matrix forward and four backward; keys that a query does not see cost nothing. */
double fr_decoder_train_flops(const fr_decoder *m, int64_t tokens) {
    const int64_t layer = attention_values(m) + mlp_values(m, m->chosen);
    double matrices = (double)(m->layers * layer + m->vocab * m->width), keys = 0;
    for (int64_t i = 0; i < m->layers; i++)
        keys += seen((double)tokens, (double)fr_decoder_window(m, i));
    return 6 * (matrices + (double)(m->heads * m->head_dim) * 2 * keys);
}
