/* test_dataset.c: scenes on disk: what the files hold, the same bytes for any number of threads, all or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "folders.h"
#include "tensor/tensor.h"
#include "world/world.h"

static void write_with(const char *dir, const fr_dataset *d, int threads) {
    fr_pool *pool;
    assert_int_equal(fr_pool_new(threads, &pool), FR_OK);
    if (fr_dataset_write(dir, d, pool)) fail_msg("%s", fr_message());
    fr_pool_free(pool);
}

/* Every picture, token and score is that of its scene. */
static void check_tensors(const char *path, const fr_dataset *d) {
    static float pixels[128 * 128 * 3];
    fr_store *s;
    if (fr_store_open(path, &s)) fail_msg("%s", fr_message());
    const fr_tensor *images = fr_store_find(s, "images"), *tokens = fr_store_find(s, "tokens"),
                    *scores = fr_store_find(s, "scores");
    assert_true(images && tokens && scores && fr_store_count(s) == 3);
    assert_true(images->dtype == FR_U8 && tokens->dtype == FR_I32 && scores->dtype == FR_F32);
    assert_int_equal(images->dim[0], d->count);
    assert_int_equal(images->dim[1], d->size);
    size_t values = (size_t)d->size * (size_t)d->size * 3;
    for (int64_t i = 0; i < d->count; i++) {
        fr_scene scene;
        const uint8_t *image = (const uint8_t *)images->data + (size_t)i * values;
        fr_scene_make(d->seed, (uint64_t)i, d->size, d->tag, d->split, &scene);
        fr_scene_draw(&scene, pixels);
        for (size_t k = 0; k < values; k++)
            if (image[k] != (uint8_t)lroundf(255 * pixels[k])) fail_msg("picture %d", (int)i);
        for (int v = 0; v < FR_CAPTIONS; v++) {
            char text[FR_CAPTION_TEXT];
            int32_t token[FR_CAPTION_TOKENS];
            float score;
            int count;
            size_t at = (size_t)i * FR_CAPTIONS + (size_t)v;
            fr_scene_caption(&scene, d->seed, (uint64_t)i, v, text, &score);
            assert_int_equal(fr_caption_tokens(text, token, &count), FR_OK);
            assert_memory_equal((const int32_t *)tokens->data + at * FR_CAPTION_TOKENS, token,
                                sizeof token);
            assert_true(((const float *)scores->data)[at] == score);
        }
    }
    fr_store_close(s);
}

/* Every line is JSON, in order, and asks for what the scene shows. */
static void check_lines(const char *path, const fr_dataset *d) {
    char *text, *at;
    size_t bytes;
    int64_t count = 0;
    assert_int_equal(fr_read_file(path, 0, &text, &bytes), FR_OK);
    for (at = text; *at; count++) {
        char *end = strchr(at, '\n'), said[FR_CAPTION_TEXT];
        assert_non_null(end);
        fr_prompt p;
        fr_json *j = NULL;
        int64_t index;
        if (fr_prompt_from_metadata(at, (size_t)(end - at), "a scene", &p, said) ||
            fr_json_parse(at, (size_t)(end - at), "a scene", &j))
            fail_msg("%s", fr_message());
        assert_int_equal(fr_json_i64(j, "index", -1, &index), FR_OK);
        assert_int_equal(index, count);
        assert_int_equal(json_array_size(fr_json_get(j, "captions")), FR_CAPTIONS);
        if (p.tag == FR_COLOR_ATTR && d->split == FR_SPLIT_TRAIN)
            assert_false(fr_held_out_pair((fr_colour)p.include[0].colour, p.include[0].class,
                                          (fr_colour)p.include[1].colour, p.include[1].class));
        fr_json_free(j);
        at = end + 1;
    }
    assert_int_equal(count, d->count);
    fr_free(text);
}

static void test_files(void **state) {
    (void)state;
    fr_dataset d = {.seed = 3, .count = 600, .size = 64, .tag = FR_ALL_TAGS};
    write_with(in_folder("one"), &d, 1);
    write_with(in_folder("four"), &d, 4);
    assert_true(tree_hash(in_folder("one")) == tree_hash(in_folder("four")));
    assert_int_equal(names_in(in_folder("one")), 2);
    check_tensors(in_folder("one/pictures.safetensors"), &d);
    check_lines(in_folder("one/scenes.jsonl"), &d);

    fr_dataset large = {.seed = 3, .count = 20, .size = 128, .tag = -1, .split = FR_SPLIT_UNSEEN};
    write_with(in_folder("large"), &large, 2);
    check_tensors(in_folder("large/pictures.safetensors"), &large);
    check_lines(in_folder("large/scenes.jsonl"), &large);
}

static void test_png(void **state) {
    (void)state;
    static float pixels[64 * 64 * 3];
    fr_dataset d = {.seed = 4, .count = 30, .size = 64, .tag = -1, .png = true};
    write_with(in_folder("png-1"), &d, 1);
    write_with(in_folder("png-3"), &d, 3);
    assert_true(tree_hash(in_folder("png-1")) == tree_hash(in_folder("png-3")));
    assert_int_equal(names_in(in_folder("png-1/pictures")), 30);
    check_lines(in_folder("png-1/scenes.jsonl"), &d);
    fr_scene s;
    fr_image im;
    assert_int_equal(fr_image_read(in_folder("png-1/pictures/00000029.png"), 0, &im), FR_OK);
    assert_true(im.width == 64 && im.height == 64 && im.channels == 3);
    fr_scene_make(4, 29, 64, -1, FR_SPLIT_TRAIN, &s);
    fr_scene_draw(&s, pixels);
    for (int i = 0; i < 64 * 64 * 3; i++) assert_int_equal(im.pixels[i], lroundf(255 * pixels[i]));
    fr_image_free(&im);
}

static fr_status write_one(const char *path, void *arg) {
    return fr_dataset_write(path, arg, NULL);
}

static void test_all_or_nothing(void **state) {
    (void)state;
    for (int png = 0; png < 2; png++) {
        fr_dataset d = {.seed = 5, .count = 3, .size = 64, .tag = -1, .png = png};
        char dir[200];
        snprintf(dir, sizeof dir, "%s", in_folder(png ? "scarce-png" : "scarce"));
        size_t before = names_in(in_folder(""));
        fr_interrupt_raise();
        assert_int_equal(fr_dataset_write(dir, &d, NULL), FR_INTERRUPTED);
        fr_interrupt_clear();
        assert_int_equal(names_in(in_folder("")), before);
        int failed = with_scarce_memory(write_one, dir, &d);
        if (failed < 15) fail_msg("%d", failed);
        assert_int_equal(fr_dataset_write(dir, &d, NULL), FR_OK);
        assert_int_equal(fr_dataset_write(dir, &d, NULL), FR_IO);
        assert_non_null(strstr(fr_message(), "there already"));
    }
}

static int clean_up(void **state) {
    (void)state;
    remove_folder();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_png),
        cmocka_unit_test(test_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
