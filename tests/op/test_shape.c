/* test_shape.c: reshape, permute, slice, split, concat, pad against index by index references. */
#include "op_test.h"

/* Index of value i of a contiguous tensor, one number an axis. */
static void unravel(const fr_tensor *t, int64_t i, int64_t *at) {
    for (int d = t->rank - 1; d >= 0; d--) at[d] = i % t->dim[d], i /= t->dim[d];
}
static int64_t ravel(const fr_tensor *t, const int64_t *at) {
    int64_t i = 0;
    for (int d = 0; d < t->rank; d++) i = i * t->dim[d] + at[d];
    return i;
}

/* ---- reshape ---- */

typedef struct reshape_arg {
    int rank;
    int64_t dim[5];
    int64_t want[5];
} reshape_arg;

static int build_reshape(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const reshape_arg *a = arg;
    out[0] = fr_affine(g, fr_reshape(g, in[0], a->rank, a->dim), 1, 0);
    return 1;
}
static void ref_reshape(const void *arg, const op_f64 *in, op_f64 *out) {
    const reshape_arg *a = arg;
    assert_int_equal(out[0].desc.rank, a->rank);
    for (int i = 0; i < a->rank; i++) assert_int_equal(out[0].desc.dim[i], a->want[i]);
    memcpy(out[0].v, in[0].v, (size_t)fr_values(&in[0].desc) * sizeof(double));
}

static void test_reshape(void **state) {
    (void)state;
    static const reshape_arg args[] = {
        {2, {6, 20}, {6, 20}},
        {3, {0, -1, 5}, {2, 12, 5}},
        {1, {-1}, {120}},
        {5, {2, 3, 2, 2, 5}, {2, 3, 2, 2, 5}},
    };
    for (size_t i = 0; i < FR_COUNT(args); i++)
        op_check(&(op_case){.name = "reshape",
                            .in = {{FR_F32, 4, {2, 3, 4, 5}, .grad = true}},
                            .arg = &args[i],
                            .build = build_reshape,
                            .ref = ref_reshape,
                            .bf16 = true});
}

/* A slice of the middle axis is not contiguous: the reshape has to copy. */
static int build_reshape_slice(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    (void)arg;
    fr_val s = fr_slice(g, in[0], 1, 1, 2);
    out[0] = fr_affine(g, fr_reshape(g, s, 2, (int64_t[]){3, 8}), 1, 0);
    return 1;
}
static void ref_reshape_slice(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 2; b++)
            for (int c = 0; c < 4; c++)
                out[0].v[(a * 2 + b) * 4 + c] = in[0].v[(a * 4 + b + 1) * 4 + c];
}

static void test_reshape_of_slice(void **state) {
    (void)state;
    op_check(&(op_case){.name = "reshape of slice",
                        .in = {{FR_F32, 3, {3, 4, 4}, .grad = true}},
                        .build = build_reshape_slice,
                        .ref = ref_reshape_slice,
                        .bf16 = true});
}

static void test_reshape_refused(void **state) {
    (void)state;
    static const op_in in[] = {{.dtype = FR_F32, .rank = 2, .dim = {4, 6}}, {0}};
    op_check_refused(in, build_reshape, &(reshape_arg){2, {5, 5}, {0}}, "number of values");
    op_check_refused(in, build_reshape, &(reshape_arg){2, {5, -1}, {0}}, "number of values");
    op_check_refused(in, build_reshape, &(reshape_arg){2, {-1, -1}, {0}}, "both -1");
    op_check_refused(in, build_reshape, &(reshape_arg){3, {4, 6, 0}, {0}}, "to be copied");
    op_check_refused(in, build_reshape, &(reshape_arg){2, {-2, 6}, {0}}, "not a dimension");
    op_check_refused(in, build_reshape, &(reshape_arg){3, {INT64_MAX / 2, INT64_MAX / 2, 4}, {0}},
                     "too large");
    op_check_refused(in, build_reshape, &(reshape_arg){6, {0}, {0}}, "rank 6");
}

/* ---- permute ---- */

static int build_permute(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_permute(g, in[0], arg);
    return 1;
}
static void ref_permute(const void *arg, const op_f64 *in, op_f64 *out) {
    const int *perm = arg;
    for (int64_t i = 0; i < fr_values(&out[0].desc); i++) {
        int64_t at[5], from[5];
        unravel(&out[0].desc, i, at);
        for (int d = 0; d < out[0].desc.rank; d++) from[perm[d]] = at[d];
        out[0].v[i] = in[0].v[ravel(&in[0].desc, from)];
    }
}

static void test_permute(void **state) {
    (void)state;
    static const struct {
        op_in in;
        int perm[5];
    } cases[] = {
        {{FR_F32, 2, {37, 53}, .grad = true}, {1, 0}},
        {{FR_F32, 2, {300, 500}, .grad = true}, {1, 0}},
        {{FR_F32, 3, {2, 3, 5}, .grad = true}, {0, 1, 2}},
        {{FR_F32, 3, {7, 33, 18}, .grad = true}, {2, 0, 1}},
        {{FR_F32, 4, {2, 9, 4, 17}, .grad = true}, {0, 2, 1, 3}},
        {{FR_F32, 4, {2, 9, 8, 17}, .grad = true}, {0, 3, 1, 2}},
        {{FR_F32, 5, {2, 3, 4, 5, 6}, .grad = true}, {4, 2, 0, 3, 1}},
        {{FR_F32, 5, {3, 1, 4, 1, 6}, .grad = true}, {3, 4, 1, 2, 0}},
        {{.dtype = FR_F32, .rank = 3, .dim = {4, 0, 3}}, {2, 1, 0}},
        {{FR_I32, 3, {5, 18, 21}, .lo = -9, .hi = 90}, {2, 1, 0}},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++)
        op_check(&(op_case){.name = "permute",
                            .in = {cases[i].in},
                            .arg = cases[i].perm,
                            .build = build_permute,
                            .ref = ref_permute,
                            .bf16 = cases[i].in.dtype == FR_F32});
}

static void test_permute_refused(void **state) {
    (void)state;
    static const op_in in[] = {{.dtype = FR_F32, .rank = 3, .dim = {4, 6, 2}}, {0}};
    op_check_refused(in, build_permute, (int[]){0, 1, 1}, "each must stand once");
    op_check_refused(in, build_permute, (int[]){0, 1, 3}, "each must stand once");
    op_check_refused(in, build_permute, (int[]){0, -1, 2}, "each must stand once");
}

/* ---- slice, split ---- */

typedef struct slice_arg {
    int axis;
    int64_t start, count, first; /* first: where it begins in truth */
} slice_arg;

static int build_slice(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const slice_arg *a = arg;
    out[0] = fr_slice(g, in[0], a->axis, a->start, a->count);
    return 1;
}
static void ref_slice(const void *arg, const op_f64 *in, op_f64 *out) {
    const slice_arg *a = arg;
    int axis = a->axis < 0 ? a->axis + in[0].desc.rank : a->axis;
    for (int64_t i = 0; i < fr_values(&out[0].desc); i++) {
        int64_t at[5];
        unravel(&out[0].desc, i, at);
        at[axis] += a->first;
        out[0].v[i] = in[0].v[ravel(&in[0].desc, at)];
    }
}

static void test_slice(void **state) {
    (void)state;
    static const slice_arg args[] = {
        {0, 1, 3, 1}, {1, 2, 4, 2}, {2, 3, -1, 3}, {-1, -5, 2, 4}, {1, 0, 7, 0}, {1, 3, 0, 3},
    };
    for (size_t i = 0; i < FR_COUNT(args); i++)
        op_check(&(op_case){.name = "slice",
                            .in = {{FR_F32, 3, {5, 7, 9}, .grad = true}},
                            .arg = &args[i],
                            .build = build_slice,
                            .ref = ref_slice,
                            .bf16 = true});
}

static void test_slice_refused(void **state) {
    (void)state;
    static const op_in in[] = {{.dtype = FR_F32, .rank = 2, .dim = {4, 6}}, {0}};
    op_check_refused(in, build_slice, &(slice_arg){2, 0, 1, 0}, "no axis 2");
    op_check_refused(in, build_slice, &(slice_arg){-3, 0, 1, 0}, "no axis -3");
    op_check_refused(in, build_slice, &(slice_arg){1, 5, 2, 0}, "do not lie");
    op_check_refused(in, build_slice, &(slice_arg){1, -7, 1, 0}, "do not lie");
    op_check_refused(in, build_slice, &(slice_arg){1, 0, -2, 0}, "do not lie");
    op_check_refused(in, build_slice, &(slice_arg){1, 1, INT64_MAX, 0}, "do not lie");
}

static int build_split(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const int *parts = arg;
    fr_val v[8];
    fr_split(g, in[0], 1, *parts, v);
    for (int i = 0; i < *parts; i++) out[i] = fr_affine(g, v[i], (float)(i + 1), 0);
    /* The gradient looks at out[0]: let all parts take part. */
    for (int i = 1; i < *parts; i++) out[0] = fr_add(g, out[0], out[i]);
    return 1;
}
static void ref_split(const void *arg, const op_f64 *in, op_f64 *out) {
    int parts = *(const int *)arg;
    for (int64_t i = 0; i < fr_values(&out[0].desc); i++)
        for (int p = 0; p < parts; p++) {
            int64_t at[5];
            unravel(&out[0].desc, i, at);
            at[1] += p * out[0].desc.dim[1];
            out[0].v[i] += (p + 1) * in[0].v[ravel(&in[0].desc, at)];
        }
}

static void test_split(void **state) {
    (void)state;
    op_check(&(op_case){.name = "split",
                        .in = {{FR_F32, 3, {3, 12, 5}, .grad = true}},
                        .arg = &(int){3},
                        .build = build_split,
                        .ref = ref_split});
    static const op_in in[] = {{.dtype = FR_F32, .rank = 2, .dim = {4, 6}}, {0}};
    op_check_refused(in, build_split, &(int){4}, "cannot be cut into 4");
}

/* ---- concat ---- */

typedef struct concat_arg {
    int count, axis;
} concat_arg;

static int build_concat(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const concat_arg *a = arg;
    out[0] = fr_concat(g, a->count, in, a->axis);
    return 1;
}
static void ref_concat(const void *arg, const op_f64 *in, op_f64 *out) {
    const concat_arg *a = arg;
    int axis = a->axis < 0 ? a->axis + in[0].desc.rank : a->axis;
    for (int64_t i = 0; i < fr_values(&out[0].desc); i++) {
        int64_t at[5];
        int k = 0;
        unravel(&out[0].desc, i, at);
        while (at[axis] >= in[k].desc.dim[axis]) at[axis] -= in[k++].desc.dim[axis];
        out[0].v[i] = in[k].v[ravel(&in[k].desc, at)];
    }
}

static void test_concat(void **state) {
    (void)state;
    op_check(&(op_case){.name = "concat of rows",
                        .in = {{FR_F32, 2, {2, 5}, .grad = true},
                               {FR_F32, 2, {1, 5}, .grad = true},
                               {FR_F32, 2, {4, 5}, .grad = true}},
                        .arg = &(concat_arg){3, 0},
                        .build = build_concat,
                        .ref = ref_concat,
                        .bf16 = true});
    op_check(&(op_case){
        .name = "concat of channels",
        .in = {{FR_F32, 4, {2, 3, 4, 5}, .grad = true}, {FR_F32, 4, {2, 3, 4, 1}, .grad = true}},
        .arg = &(concat_arg){2, -1},
        .build = build_concat,
        .ref = ref_concat,
        .bf16 = true});
    op_check(&(op_case){.name = "concat of integers and nothing",
                        .in = {{FR_I32, 3, {2, 3, 4}, .hi = 9},
                               {FR_I32, 3, {2, 0, 4}, .hi = 9},
                               {FR_I32, 3, {2, 8, 4}, .hi = 9}},
                        .arg = &(concat_arg){3, 1},
                        .build = build_concat,
                        .ref = ref_concat});
}

static void test_concat_refused(void **state) {
    (void)state;
    static const op_in shapes[] = {{.dtype = FR_F32, .rank = 2, .dim = {4, 6}},
                                   {.dtype = FR_F32, .rank = 2, .dim = {4, 5}},
                                   {0}};
    op_check_refused(shapes, build_concat, &(concat_arg){2, 0}, "f32 [4, 6] and f32 [4, 5]");
    op_check_refused(shapes, build_concat, &(concat_arg){2, 5}, "no axis 5");
    static const op_in types[] = {{.dtype = FR_F32, .rank = 2, .dim = {4, 6}},
                                  {.dtype = FR_I32, .rank = 2, .dim = {4, 6}},
                                  {0}};
    op_check_refused(types, build_concat, &(concat_arg){2, 0}, "must be the same");
}

/* ---- pad ---- */

typedef struct pad_arg {
    int64_t before[5], after[5];
    float value;
} pad_arg;

static int build_pad(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const pad_arg *a = arg;
    out[0] = fr_pad(g, in[0], a->before, a->after, a->value);
    return 1;
}
static void ref_pad(const void *arg, const op_f64 *in, op_f64 *out) {
    const pad_arg *a = arg;
    for (int64_t i = 0; i < fr_values(&out[0].desc); i++) {
        int64_t at[5];
        bool inside = true;
        unravel(&out[0].desc, i, at);
        for (int d = 0; d < out[0].desc.rank; d++) {
            at[d] -= a->before[d];
            inside = inside && at[d] >= 0 && at[d] < in[0].desc.dim[d];
        }
        out[0].v[i] = inside ? in[0].v[ravel(&in[0].desc, at)] : (double)a->value;
    }
}

static void test_pad(void **state) {
    (void)state;
    static const pad_arg args[] = {
        {{1, 2, 0}, {0, 3, 1}, 0},
        {{0, 0, 2}, {0, 0, 0}, -1.5f},
        {{0, 0, 0}, {0, 0, 0}, 1},
        {{2, 2, 2}, {2, 2, 2}, 0.25f},
    };
    for (size_t i = 0; i < FR_COUNT(args); i++)
        op_check(&(op_case){.name = "pad",
                            .in = {{FR_F32, 3, {3, 4, 5}, .grad = true}},
                            .arg = &args[i],
                            .build = build_pad,
                            .ref = ref_pad,
                            .bf16 = true});
    op_check(&(op_case){.name = "pad of integers",
                        .in = {{FR_I32, 2, {3, 40}, .hi = 50}},
                        .arg = &(pad_arg){{1, 1}, {1, 30}, -7},
                        .build = build_pad,
                        .ref = ref_pad});
}

static void test_pad_refused(void **state) {
    (void)state;
    static const op_in in[] = {{.dtype = FR_F32, .rank = 2, .dim = {4, 6}}, {0}};
    op_check_refused(in, build_pad, &(pad_arg){{-1, 0}, {0, 0}, 0}, "make no sense");
    op_check_refused(in, build_pad, &(pad_arg){{INT64_MAX, 0}, {0, 0}, 0}, "make no sense");
    op_check_refused(in, build_pad, &(pad_arg){{INT64_MAX / 2, 0}, {0, INT64_MAX / 2}, 0}, "pad");
    static const op_in ints[] = {{.dtype = FR_I32, .rank = 1, .dim = {4}}, {0}};
    op_check_refused(ints, build_pad, &(pad_arg){{1}, {0}, 3e9f}, "does not fit");
    static const op_in small[] = {{.dtype = FR_U8, .rank = 1, .dim = {4}}, {0}};
    op_check_refused(small, build_pad, &(pad_arg){{1}, {0}, 1}, "with 0 only");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_reshape_of_slice),
        cmocka_unit_test(test_reshape_refused),
        cmocka_unit_test(test_permute),
        cmocka_unit_test(test_permute_refused),
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_slice_refused),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_concat),
        cmocka_unit_test(test_concat_refused),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_pad_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
