/* test_picture.c: scenes that the judge must read without a mistake, pictures that it must not take for what
 * they are not, and the rules at their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "world/world.h"

static float pixels[128 * 128 * 3];

static fr_verdict judge(const fr_prompt *p, int size) {
    fr_sight sight;
    fr_judge_look(pixels, size, &sight);
    return fr_judge_prompt(p, &sight);
}

typedef struct clean {
    int size;
    atomic_int wrong, which; /* scenes, and one of them */
} clean;

enum { SCENES = 1000 }; /* an item of work */

static void judge_clean(void *arg, size_t item) {
    static _Thread_local float own[128 * 128 * 3];
    clean *c = arg;
    for (uint64_t i = item * SCENES; i < (item + 1) * SCENES; i++) {
        fr_scene s;
        fr_sight sight;
        fr_scene_make(11, i, c->size, -1, FR_SPLIT_ALL, &s);
        fr_scene_draw(&s, own);
        fr_judge_look(own, c->size, &sight);
        fr_verdict v = fr_judge_prompt(&s.prompt, &sight);
        if (v.correct && v.strict) continue;
        c->which = (int)i;
        c->wrong++;
    }
}

static void all_right(int size, size_t count) {
    clean c = {.size = size};
    fr_pool *pool;
    assert_int_equal(fr_pool_new(0, &pool), FR_OK);
    fr_pool_run(pool, count / SCENES, judge_clean, &c);
    fr_pool_free(pool);
    if (c.wrong) fail_msg("%d scenes of %d pixels, such as %d", c.wrong, size, c.which);
}

/* One hundred thousand of them, strictly, and some at twice the size. */
static void test_clean_scenes(void **state) {
    (void)state;
    bool brief = getenv("FRUGAL_TEST_SHORT") != NULL;
    all_right(64, brief ? 5000 : 100000);
    all_right(128, brief ? 1000 : 5000);
}

/* Every shape is found where it is, as what it is. */
static void test_sight(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        fr_scene s;
        fr_sight sight;
        fr_scene_make(12, i, 64, -1, FR_SPLIT_ALL, &s);
        fr_scene_draw(&s, pixels);
        fr_judge_look(pixels, 64, &sight);
        assert_int_equal(sight.objects, s.shapes);
        for (int a = 0; a < s.shapes; a++) {
            fr_box want = fr_shape_box(&s.shape[a]);
            int hits = 0;
            for (int b = 0; b < sight.objects; b++) {
                const fr_found *f = &sight.object[b];
                hits += f->class == s.shape[a].class && f->colour == s.shape[a].colour &&
                        fabsf(f->box.x0 - want.x0) < 1.6f && fabsf(f->box.y1 - want.y1) < 1.6f;
            }
            assert_int_equal(hits, 1);
        }
    }
}

/* A judge that read the scene instead of the picture would be taken in by these. */
static void test_false_prompts(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 3000; i++) {
        fr_scene s;
        fr_scene_make(13, i, 64, i % 2 ? FR_COLORS : FR_COUNTING, FR_SPLIT_ALL, &s);
        fr_scene_draw(&s, pixels);
        fr_prompt p = s.prompt;
        if (p.tag == FR_COLORS) {
            p.include[0].colour = (p.include[0].colour + 1 + (int)(i / 2 % 7)) % FR_COLOURS;
        } else {
            int count = p.include[0].count == 4 ? 2 : p.include[0].count + 1;
            p.include[0].count = count, p.exclude[0].count = count + 1;
        }
        assert_false(judge(&p, 64).correct);
        p = s.prompt;
        p.include[0].class = (fr_shape_class)((p.include[0].class + 1) % FR_SHAPE_CLASSES);
        p.excludes = 0;
        assert_false(judge(&p, 64).correct);
    }
}

static void mirror(int size) {
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size / 2; x++)
            for (int c = 0; c < 3; c++) {
                float *a = &pixels[(y * size + x) * 3 + c];
                float *b = &pixels[(y * size + size - 1 - x) * 3 + c];
                float t = *a;
                *a = *b, *b = t;
            }
}

static void test_mirror(void **state) {
    (void)state;
    int turned = 0;
    for (uint64_t i = 0; i < 500; i++) {
        fr_scene s;
        fr_scene_make(14, i, 64, FR_POSITION, FR_SPLIT_ALL, &s);
        int r = s.prompt.include[1].relation;
        fr_scene_draw(&s, pixels);
        mirror(64);
        bool sideways = r == FR_LEFT_OF || r == FR_RIGHT_OF;
        assert_int_equal(judge(&s.prompt, 64).correct, !sideways);
        if (!sideways) continue;
        s.prompt.include[1].relation = r == FR_LEFT_OF ? FR_RIGHT_OF : FR_LEFT_OF;
        assert_true(judge(&s.prompt, 64).correct);
        turned++;
    }
    assert_true(turned > 150);
}

static void test_relation_edges(void **state) {
    (void)state;
    fr_box b = {30, 30, 40, 40};
    fr_box same = b, diagonal = {10, 10, 20, 20}, close = {32.5f, 30, 42.5f, 40};
    for (int r = 0; r < FR_RELATIONS; r++)
        assert_false(fr_box_relation(same, b, (fr_relation)r, 0.5f));
    assert_true(fr_box_relation(diagonal, b, FR_LEFT_OF, 0.5f)); /* at 45 degrees both hold */
    assert_true(fr_box_relation(diagonal, b, FR_ABOVE, 0.5f));
    assert_false(fr_box_relation(diagonal, b, FR_RIGHT_OF, 0.5f));
    assert_true(fr_box_relation(close, b, FR_RIGHT_OF, 0.5f)); /* 2.5 apart, 2 taken off */
    close.x0 -= 1, close.x1 -= 1;
    assert_false(fr_box_relation(close, b, FR_RIGHT_OF, 0.5f));
}

static fr_sight sight_of(int n, const fr_found *found) {
    fr_sight s = {.objects = n, .parts = n};
    for (int i = 0; i < n; i++) s.object[i] = found[i];
    return s;
}

/* Does the judge say that something in box a stands so to something in box b? */
static bool stands(fr_box a, fr_box b, fr_relation r) {
    const fr_found two[] = {{.class = FR_STAR, .box = a, .iou = 1},
                            {.class = FR_RING, .box = b, .iou = 1}};
    fr_sight s = sight_of(2, two);
    fr_prompt p = {.tag = FR_POSITION, .includes = 2};
    p.include[0] = (fr_clause){FR_RING, 1, -1, -1, 0};
    p.include[1] = (fr_clause){FR_STAR, 1, -1, (int)r, 0};
    return fr_judge_prompt(&p, &s).correct;
}

/* Just inside and just outside of 60 degrees from the axis, where the direction's part is one half. */
static void test_relation_threshold(void **state) {
    (void)state;
    fr_box b = {0, 0, 10, 10}; /* 2 are taken off both ways */
    for (int side = -1; side <= 1; side += 2) {
        float dx = 10, dy = 10 * sqrtf(3) + 0.01f * (float)side;
        fr_box a = {dx + 2, dy + 2, dx + 12, dy + 12};
        assert_int_equal(stands(a, b, FR_RIGHT_OF), side < 0);
        assert_true(stands(a, b, FR_BELOW));
        fr_box c = {-dy - 2, -dx - 2, -dy + 8, -dx + 8};
        assert_int_equal(stands(c, b, FR_ABOVE), side < 0);
        assert_true(stands(c, b, FR_LEFT_OF));
    }
}

/* Of a class the surest objects count, whatever their colours: a blue star behind a red one is no blue star. */
static void test_first_of_a_class(void **state) {
    (void)state;
    const fr_found stars[] = {
        {.class = FR_STAR, .colour = FR_RED, .box = {0, 0, 10, 10}, .iou = 0.9f},
        {.class = FR_STAR, .colour = FR_BLUE, .box = {30, 0, 40, 10}, .iou = 0.8f},
        {.class = FR_RING, .colour = FR_BLUE, .box = {50, 0, 60, 10}, .iou = 0.7f}};
    fr_sight s = sight_of(3, stars);
    fr_prompt p = {.tag = FR_COLORS, .includes = 1};
    p.include[0] = (fr_clause){FR_STAR, 1, FR_RED, -1, 0};
    fr_verdict v = fr_judge_prompt(&p, &s);
    assert_true(v.correct && !v.strict && v.wrong == FR_WRONG_EXTRA);
    p.include[0].colour = FR_BLUE;
    v = fr_judge_prompt(&p, &s);
    assert_true(!v.correct && v.wrong == FR_WRONG_COLOUR);
    p.include[0].count = 2; /* both must be blue */
    assert_false(fr_judge_prompt(&p, &s).correct);
    /* The relation must hold between all that were taken. */
    fr_prompt two = {.tag = FR_POSITION, .includes = 2};
    two.include[0] = (fr_clause){FR_STAR, 2, -1, -1, 0};
    two.include[1] = (fr_clause){FR_RING, 1, -1, FR_RIGHT_OF, 0};
    assert_true(fr_judge_prompt(&two, &s).correct);
    s.object[1].box = (fr_box){80, 0, 90, 10};
    v = fr_judge_prompt(&two, &s);
    assert_true(!v.correct && v.wrong == FR_WRONG_PLACE);
}

/* "Three rings": not two, not four. */
static void test_counts(void **state) {
    (void)state;
    static const fr_wrong want[] = {FR_WRONG_MISSING, FR_WRONG_MISSING,  FR_WRONG_MISSING,
                                    FR_WRONG_NOTHING, FR_WRONG_TOO_MANY, FR_WRONG_TOO_MANY};
    fr_prompt p;
    assert_int_equal(fr_prompt_parse("a photo of three rings", &p), FR_OK);
    for (int n = 0; n < 6; n++) {
        fr_found rings[6];
        for (int i = 0; i < n; i++) rings[i] = (fr_found){.class = FR_RING, .iou = 1};
        fr_sight s = sight_of(n, rings);
        fr_verdict v = fr_judge_prompt(&p, &s);
        assert_int_equal(v.wrong, want[n]);
        assert_int_equal(v.correct, n == 3);
        assert_int_equal(v.reason[0] != 0, n != 3);
    }
}

/* "A red circle and a blue square" is not "a blue circle and a red square". */
static void test_swapped_colours(void **state) {
    (void)state;
    int tried = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        fr_scene s;
        fr_scene_make(21, i, 64, FR_COLOR_ATTR, FR_SPLIT_ALL, &s);
        fr_scene_draw(&s, pixels);
        fr_clause *a = &s.prompt.include[0], *b = &s.prompt.include[1];
        if (a->colour == b->colour) continue;
        int kept = a->colour;
        a->colour = b->colour, b->colour = kept;
        assert_false(judge(&s.prompt, 64).correct);
        tried++;
    }
    assert_true(tried > 1500);
}

static void test_unmatched_target(void **state) {
    (void)state;
    fr_sight s = {.objects = 1, .parts = 1};
    s.object[0] = (fr_found){.class = FR_STAR, .iou = 1};
    fr_prompt p = {.tag = FR_POSITION, .includes = 2};
    p.include[0] = (fr_clause){FR_RING, 1, -1, -1, 0};
    p.include[1] = (fr_clause){FR_STAR, 1, -1, FR_ABOVE, 0};
    assert_false(fr_judge_prompt(&p, &s).correct);
}

static void test_splits(void **state) {
    (void)state;
    int pairs = 0;
    for (int a = 0; a < 64; a++)
        for (int b = 0; b < 64; b++) {
            bool out = fr_held_out_pair(a / 8, a % 8, b / 8, b % 8);
            assert_int_equal(out, fr_held_out_pair(b / 8, b % 8, a / 8, a % 8));
            pairs += out;
        }
    assert_in_range(pairs, 340, 480);
    assert_int_equal(fr_held_out_triple(FR_STAR, FR_LEFT_OF, FR_RING),
                     fr_held_out_triple(FR_RING, FR_RIGHT_OF, FR_STAR));
    for (uint64_t i = 0; i < 2000; i++) {
        fr_scene s;
        fr_scene_make(19, i, 64, FR_POSITION, FR_SPLIT_UNSEEN, &s);
        const fr_clause *c = &s.prompt.include[1];
        assert_true(
            fr_held_out_triple(c->class, (fr_relation)c->relation, s.prompt.include[0].class));
        fr_scene_make(19, i, 64, FR_COLOR_ATTR, FR_SPLIT_TRAIN, &s);
        assert_false(fr_held_out_pair(s.shape[0].colour, s.shape[0].class, s.shape[1].colour,
                                      s.shape[1].class));
    }
}

/* The bytes of a few pictures: they must be the same on every machine, for good. */
static void test_same_bytes(void **state) {
    (void)state;
    uint64_t hash = 0xcbf29ce484222325ull;
    for (uint64_t i = 0; i < 50; i++) {
        fr_scene s;
        fr_scene_make(20, i, 64, -1, FR_SPLIT_TRAIN, &s);
        fr_scene_draw(&s, pixels);
        const unsigned char *p = (const unsigned char *)pixels;
        for (size_t b = 0; b < 64 * 64 * 3 * 4; b++) hash = (hash ^ p[b]) * 0x100000001b3ull;
    }
    if (hash != 0xa36bdf6d8ce22f19ull)
        fail_msg("pictures changed: 0x%llx", (unsigned long long)hash);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean_scenes),
        cmocka_unit_test(test_sight),
        cmocka_unit_test(test_false_prompts),
        cmocka_unit_test(test_mirror),
        cmocka_unit_test(test_relation_threshold),
        cmocka_unit_test(test_relation_edges),
        cmocka_unit_test(test_first_of_a_class),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_swapped_colours),
        cmocka_unit_test(test_unmatched_target),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
