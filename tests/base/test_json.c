/* test_json.c: good files, bad files with a place in the message, and the typed getters. */
#include "testing.h"

static fr_status parse(const char *text, fr_json **out) {
    return fr_json_parse(text, strlen(text), "x.json", out);
}

static void bad_texts_are_refused_with_a_place(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"", "x.json:1:0"},
        {"{\"a\": 1,\n \"b\": }", "x.json:2:"},
        {"{\"a\": 1, \"a\": 2}", "duplicate object key"},
        {"{\"a\": 1} x", "end of file expected"},
        {"[1, 2", "x.json:1:"},
        {"{\"a\": \"\\u0000\"}", "\\u0000"},
        {"{\"a\\u0000\": 1}", "NUL"},
        {"[\"\xff\"]", "decode byte"},
        {"[\"\\ud800\"]", "x.json:1:"},
        {"[1e999]", "real number overflow"},
        {"[NaN]", "x.json"},
        {"3", "x.json"},
    };
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        fr_json *j;
        assert_fails(parse(bad[i][0], &j), FR_FORMAT, bad[i][1]);
        assert_non_null(strstr(fr_message(), "x.json"));
        assert_null(j);
    }
}

static void zero_bytes_do_not_end_the_text(void **state) {
    (void)state;
    fr_json *j;
    assert_fails(fr_json_parse("[1]\0[2]", 7, "x.json", &j), FR_FORMAT, "x.json");
    assert_fails(fr_json_parse("[\"a\0b\"]", 7, "x.json", &j), FR_FORMAT, "x.json");
}

static void depth_is_bounded(void **state) {
    (void)state;
    size_t depth = 1000000;
    char *text = fr_alloc(FR_MEM_OTHER, depth);
    memset(text, '[', depth);
    fr_json *j;
    assert_fails(fr_json_parse(text, depth, "x.json", &j), FR_FORMAT, "depth");
    for (size_t i = 0; i < depth; i += 5) memcpy(text + i, "{\"a\":", 5);
    assert_fails(fr_json_parse(text, depth, "x.json", &j), FR_FORMAT, "depth");
    fr_free(text);
}

static void members_have_types(void **state) {
    (void)state;
    fr_json *j;
    assert_int_equal(
        parse("\xEF\xBB\xBF{\"i\": -7, \"f\": 0.5, \"w\": 1e6, \"b\": true, \"s\": \"text\", "
              "\"n\": null, \"l\": [1]}",
              &j),
        FR_OK);
    int64_t i;
    double f;
    bool b;
    const char *s;
    assert_int_equal(fr_json_i64(j, "i", 1, &i), FR_OK);
    assert_int_equal(i, -7);
    assert_int_equal(fr_json_i64(j, "w", 1, &i), FR_OK);
    assert_int_equal(i, 1000000);
    assert_int_equal(fr_json_i64(j, "absent", 5, &i), FR_OK);
    assert_int_equal(i, 5);
    assert_int_equal(fr_json_i64(j, "n", 6, &i), FR_OK);
    assert_int_equal(i, 6);
    assert_fails(fr_json_i64(j, "f", 5, &i), FR_FORMAT, "\"f\" is a number, where a whole number");
    assert_fails(fr_json_i64(j, "s", 5, &i), FR_FORMAT, "\"s\" is a text");
    assert_int_equal(fr_json_f64(j, "i", 1, &f), FR_OK);
    assert_true(f == -7);
    assert_int_equal(fr_json_f64(j, "f", 1, &f), FR_OK);
    assert_true(f == 0.5);
    assert_fails(fr_json_f64(j, "b", 1, &f), FR_FORMAT, "true or false");
    assert_int_equal(fr_json_bool(j, "b", false, &b), FR_OK);
    assert_true(b);
    assert_fails(fr_json_bool(j, "i", false, &b), FR_FORMAT, "\"i\"");
    assert_int_equal(fr_json_string(j, "s", NULL, &s), FR_OK);
    assert_string_equal(s, "text");
    assert_int_equal(fr_json_string(j, "absent", "none", &s), FR_OK);
    assert_string_equal(s, "none");
    assert_fails(fr_json_string(j, "l", NULL, &s), FR_FORMAT, "a list");
    assert_null(fr_json_get(NULL, "x"));
    assert_null(fr_json_get(fr_json_get(j, "s"), "x"));
    assert_int_equal(fr_json_i64(NULL, "x", 3, &i), FR_OK);
    assert_int_equal(i, 3);
    fr_json_free(j);
    fr_json_free(NULL);
}

/* Tokenizer configurations say "no limit" with a whole number that no machine word holds. */
static void numbers_beyond_words_are_read(void **state) {
    (void)state;
    fr_json *j;
    int64_t i;
    double f;
    assert_int_equal(
        parse("{\"model_max_length\": 1000000000000000019884624838656, \"vocab\": 32000}", &j),
        FR_OK);
    assert_int_equal(fr_json_i64(j, "vocab", 0, &i), FR_OK);
    assert_int_equal(i, 32000);
    assert_int_equal(fr_json_f64(j, "model_max_length", 0, &f), FR_OK);
    assert_true(f == 1e30);
    assert_fails(fr_json_i64(j, "model_max_length", 0, &i), FR_FORMAT, "too large");
    fr_json_free(j);
    assert_int_equal(parse("[9223372036854775807]", &j), FR_OK);
    assert_true(json_integer_value(json_array_get(j, 0)) == INT64_MAX);
    fr_json_free(j);
}

static void files_go_round(void **state) {
    (void)state;
    fr_json *j, *back;
    assert_int_equal(parse("{\"z\": [1, 2.5, \"\\u00e9\"], \"a\": {\"b\": null}}", &j), FR_OK);
    assert_int_equal(fr_json_save(j, in_test_dir("x.json")), FR_OK);
    assert_int_equal(fr_json_load(in_test_dir("x.json"), &back), FR_OK);
    assert_true(json_equal(j, back));
    char *text;
    size_t bytes;
    assert_int_equal(fr_read_file(in_test_dir("x.json"), 0, &text, &bytes), FR_OK);
    assert_true(strncmp(text, "{\n  \"z\": [", 10) == 0 && text[bytes - 1] == '\n');
    fr_free(text);
    fr_json_free(back);
    assert_fails(fr_json_save(j, "/no/such/x.json"), FR_IO, "/no/such/x.json");
    fr_json_free(j);
    assert_fails(fr_json_load(in_test_dir("none.json"), &j), FR_IO, "none.json");
    fr_write_file(in_test_dir("bad.json"), "{\n\n1}", 5);
    assert_fails(fr_json_load(in_test_dir("bad.json"), &j), FR_FORMAT,
                 "bad.json:3:1 is not valid JSON");
    remove_test_dir();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_texts_are_refused_with_a_place),
        cmocka_unit_test(zero_bytes_do_not_end_the_text),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(members_have_types),
        cmocka_unit_test(numbers_beyond_words_are_read),
        cmocka_unit_test(files_go_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
