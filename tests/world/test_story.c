/* test_story.c: stories that the judge must take, and every way to break them that it must see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world/line.h"
#include "world/scene.h"
#include "world/story.h"

enum { STORIES = 20000, SAID = 2 * FR_LINE_TEXT };

static void make(uint64_t seed, uint64_t i, fr_line *l) {
    fr_line_make(seed, i, FR_LINE_STORY, FR_LINES_ALL, l);
}
static bool judge(const fr_line *l, const char *said) {
    char reason[96];
    bool right = fr_line_judge(l, said, reason);
    assert_int_equal(right, reason[0] == 0);
    return right;
}

static int sentences_in(const char *text) {
    int n = 0;
    for (; *text; text++) n += strchr(".!?", *text) && (text[1] == ' ' || !text[1]);
    return n;
}

static void test_right(void **state) {
    (void)state;
    for (uint64_t i = 0; i < STORIES; i++) {
        fr_line l;
        char reason[96];
        make(51, i, &l);
        if (!fr_line_judge(&l, l.text + l.prompt, reason)) fail_msg("%s: %s", l.text, reason);
        assert_true(l.bytes <= 420);
        assert_int_equal(l.bytes, (int)strlen(l.text));
        assert_in_range(sentences_in(l.text), FR_STORY_LEAST, FR_STORY_MOST);
        assert_int_equal(l.text[l.prompt], ' ');
        assert_non_null(strchr(".!", l.text[l.prompt - 1]));
    }
}

/* The words of all values of some slots. */
static int words_of(const char *slots, const char *out[64]) {
    int n = 0;
    for (; *slots; slots++)
        for (int v = 0; fr_story_word(*slots, v); v++) {
            const char *word = fr_story_word(*slots, v);
            bool had = false;
            for (int i = 0; i < n; i++) had |= strcmp(out[i], word) == 0;
            if (!had) out[n++] = word;
        }
    return n;
}

/* The next whole word of the list behind *at, or NULL. */
static const char *next_word(const char **at, const char *const *list, int count, int *which) {
    for (const char *p = *at; *p; p++) {
        if (p > *at && isalpha((unsigned char)p[-1])) continue;
        for (int i = 0; i < count; i++) {
            size_t n = strlen(list[i]);
            if (strncmp(p, list[i], n) == 0 && !isalpha((unsigned char)p[n])) {
                *which = i;
                *at = p + n;
                return p;
            }
        }
    }
    return NULL;
}

typedef struct swap {
    const char *slots; /* words of these are put for each other */
    int whole;         /* 1: not for a word that the story says too (another child) */
    double most;       /* the share of stories that may still be right */
} swap;

/* Each word of the kind that is said, one after another, becomes another word of its kind. */
static void swap_words(swap s) {
    const char *list[64];
    int count = words_of(s.slots, list), tried = 0, taken = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        fr_line l;
        make(52, i, &l);
        int which;
        for (const char *at = l.text + l.prompt, *p; (p = next_word(&at, list, count, &which));) {
            int other = (which + 1 + (int)(i % (unsigned)(count - 1))) % count;
            if (s.whole && strstr(l.text, list[other])) continue;
            char said[SAID];
            snprintf(said, sizeof said, "%.*s%s%s", (int)(p - l.text - l.prompt), l.text + l.prompt,
                     list[other], at);
            tried++;
            if (!judge(&l, said)) continue;
            taken++;
            if (s.most == 0) fail_msg("%.*s|%s", l.prompt, l.text, said);
        }
    }
    assert_true(tried > 300);
    if (taken > s.most * tried) fail_msg("%d of %d swaps of %s", taken, tried, s.slots);
}

static void test_swaps(void **state) {
    (void)state;
    swap_words((swap){"c", 0, 0});
    swap_words((swap){"A", 1, 0});
    swap_words((swap){"A", 0, 0});
    swap_words((swap){"s", 0, 0});
    swap_words((swap){"S", 0, 0});
    swap_words((swap){"i", 0, 0});
    swap_words((swap){"h", 0, 0});
    swap_words((swap){"w", 0, 0.35}); /* where the child goes first is free, where it was is not */
}

/* "She" for the other's "He", and the name of the one for that of the other. */
static void test_one_for_the_other(void **state) {
    (void)state;
    const char *list[64];
    int names = words_of("A", list), tried = 0, taken = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        fr_line l;
        make(53, i, &l);
        int one = -1, which;
        const char *at = l.text, *other = NULL;
        while (!other && next_word(&at, list, names, &which)) {
            if (one < 0)
                one = which;
            else if (which != one)
                other = list[which];
        }
        at = l.text + l.prompt;
        for (const char *p; other && (p = next_word(&at, list, names, &which));) {
            char said[SAID];
            snprintf(said, sizeof said, "%.*s%s%s", (int)(p - l.text - l.prompt), l.text + l.prompt,
                     list[which] == other ? list[one] : other, at);
            tried++;
            taken += judge(&l, said);
        }
    }
    assert_true(tried > 500);
    assert_true(taken == 0);
}

/* The beginnings of the sentences that are said, with the space before; returns how many, and the end behind. */
static int cut(const fr_line *l, const char *at[FR_STORY_MOST + 1]) {
    int n = 0;
    const char *p = l->text + l->prompt;
    at[n++] = p;
    for (p++; *p; p++)
        if (strchr(".!?", *p) && p[1] == ' ') at[n++] = p + 1;
    at[n] = p;
    return n;
}

static void test_order(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        fr_line l;
        char said[SAID];
        const char *at[FR_STORY_MOST + 1], *begin;
        make(54, i, &l);
        begin = l.text + l.prompt;
        int n = cut(&l, at);
        /* no ending */
        snprintf(said, sizeof said, "%.*s", (int)(at[n - 1] - begin), begin);
        assert_false(judge(&l, said));
        /* one left out; one said twice; two exchanged */
        for (int k = 0; k + 1 < n; k++) {
            snprintf(said, sizeof said, "%.*s%s", (int)(at[k] - begin), begin, at[k + 1]);
            assert_false(judge(&l, said));
            snprintf(said, sizeof said, "%.*s%s", (int)(at[k + 1] - begin), begin, at[k]);
            assert_false(judge(&l, said));
            snprintf(said, sizeof said, "%.*s%.*s%.*s%s", (int)(at[k] - begin), begin,
                     (int)(at[k + 2] - at[k + 1]), at[k + 1], (int)(at[k + 1] - at[k]), at[k],
                     at[k + 2]);
            assert_false(judge(&l, said));
        }
        snprintf(said, sizeof said, "%s%s", begin, at[n - 1]);
        assert_false(judge(&l, said));
    }
}

static void test_junk(void **state) {
    (void)state;
    static const char *const tail[] = {" ",   ".",    " The end.", "\n",
                                       " He", "\xff", "?",         " Count from"};
    for (uint64_t i = 0; i < 30; i++) {
        fr_line l, other;
        char said[SAID];
        make(55, i, &l);
        const char *right = l.text + l.prompt;
        size_t n = strlen(right);
        for (size_t k = 0; k < sizeof tail / sizeof *tail; k++) {
            snprintf(said, sizeof said, "%s%s", right, tail[k]);
            assert_false(judge(&l, said));
        }
        for (size_t k = 0; k < n; k++) { /* cut off anywhere, and one byte anywhere changed */
            snprintf(said, sizeof said, "%.*s", (int)k, right);
            assert_false(judge(&l, said));
            snprintf(said, sizeof said, "%s", right);
            said[k] = said[k] == '#' ? '+' : '#';
            assert_false(judge(&l, said));
        }
        assert_false(judge(&l, right + 1));
        make(56, i, &other); /* the rest of another story */
        if (strncmp(l.text, other.text, (size_t)l.prompt) != 0)
            assert_false(judge(&l, other.text + other.prompt));
    }
    fr_line l;
    make(57, 0, &l);
    char *flood = malloc(1000001);
    memset(flood, ' ', 1000000);
    flood[1000000] = 0;
    assert_false(judge(&l, flood));
    free(flood);
}

/* A story that was not made here, told otherwise than any generator would, sentence by sentence. */
static void test_known(void **state) {
    (void)state;
    static const struct {
        const char *said, *reason;
    } cases[] = {
        {" Then the wind blew.", "not a sentence of a story: Then the wind blew"},
        {" Then the ball fell into the mud. Now it was brown and not red at all. So she washed it "
         "until "
         "it was red again. Mia was happy and took the red ball home.",
         ""},
        {" Then the ball fell into the mud. Now it was brown and not red at all. So she washed it "
         "until "
         "it was red again. Mia was happy and took the blue ball home.",
         "the ball was red, not blue"},
        {" Then the ball fell into the mud. Now it was brown and not red at all. So he washed it "
         "until "
         "it was red again.",
         "'he' is said of Mia"},
        {" Then the kite fell into the mud.", "it was a ball, not a kite"},
        {" Then the ball fell into the mud. \"My ball is not red now,\" said Anna.",
         "Anna is said where it must be Mia"},
        {" Then she ran to the lake and forgot the ball. She looked in the park, but the ball was "
         "not "
         "there.",
         "it is at the lake, not in the park"},
        {" Then she ran to the park and forgot the ball.", "the park can not come here"},
        {" Then she ran to the lake and forgot the ball.", "the story has no ending"},
        {" So she washed it until it was red again.",
         "this does not come here: So she washed it until it was red again"},
        {"", "the story has no ending"},
    };
    fr_line l = {.task = FR_LINE_STORY};
    l.prompt = l.bytes =
        snprintf(l.text, sizeof l.text, "Mia had a red ball. One day she took it to the park.");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char reason[96];
        bool right = fr_line_judge(&l, cases[i].said, reason);
        assert_string_equal(reason, cases[i].reason);
        assert_int_equal(right, !cases[i].reason[0]);
    }
}

/* Who was given the thing keeps it: the ending speaks of the owner. */
static void test_owner(void **state) {
    (void)state;
    fr_line l = {.task = FR_LINE_STORY};
    l.prompt = l.bytes =
        snprintf(l.text, sizeof l.text, "Leo showed his green drum to Ella on the hill.");
    const char *given =
        " They ran a race to the farm. Ella was faster and won. So Leo gave her the drum.";
    char said[SAID];
    snprintf(said, sizeof said, "%s%s", given,
             " That night Ella slept with the green drum next to her bed.");
    assert_true(judge(&l, said));
    snprintf(said, sizeof said, "%s%s", given,
             " That night Leo slept with the green drum next to his bed.");
    assert_false(judge(&l, said));
    snprintf(said, sizeof said, "%s%s", given,
             " That night Ella slept with the green drum next to his bed.");
    assert_false(judge(&l, said));
    snprintf(said, sizeof said, "%s%s", given,
             " Ella danced on the hill with the green drum until it was dark.");
    assert_false(judge(&l, said));
    snprintf(said, sizeof said, "%s%s", given,
             " Ella danced at the farm with the green drum until it was dark.");
    assert_true(judge(&l, said));
}

/* ---- the table ---- */

/* Stories that differ, by the values that each walk is free to choose. */
static double count_from(fr_story_stage stage, unsigned known, int places) {
    if (stage == FR_STORY_END) return 1;
    double sum = 0;
    for (int i = 0; i < fr_story_sentence_count; i++) {
        const fr_story_sentence *s = &fr_story_sentences[i];
        if (!(s->from >> stage & 1)) continue;
        unsigned now = known;
        int there = places;
        double ways = 1;
        for (const char *p = s->text; (p = strchr(p, '%')); p++) {
            fr_story_fact fact = fr_story_fact_of(*++p, 0);
            if (now >> fact & 1) continue;
            now |= 1u << fact;
            int values = 0;
            while (fr_story_word(*p, values)) values++;
            if (fact == FR_STORY_FRIEND) values /= 2;
            if (fact == FR_STORY_NEXT) values -= there++;
            if (fact == FR_STORY_HERE) there = 1;
            ways *= values;
        }
        sum += ways * count_from(s->to, now & ~(1u << FR_STORY_NEXT), there);
    }
    return sum;
}

static void test_how_many(void **state) {
    (void)state;
    double stories = count_from(FR_STORY_START, 0, 0);
    print_message("%.3g stories\n", stories);
    assert_true(stories > 1e9);
}

static void test_table(void **state) {
    (void)state;
    int wordings[FR_STORY_STAGES][FR_STORY_STAGES] = {0}, plots = 0;
    for (int i = 0; i < fr_story_sentence_count; i++) {
        const fr_story_sentence *s = &fr_story_sentences[i];
        for (int f = 0; f < FR_STORY_STAGES; f++)
            if (s->from >> f & 1) {
                assert_true((int)s->to > f); /* so that every walk ends */
                wordings[f][s->to]++;
            }
        for (const char *p = s->text; (p = strchr(p, '%')); p++)
            assert_true(fr_story_fact_of(*++p, 0) != FR_STORY_FACTS);
        assert_int_equal(sentences_in(s->text), 1);
    }
    for (int f = 0; f < FR_STORY_STAGES; f++)
        for (int t = 0; t < FR_STORY_STAGES; t++) {
            if (wordings[f][t]) assert_true(wordings[f][t] >= 3);
            plots += (f == FR_STORY_SOLO || f == FR_STORY_DUO) && wordings[f][t];
        }
    assert_true(plots >= 6);
}

static void test_vocabulary(void **state) {
    (void)state;
    enum { MOST = 400 };
    static char word[MOST][24];
    int words = 0;
    for (uint64_t i = 0; i < 5000; i++) {
        fr_line l;
        make(58, i, &l);
        for (char *p = strtok(l.text, " .,!?\""); p; p = strtok(NULL, " .,!?\"")) {
            *p = (char)tolower((unsigned char)*p);
            int k = 0;
            while (k < words && strcmp(word[k], p) != 0) k++;
            if (k == words) snprintf(word[words++], sizeof word[0], "%s", p);
            assert_true(words < MOST);
        }
    }
    print_message("%d words\n", words);
    assert_in_range(words, 100, 250);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_swaps),
        cmocka_unit_test(test_one_for_the_other),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_junk),
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_how_many),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
