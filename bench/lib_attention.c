/* lib_attention.c: attention without a graph around it, for bench/attention.py. */
#include <string.h>
#include <time.h>

#include "op/op.h"

typedef struct bench_attention {
    fr_call call;
    fr_tensor in[6], out[2];
    struct {
        float scale;
        int32_t mask, window, block_q, block_k;
    } attr;
} bench_attention;

FR_API bench_attention *fr_bench_attention_new(const int64_t *shape, int bf16, int causal,
                                               int threads, void *const *data);
FR_API int fr_bench_attention_run(bench_attention *b);
FR_API double fr_bench_attention_scratch(const bench_attention *b);
FR_API void fr_bench_attention_free(bench_attention *b);

/* shape: batch, queries, keys, heads, key heads, dim. data: q, k, v, y. */
bench_attention *fr_bench_attention_new(const int64_t *shape, int bf16, int causal, int threads,
                                        void *const *data) {
    bench_attention *b = fr_alloc(FR_MEM_OTHER, sizeof *b);
    const fr_dtype type = bf16 ? FR_BF16 : FR_F32;
    const int64_t q[] = {shape[0], shape[1], shape[3], shape[5]};
    const int64_t k[] = {shape[0], shape[2], shape[4], shape[5]};
    const int64_t lse[] = {shape[0], shape[3], shape[1]};
    b->attr.mask = causal ? FR_MASK_CAUSAL : FR_MASK_FULL;
    b->in[0] = fr_tensor_make(type, 4, q, data[0]);
    b->in[1] = fr_tensor_make(type, 4, k, data[1]);
    b->in[2] = fr_tensor_make(type, 4, k, data[2]);
    b->out[0] = fr_tensor_make(type, 4, q, data[3]);
    b->out[1] = fr_tensor_make(FR_F32, 3, lse, NULL);
    b->out[1].data = fr_alloc(FR_MEM_OTHER, fr_bytes(&b->out[1]));
    b->call = (fr_call){
        .op = &fr_op_attention, .attr = &b->attr, .nin = 6, .nout = 2, .in = b->in, .out = b->out};
    if (fr_pool_new(threads, &b->call.pool) || fr_op_attention.shape(&b->call)) return NULL;
    size_t bytes = fr_op_attention.scratch(&b->call);
    b->call.scratch = fr_alloc(FR_MEM_ARENA, bytes);
    return b;
}

int fr_bench_attention_run(bench_attention *b) {
    return (int)fr_op_attention.run(&b->call);
}

/* What the operator takes beyond its inputs and outputs. */
double fr_bench_attention_scratch(const bench_attention *b) {
    return (double)fr_op_attention.scratch(&b->call) + (double)fr_bytes(&b->out[1]);
}

void fr_bench_attention_free(bench_attention *b) {
    fr_pool_free(b->call.pool);
    fr_free(b->call.scratch);
    fr_free(b->out[1].data);
    fr_free(b);
}
