/* test_index.c: embedding, also of tables in few bits, gather, scatter_add. */
#include "format/format.h"
#include "op_test.h"

static int build_embedding(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    (void)arg;
    out[0] = fr_embedding(g, in[0], in[1]);
    return 1;
}
static void ref_embedding(const void *arg, const op_f64 *in, op_f64 *out) {
    (void)arg;
    int64_t dim = in[0].desc.dim[1];
    for (int64_t i = 0; i < fr_values(&in[1].desc); i++)
        for (int64_t k = 0; k < dim; k++)
            out[0].v[i * dim + k] = in[0].v[(int64_t)in[1].v[i] * dim + k];
}

static void test_embedding(void **state) {
    (void)state;
    op_check(&(op_case){.name = "embedding",
                        .in = {{FR_F32, 2, {11, 7}, .grad = true}, {FR_I32, 2, {3, 5}, .hi = 11}},
                        .build = build_embedding,
                        .ref = ref_embedding,
                        .bf16 = true});
    /* Many of the same id, so that the gradient has long sums. */
    op_check(&(op_case){.name = "embedding, few rows",
                        .in = {{FR_F32, 2, {3, 70}, .grad = true}, {FR_I32, 1, {500}, .hi = 3}},
                        .build = build_embedding,
                        .ref = ref_embedding,
                        .bf16 = true});
    op_check(&(op_case){.name = "embedding of one",
                        .in = {{FR_F32, 2, {1, 1}, .grad = true}, {FR_I32, 0, {0}, .hi = 1}},
                        .build = build_embedding,
                        .ref = ref_embedding});
}

/* ---- a table in few bits ---- */

/* What a decoder of the whole gives, of any format, with any number of threads. */
static void few_as_decoded(const fr_qformat *f, fr_dtype type) {
    enum { ROWS = 20, COLS = 256, IDS = 9 };
    float x[ROWS * COLS], want[COLS], got[COLS];
    fr_quantized q;
    fr_random_normal(5, 0, 0, x, ROWS * COLS);
    assert_int_equal(fr_quantize(f, NULL, x, ROWS, COLS, &q), FR_OK);
    int32_t ids[IDS] = {3, 0, 19, 3, 7, 8, 9, 10, 1};
    for (int threads = 1; threads <= 3; threads += 2) {
        fr_graph *g = fr_graph_new();
        fr_qweight w = {.format = f->name, .n = ROWS, .k = COLS};
        fr_tensor in[FR_PARTS + 1];
        for (int i = 0; i < f->parts; i++) {
            in[i] = q.part[i];
            w.part[i] = fr_input(g, f->part_name[i], in[i].dtype, in[i].rank, in[i].dim);
        }
        in[f->parts] = fr_tensor_make(FR_I32, 2, (int64_t[]){3, 3}, ids);
        fr_val list = fr_input(g, "ids", FR_I32, 2, (int64_t[]){3, 3});
        fr_output(g, "y", fr_embedding_few(g, &w, list, type));
        fr_session *s;
        fr_session_opts o = {.pool = op_pool(threads)};
        if (fr_session_new_with(g, &o, &s)) fail_msg("%s", fr_message());
        if (fr_session_run(s, in, (size_t)f->parts + 1)) fail_msg("%s", fr_message());
        const fr_tensor *y = fr_session_output(s, "y");
        assert_true(y->rank == 3 && y->dim[2] == COLS && y->dtype == type);
        for (int i = 0; i < IDS; i++) {
            f->decode(&q, ids[i], 1, want);
            fr_decode(type, (char *)y->data + i * COLS * (type == FR_F32 ? 4 : 2), COLS, got);
            for (int c = 0; c < COLS; c++)
                assert_true(got[c] ==
                            (type == FR_F32 ? want[c] : fr_bf16_to_f32(fr_f32_to_bf16(want[c]))));
        }
        ids[4] = ROWS;
        assert_int_equal(fr_session_run(s, in, (size_t)f->parts + 1), FR_INVALID);
        assert_non_null(strstr(fr_message(), "index 20 at position 4"));
        ids[4] = 7;
        fr_session_free(s);
        fr_graph_free(g);
    }
    fr_quantized_free(&q);
}

static int build_few(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    fr_qweight w = {.format = arg, .n = 4, .k = 32, .part = {in[0]}};
    out[0] = fr_embedding_few(g, &w, in[1], FR_F32);
    return 1;
}

static void test_few(void **state) {
    (void)state;
    static const fr_qformat *const formats[] = {&fr_q6_k, &fr_q8_0, &fr_int4_g64, &fr_nvfp4};
    for (size_t i = 0; i < FR_COUNT(formats); i++) {
        few_as_decoded(formats[i], FR_F32);
        few_as_decoded(formats[i], FR_BF16);
    }
    static const op_in floats[] = {{.dtype = FR_F32, .rank = 2, .dim = {4, 34}},
                                   {.dtype = FR_I32, .rank = 1, .dim = {4}},
                                   {0}};
    op_check_refused(floats, build_few, "q8_0", "the part 'blocks' of a table in q8_0");
    op_check_refused(floats, build_few, "q9_9", "wants a format");
    op_check_refused(floats, build_few, "q6_k", "whole blocks of 256");
}

typedef struct index_arg {
    int axis;
    int64_t rows;
} index_arg;

static int build_gather(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_gather(g, in[0], in[1], ((const index_arg *)arg)->axis);
    return 1;
}

/* Values before and after the axis. */
static void around(const fr_tensor *t, int axis, int64_t *outer, int64_t *inner) {
    if (axis < 0) axis += t->rank;
    *outer = *inner = 1;
    for (int d = 0; d < t->rank; d++)
        if (d != axis) *(d < axis ? outer : inner) *= t->dim[d];
}

static void ref_gather(const void *arg, const op_f64 *in, op_f64 *out) {
    int axis = ((const index_arg *)arg)->axis;
    int64_t outer, inner, n = in[1].desc.dim[0], rows = fr_dim(&in[0].desc, axis);
    around(&in[0].desc, axis, &outer, &inner);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < inner; k++)
                out[0].v[(o * n + i) * inner + k] =
                    in[0].v[(o * rows + (int64_t)in[1].v[i]) * inner + k];
}

static void test_gather(void **state) {
    (void)state;
    for (int axis = -1; axis < 3; axis++) {
        op_case c = {.name = "gather",
                     .in = {{FR_F32, 3, {4, 6, 9}, .grad = true}, {FR_I32, 1, {8}, .hi = 4}},
                     .arg = &(index_arg){axis, 0},
                     .build = build_gather,
                     .ref = ref_gather,
                     .bf16 = true};
        op_check(&c);
    }
    op_check(&(op_case){.name = "gather of integers",
                        .in = {{FR_I32, 2, {5, 300}, .hi = 99}, {FR_I32, 1, {900}, .hi = 5}},
                        .arg = &(index_arg){0, 0},
                        .build = build_gather,
                        .ref = ref_gather});
}

static int build_scatter(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const index_arg *a = arg;
    out[0] = fr_scatter_add(g, in[0], in[1], a->axis, a->rows);
    return 1;
}
static void ref_scatter(const void *arg, const op_f64 *in, op_f64 *out) {
    const index_arg *a = arg;
    int64_t outer, inner, n = in[1].desc.dim[0];
    around(&in[0].desc, a->axis, &outer, &inner);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < inner; k++)
                out[0].v[(o * a->rows + (int64_t)in[1].v[i]) * inner + k] +=
                    in[0].v[(o * n + i) * inner + k];
}

static void test_scatter(void **state) {
    (void)state;
    op_check(&(op_case){.name = "scatter_add",
                        .in = {{FR_F32, 3, {3, 20, 5}, .grad = true}, {FR_I32, 1, {20}, .hi = 7}},
                        .arg = &(index_arg){1, 7},
                        .build = build_scatter,
                        .ref = ref_scatter,
                        .bf16 = true});
    op_check(&(op_case){.name = "scatter_add of long rows",
                        .in = {{FR_F32, 2, {9, 5000}, .grad = true}, {FR_I32, 1, {9}, .hi = 4}},
                        .arg = &(index_arg){0, 6},
                        .build = build_scatter,
                        .ref = ref_scatter,
                        .bf16 = true});
    op_check(&(op_case){.name = "scatter_add along the last axis",
                        .in = {{FR_F32, 2, {6, 8}, .grad = true}, {FR_I32, 1, {8}, .hi = 3}},
                        .arg = &(index_arg){-1, 3},
                        .build = build_scatter,
                        .ref = ref_scatter});
}

static void test_refused(void **state) {
    (void)state;
    static const op_in flat[] = {
        {.dtype = FR_F32, .rank = 1, .dim = {4}}, {.dtype = FR_I32, .rank = 1, .dim = {4}}, {0}};
    op_check_refused(flat, build_embedding, NULL, "needs a table [rows, dim]");
    static const op_in floats[] = {
        {.dtype = FR_F32, .rank = 2, .dim = {4, 3}}, {.dtype = FR_F32, .rank = 1, .dim = {4}}, {0}};
    op_check_refused(floats, build_embedding, NULL, "i32 ids");
    op_check_refused(floats, build_gather, &(index_arg){0, 0}, "must be i32");
    static const op_in good[] = {
        {.dtype = FR_F32, .rank = 2, .dim = {4, 3}}, {.dtype = FR_I32, .rank = 1, .dim = {4}}, {0}};
    op_check_refused(good, build_gather, &(index_arg){2, 0}, "no axis 2");
    op_check_refused(good, build_scatter, &(index_arg){1, 9}, "one index a row");
    op_check_refused(good, build_scatter, &(index_arg){0, -1}, "-1 rows make no sense");
    static const op_in ints[] = {
        {.dtype = FR_I32, .rank = 2, .dim = {4, 3}}, {.dtype = FR_I32, .rank = 1, .dim = {4}}, {0}};
    op_check_refused(ints, build_scatter, &(index_arg){0, 9}, "only f32 and bf16");
}

/* An id outside the table is found when it comes, with its value and place. */
static void bad_id(int kind, const char *words) {
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){4, 3});
    fr_val ids = fr_input(g, "ids", FR_I32, 1, (int64_t[]){4});
    fr_val y = kind == 0   ? fr_embedding(g, x, ids)
               : kind == 1 ? fr_gather(g, x, ids, 0)
                           : fr_scatter_add(g, x, ids, 0, 4);
    fr_output(g, "y", y);
    fr_session *s;
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    float values[12] = {0};
    for (int bad = 0; bad < 2; bad++) {
        int32_t list[4] = {0, 3, bad ? 4 : -1, 1};
        fr_tensor in[2] = {fr_tensor_make(FR_F32, 2, (int64_t[]){4, 3}, values),
                           fr_tensor_make(FR_I32, 1, (int64_t[]){4}, list)};
        assert_int_equal(fr_session_run(s, in, 2), FR_INVALID);
        assert_non_null(strstr(fr_message(), words));
        assert_non_null(
            strstr(fr_message(), bad ? "index 4 at position 2" : "index -1 at position 2"));
        list[2] = 2;
        assert_int_equal(fr_session_run(s, in, 2), FR_OK);
    }
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_bad_ids(void **state) {
    (void)state;
    bad_id(0, "embedding");
    bad_id(1, "gather");
    bad_id(2, "scatter_add");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embedding), cmocka_unit_test(test_few),
        cmocka_unit_test(test_gather),    cmocka_unit_test(test_scatter),
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_bad_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
