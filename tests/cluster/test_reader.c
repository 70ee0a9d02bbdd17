/* test_reader.c: points read ahead from a mapped file: the same bits as in memory whatever the windows, and no more of
 * the file in memory than was allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
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

/* Points drawn from all over a file are those that are drawn in memory, and so is a start of drawn points. */
static void test_minibatch_too(void **state) {
    (void)state;
    fr_tensor t = made_tensor(points, N, D);
    float c[2][K * D];
    fr_kmeans_stats stats[2];
    for (size_t f = 0; f < FR_COUNT(paths); f++) {
        fr_store *s;
        assert_int_equal(fr_store_open(paths[f], &s), FR_OK);
        for (int file = 0; file < 2; file++) {
            fr_kmeans_opts o = options();
            fr_kmeans_out out = {.centroids = c[file], .stats = &stats[file]};
            o.method = FR_KMEANS_MINIBATCH;
            o.start = FR_START_RANDOM;
            o.out_of_core = file;
            o.memory = 1 << 20;
            o.tolerance = -1;
            o.threads = file + 1;
            if (fr_kmeans(file ? fr_store_find(s, "array") : &t, &o, &out))
                fail_msg("%s", fr_message());
        }
        assert_memory_equal(c[0], c[1], sizeof *c);
        assert_true(stats[0].inertia == stats[1].inertia);
        fr_store_close(s);
    }
}

/* Windows cover the rows in order, in whole blocks; a pass may be left in the middle, single rows may be read in between,
 * and there may be many passes. */
static void test_windows(void **state) {
    (void)state;
    static const int64_t strides[][2] = {{D, 1}, {1, N}, {-D, 1}};
    static const int64_t allowed[] = {2, 3, 8, 16, 33}, window[] = {1, 1, 2, 4, 8}; /* blocks */
    for (size_t way = 0; way < FR_COUNT(strides) * FR_COUNT(allowed); way++) {
        fr_points p;
        fr_reader *r;
        size_t a = way % FR_COUNT(allowed);
        fr_tensor t = made_tensor(points, N, D);
        memcpy(t.stride, strides[way / FR_COUNT(allowed)], sizeof strides[0]);
        if (t.stride[0] < 0) t.data = points + (N - 1) * D;
        assert_int_equal(fr_points_of(&t, 0, false, &p), FR_OK);
        assert_int_equal(fr_reader_new(&p, allowed[a] * FR_POINTS_BLOCK * D * 4, &r), FR_OK);
        for (int pass = 0; pass < 20; pass++) {
            int64_t first = 0, windows = 0;
            while (first < N && !(pass % 5 == 1 && windows == pass)) {
                int64_t end = fr_reader_window(r, &p, first);
                assert_true(end == N || end == first + window[a] * FR_POINTS_BLOCK);
                first = end;
                if (++windows == 3 && pass % 3 == 2) {
                    float x[3 * D], y[D];
                    fr_reader_rows(r, &p, (const int64_t[]){0, N / 2, N - 1}, 3, x);
                    fr_points_row(&p, N / 2, y);
                    assert_memory_equal(x + D, y, sizeof y);
                }
            }
        }
        fr_reader_free(r);
    }
}

static void test_one_window(void **state) {
    (void)state;
    fr_points p;
    fr_reader *r;
    float x[D];
    fr_tensor t = made_tensor(points, N, D);
    assert_int_equal(fr_points_of(&t, 0, false, &p), FR_OK);
    for (int whole = 0; whole < 2; whole++) {
        assert_int_equal(fr_reader_new(&p, whole ? 2 * N * D * 4 : 0, &r), FR_OK);
        assert_int_equal(fr_reader_window(r, &p, 0), N);
        fr_reader_rows(r, &p, (const int64_t[]){7}, 1, x);
        assert_memory_equal(x, points + 7 * D, sizeof x);
        fr_reader_free(r);
    }
    assert_int_equal(fr_reader_window(NULL, &p, 0), N);
    fr_reader_rows(NULL, &p, (const int64_t[]){9}, 1, x);
    assert_memory_equal(x, points + 9 * D, sizeof x);
}

/* Bytes of a mapping that this process has in memory; -1 where the system does not say. */
static int64_t mapped(const void *at, size_t bytes) {
    uint64_t entry[512];
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = bytes / page;
    int64_t found = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY);
    for (size_t i = 0; i < pages && found >= 0; i += FR_COUNT(entry)) {
        size_t n = FR_MIN(pages - i, FR_COUNT(entry)), want_bytes = n * sizeof *entry;
        off_t where = (off_t)(((uintptr_t)at / page + i) * sizeof *entry);
        if (pread(fd, entry, want_bytes, where) != (ssize_t)want_bytes) found = -1;
        for (size_t j = 0; j < n && found >= 0; j++) found += entry[j] >> 63 ? (int64_t)page : 0;
    }
    if (fd >= 0) close(fd);
    return found;
}

/* A file of nothing, 32 MiB, with a quarter of it allowed: a quarter of that is a window, half of it are the rows that
 * stay. The system maps pieces of up to 2 MiB at a time, whatever page is asked for. */
static void test_gives_back_and_keeps(void **state) {
    (void)state;
    enum {
        ROWS = 1 << 17,
        WIDTH = 64,
        SLACK = 3 << 20,
        BYTES = ROWS * WIDTH * 4,
        KEPT = BYTES / 8
    };
    static const char path[] = "cluster_reader.zeros";
    int64_t most = 0;
    fr_map map;
    fr_points p;
    fr_reader *r;
    assert_int_equal(fr_write_file(path, "", 0), FR_OK);
    assert_int_equal(truncate(path, BYTES), 0);
    assert_int_equal(fr_map_open(path, &map), FR_OK);
    unlink(path);
    fr_tensor t = made_tensor((float *)(uintptr_t)map.data, ROWS, WIDTH);
    assert_int_equal(fr_points_of(&t, 0, false, &p), FR_OK);
    assert_int_equal(fr_reader_new(&p, BYTES / 4, &r), FR_OK);
    /* Whether the system says it: the first page was just read. */
    bool said = map.data[0] == 0 && mapped(map.data, BYTES) > 0;
    for (int pass = 0; said && pass < 5; pass++) /* two of them are left in the middle */
        for (int64_t first = 0, end; first < (pass % 2 ? ROWS * pass / 5 : ROWS); first = end) {
            end = fr_reader_window(r, &p, first);
            int64_t bytes = (end - first) * WIDTH * 4;
            assert_true(mapped((const char *)map.data + first * WIDTH * 4, (size_t)bytes) >=
                        bytes / 2);
            usleep(2000); /* so that the next one is there, too */
            most = FR_MAX_OF(most, mapped(map.data, BYTES));
            if (pass) assert_true(mapped(map.data, KEPT) >= KEPT / 2);
        }
    if (said) {
        assert_true(most >= BYTES / 8 && most < BYTES / 4 + SLACK);
        for (int64_t at = 0; at < ROWS; at += ROWS / 128) {
            int64_t row[64];
            float x[64 * WIDTH];
            for (int i = 0; i < 64; i++) row[i] = at + i * (ROWS / 8192);
            fr_reader_rows(r, &p, row, 64, x);
        }
        assert_true(mapped(map.data, KEPT) >= KEPT / 2);
        assert_true(mapped(map.data, BYTES) < BYTES / 4 + SLACK);
    }
    fr_reader_free(r);
    assert_true(!said || mapped(map.data, BYTES) < SLACK);
    fr_map_close(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_minibatch_too),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_one_window),
        cmocka_unit_test(test_gives_back_and_keeps),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
