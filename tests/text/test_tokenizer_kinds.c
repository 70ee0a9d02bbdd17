/* test_tokenizer_kinds.c: tokenizers of SentencePiece's files and of GGUF files: the ids of the packages, broken files,
 * and bytes that are not UTF-8. */
#include "made_text.h"

#include "tensor/tensor.h"
#include "text/tokenizer_parts.h"

static fr_tokenizer *golden(const char *name) {
    char *path = fr_format("%s/golden/text/%s", FR_TESTS_DIR, name);
    fr_tokenizer *t;
    if (fr_tokenizer_open(path, &t)) fail_msg("%s", fr_message());
    fr_free(path);
    return t;
}

/* What python cannot be given: any bytes come back where the vocabulary has them. */
static void test_any_bytes_come_back(void **state) {
    (void)state;
    static const char *const names[] = {"llama2.json", "mistral.json", "gemma.json",
                                        "sentence_bpe.model"};
    static const char text[] = "a \xFF\xC3 b\xE2\x96\x81\xF0\x9F\x98\x80\xF0\x9F \x80,  na\xC3\xAF";
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        fr_tokenizer *t = golden(names[i]);
        fr_tokens ids = ids_of(t, text, sizeof text - 1, FR_ENCODE_BOS);
        /* The mark of a space is a space on the way back, as there. */
        static const char back[] = "a \xFF\xC3 b \xF0\x9F\x98\x80\xF0\x9F \x80,  na\xC3\xAF";
        decodes_to(t, &ids, false, back, sizeof back - 1);
        fr_free(ids.ids);
        fr_tokenizer_free(t);
    }
}

/* In the middle of a text a token keeps its space; specials have no bytes. */
static void test_bytes_in_the_middle(void **state) {
    (void)state;
    fr_tokenizer *t = golden("llama2.json");
    size_t bytes;
    fr_tokens ids = ids_of(t, "the circle", 10, FR_ENCODE_BOS);
    fr_growing out = {0};
    assert_null(fr_tokenizer_bytes(t, ids.ids[0], &bytes));
    for (size_t i = 1; i < ids.count; i++) {
        const char *own = fr_tokenizer_bytes(t, ids.ids[i], &bytes);
        assert_int_equal(fr_append(&out, own, bytes), FR_OK);
    }
    assert_int_equal(out.count, 11);
    assert_memory_equal(out.text, " the circle", 11);
    const char *own = fr_tokenizer_bytes(t, fr_tokenizer_find(t, "<0x0A>"), &bytes);
    assert_int_equal(bytes, 1);
    assert_int_equal(own[0], '\n');
    fr_free(out.text);
    fr_free(ids.ids);
    fr_tokenizer_free(t);
}

/* ---- tokenizer.model ---- */

/* Every way the file breaks off, and every byte turned over: a sentence or a tokenizer that works. */
static void test_damaged_model(void **state) {
    (void)state;
    char *path = fr_format("%s/golden/text/sentence_unigram.model", FR_TESTS_DIR), *file;
    size_t bytes;
    fr_tokenizer *t;
    assert_int_equal(fr_read_file(path, 0, &file, &bytes), FR_OK);
    for (size_t n = 0; n < bytes; n += 7) {
        fr_message_clear();
        fr_status s = fr_tokenizer_parse(file, n, "x.model", &t);
        assert_true(s == FR_OK || (*fr_message() && !t));
        fr_tokenizer_free(t);
    }
    for (size_t n = 0; n < bytes; n += 3) {
        file[n] ^= 1 << n % 8;
        fr_message_clear();
        if (fr_tokenizer_parse(file, bytes, "x.model", &t) == FR_OK) {
            fr_tokens ids = ids_of(t, " a\xE2\x80\xA6 circle 12", 15, FR_ENCODE_BOS);
            fr_free(ids.ids);
        } else {
            assert_true(*fr_message());
        }
        fr_tokenizer_free(t);
        file[n] ^= 1 << n % 8;
    }
    fr_free(file);
    fr_free(path);
}

#define assert_refused(data, status, said)                                                         \
    do {                                                                                           \
        fr_tokenizer *none;                                                                        \
        fr_message_clear();                                                                        \
        assert_int_equal(fr_tokenizer_parse(data, sizeof(data) - 1, "x.model", &none), status);    \
        if (!strstr(fr_message(), said)) fail_msg("no \"%s\" in: %s", said, fr_message());         \
    } while (0)

static void test_odd_models(void **state) {
    (void)state;
    /* Piece "<unk>" of type 2; then one "a". */
#define UNK "\x0A\x09\x0A\x05<unk>\x18\x02"
    assert_refused("", FR_FORMAT, "no tokens");
    assert_refused(UNK "\x0A\x05\x0A\x01"
                       "a\x18\x09",
                   FR_FORMAT, "type 9");
    assert_refused(UNK "\x0A\x08\x0A\x01"
                       "a\x15\x00\x00\xC0\x7F",
                   FR_FORMAT, "no finite score");
    assert_refused(UNK "\x0A\x03\x0A\x01\xFF", FR_FORMAT, "is not text");
    assert_refused(UNK "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", FR_FORMAT, "breaks off");
    assert_refused(UNK "\x12\x02\x18\x04", FR_UNSUPPORTED, "type 4");
    assert_refused("\x0A\x03\x0A\x01"
                   "a",
                   FR_FORMAT, "no unknown token");
    assert_refused(UNK "\x1A\x04\x12\x02\xFF\xFF", FR_FORMAT, "character map");
    assert_refused(UNK UNK, FR_FORMAT, "two ids");
}

/* ---- GGUF ---- */

static char *gguf_file(const char *model, const char *more, const char *const *tokens,
                       const float *scores, const int *types, int count) {
    fr_json *meta = json_object();
    json_t *list[3] = {json_array(), json_array(), json_array()};
    for (int i = 0; i < count; i++) {
        json_array_append_new(list[0], json_string(tokens[i]));
        if (scores) json_array_append_new(list[1], json_real((double)scores[i]));
        if (types) json_array_append_new(list[2], json_integer(types[i]));
    }
    json_object_set_new(meta, "tokenizer.ggml.model", json_string(model));
    json_object_set_new(meta, "tokenizer.ggml.tokens", list[0]);
    if (scores) json_object_set_new(meta, "tokenizer.ggml.scores", list[1]);
    if (types) json_object_set_new(meta, "tokenizer.ggml.token_type", list[2]);
    fr_json *extra;
    assert_int_equal(fr_json_parse(more, strlen(more), "more", &extra), FR_OK);
    json_object_update(meta, extra);
    char *path = fr_strdup(in_test_dir("vocab.gguf"));
    if (fr_gguf_write(path, NULL, 0, meta, NULL)) fail_msg("%s", fr_message());
    json_decref(extra);
    json_decref(meta);
    if (!scores) json_decref(list[1]);
    if (!types) json_decref(list[2]);
    return path;
}

static void expect(const fr_tokenizer *t, const char *text, unsigned how, const int32_t *want,
                   size_t count) {
    fr_tokens got = ids_of(t, text, strlen(text), how);
    assert_int_equal(got.count, count);
    assert_memory_equal(got.ids, want, count * sizeof *want);
    fr_free(got.ids);
}

static void test_gguf_llama(void **state) {
    (void)state;
    static const char *const tokens[] = {"<unk>",
                                         "<s>",
                                         "</s>",
                                         "<0xC3>",
                                         "<0xA9>",
                                         "\xE2\x96\x81",
                                         "a",
                                         "b",
                                         "c",
                                         "ab",
                                         "bc",
                                         "abc",
                                         "\342\226\201a",
                                         "<x>",
                                         "\xE2\x96\x81\xE2\x96\x81",
                                         "z",
                                         "y",
                                         "x",
                                         "w",
                                         "v"};
    static const float scores[] = {0,  0,  0,  0, 0,  -9, -9, -9, -9, -2,
                                   -1, -5, -3, 0, -4, -9, -9, -9, -9, -9};
    static const int types[] = {2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 1, 1};
    char *path = gguf_file("llama",
                           "{\"tokenizer.ggml.bos_token_id\": 1, \"tokenizer.ggml.eos_token_id\": "
                           "2, \"tokenizer.ggml.unknown_token_id\": 0}",
                           tokens, scores, types, 20);
    fr_tokenizer *t;
    if (fr_tokenizer_open(path, &t)) fail_msg("%s", fr_message());
    assert_int_equal(fr_tokenizer_bos(t), 1);
    assert_int_equal(fr_tokenizer_eos(t), 2);
    /* bc (-1) before ab (-2); then space a (-3), which leaves a bc nothing to become abc. */
    expect(t, "abc", FR_ENCODE_BOS, (int32_t[]){1, 12, 10}, 3);
    expect(t, " aabc", 0, (int32_t[]){5, 12, 11}, 3);
    expect(t, "\xC3\xA9<x>q", 0, (int32_t[]){5, 3, 4, 13, 5, 0}, 6);
    expect(t, "</s>", FR_ENCODE_SPECIAL, (int32_t[]){2}, 1);
    fr_tokens ids = ids_of(t, " ab\xC3\xA9", 5, FR_ENCODE_BOS);
    decodes_to(t, &ids, false, " ab\xC3\xA9", 5);
    fr_free(ids.ids);
    /* The same from the tokenizer.json that Frugal writes of it. */
    const char *again = in_test_dir("again.json");
    assert_int_equal(fr_tokenizer_save(t, again), FR_OK);
    fr_tokenizer_free(t);
    if (fr_tokenizer_open(again, &t)) fail_msg("%s", fr_message());
    expect(t, " aabc", FR_ENCODE_BOS, (int32_t[]){1, 5, 12, 11}, 4);
    fr_tokenizer_free(t);
    fr_free(path);
}

static void test_gguf_bert(void **state) {
    (void)state;
    static const char *const tokens[] = {"[PAD]",
                                         "[UNK]",
                                         "[CLS]",
                                         "[SEP]",
                                         "\xE2\x96\x81hello",
                                         "\xE2\x96\x81wor",
                                         "ld",
                                         "\xE2\x96\x81,",
                                         "\342\226\201a",
                                         "b",
                                         "c",
                                         "d",
                                         "e",
                                         "f",
                                         "g",
                                         "h",
                                         "i",
                                         "j"};
    static const int types[] = {3, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    char *path =
        gguf_file("bert", "{\"tokenizer.ggml.unknown_token_id\": 1}", tokens, NULL, types, 18);
    fr_tokenizer *t;
    if (fr_tokenizer_open(path, &t)) fail_msg("%s", fr_message());
    expect(t, "H\xC3\xA9llo, World abx", FR_ENCODE_BOS, (int32_t[]){2, 4, 7, 5, 6, 1, 3}, 7);
    const int32_t ids[] = {4, 7, 5, 6};
    fr_tokens list = {(int32_t *)(uintptr_t)ids, 4, 4};
    decodes_to(t, &list, false, "hello, world", 12);
    fr_tokenizer_free(t);
    fr_free(path);
}

static void test_gguf_refusals(void **state) {
    (void)state;
    static const char *const tokens[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i",
                                         "j", "k", "l", "m", "n", "o", "p", "q", "r"};
    static const int types[18] = {0};
    static const struct {
        const char *model, *more, *said;
        const int *types;
    } cases[] = {
        {"rwkv", "{}", "\"rwkv\"", NULL},
        {"gpt2", "{\"tokenizer.ggml.pre\": \"no such\"}", "\"no such\"", NULL},
        {"gpt2", "{}", "merges", NULL},
        {"gpt2", "{\"tokenizer.ggml.merges\": [\"a b\"]}", "makes \"ab\"", NULL},
        {"gpt2", "{\"tokenizer.ggml.merges\": [\"a\"]}", "not two tokens", NULL},
        {"llama", "{}", "scores", NULL},
        {"llama", "{}", "type 0", types},
        {"bert", "{\"tokenizer.ggml.unknown_token_id\": 99}", "is 99", NULL},
        {"bert", "{}", "unknown token", NULL},
        {"t5", "{}", "no scores", NULL},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        char *path = gguf_file(cases[i].model, cases[i].more, tokens, NULL, cases[i].types, 18);
        fr_tokenizer *t;
        fr_message_clear();
        assert_int_not_equal(fr_tokenizer_open(path, &t), FR_OK);
        assert_null(t);
        if (!strstr(fr_message(), cases[i].said))
            fail_msg("no \"%s\" in: %s", cases[i].said, fr_message());
        fr_free(path);
    }
}

/* A long text without a cut is not a long wait: it merges in n log n. */
static void test_long_texts(void **state) {
    (void)state;
    static const char *const names[] = {
        "mistral.json", "gemma.json",         "t5.json",
        "bert.json",    "sentence_bpe.model", "sentence_unigram.model"};
    size_t n = 100000;
    char *text = fr_alloc_array(FR_MEM_OTHER, n, 1);
    for (size_t kind = 0; kind < 3; kind++) {
        for (size_t i = 0; i < n; i++)
            text[i] = kind == 0 ? "circle square "[i % 14] : kind == 1 ? 'a' : ' ';
        for (size_t i = 0; i < FR_COUNT(names); i++) {
            fr_tokenizer *t = golden(names[i]);
            fr_tokens ids = ids_of(t, text, n, 0);
            assert_true(ids.count <= n + 1);
            fr_free(ids.ids);
            fr_tokenizer_free(t);
        }
    }
    fr_free(text);
}

/* Any allocation may fail. */
static void test_no_memory(void **state) {
    (void)state;
    static const char *const names[] = {"phi3.json", "xlmr.json", "bert.json",
                                        "sentence_bpe.model"};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        char *path = fr_format("%s/golden/text/%s", FR_TESTS_DIR, names[i]);
        for (long n = 1, done = 0; !done; n += n < 60 ? 1 : 97) {
            fr_tokenizer *t = NULL;
            fr_tokens ids = {0};
            char *said = NULL;
            size_t bytes, before = fr_memory_total().now;
            fr_memory_fail_after(n);
            fr_status s = fr_tokenizer_open(path, &t);
            if (!s) s = fr_tokenizer_encode(t, "A na\xC3\xAFve <x> star", 16, 3, &ids);
            if (!s) s = fr_tokenizer_decode(t, ids.ids, ids.count, true, &said, &bytes);
            done = s == FR_OK;
            fr_memory_fail_after(0);
            fr_free(said);
            fr_free(ids.ids);
            fr_tokenizer_free(t);
            assert_true(s == FR_OK || s == FR_NOMEM);
            assert_int_equal(fr_memory_total().now, before);
        }
        fr_free(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_bytes_come_back), cmocka_unit_test(test_bytes_in_the_middle),
        cmocka_unit_test(test_damaged_model),       cmocka_unit_test(test_odd_models),
        cmocka_unit_test(test_gguf_llama),          cmocka_unit_test(test_gguf_bert),
        cmocka_unit_test(test_gguf_refusals),       cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
