/* test_import.c: layers as AWQ, GPTQ and QServe pack them, made by tests/oracle/formats_int.py, become what
 * they mean to the bit; and what cannot be taken over is refused. */
#include "format/import.h"
#include "testing.h"

static fr_store *golden;

static const fr_tensor *tensor(const char *name, const char *part) {
    char full[64];
    snprintf(full, sizeof full, "%s.%s", name, part);
    const fr_tensor *t = fr_store_find(golden, full);
    if (!t) fail_msg("the golden file has no %s", full);
    return t;
}

/* Decodes q and frees it. */
static float *decoded(fr_quantized *q) {
    float *y = fr_alloc_array(FR_MEM_OTHER, (size_t)(q->rows * q->cols), sizeof *y);
    q->format->decode(q, 0, q->rows, y);
    fr_quantized_free(q);
    return y;
}

static void means(const char *name, const char *format, fr_quantized *q) {
    const fr_tensor *want = tensor(name, "want");
    assert_string_equal(q->format->name, format);
    assert_int_equal(q->rows, want->dim[0]);
    assert_int_equal(q->cols, want->dim[1]);
    float *y = decoded(q);
    for (int64_t i = 0; i < fr_values(want); i++)
        if (y[i] != ((const float *)want->data)[i])
            fail_msg("%s: value %lld is %g, not %g", name, (long long)i, (double)y[i],
                     (double)((const float *)want->data)[i]);
    fr_free(y);
}

static void awq_is_taken_over(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"awq128", "uint4-z-g128"}, {"awq32", "uint4-z-g32"}, {"awqrow", "uint4-z-row"}};
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_quantized q;
        assert_good(fr_import_awq(golden, cases[i][0], &q));
        means(cases[i][0], cases[i][1], &q);
    }
}

static void gptq_is_taken_over(void **state) {
    (void)state;
    static const struct {
        const char *name, *format;
        fr_gptq kind;
    } cases[] = {
        {"gptq128", "uint4-z-g128", {4, false}},     {"gptq64v2", "uint4-z-g64", {4, true}},
        {"gptq8", "uint8-z-g32", {8, false}},        {"gptqrow", "uint4-z-row", {4, false}},
        {"gptqact", "uint4-z-g32-perm", {4, false}}, {"gptq8act", "uint8-z-g64-perm", {8, true}},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_quantized q;
        assert_good(fr_import_gptq(golden, cases[i].name, cases[i].kind, &q));
        assert_good(q.format->check(&q));
        means(cases[i].name, cases[i].format, &q);
    }
}

static void qserve_is_taken_over(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"qservepost", "qoq-g128"},
                                           {"qservepre", "qoq-g128-pre"}};
    fr_quantized q;
    assert_good(fr_import_qserve(golden, "qservechn", &q));
    means("qservechn", "qoq-channel", &q);
    for (size_t k = 0; k < FR_COUNT(cases); k++) {
        const fr_tensor *want = tensor(cases[k][0], "want8"),
                        *s1 = tensor(cases[k][0], "s1_scales");
        assert_good(fr_import_qserve(golden, cases[k][0], &q));
        assert_string_equal(q.format->name, cases[k][1]);
        float *y = decoded(&q);
        for (int64_t i = 0; i < fr_values(want); i++) {
            float s = fr_f16_to_f32(((const uint16_t *)s1->data)[i / want->dim[1]]);
            assert_true(y[i] == (float)((const int8_t *)want->data)[i] * s);
        }
        fr_free(y);
    }
}

/* ---- refusals ---- */

/* The tensors of one golden layer as "x", one of them replaced; the file is opened again. */
typedef struct change {
    const char *name, *part; /* the part that `with` replaces; a data of NULL: it is left out */
    fr_tensor with;
} change;

static fr_status import_changed(const change *c, const char *kind, fr_gptq gptq) {
    fr_named_tensor list[8];
    char names[8][64];
    size_t count = 0;
    for (size_t i = 0; i < fr_store_count(golden); i++) {
        const char *full = fr_store_name(golden, i), *dot = strrchr(full, '.');
        if ((size_t)(dot - full) != strlen(c->name) || strncmp(full, c->name, strlen(c->name)))
            continue;
        bool changed = c->part && !strcmp(dot + 1, c->part);
        if (changed && !c->with.data) continue;
        snprintf(names[count], sizeof names[0], "x%s", dot);
        list[count] =
            (fr_named_tensor){names[count], changed ? &c->with : fr_store_tensor(golden, i)};
        count++;
    }
    assert_good(fr_make_dirs("format_import.out"));
    assert_good(fr_safetensors_write("format_import.out/x.safetensors", list, count, NULL, 0));
    fr_store *s;
    assert_good(fr_store_open("format_import.out/x.safetensors", &s));
    fr_quantized q;
    fr_status status = !strcmp(kind, "awq")    ? fr_import_awq(s, "x", &q)
                       : !strcmp(kind, "gptq") ? fr_import_gptq(s, "x", gptq, &q)
                                               : fr_import_qserve(s, "x", &q);
    if (status != FR_OK) assert_null(q.memory);
    fr_quantized_free(&q);
    fr_store_close(s);
    return status;
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    static int32_t ints[4096];
    static int8_t bytes[4096];
    static uint16_t halves[4096];
    for (int i = 0; i < 4096; i++) halves[i] = 0x7c00;
    fr_tensor none = {0}, ones = fr_tensor_make(FR_I32, 1, DIMS(128), ints);
    ints[3] = 4;
    fr_gptq four = {4, false};
    const struct {
        change c;
        const char *kind;
        fr_gptq gptq;
        fr_status status;
        const char *message;
    } cases[] = {
        {{"awq128", "qzeros", none}, "awq", four, FR_FORMAT, "There is no tensor 'x.qzeros'"},
        {{"awq128", "scales", fr_tensor_make(FR_F16, 2, DIMS(2, 12), halves)},
         "awq",
         four,
         FR_FORMAT,
         "words of 8"},
        {{"awq128", "scales", fr_tensor_make(FR_F16, 2, DIMS(3, 8), halves)},
         "awq",
         four,
         FR_FORMAT,
         "'x.qzeros' is i32 [2, 1]"},
        {{"awq128", "scales", fr_tensor_make(FR_BF16, 2, DIMS(2, 8), halves)},
         "awq",
         four,
         FR_FORMAT,
         "'x.scales' is bf16"},
        {{"awq128", "scales", fr_tensor_make(FR_F16, 2, DIMS(2, 8), halves)},
         "awq",
         four,
         FR_FORMAT,
         "'scales' of uint4-z-g128 holds inf"},
        {{"awq128", "qweight", fr_tensor_make(FR_I32, 2, DIMS(600, 1), ints)},
         "awq",
         four,
         FR_UNSUPPORTED,
         "2 groups of 600 inputs"},
        {{"awq128", "qweight", fr_tensor_make(FR_I32, 2, DIMS(256, 2), ints)},
         "awq",
         four,
         FR_FORMAT,
         "'x.qweight' is i32 [256, 2]"},
        {{"gptq128", NULL, none}, "gptq", {3, false}, FR_UNSUPPORTED, "3 bits a weight"},
        {{"gptq128", "g_idx", none}, "gptq", four, FR_OK, ""},
        {{"gptqact", "g_idx", ones}, "gptq", four, FR_FORMAT, "'x.g_idx' holds 4 at place 3"},
        {{"gptqact", "g_idx", fr_tensor_make(FR_I32, 1, DIMS(128), ints + 8)},
         "gptq",
         four,
         FR_UNSUPPORTED,
         "puts 128 columns into group 0, not 32"},
        {{"gptqact", "g_idx", fr_tensor_make(FR_I32, 1, DIMS(127), ints)},
         "gptq",
         four,
         FR_FORMAT,
         "'x.g_idx' is i32 [127]"},
        {{"gptqrow", "g_idx", fr_tensor_make(FR_I32, 1, DIMS(24), ints)},
         "gptq",
         four,
         FR_FORMAT,
         "one only"},
        {{"qservechn", "qweight", fr_tensor_make(FR_I8, 2, DIMS(32, 8), bytes)},
         "qserve",
         four,
         FR_FORMAT,
         "multiples of 32"},
        {{"qservechn", "s1_szeros", fr_tensor_make(FR_F16, 1, DIMS(31), halves)},
         "qserve",
         four,
         FR_FORMAT,
         "'x.s1_szeros' is f16 [31]"},
        {{"qservechn", "s1_szeros", none}, "qserve", four, FR_FORMAT, "32 inputs"},
        {{"qservepost", "s2_scales", none}, "qserve", four, FR_FORMAT, "no tensor 'x.s2_scales'"},
        {{"qservepost", "s2_scales", fr_tensor_make(FR_I8, 2, DIMS(1, 32), bytes)},
         "qserve",
         four,
         FR_FORMAT,
         "'group_scales' holds 0"},
        {{"qservepre", "s2_scales", fr_tensor_make(FR_I8, 2, DIMS(1, 32), bytes)},
         "qserve",
         four,
         FR_FORMAT,
         "zero point"},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        fr_status status = import_changed(&cases[i].c, cases[i].kind, cases[i].gptq);
        if (status != cases[i].status || (status && !strstr(fr_message(), cases[i].message)))
            fail_msg("case %zu: %d, not %s: %s", i, (int)status, cases[i].message, fr_message());
    }
}

static int open_golden(void **state) {
    (void)state;
    assert_good(fr_store_open(FR_TESTS_DIR "/golden/format/imports.safetensors", &golden));
    return 0;
}

static int close_golden(void **state) {
    (void)state;
    fr_store_close(golden);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(awq_is_taken_over),
        cmocka_unit_test(gptq_is_taken_over),
        cmocka_unit_test(qserve_is_taken_over),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
