/* lib_conv.c: the operators of pictures without a graph around them, for bench/conv.py. */
#include "op/op.h"

typedef struct bench_conv {
    const fr_op *op;
    fr_call call;
    fr_tensor in[4], out;
    union {
        fr_conv_attr conv;
        int32_t word[8];
    } attr;
    void *packed;
} bench_conv;

FR_API bench_conv *fr_bench_conv_new(const char *op, const int64_t *x, const int64_t *w,
                                     const int32_t *form, int bf16, int threads, void *const *data);
FR_API int fr_bench_conv_run(bench_conv *b);
FR_API double fr_bench_conv_scratch(const bench_conv *b);
FR_API void fr_bench_conv_free(bench_conv *b);

static void set_attr(bench_conv *b, const int32_t *form) {
    fr_conv_attr *a = &b->attr.conv;
    a->axes = 2;
    a->groups = form[2];
    a->act = form[3];
    for (int i = 0; i < 3; i++) {
        a->stride[i] = a->dilation[i] = 1;
        if (i == 0) continue;
        a->stride[i] = form[0];
        a->before[i] = a->after[i] = form[1];
        a->size[i] = form[3 + i];
    }
}

/* op: "conv", "conv_transpose", "conv_weight_grad", or one of the operators of a single picture. x: n, h, w, c; w: its four axes.
 * form: stride, padding, groups, function (conv) and, for a transposed one, the size; the words of
 * the attribute for the others. data: x, w, bias or dy, y. */
bench_conv *fr_bench_conv_new(const char *op, const int64_t *x, const int64_t *w,
                              const int32_t *form, int bf16, int threads, void *const *data) {
    bench_conv *b = fr_alloc(FR_MEM_OTHER, sizeof *b);
    const fr_dtype type = bf16 ? FR_BF16 : FR_F32;
    b->op = fr_op_find(op);
    b->in[0] = fr_tensor_make(type, 4, x, data[0]);
    b->call =
        (fr_call){.op = b->op, .attr = &b->attr, .nin = 1, .nout = 1, .in = b->in, .out = &b->out};
    if (w) {
        set_attr(b, form);
        b->in[1] = fr_tensor_make(type, 4, w, data[1]);
        b->call.nin = 2;
        if (b->op == &fr_op_conv_weight_grad) {
            const int64_t dy[] = {x[0], form[4], form[5], w[0]};
            b->in[2] = b->in[1];
            b->in[1] = fr_tensor_make(type, 4, dy, data[2]);
            b->call.nin = 3;
        } else if (data[2]) {
            b->in[2] = fr_tensor_make(type, 1, w, data[2]);
            b->call.nin = 3;
        }
    } else {
        for (int i = 0; i < 6; i++) b->attr.word[i] = form[i];
    }
    if (fr_pool_new(threads, &b->call.pool) || b->op->shape(&b->call)) return NULL;
    fr_set_contiguous(&b->out);
    b->out.data = data[3];
    if (b->op->pack_bytes) {
        b->packed = fr_alloc(FR_MEM_PACKED, b->op->pack_bytes(&b->call));
        if (b->op->pack(&b->call, b->packed)) return NULL;
        b->call.packed = b->packed;
    }
    b->call.scratch = fr_alloc(FR_MEM_ARENA, b->op->scratch ? b->op->scratch(&b->call) : 0);
    return b;
}

int fr_bench_conv_run(bench_conv *b) {
    return (int)b->op->run(&b->call);
}

double fr_bench_conv_scratch(const bench_conv *b) {
    return b->op->scratch ? (double)b->op->scratch(&b->call) : 0;
}

void fr_bench_conv_free(bench_conv *b) {
    fr_pool_free(b->call.pool);
    fr_free(b->call.scratch);
    fr_free(b->packed);
    fr_free(b);
}
