/* test_tokenizer.c: merges learned from made text, and text to ids and back. */
#include "made_text.h"
#include "text/tokenizer_parts.h"

typedef struct texts {
    const char *const *texts;
    size_t count, at;
} texts;

static bool next_text(void *arg, const char **text, size_t *bytes) {
    texts *s = arg;
    if (s->at == s->count) return false;
    *text = s->texts[s->at++];
    *bytes = strlen(*text);
    return true;
}

static fr_tokenizer *learn(const char *const *list, size_t count, int32_t vocab) {
    fr_tokenizer *t;
    fr_bpe_opts opts = {vocab, made_specials, 3};
    texts s = {list, count, 0};
    if (fr_bpe_train(&opts, next_text, &s, &t)) fail_msg("%s", fr_message());
    return t;
}

static void same_ids(fr_tokens got, const int32_t *want, size_t count) {
    assert_int_equal(got.count, count);
    for (size_t i = 0; i < count; i++) assert_int_equal(got.ids[i], want[i]);
    fr_free(got.ids);
}

/* The bytes take the ids 3 to 258, the printable ones first. */
#define ID(c) ((c) - '!' + 3)

static void test_merges_by_hand(void **state) {
    (void)state;
    /* Pieces: "aab" 5, " aab" 2, "cb" 4. Pairs: aa 7, ab 7, cb 4, " a" 2. The tie goes to aa. */
    static const char *const list[] = {"aab aab", "aab", "aab", "aab aab", "aab",
                                       "cb",      "cb",  "cb",  "cb"};
    fr_tokenizer *t = learn(list, FR_COUNT(list), 1000);
    /* aa; aa b; c b; space aab; then no pair stands twice. */
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
    same_ids(ids_of(t, "aab aabc", 8, 0), (int32_t[]){260, 262, ID('c')}, 3);
    same_ids(ids_of(t, "aaab1cb", 7, FR_ENCODE_BOS),
             (int32_t[]){0, 259, ID('a'), ID('b'), ID('1'), 261}, 6);
    same_ids(ids_of(t, "<s>aab", 6, 0), (int32_t[]){ID('<'), ID('s'), ID('>'), 260}, 4);
    same_ids(ids_of(t, "<s>aab</s>", 10, FR_ENCODE_SPECIAL), (int32_t[]){0, 260, 1}, 3);
    same_ids(ids_of(t, "", 0, FR_ENCODE_BOS), (int32_t[]){0}, 1);
    fr_tokenizer_free(t);
}

/* Digits are cut one by one, so that no merge crosses them; words take the space before them. */
static void test_pieces(void **state) {
    (void)state;
    static const char *const list[] = {"12 12 12 12 it's it's it's it's", "a\n\nb\n\nc\n\nd\n\ne"};
    fr_tokenizer *t = learn(list, 2, 1000);
    assert_int_equal(fr_tokenizer_find(t, "12"), -1);
    assert_int_equal(fr_tokenizer_find(t, "it's"), -1);
    assert_true(fr_tokenizer_find(t, "'s") > 0);
    assert_true(fr_tokenizer_find(t, "\xC4\xA0it") > 0);
    assert_true(fr_tokenizer_find(t, "\xC4\x8A\xC4\x8A") > 0);
    fr_tokenizer_free(t);
}

/* Two ways to the same bytes are one token; a special token's name is made by no merge. */
static void test_names_are_one(void **state) {
    (void)state;
    const char *const special[] = {"begin", "ab"};
    static const char *const list[] = {"abc abc abc xbc bcx abx abx"};
    fr_bpe_opts opts = {1000, special, 2};
    texts s = {list, 1, 0};
    fr_tokenizer *t;
    assert_int_equal(fr_bpe_train(&opts, next_text, &s, &t), FR_OK);
    fr_tokens ids = ids_of(t, "abx ab", 6, 0);
    for (size_t i = 0; i < ids.count; i++) assert_true(ids.ids[i] > 1);
    decodes_to(t, &ids, false, "abx ab", 6);
    fr_free(ids.ids);
    for (int32_t i = 0; i < fr_tokenizer_size(t); i++) {
        assert_int_equal(fr_tokenizer_find(t, t->tokens[i].name), i);
    }
    fr_tokenizer_free(t);

    opts.special = (const char *const[]){"same", "same"};
    assert_int_equal(fr_bpe_train(&opts, next_text, &s, &t), FR_INVALID);
    opts.special = (const char *const[]){"a", "b"}; /* bytes have these names already */
    assert_int_equal(fr_bpe_train(&opts, next_text, &s, &t), FR_FORMAT);
    opts = (fr_bpe_opts){257, made_specials, 2};
    assert_int_equal(fr_bpe_train(&opts, next_text, &s, &t), FR_INVALID);
    assert_null(t);
}

/* What fr_merge_piece means: the lowest rank anywhere, the leftmost of those, until none is left. */
static size_t merge_plainly(const fr_tokenizer *t, const char *piece, size_t n, int32_t *ids) {
    for (size_t i = 0; i < n; i++) ids[i] = t->byte_ids[(uint8_t)piece[i]];
    for (;;) {
        size_t best = n;
        int32_t rank = INT32_MAX, id = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const fr_pair *p = fr_pairs_find(&t->pairs, ids[i], ids[i + 1]);
            if (!p || p->rank >= rank) continue;
            best = i;
            rank = p->rank;
            id = p->id;
        }
        if (best == n) return n;
        ids[best] = id;
        memmove(ids + best + 1, ids + best + 2, (n - best - 2) * sizeof *ids);
        n--;
    }
}

static void test_pieces_of_all_lengths(void **state) {
    (void)state;
    fr_tokenizer *t = learn_made(3, 500, 700);
    fr_rng r = fr_rng_new(5, 5);
    char piece[600];
    int32_t want[600];
    for (int round = 0; round < 600; round++) {
        size_t n = 1 + (size_t)round;
        char line[512];
        for (size_t i = 0; i < n;) {
            made_line(3, fr_rng_below(&r, 500), line);
            for (size_t k = 0; line[k] && i < n; k++) piece[i++] = line[k];
        }
        size_t count = merge_plainly(t, piece, n, want);
        fr_tokens got = {0};
        assert_int_equal(fr_merge_piece(t, piece, n, &got), FR_OK);
        same_ids(got, want, count);
    }
    fr_tokenizer_free(t);
}

static void test_any_bytes_come_back(void **state) {
    (void)state;
    fr_tokenizer *t = learn_made(3, 500, 700);
    fr_rng r = fr_rng_new(6, 6);
    for (int round = 0; round < 3000; round++) {
        char text[200];
        size_t n = fr_rng_below(&r, sizeof text);
        for (size_t i = 0; i < n; i++) {
            uint32_t kind = fr_rng_below(&r, 4); /* letters, any bytes, parts of characters */
            text[i] = (char)(kind == 0   ? 'a' + fr_rng_below(&r, 4)
                             : kind == 1 ? fr_rng_below(&r, 256)
                             : kind == 2 ? 0xE0 + fr_rng_below(&r, 32)
                                         : 0x80 + fr_rng_below(&r, 64));
        }
        fr_tokens ids = ids_of(t, text, n, 0);
        decodes_to(t, &ids, true, text, n);
        fr_free(ids.ids);
    }
    fr_tokenizer_free(t);
}

/* A piece of a million letters ends, and soon. */
static void test_a_long_piece(void **state) {
    (void)state;
    fr_tokenizer *t = learn_made(3, 500, 700);
    size_t n = 1000000;
    char *text = fr_alloc_array(FR_MEM_OTHER, n, 1);
    for (size_t i = 0; i < n; i++) text[i] = "circlesquare"[i % 12];
    for (int kind = 0; kind < 2; kind++) {
        fr_tokens ids = ids_of(t, text, n, FR_ENCODE_BOS);
        assert_true(ids.count < n / 2);
        decodes_to(t, &ids, false, text, n);
        fr_free(ids.ids);
        memset(text, ' ', n); /* where the pattern tries every end of the run */
        text[n - 1] = 'a';
    }
    fr_free(text);
    fr_tokenizer_free(t);
}

static void test_utf8(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t valid, broken;
    } cases[] = {
        {"abc", 3, 0},
        {"\xC3\xA9", 2, 0},
        {"a\xC3", 1, 1},
        {"\xC0\x80"
         "a",
         0, 2},
        {"\xE0\x9F\xBF", 0, 3}, /* overlong */
        {"\xED\xA0\x80"
         "abc",
         0, 3},                     /* a surrogate */
        {"\xF4\x8F\xBF\xBF", 4, 0}, /* U+10FFFF */
        {"\xF4\x90\x80\x80", 0, 4}, /* beyond */
        {"\xF0\x9F\x98", 0, 3},
        {"12345678\xFF"
         "12345678",
         8, 1},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++) {
        size_t broken;
        assert_int_equal(fr_utf8_valid(cases[i].text, strlen(cases[i].text), &broken),
                         cases[i].valid);
        assert_int_equal(broken, cases[i].broken);
    }
    fr_byte_char chars[256];
    bool seen[256] = {0};
    fr_byte_chars(chars);
    for (int b = 0; b < 256; b++) {
        char byte;
        assert_int_equal(fr_bytes_of_name(chars[b].utf8, chars[b].bytes, &byte), 1);
        assert_int_equal((uint8_t)byte, b);
        assert_false(seen[chars[b].order]);
        seen[chars[b].order] = true;
    }
}

static void test_ids_that_are_none(void **state) {
    (void)state;
    fr_tokenizer *t = learn_made(3, 50, 300);
    char *text;
    size_t bytes;
    const int32_t bad[] = {-1, fr_tokenizer_size(t)};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fr_tokenizer_decode(t, &bad[i], 1, true, &text, &bytes), FR_INVALID);
        assert_null(text);
        assert_non_null(strstr(fr_message(), "stands for no token"));
    }
    const int32_t both[] = {0, ID('a'), 1};
    fr_tokens ids = {(int32_t *)(uintptr_t)both, 3, 3};
    decodes_to(t, &ids, false, "a", 1);
    decodes_to(t, &ids, true, "<s>a</s>", 8);
    fr_tokenizer_free(t);
}

typedef struct many {
    const fr_tokenizer *t;
    fr_tokens ids[200];
} many;

static void encode_one(void *arg, size_t i) {
    many *m = arg;
    char line[512];
    made_line(9, i, line);
    m->ids[i].count = 0;
    if (fr_tokenizer_encode(m->t, line, strlen(line), FR_ENCODE_SPECIAL, &m->ids[i])) abort();
}

/* One tokenizer serves many threads at once. */
static void test_threads(void **state) {
    (void)state;
    fr_tokenizer *t = learn_made(3, 500, 700);
    fr_pool *pool;
    static many one, four;
    one.t = four.t = t;
    assert_int_equal(fr_pool_new(4, &pool), FR_OK);
    fr_pool_run(NULL, FR_COUNT(one.ids), encode_one, &one);
    for (int round = 0; round < 10; round++) {
        fr_pool_run(pool, FR_COUNT(four.ids), encode_one, &four);
        for (size_t i = 0; i < FR_COUNT(one.ids); i++) {
            assert_int_equal(one.ids[i].count, four.ids[i].count);
            assert_memory_equal(one.ids[i].ids, four.ids[i].ids, one.ids[i].count * 4);
        }
    }
    for (size_t i = 0; i < FR_COUNT(one.ids); i++) {
        fr_free(one.ids[i].ids);
        fr_free(four.ids[i].ids);
    }
    fr_pool_free(pool);
    fr_tokenizer_free(t);
}

/* Each id's own bytes: one after another they are the text. */
static void test_bytes_of_ids(void **state) {
    (void)state;
    fr_tokenizer *t = learn_made(3, 500, 400);
    static const char text[] = "circle na\xC3\xAFve \xFF<s>";
    fr_tokens ids = ids_of(t, text, sizeof text - 1, 0);
    size_t at = 0, bytes;
    for (size_t i = 0; i < ids.count; i++) {
        const char *own = fr_tokenizer_bytes(t, ids.ids[i], &bytes);
        assert_non_null(own);
        assert_true(at + bytes < sizeof text);
        assert_memory_equal(own, text + at, bytes);
        assert_false(fr_tokenizer_special(t, ids.ids[i]));
        at += bytes;
    }
    assert_int_equal(at, sizeof text - 1);
    for (int32_t id = -1; id < 3; id++) { /* none, and the special ones */
        assert_null(fr_tokenizer_bytes(t, id, &bytes));
        assert_int_equal(bytes, 0);
        assert_true(fr_tokenizer_special(t, id));
    }
    assert_true(fr_tokenizer_special(t, fr_tokenizer_size(t)));
    fr_free(ids.ids);
    fr_tokenizer_free(t);
}

/* Any allocation may fail: a sentence, and nothing is lost. */
static void test_no_memory(void **state) {
    (void)state;
    for (long n = 1, done = 0; !done; n += n < 400 ? 1 : 97) {
        fr_tokenizer *t = NULL;
        fr_tokens ids = {0};
        char *text = NULL;
        size_t bytes;
        fr_bpe_opts opts = {300, made_specials, 3};
        made_text m = {.seed = 3, .count = 20};
        size_t before = fr_memory_total().now;
        fr_message_clear();
        fr_memory_fail_after(n);
        fr_status s = fr_bpe_train(&opts, next_made_line, &m, &t);
        if (!s) s = fr_tokenizer_encode(t, m.line, strlen(m.line), FR_ENCODE_BOS, &ids);
        if (!s) s = fr_tokenizer_decode(t, ids.ids, ids.count, true, &text, &bytes);
        done = s == FR_OK && n > 3000;
        fr_memory_fail_after(0);
        if (s) {
            assert_int_equal(s, FR_NOMEM);
            assert_true(*fr_message());
        }
        fr_free(text);
        fr_free(ids.ids);
        fr_tokenizer_free(t);
        assert_int_equal(fr_memory_total().now, before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges_by_hand),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_names_are_one),
        cmocka_unit_test(test_pieces_of_all_lengths),
        cmocka_unit_test(test_any_bytes_come_back),
        cmocka_unit_test(test_a_long_piece),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_ids_that_are_none),
        cmocka_unit_test(test_bytes_of_ids),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
