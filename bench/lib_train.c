/* lib_train.c: one training step of a Llama, for bench/train_step.py. */
#include <string.h>

#include "model/model.h"
#include "train/train.h"

typedef struct bench_config {
    int32_t vocab, width, hidden, layers, heads, kv_heads, batch, tokens, half, recompute, threads;
} bench_config;

typedef struct bench_train {
    bench_config c;
    fr_decoder m;
    fr_graph *g;
    fr_pool *pool;
    fr_trainer *t;
    int32_t *pos;
    float norm;
} bench_train;

FR_API bench_train *fr_bench_train_new(const bench_config *c);
FR_API float fr_bench_train_step(bench_train *b, const int32_t *ids, const int32_t *target);
FR_API float fr_bench_train_norm(bench_train *b); /* of the gradient of the last step */
FR_API double fr_bench_train_ops(bench_train *b); /* of products: weights and attention */
FR_API size_t fr_bench_train_arena(bench_train *b);
FR_API int fr_bench_train_weight(bench_train *b, const char *name, const float *data);
FR_API int fr_bench_train_time_nodes(bench_train *b);
FR_API int fr_bench_train_print_times(bench_train *b);
FR_API void fr_bench_train_free(bench_train *b);

static fr_status make(bench_train *b) {
    const bench_config *c = &b->c;
    b->m = (fr_decoder){.vocab = c->vocab,
                        .width = c->width,
                        .hidden = c->hidden,
                        .layers = c->layers,
                        .heads = c->heads,
                        .kv_heads = c->kv_heads,
                        .head_dim = c->width / c->heads,
                        .context = c->tokens,
                        .eps = 1e-5f,
                        .rope = {.theta = 10000},
                        .tied = true};
    fr_decoder_opts how = {.weights = c->half ? FR_BF16 : FR_F32, .recompute = c->recompute != 0};
    fr_val loss = fr_decoder_loss(b->g, &b->m, &how, c->batch, c->tokens);
    fr_train_opts o = {
        .optimizer = FR_ADAMW, .lr = 1e-3f, .beta2 = 0.99f, .weight_decay = 0.1f, .clip = 1};
    FR_TRY(fr_pool_new(c->threads, &b->pool));
    FR_TRY(fr_trainer_new(b->g, loss, &o, b->pool, &b->t));
    return fr_decoder_init(fr_trainer_session(b->t), b->g, &b->m, 1);
}

bench_train *fr_bench_train_new(const bench_config *c) {
    bench_train *b = fr_alloc(FR_MEM_OTHER, sizeof *b);
    b->c = *c;
    b->g = fr_graph_new();
    b->pos = fr_alloc_array(FR_MEM_OTHER, (size_t)c->tokens, sizeof *b->pos);
    for (int i = 0; i < c->tokens; i++) b->pos[i] = i;
    if (!make(b)) return b;
    fprintf(stderr, "%s\n", fr_message());
    return NULL;
}

int fr_bench_train_weight(bench_train *b, const char *name, const float *data) {
    fr_val v = fr_graph_find(b->g, name);
    if (v == FR_NONE) return 1;
    fr_tensor t = fr_value_of(b->g, v)->desc;
    t.dtype = FR_F32;
    fr_set_contiguous(&t);
    t.data = (void *)(uintptr_t)data;
    return fr_session_set(fr_trainer_session(b->t), v, &t);
}

float fr_bench_train_step(bench_train *b, const int32_t *ids, const int32_t *target) {
    int64_t shape[] = {b->c.batch, b->c.tokens};
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, shape, (void *)(uintptr_t)ids),
                      fr_tensor_make(FR_I32, 2, shape, (void *)(uintptr_t)target),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){b->c.tokens, 1}, b->pos)};
    float loss = -1;
    if (fr_trainer_step(b->t, in, 3, &loss, &b->norm)) fprintf(stderr, "%s\n", fr_message());
    return loss;
}

float fr_bench_train_norm(bench_train *b) {
    return b->norm;
}

/* Backwards takes twice what forwards takes; pairs under the causal mask alone. */
double fr_bench_train_ops(bench_train *b) {
    double tokens = b->c.tokens, width = b->c.width, layers = b->c.layers;
    double heads = 2.0 * b->c.kv_heads / b->c.heads;
    double layer = (2 + heads) * width * width + 3.0 * b->c.hidden * width;
    double weights = layers * layer + (double)b->c.vocab * width;
    double pairs = layers * 2 * width * (tokens + 1) / 2;
    return 6 * (weights + pairs) * tokens * b->c.batch;
}

size_t fr_bench_train_arena(bench_train *b) {
    return fr_session_arena_bytes(fr_trainer_session(b->t));
}

int fr_bench_train_time_nodes(bench_train *b) {
    return fr_session_time_nodes(fr_trainer_session(b->t));
}

int fr_bench_train_print_times(bench_train *b) {
    return fr_session_print_times(fr_trainer_session(b->t), stdout);
}

void fr_bench_train_free(bench_train *b) {
    fr_trainer_free(b->t);
    fr_graph_free(b->g);
    fr_pool_free(b->pool);
    fr_free(b->pos);
    fr_free(b);
}
