/* test_elementwise.c: arithmetic with broadcasting, functions, gated units, modulation, casts. */
#include "op_test.h"

static const op_in end = {0};

/* ---- the value of `in` at position i of the shape of `out`, by NumPy's rule ---- */

static double at(const op_f64 *in, const fr_tensor *out, int64_t i) {
    int64_t from = 0, stride = 1;
    for (int d = 0; d < out->rank; d++) {
        int64_t k = i % out->dim[out->rank - 1 - d];
        i /= out->dim[out->rank - 1 - d];
        if (d >= in->desc.rank) continue;
        int64_t dim = in->desc.dim[in->desc.rank - 1 - d];
        if (dim > 1) from += k * stride;
        stride *= dim;
    }
    return in->v[from];
}

/* ---- two values ---- */

static int build_binary(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_binary_op(g, *(const fr_binary *)arg, in[0], in[1]);
    return 1;
}

static double combine(fr_binary kind, double a, double b) {
    switch (kind) {
    case FR_ADD: return a + b;
    case FR_SUB: return a - b;
    case FR_MUL: return a * b;
    case FR_DIV: return a / b;
    case FR_MAX: return a > b ? a : b;
    default: return a < b ? a : b;
    }
}

static void ref_binary(const void *arg, const op_f64 *in, op_f64 *out) {
    for (int64_t i = 0; i < fr_values(&out->desc); i++)
        out->v[i] =
            combine(*(const fr_binary *)arg, at(&in[0], &out->desc, i), at(&in[1], &out->desc, i));
}

typedef struct shape {
    int rank;
    int64_t dim[5];
} shape;

/* kinds: a bit for each fr_binary. */
static void check_pair(shape a, shape b, unsigned kinds) {
    for (fr_binary kind = FR_ADD; kind < FR_BINARY_COUNT; kind++) {
        if (!(kinds >> kind & 1)) continue;
        char name[64];
        snprintf(name, sizeof name, "binary %d of ranks %d and %d", (int)kind, a.rank, b.rank);
        op_case c = {
            .name = name, .build = build_binary, .ref = ref_binary, .arg = &kind, .bf16 = true};
        c.in[0] = (op_in){FR_F32, a.rank, {0}, 1, 3, true, NULL, false};
        c.in[1] = (op_in){FR_F32, b.rank, {0}, 0.5, 2.5, true, NULL, false};
        for (int d = 0; d < 5; d++) c.in[0].dim[d] = a.dim[d], c.in[1].dim[d] = b.dim[d];
        c.in[2] = end;
        op_check(&c);
    }
}

enum {
    ALL_KINDS = (1 << FR_BINARY_COUNT) - 1,
    SUB = 1 << FR_SUB,
    MUL = 1 << FR_MUL,
    DIV = 1 << FR_DIV
};

static void test_same_shape(void **state) {
    (void)state;
    check_pair((shape){1, {1}}, (shape){1, {1}}, SUB);
    check_pair((shape){2, {3, 37}}, (shape){2, {3, 37}}, ALL_KINDS);
}

static void test_broadcast(void **state) {
    (void)state;
    check_pair((shape){3, {2, 3, 19}}, (shape){1, {19}}, MUL | DIV);
    check_pair((shape){3, {2, 3, 19}}, (shape){0, {0}}, SUB | DIV);
    check_pair((shape){0, {0}}, (shape){2, {3, 5}}, DIV);
    check_pair((shape){3, {2, 3, 5}}, (shape){3, {2, 1, 5}}, MUL);
    check_pair((shape){3, {2, 3, 5}}, (shape){3, {2, 3, 1}}, SUB);
    check_pair((shape){2, {4, 1}}, (shape){2, {1, 6}}, ALL_KINDS);
    check_pair((shape){5, {2, 1, 3, 1, 4}}, (shape){4, {2, 1, 5, 1}}, DIV);
}

/* More than one item of the pool. */
static void test_large(void **state) {
    (void)state;
    fr_binary kind = FR_MUL;
    op_case c = {.name = "large product", .build = build_binary, .ref = ref_binary, .arg = &kind};
    c.in[0] = (op_in){FR_F32, 3, {3, 130, 101}, 0, 0, false, NULL, false};
    c.in[1] = (op_in){FR_F32, 2, {130, 1}, 0, 0, false, NULL, false};
    c.bf16 = true;
    op_check(&c);
}

static void test_refused(void **state) {
    (void)state;
    op_in bad[] = {{FR_F32, 2, {3, 4}, 0, 0, false, NULL, false},
                   {FR_F32, 2, {3, 5}, 0, 0, false, NULL, false},
                   end};
    fr_binary kind = FR_ADD;
    op_check_refused(bad, build_binary, &kind, "broadcast");
    bad[1] = (op_in){FR_I32, 2, {3, 4}, 0, 9, false, NULL, false};
    op_check_refused(bad, build_binary, &kind, "f32");
    kind = FR_BINARY_COUNT;
    bad[1] = bad[0];
    op_check_refused(bad, build_binary, &kind, "number");
}

/* ---- functions ---- */

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static double relu6(double x) {
    return x < 0 ? 0 : x > 6 ? 6 : x;
}

static double function(fr_fn fn, double x) {
    switch (fn) {
    case FR_FN_RELU: return x > 0 ? x : 0;
    case FR_FN_RELU6: return relu6(x);
    case FR_FN_SILU: return x * sigmoid(x);
    case FR_FN_GELU: return x * 0.5 * erfc(-x / sqrt(2.0));
    case FR_FN_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979324) * (x + 0.044715 * x * x * x)));
    case FR_FN_SIGMOID: return sigmoid(x);
    case FR_FN_TANH: return tanh(x);
    case FR_FN_HSWISH: return x * relu6(x + 3) / 6;
    case FR_FN_EXP: return exp(x);
    case FR_FN_LOG: return log(x);
    case FR_FN_SQRT: return sqrt(x);
    case FR_FN_RSQRT: return 1 / sqrt(x);
    case FR_FN_SQUARE: return x * x;
    case FR_FN_ABS: return fabs(x);
    case FR_FN_NEG: return -x;
    case FR_FN_RECIP: return 1 / x;
    case FR_FN_SIN: return sin(x);
    case FR_FN_COS: return cos(x);
    default: return x;
    }
}

static int build_unary(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_unary(g, in[0], *(const fr_fn *)arg);
    return 1;
}
static void ref_unary(const void *arg, const op_f64 *in, op_f64 *out) {
    for (int64_t i = 0; i < fr_values(&out->desc); i++)
        out->v[i] = function(*(const fr_fn *)arg, in->v[i]);
}

static bool wants_positive(fr_fn fn) {
    return fn == FR_FN_LOG || fn == FR_FN_SQRT || fn == FR_FN_RSQRT || fn == FR_FN_RECIP;
}

static void test_functions(void **state) {
    (void)state;
    for (fr_fn fn = FR_FN_NONE; fn < FR_FN_COUNT; fn++) {
        char name[64];
        snprintf(name, sizeof name, "function %d", (int)fn);
        op_case c = {
            .name = name, .build = build_unary, .ref = ref_unary, .arg = &fn, .bf16 = true};
        c.in[0] = (op_in){FR_F32, 2, {3, 45}, -3.9, 3.7, true, NULL, false};
        if (wants_positive(fn)) c.in[0].lo = 0.4, c.in[0].hi = 3;
        op_check(&c);
    }
    fr_fn fn = FR_FN_COUNT;
    op_in x[] = {{FR_F32, 1, {4}, 0, 0, false, NULL, false}, end};
    op_check_refused(x, build_unary, &fn, "number");
}

static int build_affine(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    (void)arg;
    out[0] = fr_affine(g, in[0], -2.5f, 0.75f);
    return 1;
}
static void ref_affine(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    for (int64_t i = 0; i < fr_values(&out->desc); i++) out->v[i] = -2.5 * in->v[i] + 0.75;
}

static void test_affine(void **state) {
    (void)state;
    op_case c = {.name = "affine", .build = build_affine, .ref = ref_affine, .bf16 = true};
    c.in[0] = (op_in){FR_F32, 3, {2, 3, 7}, 0, 0, true, NULL, false};
    op_check(&c);
}

/* ---- gated units ---- */

static int build_glu(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_glu(g, in[0], in[1], *(const fr_fn *)arg);
    return 1;
}
static int build_glu_merged(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_glu(g, in[0], FR_NONE, *(const fr_fn *)arg);
    return 1;
}
static void ref_glu(const void *arg, const op_f64 *in, op_f64 *out) {
    for (int64_t i = 0; i < fr_values(&out->desc); i++)
        out->v[i] = function(*(const fr_fn *)arg, in[0].v[i]) * in[1].v[i];
}
static void ref_glu_merged(const void *arg, const op_f64 *in, op_f64 *out) {
    int64_t n = out->desc.dim[out->desc.rank - 1];
    for (int64_t i = 0; i < fr_values(&out->desc); i++) {
        const double *row = in->v + i / n * 2 * n;
        out->v[i] = function(*(const fr_fn *)arg, row[i % n]) * row[n + i % n];
    }
}

static void test_glu(void **state) {
    (void)state;
    const fr_fn acts[] = {FR_FN_SILU, FR_FN_GELU_TANH};
    for (size_t i = 0; i < FR_COUNT(acts); i++) {
        op_case c = {
            .name = "glu", .build = build_glu, .ref = ref_glu, .arg = &acts[i], .bf16 = true};
        c.in[0] = c.in[1] = (op_in){FR_F32, 3, {2, 3, 21}, 0, 0, true, NULL, false};
        op_check(&c);
        c.name = "merged glu";
        c.build = build_glu_merged;
        c.ref = ref_glu_merged;
        c.in[0].dim[2] = 42;
        c.in[1] = end;
        op_check(&c);
    }
    fr_fn silu = FR_FN_SILU;
    op_in odd[] = {{FR_F32, 2, {3, 5}, 0, 0, false, NULL, false}, end};
    op_check_refused(odd, build_glu_merged, &silu, "even");
    op_in two[] = {odd[0], {FR_F32, 2, {3, 4}, 0, 0, false, NULL, false}, end};
    op_check_refused(two, build_glu, &silu, "agree");
}

/* ---- modulation ---- */

static int build_modulate(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_modulate(g, in[0], in[1], arg ? in[2] : FR_NONE);
    return 1;
}
static void ref_modulate(const void *arg, const op_f64 *in, op_f64 *out) {
    for (int64_t i = 0; i < fr_values(&out->desc); i++)
        out->v[i] =
            in[0].v[i] * (1 + at(&in[1], &out->desc, i)) + (arg ? at(&in[2], &out->desc, i) : 0);
}
static int build_gated(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    (void)arg;
    out[0] = fr_gated_add(g, in[0], in[1], in[2]);
    return 1;
}
static void ref_gated(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    for (int64_t i = 0; i < fr_values(&out->desc); i++)
        out->v[i] = in[0].v[i] + at(&in[1], &out->desc, i) * at(&in[2], &out->desc, i);
}

static void test_modulate(void **state) {
    (void)state;
    op_case c = {
        .name = "modulate", .build = build_modulate, .ref = ref_modulate, .arg = &c, .bf16 = true};
    c.in[0] = (op_in){FR_F32, 3, {2, 5, 23}, 0, 0, true, NULL, false};
    c.in[1] = (op_in){FR_F32, 3, {2, 1, 23}, 0, 0, true, NULL, false};
    c.in[2] = (op_in){FR_F32, 1, {23}, 0, 0, true, NULL, false};
    op_check(&c);
    c.name = "modulate, one scale a row";
    c.in[1] = (op_in){FR_F32, 3, {2, 5, 1}, 0, 0, true, NULL, false};
    op_check(&c);
    c.name = "modulate without shift";
    c.arg = NULL;
    c.in[2] = end;
    op_check(&c);
    c = (op_case){.name = "gated add", .build = build_gated, .ref = ref_gated, .bf16 = true};
    c.in[0] = c.in[2] = (op_in){FR_F32, 3, {2, 5, 23}, 0, 0, true, NULL, false};
    c.in[1] = (op_in){FR_F32, 3, {2, 1, 23}, 0, 0, true, NULL, false};
    op_check(&c);
    op_in bad[] = {{FR_F32, 1, {23}, 0, 0, false, NULL, false},
                   {FR_F32, 3, {2, 1, 23}, 0, 0, false, NULL, false},
                   end};
    op_check_refused(bad, build_modulate, NULL, "scale");
}

/* ---- casts ---- */

static int build_cast(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_cast(g, in[0], *(const fr_dtype *)arg);
    return 1;
}
/* There and back: a loss must be f32. */
static int build_round(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_cast(g, fr_cast(g, in[0], *(const fr_dtype *)arg), FR_F32);
    return 1;
}
static void ref_same(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    for (int64_t i = 0; i < fr_values(&out->desc); i++) out->v[i] = in->v[i];
}
static void ref_cut(const void *arg, const op_f64 *in, op_f64 *out) {
    double lo = *(const fr_dtype *)arg == FR_U8 ? 0 : -128, hi = lo + 255;
    bool small = *(const fr_dtype *)arg == FR_U8 || *(const fr_dtype *)arg == FR_I8;
    for (int64_t i = 0; i < fr_values(&out->desc); i++) {
        double v = trunc(in->v[i]);
        out->v[i] = small && v < lo ? lo : small && v > hi ? hi : v;
    }
}

static void test_cast(void **state) {
    (void)state;
    fr_dtype t = FR_BF16;
    op_case c = {.name = "to bf16", .build = build_round, .ref = ref_same, .arg = &t, .tol = 4e-3};
    c.in[0] = (op_in){FR_F32, 2, {31, 3}, 0, 0, true, NULL, false};
    c.grad_tol = 1e-2; /* the gradient passes through bf16 too */
    op_check(&c);
    t = FR_F16;
    c.name = "to f16";
    c.tol = 6e-4;
    c.grad_tol = 2e-3;
    op_check(&c);
    t = FR_F32;
    c.build = build_cast;
    c.name = "to f32";
    c.tol = 1e-9;
    c.bf16 = true;
    op_check(&c);
    const int32_t ints[] = {0, 1, -1, 16777217, INT32_MAX, INT32_MIN};
    c = (op_case){
        .name = "i32 to f32", .build = build_cast, .ref = ref_same, .arg = &t, .tol = 1e-7};
    c.in[0] = (op_in){FR_I32, 1, {6}, 0, 0, false, ints, false};
    op_check(&c);
    const fr_dtype to[] = {FR_I32, FR_I64, FR_I8, FR_U8};
    for (size_t i = 0; i < FR_COUNT(to); i++) {
        c = (op_case){.name = "to integers",
                      .build = build_cast,
                      .ref = ref_cut,
                      .arg = &to[i],
                      .tol = 1e-12};
        c.in[0] = (op_in){FR_F32, 1, {300}, -400, 400, false, NULL, false};
        op_check(&c);
    }
    op_in x[] = {{FR_F32, 1, {4}, 0, 0, false, NULL, false}, end};
    t = FR_Q4_0;
    op_check_refused(x, build_cast, &t, "cast");
}

/* A computed bias that takes as many bytes as the result, but holds half as many values: it is read
 * for every row and must not be written over. */
static int build_bias(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    (void)arg;
    out[0] = fr_add(g, in[0], fr_affine(g, in[1], 2, 0));
    return 1;
}
static void ref_bias(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    for (int64_t i = 0; i < fr_values(&in[0].desc); i++)
        out->v[i] = in[0].v[i] + 2 * in[1].v[i % in[1].desc.dim[0]];
}

static void test_bias_of_equal_bytes(void **state) {
    (void)state;
    op_case c = {
        .name = "bf16 and a f32 bias", .build = build_bias, .ref = ref_bias, .tol = 1.6e-2};
    c.in[0] = (op_in){FR_BF16, 2, {2, 6}, 0, 0, false, NULL, false};
    c.in[1] = (op_in){FR_F32, 1, {6}, 0, 0, false, NULL, false};
    op_check(&c);
}

/* One column of a matrix is a view whose values lie apart. */
static int build_column(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    (void)arg;
    out[0] = fr_affine(g, fr_slice(g, in[0], 1, 2, 1), 2, 1);
    out[1] = fr_mul(g, in[0], fr_slice(g, in[0], 1, 1, 1));
    out[2] = fr_glu(g, fr_slice(g, in[0], 1, 0, 2), FR_NONE, FR_FN_NONE);
    return 3;
}
static void ref_column(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    for (int i = 0; i < 4; i++) {
        const double *row = in[0].v + 5 * i;
        out[0].v[i] = 2 * row[2] + 1;
        for (int j = 0; j < 5; j++) out[1].v[5 * i + j] = row[j] * row[1];
        out[2].v[i] = row[0] * row[1];
    }
}

static void test_column(void **state) {
    (void)state;
    op_case c = {.name = "a column", .build = build_column, .ref = ref_column, .bf16 = true};
    c.in[0] = (op_in){FR_F32, 2, {4, 5}, 0, 0, true, NULL, false};
    op_check(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_shape), cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_large),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_functions),  cmocka_unit_test(test_affine),
        cmocka_unit_test(test_glu),        cmocka_unit_test(test_modulate),
        cmocka_unit_test(test_cast),       cmocka_unit_test(test_bias_of_equal_bytes),
        cmocka_unit_test(test_column),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
