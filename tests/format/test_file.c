/* test_file.c: every format through a file and back, and files that are not what they say. The files stay in
 * format_file.out/, where tests/format/check_numpy.py decodes them with the readers of docs/formats.md. */
#include "testing.h"

#define OUT "format_file.out"

static const int64_t rows = 5;

/* One file a format and width: the parts, and "want", what they decode to. */
static void write_one(const fr_qformat *f, int64_t cols) {
    float *x = normal_matrix(rows, cols, (uint64_t)cols);
    for (int64_t c = 0; c < cols; c++) x[cols + c] = 0;          /* a row of zeros */
    x[2 * cols] = 300;                                           /* one that stands out */
    for (int64_t c = 0; c < cols; c++) x[3 * cols + c] *= 1e-5f; /* f16 scales below 2^-14 */
    fr_quantized q, back;
    fr_status status = fr_quantize(f, NULL, x, rows, cols, &q);
    if (status != FR_OK) { /* some formats want whole groups */
        assert_true(*fr_message());
        if (cols % (strstr(f->name, "_k") ? 256 : 128) == 0)
            fail_msg("%s refuses 5 x %lld: %s", f->name, (long long)cols, fr_message());
        fr_free(x);
        return;
    }
    f->decode(&q, 0, rows, x);
    fr_tensor want = fr_tensor_make(FR_F32, 2, (const int64_t[]){rows, cols}, x);
    fr_named_tensor list[FR_PARTS + 1] = {{"want", &want}};
    fr_meta_pair meta[1];
    size_t count = 1, metas = 0;
    fr_arena *arena = fr_arena_new();
    assert_good(fr_quantized_list(&q, "m.w", arena, list, &count, meta, &metas));
    assert_int_equal(count, f->parts + 1);
    assert_int_equal(metas, 1);
    char path[200];
    snprintf(path, sizeof path, OUT "/%s-%lld.safetensors", f->name, (long long)cols);
    assert_good(fr_safetensors_write(path, list, count, meta, metas));
    fr_arena_free(arena);
    fr_store *s;
    assert_good(fr_store_open(path, &s));
    assert_good(fr_quantized_open(s, "m.w", &back));
    assert_ptr_equal(back.format, f);
    assert_int_equal(back.rows, rows);
    assert_int_equal(back.cols, cols);
    assert_null(back.memory);
    for (int i = 0; i < f->parts; i++) {
        assert_int_equal(fr_bytes(&back.part[i]), fr_bytes(&q.part[i]));
        assert_memory_equal(back.part[i].data, q.part[i].data, fr_bytes(&q.part[i]));
    }
    fr_store_close(s);
    fr_quantized_free(&q);
    fr_free(x);
}

static void every_format_keeps_its_bits(void **state) {
    (void)state;
    assert_good(fr_make_dirs(OUT));
    static const int64_t widths[] = {1, 67, 128, 200, 384, 512};
    for (int f = 0; fr_formats[f]; f++)
        for (size_t w = 0; w < FR_COUNT(widths); w++) write_one(fr_formats[f], widths[w]);
}

/* The table of docs/formats.md, which check_numpy.py holds against this. */
static void bits_are_written_down(void **state) {
    (void)state;
    FILE *f = fopen(OUT "/bits.txt", "w");
    assert_non_null(f);
    for (int i = 0; fr_formats[i]; i++) {
        double bits = 0;
        assert_good(fr_format_bits(fr_formats[i], 4096, 4096, &bits));
        assert_true(bits > 1 && bits < 16);
        fprintf(f, "%s %.5g\n", fr_formats[i]->name, bits);
    }
    assert_int_equal(fclose(f), 0);
}

/* ---- files that lie ---- */

/* A good matrix, 3 x 130, whose parts a test then spoils; every part may be replaced. */
typedef struct lie {
    const char *format; /* what is quantized */
    const char *meta;   /* NULL: the truth; "": none */
    int part;           /* which one is spoiled */
    int place, value;   /* byte `place` becomes `value`; place -1: the part is missing, -2: its type
                           is f64, -3: its rows are cut by one */
    fr_status status;
    const char *message;
} lie;

static const lie lies[] = {
    {"int4-g64", "", 0, 0, 0, FR_INVALID, "has no quantized matrix 'w'"},
    {"int4-g64", "int4-g65 3 130", 0, 0, 0, FR_UNSUPPORTED,
     "'int4-g65', which Frugal does not know"},
    {"int4-g64", "int4-g64 3", 0, 0, 0, FR_FORMAT, "is said to be 'int4-g64 3'"},
    {"int4-g64", "int4-g64  3 130", 0, 0, 0, FR_FORMAT, "is said to be"},
    {"int4-g64", "int4-g64 -3 130", 0, 0, 0, FR_FORMAT, "is said to be"},
    {"int4-g64", "int4-g64 3 130 ", 0, 0, 0, FR_FORMAT, "is said to be"},
    {"int4-g64", "int4-g64 0 130", 0, 0, 0, FR_FORMAT, "is said to be"},
    {"int4-g64", "int4-g64 3 99999999999999999999", 0, 0, 0, FR_FORMAT, "is said to be"},
    {"int4-g64", "int4-g64 4611686018427387904 4", 0, 0, 0, FR_NOMEM, "63 bits"},
    {"int4-g64", "", 0, 0, 0, FR_INVALID, "no quantized matrix"},
    {"int4-g64", " 3 130", 0, 0, 0, FR_FORMAT, "is said to be"},
    {"int4-g64", "int4-g64 3 132", 0, 0, 0, FR_FORMAT,
     "'w.codes' is u8 [3, 65]; the format asks for u8 [3, 66]"},
    {"int4-g64", "int4-g32 3 130", 0, 0, 0, FR_FORMAT, "'w.scales' is f16 [3, 3]"},
    {"int4-g64", "int8-channel 3 130", 0, 0, 0, FR_FORMAT, "'w.codes' is u8"},
    {"int4-g64", NULL, 0, -1, 0, FR_FORMAT, "There is no tensor 'w.codes'"},
    {"int4-g64", NULL, 1, -1, 0, FR_FORMAT, "There is no tensor 'w.scales'"},
    {"int4-g64", NULL, 1, -2, 0, FR_FORMAT, "'w.scales' is f64"},
    {"int4-g64", NULL, 1, -3, 0, FR_FORMAT, "'w.scales' is f16 [2, 3]"},
    {"int4-g64", NULL, 0, 70, 0x18, FR_FORMAT, "Row 1 holds the code -8"},
    {"int4-g64", NULL, 0, 70, 0x80, FR_FORMAT, "Row 1 holds the code -8"},
    {"int4-g64", NULL, 1, 3, 0x7c, FR_FORMAT, "'scales' of int4-g64 holds"},
    {"int4-g64", NULL, 1, 3, 0xbc, FR_FORMAT, "'scales' of int4-g64 holds"},
    {"int4-g64-bf16", NULL, 1, 17, 0x80, FR_FORMAT, "'scales' of int4-g64-bf16 holds"},
    {"uint4-z-g64", NULL, 2, 4, 16, FR_FORMAT, "'zeros' holds 16 at place 4"},
    {"uint4-z-g64-perm", NULL, 3, 4, 77, FR_FORMAT, "'order' holds 77 at place 77"},
    {"uint4-z-g64-perm", NULL, 3, 4, 200, FR_FORMAT, "'order' holds 200 at place 1"},
    {"uint4-z-g64-perm", NULL, 3, 7, 128, FR_FORMAT, "'order' holds -2147483647 at place 1"},
    {"int8-token", NULL, 0, 140, 128, FR_FORMAT, "Row 1, column 10 holds the code -128"},
    {"int8-tensor", NULL, 1, 3, 0xbf, FR_FORMAT, "'scales' of int8-tensor holds"},
    {"uint8-channel", NULL, 1, 11, 0xff, FR_FORMAT, "'scales' of uint8-channel holds"},
    {"qoq-g128", NULL, 2, 3, 0, FR_FORMAT, "'group_scales' holds 0 at place 3"},
    {"qoq-g128", NULL, 2, 3, 17, FR_FORMAT, "'group_scales' holds 17 at place 3"},
    {"qoq-g128", NULL, 3, 0, 0x80, FR_FORMAT, "which eight bits cannot hold"},
    {"qoq-g128-pre", NULL, 3, 5, 16, FR_FORMAT, "'group_zeros' holds 16 at place 5"},
    {"qoq-channel", NULL, 2, 1, 0x7e, FR_FORMAT, "'zeros' of qoq-channel holds nan"},
    {"q4_0", "q4_0 3 130", 0, 0, 0, FR_UNSUPPORTED, "whole blocks of 32"},
    {"q4_0", "q4_0 3 192", 0, 0, 0, FR_FORMAT, "the format asks for u8 [3, 108]"},
    {"q4_1", NULL, 0, 23, 0x7c, FR_FORMAT, "Block 1 of row 0 has a scale that is no number"},
};

/* Writes the lie, opens it. */
static fr_status open_lie(const lie *l, int64_t cols) {
    static double wide[1000];
    float *x = normal_matrix(3, cols, 5);
    fr_quantized q, back;
    assert_good(fr_quantize(format_of(l->format), NULL, x, 3, cols, &q));
    fr_free(x);
    fr_named_tensor list[FR_PARTS];
    fr_meta_pair meta[1];
    size_t count = 0, metas = 0;
    fr_arena *arena = fr_arena_new();
    assert_good(fr_quantized_list(&q, "w", arena, list, &count, meta, &metas));
    if (l->meta) meta[0].value = l->meta;
    if (l->meta && !*l->meta) metas = 0;
    fr_tensor spoiled = q.part[l->part];
    list[l->part].tensor = &spoiled;
    if (l->place >= 0 && !l->meta) ((uint8_t *)spoiled.data)[l->place] = (uint8_t)l->value;
    if (l->place == -2) spoiled = fr_tensor_make(FR_F64, spoiled.rank, spoiled.dim, wide);
    if (l->place == -3) spoiled.dim[0]--;
    if (l->place == -1) list[l->part] = list[--count];
    assert_good(fr_make_dirs(OUT));
    assert_good(fr_safetensors_write(OUT "/lie.st", list, count, meta, metas));
    fr_store *s;
    /* Not named .safetensors, so that who looks at the good ones does not see it. */
    char *data;
    size_t bytes;
    assert_good(fr_read_file(OUT "/lie.st", 0, &data, &bytes));
    assert_good(fr_safetensors_parse((const uint8_t *)data, bytes, "lie", &s));
    fr_status status = fr_quantized_open(s, "w", &back);
    if (status != FR_OK) assert_null(back.format);
    fr_store_close(s);
    fr_free(data);
    fr_arena_free(arena);
    fr_quantized_free(&q);
    return status;
}

static void lies_are_found(void **state) {
    (void)state;
    for (size_t i = 0; i < FR_COUNT(lies); i++) {
        fr_status status =
            open_lie(&lies[i], lies[i].format[0] == 'q' && lies[i].format[1] != 'o' ? 160 : 130);
        if (status != lies[i].status || !strstr(fr_message(), lies[i].message))
            fail_msg("lie %zu (%s): status %d, \"%s\"", i, lies[i].message, (int)status,
                     fr_message());
    }
}

static void an_odd_row_ends_with_nothing(void **state) {
    (void)state;
    static const char *const names[] = {"int4-g64", "uint4-g64", "uint4-z-g64", "qoq-channel",
                                        "qoq-g128"};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        lie l = {names[i], NULL, 0, 65, 0x10, 0, NULL};
        assert_int_equal(open_lie(&l, 131), FR_FORMAT);
        assert_non_null(strstr(fr_message(), "Row 0 of 'codes' does not end with the nibble 0"));
    }
}

/* No part of a good file can be changed in one byte so that decoding leaves the matrix or crashes. */
static void any_byte_may_be_anything(void **state) {
    (void)state;
    fr_rng rng = fr_rng_new(3, 3);
    for (int f = 0; fr_formats[f]; f++)
        for (int turn = 0; turn < 200; turn++) {
            fr_quantized q;
            float *x = normal_matrix(2, 256, 5);
            assert_good(fr_quantize(fr_formats[f], NULL, x, 2, 256, &q));
            for (int i = 0; i < 3; i++) {
                fr_tensor *t = &q.part[fr_rng_below(&rng, (uint32_t)q.format->parts)];
                ((uint8_t *)t->data)[fr_rng_below(&rng, (uint32_t)fr_bytes(t))] =
                    (uint8_t)fr_rng_u32(&rng);
            }
            if (!q.format->check || q.format->check(&q) == FR_OK) q.format->decode(&q, 0, 2, x);
            fr_quantized_free(&q);
            fr_free(x);
        }
}

static void memory_may_run_out(void **state) {
    (void)state;
    for (int f = 0; fr_formats[f]; f++) {
        float *x = normal_matrix(1, 256, 5);
        fr_quantized q;
        fr_memory_fail_after(1);
        assert_int_equal(fr_quantize(fr_formats[f], NULL, x, 1, 256, &q), FR_NOMEM);
        fr_memory_fail_after(0);
        assert_null(q.memory);
        fr_free(x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_keeps_its_bits),
        cmocka_unit_test(bits_are_written_down),
        cmocka_unit_test(lies_are_found),
        cmocka_unit_test(an_odd_row_ends_with_nothing),
        cmocka_unit_test(any_byte_may_be_anything),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
