/* test_tokenizer.c: a tokenizer learned from made text: saved, opened again, and text to ids and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text/text.h"

static const char *const specials[] = {"<s>", "</s>", "<|pad|>"};

typedef struct source {
    const char *const *texts;
    size_t count, at;
} source;

static bool next_text(void *arg, const char **text, size_t *bytes) {
    source *s = arg;
    if (s->at == s->count) return false;
    *text = s->texts[s->at++];
    *bytes = strlen(*text);
    return true;
}

static fr_tokenizer *learn(const char *const *texts, size_t count, int32_t vocab) {
    fr_tokenizer *t;
    fr_bpe_opts opts = {vocab, specials, 3};
    source s = {texts, count, 0};
    if (fr_bpe_train(&opts, next_text, &s, &t)) fail_msg("%s", fr_message());
    return t;
}

static fr_tokens encode(const fr_tokenizer *t, const char *text, size_t bytes, unsigned how) {
    fr_tokens ids = {0};
    if (fr_tokenizer_encode(t, text, bytes, how, &ids)) fail_msg("%s", fr_message());
    return ids;
}

static void same_ids(fr_tokens got, const int32_t *want, size_t count) {
    assert_int_equal(got.count, count);
    for (size_t i = 0; i < count; i++) assert_int_equal(got.ids[i], want[i]);
    fr_free(got.ids);
}

/* Bytes take the ids 3 .. 258, printable ones first: 'a' is 'a' - 33 + 3. */
#define ID(c) ((c)-33 + 3)

/* Words: "aab" x 5, " aab" x 2, "cb" x 4. Pairs: ab 7, aa 7, cb 4, " a" 2. The tie goes to the smaller: aa. */
static void test_merges_by_hand(void **state) {
    (void)state;
    static const char *const texts[] = {"aab aab", "aab", "aab", "aab aab", "aab",
                                        "cb",      "cb",  "cb",  "cb"};
    fr_tokenizer *t = learn(texts, FR_COUNT(texts), 1000);
    /* aa; aa+b; c+b; space+aab; no pair stands twice then. */
    assert_int_equal(fr_tokenizer_size(t), 259 + 4);
    assert_int_equal(fr_tokenizer_find(t, "aa"), 259);
    assert_int_equal(fr_tokenizer_find(t, "aab"), 260);
    assert_int_equal(fr_tokenizer_find(t, "cb"), 261);
    assert_int_equal(fr_tokenizer_find(t, "\xC4\xA0"
                                          "aab"),
                     262);
    assert_int_equal(fr_tokenizer_find(t, "ab"), -1);
    assert_int_equal(fr_tokenizer_bos(t), 0);
    assert_int_equal(fr_tokenizer_eos(t), 1);
    same_ids(encode(t, "aab aabc", 8, 0), (int32_t[]){260, 262, ID('c')}, 3);
    same_ids(encode(t, "aaab1cb", 7, FR_ENCODE_BOS),
             (int32_t[]){0, 259, ID('a'), ID('b'), ID('1'), 261}, 6);
    same_ids(encode(t, "<s>aab", 6, 0), (int32_t[]){ID('<'), ID('s'), ID('>'), 260}, 4);
    same_ids(encode(t, "<s>aab</s>", 10, FR_ENCODE_SPECIAL), (int32_t[]){0, 260, 1}, 3);
    fr_tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
