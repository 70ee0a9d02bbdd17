/* test_image.c: pictures against golden ones (tests/oracle/images.py), and hostile files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "tensor/image.h"

#define assert_fails(expr, status, text)                                                           \
    do {                                                                                           \
        assert_int_equal((expr), (status));                                                        \
        if (!strstr(fr_message(), (text)))                                                         \
            fail_msg("message without \"%s\": %s", (text), fr_message());                          \
    } while (0)

/* ---- golden pictures ---- */

typedef struct golden {
    char name[64];
    size_t bytes;
    int width, height, channels;
    const uint8_t *data, *pixels;
} golden;

typedef void golden_fn(const golden *g, void *user);

static int for_each_golden(const char *pack, golden_fn *fn, void *user) {
    char *path = fr_format("%s/golden/images/%s", FR_TESTS_DIR, pack), *text;
    size_t bytes, at = 0;
    assert_int_equal(fr_read_file(path, 0, &text, &bytes), FR_OK);
    int count = 0;
    for (; at < bytes; count++) {
        golden g;
        int used;
        assert_int_equal(sscanf(text + at, "%63s %zu %d %d %d%n", g.name, &g.bytes, &g.width,
                                &g.height, &g.channels, &used),
                         5);
        g.data = (uint8_t *)text + at + used + 1;
        g.pixels = g.data + g.bytes;
        at = (size_t)(g.pixels - (uint8_t *)text) + (size_t)(g.width * g.height * g.channels);
        fn(&g, user);
    }
    fr_free(text);
    fr_free(path);
    return count;
}

static int largest_difference(const fr_image *im, const golden *g) {
    int most = 0;
    assert_int_equal(im->width, g->width);
    assert_int_equal(im->height, g->height);
    assert_int_equal(im->channels, g->channels);
    for (int i = 0; i < g->width * g->height * g->channels; i++) {
        most = FR_MAX_OF(most, abs(im->pixels[i] - g->pixels[i]));
    }
    return most;
}

static fr_status decode(const golden *g, int channels, fr_image *im) {
    return fr_image_decode(g->data, g->bytes, g->name, channels, im);
}

static void expect_decoded(const golden *g, void *most) {
    fr_image im;
    if (decode(g, 0, &im) != FR_OK) fail_msg("%s", fr_message());
    int difference = largest_difference(&im, g);
    if (difference > *(int *)most) fail_msg("%s: off by %d", g->name, difference);
    fr_image_free(&im);
}

static void png_of_every_kind(void **state) {
    (void)state;
    int exact = 0;
    assert_int_equal(for_each_golden("png.pack", expect_decoded, &exact), 41);
}

static void jpeg_of_every_kind(void **state) {
    (void)state;
    int most = 2; /* libjpeg's versions round differently */
    assert_int_equal(for_each_golden("jpeg.pack", expect_decoded, &most), 6);
}

static void expect_resized(const golden *g, void *how) {
    fr_image im, to;
    assert_int_equal(decode(g, 0, &im), FR_OK);
    assert_int_equal(fr_image_resize(&im, g->width, g->height, *(fr_resize *)how, &to), FR_OK);
    int difference = largest_difference(&to, g);
    if (difference != 0) fail_msg("%s: off by %d", g->name, difference);
    fr_image_free(&im);
    fr_image_free(&to);
}

static void bicubic_as_pillow_does_it(void **state) {
    (void)state;
    fr_resize how = FR_RESIZE_BICUBIC;
    assert_int_equal(for_each_golden("bicubic.pack", expect_resized, &how), 28);
}

static void area_is_the_exact_average(void **state) {
    (void)state;
    fr_resize how = FR_RESIZE_AREA;
    assert_int_equal(for_each_golden("area.pack", expect_resized, &how), 28);
}

/* ---- broken pictures ---- */

static void expect_no_part_to_pass(const golden *g, void *user) {
    (void)user;
    /* Up to the last chunk or marker: what a JPEG ends with may be missing in part. */
    for (size_t bytes = 0; bytes < g->bytes - 2; bytes++) {
        uint8_t *part = malloc(bytes ? bytes : 1); /* exact, so that a sanitizer sees its end */
        memcpy(part, g->data, bytes);
        fr_image im;
        fr_status status = fr_image_decode(part, bytes, "cut.img", 0, &im);
        free(part);
        if (status != FR_FORMAT)
            fail_msg("%s cut to %zu of %zu: %d", g->name, bytes, g->bytes, status);
        assert_null(im.pixels);
        assert_non_null(strstr(fr_message(), "cut.img"));
    }
}

static void truncated_pictures_are_refused(void **state) {
    (void)state;
    for_each_golden("png.pack", expect_no_part_to_pass, NULL);
    for_each_golden("jpeg.pack", expect_no_part_to_pass, NULL);
}

static void damage(const golden *g, void *user) {
    (void)user;
    uint8_t *bad = malloc(g->bytes);
    fr_rng r = fr_rng_new(1, fr_random_stream(g->name));
    for (int round = 0; round < 300; round++) {
        memcpy(bad, g->data, g->bytes);
        for (uint32_t n = 1 + fr_rng_below(&r, 4); n; n--) {
            bad[fr_rng_below(&r, (uint32_t)g->bytes)] = (uint8_t)fr_rng_u32(&r);
        }
        fr_image im;
        fr_message_clear();
        fr_status status = fr_image_decode(bad, g->bytes, "bad.img", 0, &im);
        if (status == FR_OK) {
            fr_image_free(&im);
        } else {
            assert_non_null(strstr(fr_message(), "bad.img"));
            assert_null(im.pixels);
        }
    }
    free(bad);
}

static void damaged_pictures_do_no_harm(void **state) {
    (void)state;
    size_t before = fr_memory_stat(FR_MEM_IMAGE).now;
    for_each_golden("png.pack", damage, NULL);
    for_each_golden("jpeg.pack", damage, NULL);
    assert_int_equal(fr_memory_stat(FR_MEM_IMAGE).now, before);
}

static void keep_first(const golden *g, void *user) {
    golden *first = user;
    if (first->bytes) return;
    *first = *g;
    uint8_t *copy = malloc(g->bytes);
    memcpy(copy, g->data, g->bytes);
    first->data = copy;
}

static uint32_t crc(const uint8_t *p, size_t n) {
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    }
    return ~c;
}

static void put_u32(uint8_t *p, uint32_t x) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(x >> (24 - 8 * i));
}

/* A file of a hundred bytes must not make us allocate for what it claims. */
static void claims_beyond_the_file_are_refused(void **state) {
    (void)state;
    static const uint32_t claims[][2] = {{60000, 60000},  {10000, 10000},  {65535, 30},
                                         {1, 2000000000}, {0xFFFFFFFF, 1}, {0, 5},
                                         {4000, 2000}};
    golden g = {.bytes = 0};
    for_each_golden("png.pack", keep_first, &g);
    uint8_t *png = (uint8_t *)(uintptr_t)g.data;
    fr_memory_reset_peak();
    size_t before = fr_memory_stat(FR_MEM_IMAGE).peak;
    for (size_t i = 0; i < FR_COUNT(claims); i++) {
        put_u32(png + 16, claims[i][0]);
        put_u32(png + 20, claims[i][1]);
        put_u32(png + 29, crc(png + 12, 17));
        fr_image im;
        assert_fails(fr_image_decode(png, g.bytes, "claim.png", 0, &im), FR_FORMAT, "claim.png");
    }
    free(png);
    g.bytes = 0;
    for_each_golden("jpeg.pack", keep_first, &g);
    uint8_t *jpeg = (uint8_t *)(uintptr_t)g.data, *frame = jpeg;
    while (!(frame[0] == 0xFF && frame[1] == 0xC0)) frame++;
    memcpy(frame + 5, "\xEA\x60\xEA\x60", 4); /* 60000 x 60000 */
    fr_image im;
    assert_fails(fr_image_decode(jpeg, g.bytes, "claim.jpg", 0, &im), FR_FORMAT, "out of bounds");
    memcpy(frame + 5, "\x0F\xA0\x0F\xA0", 4); /* 4000 x 4000 */
    assert_fails(fr_image_decode(jpeg, g.bytes, "claim.jpg", 0, &im), FR_FORMAT, "can hold");
    free(jpeg);
    assert_true(fr_memory_stat(FR_MEM_IMAGE).peak - before < 4096);
}

static void other_files_are_refused(void **state) {
    (void)state;
    fr_image im;
    static const char *const others[] = {"", "GIF89a....", "\x89PNG", "\xFF\xD8", "RIFF....WEBP"};
    for (size_t i = 0; i < FR_COUNT(others); i++) {
        assert_fails(fr_image_decode((const uint8_t *)others[i], strlen(others[i]), "x", 0, &im),
                     FR_FORMAT, "neither a PNG nor a JPEG");
    }
    assert_fails(fr_image_read("/no/such.png", 0, &im), FR_IO, "/no/such.png");
    assert_fails(fr_image_read("/", 0, &im), FR_IO, "is a folder");
    assert_fails(fr_image_decode((const uint8_t *)"", 0, "x", 2, &im), FR_INVALID, "not 2");
}

static void out_of_memory(const golden *g, void *user) {
    (void)user;
    fr_image im, to;
    fr_status status = FR_NOMEM;
    for (long n = 1; status == FR_NOMEM; n++) {
        assert_true(n < 20);
        fr_memory_fail_after(n);
        status = decode(g, g->channels == 1 ? 4 : 1, &im);
        fr_memory_fail_after(0);
        assert_true(status == FR_OK || im.pixels == NULL);
    }
    assert_int_equal(status, FR_OK);
    for (int how = 0; how < 2; how++) {
        status = FR_NOMEM;
        for (long n = 1; status == FR_NOMEM; n++) {
            assert_true(n < 20);
            fr_memory_fail_after(n);
            status = fr_image_resize(&im, 5, 6, (fr_resize)how, &to);
            fr_memory_fail_after(0);
        }
        assert_int_equal(status, FR_OK);
        fr_image_free(&to);
    }
    fr_image_free(&im);
}

static void memory_that_runs_out_is_told(void **state) {
    (void)state;
    size_t before = fr_memory_total().now;
    for_each_golden("png.pack", out_of_memory, NULL);
    for_each_golden("jpeg.pack", out_of_memory, NULL);
    assert_int_equal(fr_memory_total().now, before);
}

/* ---- memory, channels, files, floats ---- */

static fr_image pattern(int width, int height, int channels) {
    fr_image im;
    assert_int_equal(fr_image_new(width, height, channels, &im), FR_OK);
    fr_rng r = fr_rng_new(4, 2);
    for (int i = 0; i < width * height * channels; i++) im.pixels[i] = (uint8_t)fr_rng_u32(&r);
    return im;
}

static void sizes_are_checked(void **state) {
    (void)state;
    static const int bad[][3] = {{0, 1, 3},         {1, 0, 3}, {-1, 1, 3}, {65536, 1, 1},
                                 {60000, 60000, 3}, {1, 1, 2}, {1, 1, 0},  {1, 1, 5}};
    fr_image im, small = pattern(3, 2, 3);
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        assert_int_equal(fr_image_new(bad[i][0], bad[i][1], bad[i][2], &im), FR_INVALID);
        assert_null(im.pixels);
    }
    assert_int_equal(fr_image_resize(&small, 0, 5, FR_RESIZE_AREA, &im), FR_INVALID);
    assert_int_equal(fr_image_resize(&small, 5, 70000, FR_RESIZE_BICUBIC, &im), FR_INVALID);
    assert_int_equal(fr_image_resize(&small, 5, 5, (fr_resize)9, &im), FR_INVALID);
    fr_image none = {0};
    assert_int_equal(fr_image_resize(&none, 5, 5, FR_RESIZE_AREA, &im), FR_INVALID);
    fr_image_free(&small);
    fr_image_free(&small);
}

static void written_pictures_are_read_back(void **state) {
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/frugal-test-%d.png", (int)getpid());
    static const int channels[] = {1, 3, 4};
    for (size_t c = 0; c < FR_COUNT(channels); c++) {
        fr_image im = pattern(37, 23, channels[c]), back;
        assert_int_equal(fr_image_write_png(path, &im), FR_OK);
        assert_int_equal(fr_image_read(path, 0, &back), FR_OK);
        assert_int_equal(back.channels, channels[c]);
        assert_memory_equal(im.pixels, back.pixels, (size_t)(37 * 23 * channels[c]));
        fr_image_free(&im);
        fr_image_free(&back);
    }
    unlink(path);
}

static void a_failed_write_leaves_the_old_picture(void **state) {
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/frugal-test-%d.png", (int)getpid());
    fr_image im = pattern(300, 300, 3), back;
    assert_int_equal(fr_write_file(path, "old", 3), FR_OK);
    for (long n = 1; n <= 4; n++) {
        fr_memory_fail_after(n);
        assert_int_equal(fr_image_write_png(path, &im), FR_NOMEM);
    }
    fr_memory_fail_after(0);
    char *text;
    size_t bytes;
    assert_int_equal(fr_read_file(path, 0, &text, &bytes), FR_OK);
    assert_string_equal(text, "old");
    fr_free(text);
    assert_fails(fr_image_write_png("/no/such/x.png", &im), FR_IO, "/no/such/x.png");
    assert_fails(fr_image_write_png("/dev/full", &im), FR_IO, "/dev/full");
    back = (fr_image){3, 3, 2, im.pixels};
    assert_fails(fr_image_write_png(path, &back), FR_INVALID, "2 channels");
    fr_image_free(&im);
    unlink(path);
}

static void expect_channels(const golden *g, void *user) {
    (void)user;
    fr_image as[5], full;
    assert_int_equal(decode(g, 4, &full), FR_OK);
    for (int c = 1; c <= 4; c++) {
        if (c != 2) assert_int_equal(decode(g, c, &as[c]), FR_OK);
    }
    for (int i = 0; i < g->width * g->height; i++) {
        const uint8_t *p = full.pixels + 4 * i, *rgb = as[3].pixels + 3 * i;
        double alpha = p[3] / 255.0, grey;
        for (int c = 0; c < 3; c++) {
            assert_int_equal(rgb[c], (int)floor(p[c] * alpha + 255 * (1 - alpha) + 0.5));
            assert_int_equal(p[c], g->pixels[i * g->channels + (g->channels == 1 ? 0 : c)]);
        }
        grey = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        assert_true(fabs(as[1].pixels[i] - grey) < 0.51);
    }
    fr_image_free(&full);
    fr_image_free(&as[1]);
    fr_image_free(&as[3]);
    fr_image_free(&as[4]);
}

static void channels_are_converted_over_white(void **state) {
    (void)state;
    for_each_golden("png.pack", expect_channels, NULL);
}

static void floats_go_round(void **state) {
    (void)state;
    fr_image im = pattern(16, 16, 3), back;
    float x[16 * 16 * 3];
    for (int i = 0; i < 256; i++) im.pixels[i] = (uint8_t)i;
    fr_image_to_f32(&im, 2 / 255.0f, -1, x);
    assert_true(x[0] == -1 && fabsf(x[255] - 1) < 1e-6f);
    assert_int_equal(fr_image_from_f32(x, 16, 16, 3, 2 / 255.0f, -1, &back), FR_OK);
    assert_memory_equal(im.pixels, back.pixels, sizeof x / sizeof *x);
    fr_image_free(&back);
    static const float odd[] = {NAN, INFINITY, -INFINITY, 300, -5, 1.49f, 1.5f, 254.6f, 255.4f};
    static const uint8_t expected[] = {0, 255, 0, 255, 0, 1, 2, 255, 255};
    assert_int_equal(fr_image_from_f32(odd, 3, 1, 3, 1, 0, &back), FR_OK);
    assert_memory_equal(back.pixels, expected, sizeof expected);
    fr_image_free(&back);
    assert_int_equal(fr_image_from_f32(odd, 3, 1, 3, 0, 0, &back), FR_INVALID);
    assert_int_equal(fr_image_from_f32(odd, 0, 1, 3, 1, 0, &back), FR_INVALID);
    fr_image_free(&im);
}

/* One colour stays that colour at any size, with and without alpha. */
static void flat_pictures_stay_flat(void **state) {
    (void)state;
    static const int sizes[][2] = {{1, 1}, {7, 7}, {31, 3}, {200, 150}, {2, 300}};
    for (int how = 0; how < 2; how++) {
        for (size_t s = 0; s < FR_COUNT(sizes); s++) {
            fr_image im, to;
            assert_int_equal(fr_image_new(23, 31, 4, &im), FR_OK);
            for (int i = 0; i < 23 * 31; i++) memcpy(im.pixels + 4 * i, "\xC8\x01\xFF\xFF", 4);
            assert_int_equal(fr_image_resize(&im, sizes[s][0], sizes[s][1], (fr_resize)how, &to),
                             FR_OK);
            for (int i = 0; i < sizes[s][0] * sizes[s][1]; i++) {
                assert_memory_equal(to.pixels + 4 * i, "\xC8\x01\xFF\xFF", 4);
            }
            fr_image_free(&im);
            fr_image_free(&to);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_of_every_kind),
        cmocka_unit_test(jpeg_of_every_kind),
        cmocka_unit_test(bicubic_as_pillow_does_it),
        cmocka_unit_test(area_is_the_exact_average),
        cmocka_unit_test(truncated_pictures_are_refused),
        cmocka_unit_test(damaged_pictures_do_no_harm),
        cmocka_unit_test(claims_beyond_the_file_are_refused),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(memory_that_runs_out_is_told),
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(written_pictures_are_read_back),
        cmocka_unit_test(a_failed_write_leaves_the_old_picture),
        cmocka_unit_test(channels_are_converted_over_white),
        cmocka_unit_test(floats_go_round),
        cmocka_unit_test(flat_pictures_stay_flat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
