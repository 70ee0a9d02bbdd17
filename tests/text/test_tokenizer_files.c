/* test_tokenizer_files.c: files that are refused, each by name, and what folders say about begin and end. */
#include "made_text.h"

#define assert_fails(expr, status, text)                                                           \
    do {                                                                                           \
        assert_int_equal((expr), (status));                                                        \
        if (!strstr(fr_message(), (text)))                                                         \
            fail_msg("message without \"%s\": %s", (text), fr_message());                          \
    } while (0)

/* A file of 300 tokens as Frugal writes it. */
static char *made_file(void) {
    fr_tokenizer *t = learn_made(3, 50, 300);
    const char *path = in_test_dir("made.json");
    char *text;
    size_t bytes;
    assert_int_equal(fr_tokenizer_save(t, path), FR_OK);
    assert_int_equal(fr_read_file(path, 0, &text, &bytes), FR_OK);
    fr_tokenizer_free(t);
    return text;
}

/* The text with the first `old` made `new`. */
static char *changed(const char *text, const char *old, const char *new) {
    const char *at = strstr(text, old);
    if (!at) fail_msg("the file has no %s", old);
    return fr_format("%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
}

static fr_status parse(const char *text, fr_tokenizer **t) {
    fr_message_clear();
    return fr_tokenizer_parse(text, strlen(text), "this.json", t);
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *old, *new;
        fr_status status;
        const char *said;
    } cases[] = {
        {"\"type\": \"BPE\"", "\"type\": \"WordPiece\"", FR_FORMAT, "no \"unk_token\""},
        {"\"type\": \"BPE\"", "\"type\": \"WordLevel\"", FR_UNSUPPORTED, "\"WordLevel\""},
        {"\"type\": \"BPE\"", "\"type\": \"Unigram\"", FR_FORMAT, "no \"vocab\""},
        {"\"type\": \"BPE\"", "\"type\": 7", FR_FORMAT, "\"type\" is a whole number"},
        {"\"dropout\": null", "\"dropout\": 0.1", FR_UNSUPPORTED, "dropout"},
        {"\"end_of_word_suffix\": null", "\"end_of_word_suffix\": \"</w>\"", FR_UNSUPPORTED,
         "end_of_word_suffix"},
        {"\"normalizer\": null", "\"normalizer\": {\"type\": \"Nmt\"}", FR_UNSUPPORTED,
         "normalizer \"Nmt\""},
        {"\"normalizer\": null",
         "\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAA*\"}",
         FR_FORMAT, "not base64"},
        {"\"normalizer\": null",
         "\"normalizer\": {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"/wAAAAAAAAA=\"}",
         FR_FORMAT, "character map is broken"},
        {"\"normalizer\": null", "\"normalizer\": {\"type\": \"Replace\", \"content\": \"\"}",
         FR_FORMAT, "no \"String\""},
        {"\"unk_token\": null", "\"unk_token\": \"<none>\"", FR_FORMAT, "\"<none>\" is no token"},
        {"\"normalizer\": null", "\"normalizer\": \"NFC\"", FR_FORMAT, "normalizer"},
        {"\"type\": \"Split\"", "\"type\": \"Metaspace\"", FR_UNSUPPORTED, "\"Metaspace\""},
        {"\"Isolated\"", "\"Whatever\"", FR_UNSUPPORTED, "\"Whatever\""},
        {"\"Regex\"", "\"Other\"", FR_FORMAT, "neither"},
        {"|\\\\s+\"", "|\\\\s+)\"", FR_FORMAT, "not a regular expression"},
        {"|\\\\s+\"", "|\\\\bx\"", FR_UNSUPPORTED, "\\b"},
        {"|\\\\s+\"", "|\\\\d{2}+\"", FR_UNSUPPORTED, "}+"},
        {"|\\\\s+\"", "|[a&&b]\"", FR_UNSUPPORTED, "&&"},
        {"|\\\\s+\"", "|(*COMMIT)\"", FR_UNSUPPORTED, "(*"},
        {"|\\\\s+\"", "|(?<a>b)\"", FR_UNSUPPORTED, "(?<a"},
        {"\"type\": \"ByteLevel\"", "\"type\": \"UnicodeScripts\"", FR_UNSUPPORTED,
         "\"UnicodeScripts\""},
        {"\"type\": \"ByteLevel\"", "\"type\": \"Whitespace\"", FR_UNSUPPORTED,
         "decoder \"ByteLevel\""},
        {"\"type\": \"TemplateProcessing\"", "\"type\": \"Other\"", FR_UNSUPPORTED, "\"Other\""},
        {"\"Sequence\": {", "\"Sequel\": {", FR_FORMAT, "template"},
        {"\"ids\": [", "\"ids\": [7000,", FR_FORMAT, "no token"},
        {"\"decoder\": {", "\"decoder\": {\"type\": \"WordPiece\"}, \"x\": {", FR_UNSUPPORTED,
         "decoder \"WordPiece\""},
        {"\"!\": 3", "\"!\": -3", FR_FORMAT, "no id from 0 on"},
        {"\"!\": 3", "\"!\": 4", FR_FORMAT, "the id 4 has two tokens"},
        {"\"!\": 3", "\"!\": 2000000000", FR_FORMAT, "2000000000 is out of range"},
        {"\"!\": 3", "\"!\": \"3\"", FR_FORMAT, "no whole number"},
        {"\"!\": 3", "\"!!\": 3", FR_UNSUPPORTED, "the byte 33"},
        {"\"merges\": [", "\"merges\": [\"a b\", ", FR_FORMAT, "makes \"ab\""},
        {"\"merges\": [", "\"merges\": [\"qqq b\", ", FR_FORMAT, "\"qqq\", which is no token"},
        {"\"merges\": [", "\"merges\": [\"ab\", ", FR_FORMAT, "not two tokens"},
        {"\"merges\": [", "\"merges\": [[\"a\"], ", FR_FORMAT, "not two tokens"},
        {"\"merges\": [", "\"merges\": [3, ", FR_FORMAT, "not two tokens"},
        {"\"content\": \"<s>\"", "\"content\": \"\"", FR_FORMAT, "content"},
        {"\"content\": \"<s>\"", "\"content\": \"a\"", FR_FORMAT, "two ids"},
        {"\"model\"", "\"modell\"", FR_FORMAT, "model"},
        {"{", "[", FR_FORMAT, "not valid JSON"},
    };
    char *file = made_file();
    fr_tokenizer *t;
    assert_int_equal(parse(file, &t), FR_OK);
    fr_tokenizer_free(t);
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        /* "ByteLevel" of the decoder stands behind that of the pre-tokenizer, "{" first. */
        char *text = changed(file, cases[i].old, cases[i].new);
        assert_fails(parse(text, &t), cases[i].status, cases[i].said);
        assert_non_null(strstr(fr_message(), "this.json"));
        assert_null(t);
        fr_free(text);
    }
    fr_free(file);
    assert_fails(parse("[]", &t), FR_FORMAT, "not a tokenizer.json");
    assert_fails(fr_tokenizer_open(in_test_dir("none"), &t), FR_IO, "none");
}

/* A pattern that would try without end says so. */
static void test_a_slow_pattern(void **state) {
    (void)state;
    char *file = made_file(), *text = changed(file, "|\\\\s+\"", "|\\\\s+|(\\\\.*\\\\.*)*\\\\.x\"");
    char *first = changed(text, "(?i:", "((-?-*)*)*Q|(?i:");
    fr_tokenizer *t;
    fr_tokens ids = {0};
    char dashes[64];
    memset(dashes, '-', sizeof dashes);
    if (parse(first, &t)) fail_msg("%s", fr_message());
    assert_fails(fr_tokenizer_encode(t, dashes, sizeof dashes, 0, &ids), FR_UNSUPPORTED, "gave up");
    fr_free(ids.ids);
    fr_tokenizer_free(t);
    fr_free(first);
    fr_free(text);
    fr_free(file);
}

/* Every way a file breaks off, and every byte of it turned over: a sentence or a tokenizer. */
static void test_damaged(void **state) {
    (void)state;
    char *file = made_file();
    size_t bytes = strlen(file);
    fr_tokenizer *t;
    for (size_t n = 0; n < bytes; n += 41) {
        fr_message_clear();
        assert_int_not_equal(fr_tokenizer_parse(file, n, "this.json", &t), FR_OK);
        assert_true(*fr_message());
    }
    for (size_t n = 0; n < bytes; n += 17) {
        file[n] ^= 1 << n % 7;
        fr_message_clear();
        fr_status status = fr_tokenizer_parse(file, bytes, "this.json", &t);
        assert_true(status == FR_OK || *fr_message());
        fr_tokenizer_free(t);
        file[n] ^= 1 << n % 7;
    }
    fr_free(file);
}

static void write_in_test_dir(const char *name, const char *text) {
    assert_int_equal(fr_write_file(in_test_dir(name), text, strlen(text)), FR_OK);
}

static void test_folder(void **state) {
    (void)state;
    char *file = made_file();
    fr_tokenizer *t;
    write_in_test_dir("tokenizer.json", file);
    assert_int_equal(fr_tokenizer_open(in_test_dir(""), &t), FR_OK);
    assert_int_equal(fr_tokenizer_bos(t), 0);
    assert_int_equal(fr_tokenizer_eos(t), 1);
    fr_tokenizer_free(t);
    write_in_test_dir("tokenizer_config.json",
                      "{\"bos_token\": null, \"eos_token\": {\"content\": \"<|pad|>\"}}");
    assert_int_equal(fr_tokenizer_open(in_test_dir("tokenizer.json"), &t), FR_OK);
    assert_int_equal(fr_tokenizer_bos(t), 0);
    assert_int_equal(fr_tokenizer_eos(t), 2);
    fr_tokenizer_free(t);
    write_in_test_dir("tokenizer_config.json", "{\"eos_token\": 3}");
    assert_fails(fr_tokenizer_open(in_test_dir(""), &t), FR_FORMAT, "eos_token");
    assert_null(t);
    fr_free(file);
}

/* Of "a b" and ["a", "b"], the same; ids with holes; the last of two merges of one pair holds. */
static void test_spellings(void **state) {
    (void)state;
    char *file = made_file(), *merges = strstr(file, "\"merges\": [");
    fr_tokenizer *t, *u;
    assert_int_equal(parse(file, &t), FR_OK);
    char *pairs = fr_alloc(FR_MEM_OTHER, 2 * strlen(file)), *out = pairs;
    for (const char *at = file; *at; at++) {
        bool in = at > merges + 10 && at < strchr(merges, ']');
        const char *end = in && *at == '"' ? strchr(at + 1, '"') : NULL;
        if (end) {
            int left = (int)(strchr(at, ' ') - at - 1);
            out += sprintf(out, "[\"%.*s\", \"%.*s\"]", left, at + 1, (int)(end - at) - left - 2,
                           at + left + 2);
            at = end;
        } else {
            *out++ = *at;
        }
    }
    char *holes = changed(pairs, "\"!\": 3", "\"!\": 5000");
    assert_int_equal(parse(holes, &u), FR_OK);
    assert_int_equal(fr_tokenizer_size(t), 300);
    assert_int_equal(fr_tokenizer_size(u), 5001);
    char line[512];
    for (uint64_t i = 0; i < 50; i++) {
        made_line(3, i, line);
        fr_tokens a = ids_of(t, line, strlen(line), 0), b = ids_of(u, line, strlen(line), 0);
        assert_int_equal(a.count, b.count);
        for (size_t k = 0; k < a.count; k++) {
            assert_int_equal(a.ids[k] == 3 ? 5000 : a.ids[k], b.ids[k]);
        }
        fr_free(a.ids);
        fr_free(b.ids);
    }
    const int32_t hole = 3;
    fr_tokens none = {(int32_t *)(uintptr_t)&hole, 1, 1};
    decodes_to(u, &none, true, "", 0);
    fr_tokenizer_free(t);
    fr_tokenizer_free(u);
    fr_free(holes);
    fr_free(pairs);
    fr_free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_a_slow_pattern),
        cmocka_unit_test(test_damaged),   cmocka_unit_test(test_folder),
        cmocka_unit_test(test_spellings),
    };
    return cmocka_run_group_tests(tests, NULL, remove_test_dir);
}
