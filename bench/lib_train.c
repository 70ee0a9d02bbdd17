/* lib_train.c: one training step of a small transformer, for bench/train_step.py. */
#include "../tests/train/models.h"

#include <string.h>

typedef struct bench_train {
    lm_config c;
    fr_graph *g;
    fr_pool *pool;
    fr_trainer *t;
    int32_t *ids, *target, *pos;
} bench_train;

FR_API bench_train *fr_bench_train_new(const lm_config *c, int threads);
FR_API float fr_bench_train_step(bench_train *b, const int32_t *ids, const int32_t *target);
FR_API double fr_bench_train_ops(bench_train *b);
FR_API size_t fr_bench_train_arena(bench_train *b);
FR_API int fr_bench_train_weight(bench_train *b, const char *name, const float *data);
FR_API void fr_bench_train_free(bench_train *b);

bench_train *fr_bench_train_new(const lm_config *c, int threads) {
    bench_train *b = fr_alloc(FR_MEM_OTHER, sizeof *b);
    b->c = *c;
    b->g = fr_graph_new();
    b->pos = fr_alloc_array(FR_MEM_OTHER, (size_t)c->tokens, sizeof *b->pos);
    for (int i = 0; i < c->tokens; i++) b->pos[i] = i;
    fr_val loss = model_lm(b->g, c);
    fr_train_opts o = {
        .optimizer = FR_ADAMW, .lr = 1e-3f, .beta2 = 0.99f, .weight_decay = 0.1f, .clip = 1};
    fr_status st = fr_pool_new(threads, &b->pool);
    if (!st) st = fr_trainer_new(b->g, loss, &o, b->pool, &b->t);
    if (!st) st = fr_session_init_random(fr_trainer_session(b->t), 1, 0.05f);
    if (!st) return b;
    fprintf(stderr, "%s\n", fr_message());
    return NULL;
}

int fr_bench_train_weight(bench_train *b, const char *name, const float *data) {
    fr_val v = fr_graph_find(b->g, name);
    if (v == FR_NONE) return 1;
    fr_tensor t = fr_value_of(b->g, v)->desc;
    fr_set_contiguous(&t);
    t.data = (void *)(uintptr_t)data;
    return fr_session_set(fr_trainer_session(b->t), v, &t);
}

float fr_bench_train_step(bench_train *b, const int32_t *ids, const int32_t *target) {
    int64_t shape[] = {b->c.batch, b->c.tokens};
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, shape, (void *)(uintptr_t)ids),
                      fr_tensor_make(FR_I32, 2, shape, (void *)(uintptr_t)target),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){b->c.tokens, 1}, b->pos)};
    float loss = -1, norm;
    if (fr_trainer_step(b->t, in, 3, &loss, &norm)) fprintf(stderr, "%s\n", fr_message());
    return loss;
}

double fr_bench_train_ops(bench_train *b) {
    fr_graph_cost cost;
    return fr_graph_cost_of(b->g, &cost) ? 0 : cost.total.ops;
}

size_t fr_bench_train_arena(bench_train *b) {
    return fr_session_arena_bytes(fr_trainer_session(b->t));
}

void fr_bench_train_free(bench_train *b) {
    fr_trainer_free(b->t);
    fr_graph_free(b->g);
    fr_pool_free(b->pool);
    fr_free(b->pos);
    fr_free(b);
}
