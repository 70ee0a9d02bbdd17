/* test_reader.c: points read ahead from a mapped file: the same bits as in memory whatever the windows, and no more of
 * the file in memory than was allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "cluster/made.h"

enum { N = 20000, D = 24, K = 12, ITERATIONS = 4 };
static const char *const paths[] = {"cluster_reader.npy", "cluster_reader.fvecs"};
static float *points;
static float want[K * D];
static int32_t want_label[N];

static fr_kmeans_opts options(void) {
    fr_kmeans_opts o = fr_kmeans_defaults(K);
    o.iterations = ITERATIONS;
    o.tolerance = 0;
    o.threads = 2;
    return o;
}

static int set_up(void **state) {
    (void)state;
    points = made_points(MADE_CLUSTERED, N, D, 4);
    fr_tensor t = made_tensor(points, N, D);
    fr_kmeans_opts o = options();
    fr_kmeans_out out = {.centroids = want, .labels = want_label};
    return fr_npy_write(paths[0], &t) || fr_vecs_write(paths[1], &t) || fr_kmeans(&t, &o, &out);
}

static int tear_down(void **state) {
    (void)state;
    for (size_t i = 0; i < FR_COUNT(paths); i++) unlink(paths[i]);
    fr_free(points);
    return 0;
}

static void test_same_bits(void **state) {
    (void)state;
    static const int64_t memory[] = {1 << 20, 5 << 19, 64 << 20};
    for (size_t f = 0; f < FR_COUNT(paths); f++)
        for (size_t m = 0; m < FR_COUNT(memory); m++) {
            fr_store *s;
            float got[K * D];
            int32_t *label = fr_alloc(FR_MEM_OTHER, N * sizeof *label);
            assert_int_equal(fr_store_open(paths[f], &s), FR_OK);
            fr_kmeans_opts o = options();
            fr_kmeans_out out = {.centroids = got, .labels = label};
            o.out_of_core = true;
            o.memory = memory[m];
            if (fr_kmeans(fr_store_find(s, "array"), &o, &out)) fail_msg("%s", fr_message());
            assert_memory_equal(label, want_label, sizeof want_label);
            assert_memory_equal(got, want, sizeof want);
            fr_free(label);
            fr_store_close(s);
        }
}

/* Windows cover the rows in order, in whole blocks; a pass may be left in the middle, and there may be many passes. */
static void test_windows(void **state) {
    (void)state;
    static const int64_t strides[][2] = {{D, 1}, {1, N}};
    for (int way = 0; way < 2; way++) {
        fr_points p;
        fr_reader *r;
        fr_tensor t = made_tensor(points, N, D);
        memcpy(t.stride, strides[way], sizeof strides[way]);
        assert_int_equal(fr_points_of(&t, 0, false, &p), FR_OK);
        assert_int_equal(fr_reader_new(&p, 8 * FR_POINTS_BLOCK * D * 4, &r), FR_OK);
        for (int pass = 0; pass < 50; pass++) {
            int64_t first = 0, windows = 0;
            while (first < N && !(pass % 5 == 1 && windows == 2)) {
                int64_t end = fr_reader_window(r, &p, first);
                assert_true(end == N || end == first + 4 * FR_POINTS_BLOCK);
                first = end;
                windows++;
            }
        }
        fr_reader_free(r);
        assert_int_equal(fr_reader_new(&p, 0, &r), FR_OK);
        assert_int_equal(fr_reader_window(r, &p, 0), N);
        fr_reader_free(r);
        assert_int_equal(fr_reader_window(NULL, &p, 0), N);
    }
}

/* Bytes of the mapping around `at` that are in memory; 0 where the system does not say. */
static size_t resident(const void *at) {
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    size_t from, to, kib = 0;
    bool inside = false;
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%zx-%zx ", &from, &to) == 2)
            inside = (uintptr_t)at >= from && (uintptr_t)at < to;
        else if (inside && sscanf(line, "Rss: %zu kB", &kib) == 1)
            break;
    }
    if (f) fclose(f);
    return kib << 10;
}

/* A file of nothing, 32 MiB. The system maps pieces of up to 2 MiB at a time, whatever page is asked for. */
static void test_gives_back(void **state) {
    (void)state;
    enum { ROWS = 1 << 17, WIDTH = 64, SLACK = 6 << 20 };
    static const char path[] = "cluster_reader.zeros";
    size_t bytes = (size_t)ROWS * WIDTH * 4, allowed = bytes / 4, most = 0;
    fr_map map;
    fr_points p;
    fr_reader *r;
    assert_int_equal(fr_write_file(path, "", 0), FR_OK);
    assert_int_equal(truncate(path, (off_t)bytes), 0);
    assert_int_equal(fr_map_open(path, &map), FR_OK);
    unlink(path);
    fr_tensor t = made_tensor((float *)(uintptr_t)map.data, ROWS, WIDTH);
    assert_int_equal(fr_points_of(&t, 0, false, &p), FR_OK);
    assert_int_equal(fr_reader_new(&p, (int64_t)allowed, &r), FR_OK);
    for (int pass = 0; pass < 3; pass++)
        for (int64_t first = 0; first < ROWS;) {
            first = fr_reader_window(r, &p, first);
            usleep(2000); /* so that the next one is there, too */
            most = FR_MAX_OF(most, resident(map.data));
        }
    fr_reader_free(r);
    if (most) { /* the system says it, and it is read indeed */
        assert_true(most >= allowed / 2);
        assert_true(most < allowed + SLACK);
        assert_true(resident(map.data) < SLACK);
    }
    fr_map_close(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_gives_back),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
