/* test_reduce.c: reductions over every set of axes, top-k and arg-max. */
#include "op_test.h"

static const op_in end = {0};

typedef struct arg {
    fr_reduction kind;
    unsigned axes;
    bool keep;
} arg;

static int build(fr_graph *g, const fr_val *in, const void *argument, fr_val *out) {
    const arg *a = argument;
    out[0] = fr_reduce(g, in[0], a->kind, a->axes, a->keep);
    return 1;
}

/* Which output the value i of x belongs to. */
static int64_t output_of(const fr_tensor *x, unsigned axes, int64_t i) {
    int64_t k = 0, stride = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
        if (!(axes >> d & 1)) {
            k += i % x->dim[d] * stride;
            stride *= x->dim[d];
        }
        i /= x->dim[d];
    }
    return k;
}

static void ref(const void *argument, const op_f64 *in, op_f64 *out) {
    const arg *a = argument;
    int64_t total = fr_values(&in->desc), n = fr_values(&out->desc);
    for (int64_t k = 0; k < n; k++) out->v[k] = a->kind == FR_AMAX ? -INFINITY : 0;
    for (int64_t i = 0; i < total; i++) {
        double *y = &out->v[output_of(&in->desc, a->axes, i)], v = in->v[i];
        if (a->kind == FR_AMAX)
            *y = v > *y ? v : *y;
        else
            *y += a->kind == FR_MEAN ? v / ((double)total / (double)n) : v;
    }
}

static void check(arg a, int rank, const int64_t *dim, bool grad) {
    char name[96];
    snprintf(name, sizeof name, "reduction %d of axes %x of rank %d", (int)a.kind, a.axes, rank);
    op_case c = {.name = name, .build = build, .ref = ref, .arg = &a, .bf16 = true};
    c.in[0] = (op_in){FR_F32, rank, {0}, 0, 0, grad, NULL, false};
    for (int d = 0; d < rank; d++) c.in[0].dim[d] = dim[d];
    op_check(&c);
}

static void test_all_axes_sets(void **state) {
    (void)state;
    for (unsigned axes = 0; axes < 16; axes++)
        check((arg){(fr_reduction)(axes % 3), axes, axes & 1}, 4, (int64_t[]){3, 2, 5, 4}, true);
    check((arg){FR_SUM, 21, false}, 5, (int64_t[]){2, 3, 1, 2, 3}, true);
    check((arg){FR_MEAN, 10, true}, 5, (int64_t[]){2, 3, 1, 2, 3}, true);
    check((arg){FR_MEAN, 0, true}, 0, NULL, true);
}

/* Sums in several pieces, along and across, and both. */
static void test_large(void **state) {
    (void)state;
    check((arg){FR_MEAN, 1, false}, 1, (int64_t[]){70001}, false);
    check((arg){FR_AMAX, 1, false}, 1, (int64_t[]){40001}, false);
    check((arg){FR_SUM, 1, false}, 2, (int64_t[]){1300, 33}, false);
    check((arg){FR_AMAX, 1, false}, 2, (int64_t[]){1300, 9}, false);
    check((arg){FR_MEAN, 1, false}, 2, (int64_t[]){3, 5001}, false);
    check((arg){FR_SUM, 5, false}, 3, (int64_t[]){70, 3, 301}, false);
    check((arg){FR_MEAN, 2, true}, 3, (int64_t[]){3, 700, 17}, false);
}

/* A hundred thousand times 1 + small: an f32 that adds them one by one would lose digits. */
static void test_long_sum(void **state) {
    (void)state;
    arg a = {FR_SUM, 1, false};
    op_case c = {.name = "long sum", .build = build, .ref = ref, .arg = &a, .tol = 1e-6};
    c.in[0] = (op_in){FR_F32, 1, {300000}, 1, 1.001, false, NULL, false};
    op_check(&c);
}

static void test_refused(void **state) {
    (void)state;
    arg a = {FR_SUM, 4, false};
    op_in x[] = {{FR_F32, 2, {3, 4}, 0, 0, false, NULL, false}, end};
    op_check_refused(x, build, &a, "axes");
    a = (arg){FR_AMAX, 1, false};
    x[0].dim[0] = 0;
    op_check_refused(x, build, &a, "empty");
}

/* ---- top-k ---- */

static int build_topk(fr_graph *g, const fr_val *in, const void *argument, fr_val *out) {
    out[0] = fr_topk(g, in[0], *(const int *)argument, &out[1]);
    return 2;
}
static void ref_topk(const void *argument, const op_f64 *in, op_f64 *out) {
    int k = *(const int *)argument;
    int64_t n = in->desc.dim[in->desc.rank - 1], rows = fr_values(&in->desc) / n;
    for (int64_t r = 0; r < rows; r++) {
        bool *taken = fr_alloc(FR_MEM_OTHER, (size_t)n);
        for (int i = 0; i < k; i++) {
            int64_t best = -1;
            for (int64_t j = 0; j < n; j++)
                if (!taken[j] && (best < 0 || in->v[r * n + j] > in->v[r * n + best])) best = j;
            taken[best] = true;
            out[0].v[r * k + i] = in->v[r * n + best];
            out[1].v[r * k + i] = (double)best;
        }
        fr_free(taken);
    }
}

static void test_topk(void **state) {
    (void)state;
    const int ks[] = {1, 5, 23};
    for (size_t i = 0; i < FR_COUNT(ks); i++) {
        op_case c = {
            .name = "topk", .build = build_topk, .ref = ref_topk, .arg = &ks[i], .bf16 = true};
        c.in[0] = (op_in){FR_F32, 3, {2, 3, 23}, 0, 0, true, NULL, false};
        op_check(&c);
        c.in[0] = (op_in){FR_F32, 2, {2, 3000}, 0, 0, false, NULL, false};
        op_check(&c);
    }
    /* Many, and in bf16 many that are equal. */
    int k = 700;
    op_case many = {
        .name = "topk of many", .build = build_topk, .ref = ref_topk, .arg = &k, .bf16 = true};
    many.in[0] = (op_in){FR_F32, 2, {2, 1500}, 0, 0, false, NULL, false};
    op_check(&many);
    k = 5;
    op_in x[] = {{FR_F32, 2, {3, 4}, 0, 0, false, NULL, false}, end};
    op_check_refused(x, build_topk, &k, "largest");
}

static int build_argmax(fr_graph *g, const fr_val *in, const void *argument, fr_val *out) {
    (void)argument;
    out[0] = fr_argmax(g, in[0]);
    return 1;
}
static void ref_argmax(const void *argument, const op_f64 *in, op_f64 *out) {
    (void)argument;
    int64_t n = in->desc.dim[in->desc.rank - 1];
    for (int64_t r = 0; r < fr_values(&out->desc); r++) {
        int64_t best = 0;
        for (int64_t j = 1; j < n; j++)
            if (in->v[r * n + j] > in->v[r * n + best]) best = j;
        out->v[r] = (double)best;
    }
}

static void test_argmax(void **state) {
    (void)state;
    op_case c = {.name = "argmax", .build = build_argmax, .ref = ref_argmax, .bf16 = true};
    c.in[0] = (op_in){FR_F32, 3, {2, 3, 41}, 0, 0, false, NULL, false};
    op_check(&c);
    c.in[0] = (op_in){FR_F32, 2, {20, 2999}, 0, 0, false, NULL, false};
    op_check(&c);
    c.name = "argmax of ties";
    c.in[0].lo = c.in[0].hi = 1;
    op_check(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_axes_sets), cmocka_unit_test(test_large),
        cmocka_unit_test(test_long_sum),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_topk),          cmocka_unit_test(test_argmax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
