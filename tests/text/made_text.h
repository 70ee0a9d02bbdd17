/* made_text.h: for the tests of tokenizers: text made from a seed, and a tokenizer learned from it. */
#ifndef FR_TESTS_TEXT_MADE_TEXT_H
#define FR_TESTS_TEXT_MADE_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text/text.h"

static const char *const made_specials[] = {"<s>", "</s>", "<|pad|>"};

/* Lines of words, numbers and marks, as many as `count`. */
typedef struct made_text {
    uint64_t seed, at, count;
    char line[512];
} made_text;

static inline void made_line(uint64_t seed, uint64_t number, char line[512]) {
    static const char *const words[] = {"circle",
                                        "square",
                                        "star",
                                        "red",
                                        "green",
                                        "blue",
                                        "left",
                                        "right",
                                        "above",
                                        "below",
                                        "of",
                                        "a",
                                        "the",
                                        "three",
                                        "How",
                                        "many",
                                        "are",
                                        "there",
                                        "it's",
                                        "don't",
                                        "they'll",
                                        "Count",
                                        "from",
                                        "to",
                                        "na\xC3\xAFve",
                                        "stra\303\237e",
                                        "\xE6\x97\xA5\xE6\x9C\xAC",
                                        "\xF0\x9F\x98\x80",
                                        "x_1",
                                        "(a+b)",
                                        "->",
                                        "...",
                                        "?",
                                        "!",
                                        "\n",
                                        "\t",
                                        "  ",
                                        "\r\n",
                                        "0x7f",
                                        "<s>"};
    fr_rng r = fr_rng_new(seed, number);
    size_t n = 0, parts = 2 + fr_rng_below(&r, 24);
    for (size_t i = 0; i < parts; i++) {
        uint32_t kind = fr_rng_below(&r, 8);
        if (i && kind) line[n++] = ' ';
        if (kind == 7) {
            n += (size_t)snprintf(line + n, 16, "%u", fr_rng_below(&r, 1000));
        } else {
            const char *word = words[fr_rng_below(&r, FR_COUNT(words))];
            n += (size_t)snprintf(line + n, 16, "%s", word);
        }
    }
    line[n] = 0;
}

static inline bool next_made_line(void *arg, const char **text, size_t *bytes) {
    made_text *m = arg;
    if (m->at == m->count) return false;
    made_line(m->seed, m->at++, m->line);
    *text = m->line;
    *bytes = strlen(m->line);
    return true;
}

static inline fr_tokenizer *learn_made(uint64_t seed, uint64_t lines, int32_t vocab) {
    fr_tokenizer *t;
    fr_bpe_opts opts = {vocab, made_specials, FR_COUNT(made_specials)};
    made_text *m = fr_alloc(FR_MEM_OTHER, sizeof *m);
    *m = (made_text){.seed = seed, .count = lines};
    if (fr_bpe_train(&opts, next_made_line, m, &t)) fail_msg("%s", fr_message());
    fr_free(m);
    return t;
}

static inline fr_tokens ids_of(const fr_tokenizer *t, const char *text, size_t bytes,
                               unsigned how) {
    fr_tokens ids = {0};
    if (fr_tokenizer_encode(t, text, bytes, how, &ids)) fail_msg("%s", fr_message());
    return ids;
}

/* Ids of no text: `count` of 2 .. vocab - 1, others for every number. */
static inline fr_tokens made_prompt(int32_t vocab, uint64_t number, int count) {
    fr_tokens t = {0};
    fr_rng r = fr_rng_new(11, number);
    for (int i = 0; i < count; i++) {
        int32_t id = (int32_t)(2 + fr_rng_below(&r, (uint32_t)vocab - 2));
        if (fr_tokens_add(&t, id)) fail_msg("%s", fr_message());
    }
    return t;
}

static inline void free_tokens(fr_tokens *t, size_t n) {
    for (size_t i = 0; i < n; i++) fr_free(t[i].ids);
}

/* The text of ids must be these bytes. */
static inline void decodes_to(const fr_tokenizer *t, const fr_tokens *ids, bool special,
                              const char *text, size_t bytes) {
    char *got;
    size_t count;
    if (fr_tokenizer_decode(t, ids->ids, ids->count, special, &got, &count)) {
        fail_msg("%s", fr_message());
    }
    assert_int_equal(count, bytes);
    assert_memory_equal(got, text, bytes);
    assert_int_equal(got[count], 0);
    fr_free(got);
}

/* A name in a fresh folder of this program; it lives until the next call. */
static inline const char *in_test_dir(const char *name) {
    static char dir[64], path[512];
    if (!dir[0]) {
        strcpy(dir, "/tmp/frugal-test-XXXXXX");
        if (!mkdtemp(dir)) fail_msg("no folder in /tmp");
    }
    snprintf(path, sizeof path, "%s%s%s", dir, *name ? "/" : "", name);
    return path;
}

static inline int remove_test_dir(void **state) {
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", in_test_dir(""));
    return system(command);
}

#endif
