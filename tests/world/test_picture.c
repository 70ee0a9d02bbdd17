/* test_picture.c: scenes that the judge must read without a mistake, pictures that it must not take for what
 * they are not, and the rules at their edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "world/judge.h"

static float pixels[128 * 128 * 3];

static fr_verdict judge(const fr_prompt *p, int size) {
    fr_sight sight;
    fr_judge_look(pixels, size, &sight);
    return fr_judge_prompt(p, &sight);
}

static void all_right(int size, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        fr_scene s;
        fr_scene_make(11, i, size, -1, FR_SPLIT_ALL, &s);
        fr_scene_draw(&s, pixels);
        fr_verdict v = judge(&s.prompt, size);
        if (!v.correct || !v.strict) fail_msg("scene %d of %d: %s", (int)i, size, v.reason);
    }
}

static void test_clean_scenes(void **state) {
    (void)state;
    all_right(64, 30000);
    all_right(128, 5000);
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

/* Shares of right answers on damaged pictures, in points; the figures of a prototype, and of ours. */
static int share_after(void (*damage)(uint64_t)) {
    int right = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        fr_scene s;
        fr_scene_make(15, i, 64, -1, FR_SPLIT_ALL, &s);
        fr_scene_draw(&s, pixels);
        damage(i);
        right += judge(&s.prompt, 64).correct;
    }
    return right / 10;
}

static void blur(float sigma) {
    static float other[64 * 64 * 3];
    float k[13], sum = 0;
    for (int i = -6; i <= 6; i++) sum += k[i + 6] = expf((float)(-i * i) / (2 * sigma * sigma));
    for (int pass = 0; pass < 2; pass++) {
        for (int at = 0; at < 64 * 64 * 3; at++) {
            int c = at % 3, x = at / 3 % 64, y = at / 192;
            float v = 0;
            for (int i = -6; i <= 6; i++) {
                int u = (pass ? y : x) + i;
                u = u < 0 ? -u - 1 : u > 63 ? 127 - u : u;
                v += k[i + 6] * pixels[((pass ? u : y) * 64 + (pass ? x : u)) * 3 + c];
            }
            other[at] = v / sum;
        }
        memcpy(pixels, other, sizeof other);
    }
}

static void blur_little(uint64_t i) {
    (void)i;
    blur(0.5f);
}
static void blur_more(uint64_t i) {
    (void)i;
    blur(0.8f);
}
static void blur_much(uint64_t i) {
    (void)i;
    blur(1.2f);
}
static void noise(uint64_t i) {
    fr_rng g = fr_rng_new(16, i);
    for (int at = 0; at < 64 * 64 * 3; at++) {
        float v = pixels[at] + 0.08f * fr_rng_normal(&g);
        pixels[at] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
}
static void less_contrast(uint64_t i) {
    (void)i;
    for (int at = 0; at < 64 * 64 * 3; at++) pixels[at] = (pixels[at] - 0.5f) * 0.8f + 0.5f;
}
static void another(uint64_t i) {
    fr_scene s;
    fr_scene_make(17, i, 64, -1, FR_SPLIT_ALL, &s);
    fr_scene_draw(&s, pixels);
}
static void random_pixels(uint64_t i) {
    fr_random_uniform(18, i, 0, pixels, 64 * 64 * 3);
}

static void test_damage(void **state) {
    (void)state;
    assert_int_equal(share_after(blur_little), 100);
    assert_in_range(share_after(blur_more), 96, 100);
    assert_in_range(share_after(blur_much), 76, 84);
    assert_in_range(share_after(noise), 99, 100);
    assert_int_equal(share_after(less_contrast), 100);
    assert_in_range(share_after(another), 1, 6);
    assert_int_equal(share_after(random_pixels), 0);
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
        cmocka_unit_test(test_clean_scenes),     cmocka_unit_test(test_sight),
        cmocka_unit_test(test_false_prompts),    cmocka_unit_test(test_mirror),
        cmocka_unit_test(test_damage),           cmocka_unit_test(test_relation_edges),
        cmocka_unit_test(test_unmatched_target), cmocka_unit_test(test_splits),
        cmocka_unit_test(test_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
