/* test_caption.c: sentences of the picture world and back, and captions with known errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "world/world.h"

static void same_clause(const fr_clause *a, const fr_clause *b) {
    assert_int_equal(a->class, b->class);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->colour, b->colour);
    assert_int_equal(a->relation, b->relation);
}

static void test_round_trip(void **state) {
    (void)state;
    int seen[FR_ALL_TAGS] = {0};
    for (uint64_t i = 0; i < 20000; i++) {
        fr_scene s;
        fr_prompt p;
        char text[FR_CAPTION_TEXT], again[FR_CAPTION_TEXT];
        fr_scene_make(31, i, 64, FR_ALL_TAGS, FR_SPLIT_ALL, &s);
        fr_prompt_text(&s.prompt, text);
        if (fr_prompt_parse(text, &p)) fail_msg("%s: %s", text, fr_message());
        fr_prompt_text(&p, again);
        assert_string_equal(text, again);
        assert_int_equal(p.tag, s.prompt.tag);
        assert_int_equal(p.includes, s.prompt.includes);
        for (int c = 0; c < p.includes; c++) same_clause(&p.include[c], &s.prompt.include[c]);
        assert_int_equal(p.excludes, s.prompt.excludes);
        if (p.excludes) same_clause(&p.exclude[0], &s.prompt.exclude[0]);
        seen[p.tag]++;
    }
    for (int t = 0; t < FR_ALL_TAGS; t++) assert_true(seen[t] > 1000);
}

static void test_known_sentences(void **state) {
    (void)state;
    static const char *const good[] = {
        "a photo of a red ring",
        "a photo of three stars",
        "a photo of a circle left of a star",
        "a photo of a red circle and a blue square",
        "a photo of an orange dome above a white cross",
        "a photo of a red circle, a blue star and a white ring",
        "a photo of exactly two red stars",
    };
    static const char *const bad[] = {
        "",
        "a photo of",
        "a red ring",
        "a photo of a cat",
        "a photo of a red",
        "a photo of three star",
        "a photo of a stars",
        "a photo of a circle left a star",
        "a photo of a circle and",
        "a photo of a circle, a star",
        "a photo of a circle left of three stars",
        "a photo of exactly a star",
        "a photo of a star a star",
        "a photo of a ring and a ring and a ring and a ring and a ring and a ring",
    };
    fr_prompt p;
    char text[FR_CAPTION_TEXT];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (fr_prompt_parse(good[i], &p)) fail_msg("%s: %s", good[i], fr_message());
        fr_prompt_text(&p, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fr_message_clear();
        if (fr_prompt_parse(bad[i], &p) == FR_OK) fail_msg("'%s' was taken", bad[i]);
        assert_true(fr_message()[0] != 0);
    }
}

/* The judge and the sentences agree: what is said of a scene is seen in its picture, for every task. */
static void test_judged(void **state) {
    (void)state;
    static float pixels[64 * 64 * 3];
    for (uint64_t i = 0; i < 5000; i++) {
        fr_scene s;
        fr_prompt p;
        fr_sight sight;
        char text[FR_CAPTION_TEXT];
        fr_scene_make(32, i, 64, FR_ALL_TAGS, FR_SPLIT_TRAIN, &s);
        fr_scene_draw(&s, pixels);
        fr_judge_look(pixels, 64, &sight);
        fr_prompt_text(&s.prompt, text);
        assert_int_equal(fr_prompt_parse(text, &p), FR_OK);
        fr_verdict v = fr_judge_prompt(&p, &sight);
        if (!v.correct || !v.strict) fail_msg("%s: %s", text, v.reason);
    }
}

static void test_errors(void **state) {
    (void)state;
    for (int variant = 0; variant < FR_CAPTIONS; variant++) {
        double sum = 0;
        for (uint64_t i = 0; i < 4000; i++) {
            fr_scene s;
            char text[FR_CAPTION_TEXT], truth[FR_CAPTION_TEXT];
            float score;
            fr_scene_make(33, i, 64, -1, FR_SPLIT_ALL, &s);
            fr_scene_caption(&s, 33, i, variant, text, &score);
            fr_prompt_text(&s.prompt, truth);
            assert_int_equal(score == 1, strcmp(text, truth) == 0);
            sum += score;
        }
        assert_true(fabs(sum / 4000 - (1 - fr_caption_error[variant])) < 0.02);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_known_sentences),
        cmocka_unit_test(test_judged),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
