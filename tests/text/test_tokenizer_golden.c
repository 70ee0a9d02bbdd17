/* test_tokenizer_golden.c: ids and texts as the `tokenizers` package gives them (tests/oracle/tokenizer.py), for a
 * tokenizer that Frugal learned and for some in the ways of GPT-2, Llama 3, Qwen2 and RoBERTa.
 *
 *     text_tokenizer_golden FILE                   writes the learned tokenizer, from which the oracle begins
 *     text_tokenizer_golden --text FILE            writes the texts that it is learned from
 *     text_tokenizer_golden TOKENIZER CASES OUT    answers the texts of CASES, for the oracle's --live
 */
#include "made_text.h"

#define SEED  1
#define LINES 1500

static fr_tokenizer *learned(void) {
    return learn_made(SEED, LINES, 600);
}

static char *golden_path(const char *name, const char *suffix) {
    return fr_format("%s/golden/text/%s%s", FR_TESTS_DIR, name, suffix);
}

/* The same file, byte for byte, on every machine. */
static void test_learned(void **state) {
    (void)state;
    fr_tokenizer *t = learned();
    const char *path = in_test_dir("learned.json");
    char *want_path = golden_path("learned", ".json"), *got, *want;
    size_t got_bytes, want_bytes;
    assert_int_equal(fr_tokenizer_save(t, path), FR_OK);
    assert_int_equal(fr_read_file(path, 0, &got, &got_bytes), FR_OK);
    if (fr_read_file(want_path, 0, &want, &want_bytes)) fail_msg("%s", fr_message());
    assert_int_equal(got_bytes, want_bytes);
    assert_memory_equal(got, want, want_bytes);
    fr_free(got);
    fr_free(want);
    fr_free(want_path);
    fr_tokenizer_free(t);
}

/* A case: bytes and text; then twice the ids, plainly and with all that stands around a text and special tokens
 * found in it; then the text of the latter without special tokens. All numbers are of 16 bits. */
typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

static size_t number(cursor *c) {
    if (c->end - c->at < 2) fail_msg("the golden file ends early");
    size_t n = c->at[0] | (size_t)c->at[1] << 8;
    c->at += 2;
    return n;
}

static const char *text_of(cursor *c, size_t *bytes) {
    *bytes = number(c);
    if ((size_t)(c->end - c->at) < *bytes) fail_msg("the golden file ends early");
    const char *text = (const char *)c->at;
    c->at += *bytes;
    return text;
}

static void same_ids(const char *name, const char *text, size_t bytes, const fr_tokens *got,
                     cursor *c) {
    size_t count = number(c);
    bool same = count == got->count;
    for (size_t i = 0; i < count; i++) {
        int32_t id = (int32_t)number(c);
        same = same && id == got->ids[i];
    }
    if (!same) fail_msg("%s: other ids for \"%.*s\"", name, (int)bytes, text);
}

static int run_cases(const char *name, const fr_tokenizer *t) {
    char *path = golden_path(name, ".cases"), *data;
    size_t size, bytes, said_bytes;
    int cases = 0;
    if (fr_read_file(path, 0, &data, &size)) fail_msg("%s", fr_message());
    for (cursor c = {(uint8_t *)data, (uint8_t *)data + size}; c.at < c.end; cases++) {
        const char *text = text_of(&c, &bytes);
        fr_tokens plain = ids_of(t, text, bytes, 0);
        fr_tokens full = ids_of(t, text, bytes, FR_ENCODE_BOS | FR_ENCODE_SPECIAL);
        same_ids(name, text, bytes, &plain, &c);
        same_ids(name, text, bytes, &full, &c);
        const char *said = text_of(&c, &said_bytes);
        decodes_to(t, &full, false, said, said_bytes);
        fr_free(plain.ids);
        fr_free(full.ids);
    }
    fr_free(data);
    fr_free(path);
    return cases;
}

static fr_tokenizer *opened(const char *path) {
    fr_tokenizer *t;
    if (fr_tokenizer_open(path, &t)) fail_msg("%s", fr_message());
    return t;
}

/* "llama2" or "sentence.model" */
static fr_tokenizer *golden(const char *name) {
    const char *dot = strchr(name, '.');
    char *path = golden_path(name, dot ? "" : ".json"), *stem = fr_strdup(name);
    fr_tokenizer *t = opened(path);
    if (dot) stem[dot - name] = 0;
    assert_true(run_cases(stem, t) >= 70);
    fr_free(path);
    fr_free(stem);
    return t;
}

/* Read, and read once more from what Frugal writes of it. */
static void test_ids(void **state) {
    (void)state;
    static const char *const names[] = {"learned", "gpt2",   "llama3",  "qwen2", "roberta",
                                        "cuts",    "llama2", "mistral", "gemma", "phi3",
                                        "t5",      "xlmr",   "bert",    "odd"};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        fr_tokenizer *t = golden(names[i]);
        const char *again = in_test_dir("again.json");
        assert_int_equal(fr_tokenizer_save(t, again), FR_OK);
        fr_tokenizer *u = opened(again);
        run_cases(names[i], u);
        assert_int_equal(fr_tokenizer_bos(t), fr_tokenizer_bos(u));
        assert_int_equal(fr_tokenizer_eos(t), fr_tokenizer_eos(u));
        assert_int_equal(fr_tokenizer_size(t), fr_tokenizer_size(u));
        fr_tokenizer_free(t);
        fr_tokenizer_free(u);
    }
}

/* What SentencePiece says of its own files. */
static void test_models(void **state) {
    (void)state;
    fr_tokenizer_free(golden("sentence_bpe.model"));
    fr_tokenizer_free(golden("sentence_unigram.model"));
}

static void write_number(FILE *f, size_t n) {
    fputc((int)(n & 255), f);
    fputc((int)(n >> 8), f);
}

static void write_text(FILE *f, const char *text, size_t bytes) {
    write_number(f, bytes);
    fwrite(text, 1, bytes, f);
}

static void write_ids(FILE *f, const fr_tokens *t) {
    write_number(f, t->count);
    for (size_t i = 0; i < t->count; i++) write_number(f, (size_t)t->ids[i]);
}

static void answer(const fr_tokenizer *t, const char *text, size_t bytes, FILE *f) {
    fr_tokens plain = ids_of(t, text, bytes, 0);
    fr_tokens full = ids_of(t, text, bytes, FR_ENCODE_BOS | FR_ENCODE_SPECIAL);
    char *said;
    size_t said_bytes;
    if (fr_tokenizer_decode(t, full.ids, full.count, false, &said, &said_bytes)) {
        fail_msg("%s", fr_message());
    }
    write_text(f, text, bytes);
    write_ids(f, &plain);
    write_ids(f, &full);
    write_text(f, said, said_bytes);
    fr_free(said);
    fr_free(plain.ids);
    fr_free(full.ids);
}

static int answer_all(const char *tokenizer, const char *cases, const char *out) {
    fr_tokenizer *t = opened(tokenizer);
    char *data;
    size_t size, bytes;
    FILE *f = fopen(out, "wb");
    if (!f || fr_read_file(cases, 0, &data, &size)) return 1;
    for (cursor c = {(uint8_t *)data, (uint8_t *)data + size}; c.at < c.end;) {
        const char *text = text_of(&c, &bytes);
        answer(t, text, bytes, f);
    }
    fr_free(data);
    fr_tokenizer_free(t);
    return fclose(f);
}

static int write_texts(const char *path) {
    FILE *f = fopen(path, "wb");
    char line[512];
    for (uint64_t i = 0; f && i < LINES; i++) {
        made_line(SEED, i, line);
        write_text(f, line, strlen(line));
    }
    return f ? fclose(f) : 1;
}

int main(int argc, char **argv) {
    if (argc == 3) return write_texts(argv[2]);
    if (argc == 4) return answer_all(argv[1], argv[2], argv[3]);
    if (argc == 2) {
        fr_tokenizer *t = learned();
        fr_status status = fr_tokenizer_save(t, argv[1]);
        if (status) fprintf(stderr, "%s\n", fr_message());
        fr_tokenizer_free(t);
        return (int)status;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learned),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, NULL, remove_test_dir);
}
