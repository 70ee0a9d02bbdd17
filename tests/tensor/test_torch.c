/* test_torch.c: files that torch.save wrote (tests/oracle/torch_files.py) hold what they should; pickles that would do
 * more than hold tensors, and zips that are broken, are refused with a sentence. */
#include "testing.h"

static fr_store *opened(const char *name) {
    fr_store *s;
    assert_good(fr_store_open(golden(name), &s));
    return s;
}

static const fr_tensor *find(const fr_store *s, const char *name) {
    const fr_tensor *t = fr_store_find(s, name);
    if (!t) fail_msg("there is no '%s'", name);
    return t;
}

static void every_type(void **state) {
    (void)state;
    static const struct {
        const char *name;
        fr_dtype type;
    } types[] = {{"f32", FR_F32}, {"f16", FR_F16},  {"bf16", FR_BF16}, {"f64", FR_F64},
                 {"i64", FR_I64}, {"i32", FR_I32},  {"i16", FR_I16},   {"i8", FR_I8},
                 {"u8", FR_U8},   {"bool", FR_BOOL}};
    fr_store *s = opened("torch/types.bin");
    assert_string_equal(fr_store_format(s), "pytorch");
    for (size_t i = 0; i < FR_COUNT(types); i++) {
        float x[6];
        const fr_tensor *t = find(s, types[i].name);
        assert_int_equal(t->dtype, types[i].type);
        assert_true(t->rank == 2 && t->dim[0] == 2 && t->dim[1] == 3);
        assert_good(fr_tensor_to_f32(t, x));
        for (int k = 0; k < 6; k++)
            assert_true(x[k] == (types[i].type == FR_BOOL ? (float)(k != 0) : (float)k));
    }
    const fr_tensor *scalar = find(s, "scalar"), *empty = find(s, "empty");
    assert_true(scalar->rank == 0 && *(float *)scalar->data == 2.5f);
    assert_true(empty->rank == 2 && fr_values(empty) == 0);
    fr_store_close(s);
}

/* Views into one storage, a parameter, a dictionary in the dictionary, attributes, other values beside. */
static void ways_to_hold(void **state) {
    (void)state;
    fr_store *s = opened("torch/ways.bin");
    const float *all = find(s, "whole")->data, *part = find(s, "part")->data;
    assert_ptr_equal(part, all + 4);
    assert_ptr_equal(find(s, "tied")->data, all);
    assert_int_equal(find(s, "parameter")->dim[0], 3);
    assert_int_equal(find(s, "inner.deep.w")->dim[0], 2);
    assert_null(fr_store_find(s, "step"));
    assert_int_equal(fr_store_count(s), 5);
    fr_store_close(s);
}

static void a_folder_with_shards(void **state) {
    (void)state;
    fr_store *s = opened("torch/shards");
    assert_int_equal(fr_store_count(s), 2);
    assert_true(((float *)find(s, "a")->data)[1] == 1 && ((float *)find(s, "b")->data)[0] == 5);
    fr_store_close(s);
}

/* ---- what is refused ---- */

static void bad(const char *name, const char *text) {
    fr_store *s;
    char path[200];
    snprintf(path, sizeof path, "%s", golden(name));
    fr_message_clear();
    fr_status st = fr_store_open(path, &s);
    if (st == FR_OK || s) fail_msg("%s was opened", name);
    if (!strstr(fr_message(), text)) fail_msg("%s: no \"%s\" in: %s", name, text, fr_message());
}

static void hostile(void **state) {
    (void)state;
    bad("torch/system.bin", "asks to run 'posix.system'");
    bad("torch/builtins.bin", "asks to run '__builtin__.eval'");
    bad("torch/protocol4.bin", "instruction");
    bad("torch/transposed.bin", "'t' does not lie in the order");
    bad("torch/packed.bin", "compressed");
    bad("torch/short.bin", "'w' is not in the file as a whole");
    bad("torch/list.bin", "something else than a dictionary");
    bad("torch/nothing.bin", "no data.pkl");
    bad("torch/big.bin", "big endian");
    bad("torch/old.bin", "since 2020");
}

/* Cut anywhere, or with any byte changed: a sentence or a store, never more. */
static void damage(void **state) {
    (void)state;
    char *data;
    size_t size;
    fr_rng rng = fr_rng_new(1, 2);
    assert_good(fr_read_file(golden("torch/ways.bin"), 0, &data, &size));
    for (int turn = 0; turn < 3000; turn++) {
        char *copy = malloc(size);
        fr_store *s;
        memcpy(copy, data, size);
        size_t keep = turn % 3 ? size : fr_rng_below(&rng, (uint32_t)size);
        for (int i = 0; i < turn % 3 * 2; i++)
            copy[fr_rng_below(&rng, (uint32_t)size)] = (char)fr_rng_u32(&rng);
        fr_message_clear();
        fr_status st = fr_torch_parse((const uint8_t *)copy, keep, "damaged", &s);
        if (st) assert_true(*fr_message() && !s);
        for (size_t i = 0; !st && i < fr_store_count(s); i++) {
            const fr_tensor *t = fr_store_tensor(s, i);
            uint64_t end = fr_store_offset(s, i) + fr_bytes(t);
            assert_true(end <= keep);
        }
        fr_store_close(s);
        free(copy);
    }
    fr_free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type),
        cmocka_unit_test(ways_to_hold),
        cmocka_unit_test(a_folder_with_shards),
        cmocka_unit_test(hostile),
        cmocka_unit_test(damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
