/* test_pool.c: every item once, the same bits with any threads, calls from inside an item. */
#include "testing.h"

#include <stdatomic.h>

static fr_pool *pool_of(int threads) {
    fr_pool *p = NULL;
    assert_int_equal(fr_pool_new(threads, &p), FR_OK);
    assert_int_equal(fr_pool_threads(p), threads);
    return p;
}

static void count_item(void *arg, size_t i) {
    atomic_fetch_add(&((atomic_int *)arg)[i], 1);
}

static void every_item_runs_once(void **state) {
    (void)state;
    static const int threads[] = {0, 1, 2, 3, 8};
    static const size_t counts[] = {0, 1, 2, 7, 1000};
    for (size_t t = 0; t < FR_COUNT(threads); t++) {
        fr_pool *p = threads[t] ? pool_of(threads[t]) : NULL;
        for (size_t c = 0; c < FR_COUNT(counts); c++) {
            atomic_int *hits = fr_alloc(FR_MEM_OTHER, (counts[c] + 1) * sizeof *hits);
            fr_pool_run(p, counts[c], count_item, hits);
            for (size_t i = 0; i < counts[c]; i++) assert_int_equal(hits[i], 1);
            assert_int_equal(hits[counts[c]], 0);
            fr_free(hits);
        }
        fr_pool_free(p);
    }
    assert_int_equal(fr_pool_threads(NULL), 1);
}

/* Short jobs of changing size right behind each other: a thread that is late for one must not take
 * items of the next by what it knows of the last. */
static void late_threads_take_nothing(void **state) {
    (void)state;
    static const int threads[] = {2, 3, 8};
    for (size_t t = 0; t < FR_COUNT(threads); t++) {
        fr_pool *p = pool_of(threads[t]);
        for (int round = 0; round < 20000; round++) {
            size_t count = round % 2 ? 2 : 40;
            atomic_int hits[40] = {0};
            fr_pool_run(p, count, count_item, hits);
            for (size_t i = 0; i < 40; i++) assert_int_equal(hits[i], i < count);
        }
        fr_pool_free(p);
    }
}

typedef struct ranges {
    atomic_int hits[101];
    size_t chunk;
    atomic_int bad;
} ranges;

static void mark_range(void *arg, size_t start, size_t end) {
    ranges *r = arg;
    if (start >= end || end - start > r->chunk || end > 100) atomic_store(&r->bad, 1);
    for (size_t i = start; i < end; i++) atomic_fetch_add(&r->hits[i], 1);
}

static void ranges_cover_without_overlap(void **state) {
    (void)state;
    fr_pool *p = pool_of(3);
    for (size_t chunk = 0; chunk < 103; chunk++) {
        for (size_t total = 0; total <= 100; total += 20) {
            ranges r = {.chunk = chunk ? chunk : total};
            fr_pool_range(p, total, chunk, mark_range, &r);
            assert_int_equal(r.bad, 0);
            for (size_t i = 0; i < 101; i++) assert_int_equal(r.hits[i], i < total);
        }
    }
    fr_pool_free(p);
}

/* A sum of products in a fixed order an item, as a kernel would do it. */
static void sum_item(void *arg, size_t i) {
    float sum = 0;
    for (int k = 1; k < 200; k++) sum += 1.0f / (float)(k * (int)(i + 1));
    ((float *)arg)[i] = sum;
}

static void bits_do_not_depend_on_threads(void **state) {
    (void)state;
    float one[257], many[257];
    fr_pool_run(NULL, 257, sum_item, one);
    static const int threads[] = {1, 2, 3, 8};
    for (size_t t = 0; t < FR_COUNT(threads); t++) {
        fr_pool *p = pool_of(threads[t]);
        memset(many, 0, sizeof many);
        fr_pool_run(p, 257, sum_item, many);
        assert_memory_equal(one, many, sizeof one);
        fr_pool_free(p);
    }
}

#define SEATS 4
typedef struct seated {
    fr_pool *pool;
    atomic_int busy[SEATS];
    atomic_int items, clashes, strays;
} seated;

static void sit(seated *s, size_t thread) {
    if (thread >= (size_t)fr_pool_threads(s->pool)) {
        atomic_fetch_add(&s->strays, 1);
        return;
    }
    if (atomic_fetch_add(&s->busy[thread], 1) != 0) atomic_fetch_add(&s->clashes, 1);
    for (volatile int k = 0; k < 300; k++) {
    }
    atomic_fetch_sub(&s->busy[thread], 1);
    atomic_fetch_add(&s->items, 1);
}

static void inner_seat(void *arg, size_t thread, size_t i) {
    (void)i;
    sit(arg, thread);
}

static void outer_seat(void *arg, size_t thread, size_t i) {
    (void)i;
    sit(arg, thread);
}

static void outer_nested(void *arg, size_t i) {
    (void)i;
    seated *s = arg;
    fr_pool_run_thread(s->pool, 5, inner_seat, s);
}

/* No two threads ever hold the same number at once, also inside other items. */
static void thread_numbers_are_private(void **state) {
    (void)state;
    fr_pool *pools[] = {pool_of(SEATS), pool_of(2), pool_of(3)};
    seated s[FR_COUNT(pools)] = {0};
    for (int round = 0; round < 300; round++) {
        size_t k = (size_t)round % FR_COUNT(pools);
        s[k].pool = pools[k];
        fr_pool_run_thread(pools[k], 50, outer_seat, &s[k]);
        fr_pool_run(pools[k], 20, outer_nested, &s[k]);
    }
    for (size_t k = 0; k < FR_COUNT(pools); k++) {
        assert_int_equal(s[k].strays, 0);
        assert_int_equal(s[k].clashes, 0);
        assert_int_equal(s[k].items, 100 * (50 + 100));
        fr_pool_free(pools[k]);
    }
}

typedef struct nest {
    fr_pool *pool;
    int depth;
    atomic_int *leaves;
} nest;

static void go_deeper(void *arg, size_t i) {
    (void)i;
    nest *n = arg;
    if (n->depth == 0) {
        atomic_fetch_add(n->leaves, 1);
        return;
    }
    nest inner = {n->pool, n->depth - 1, n->leaves};
    fr_pool_run(n->pool, 6, go_deeper, &inner);
}

static void a_pool_inside_its_own_items_does_not_wait_for_itself(void **state) {
    (void)state;
    atomic_int leaves = 0;
    nest n = {pool_of(3), 3, &leaves};
    fr_pool_run(n.pool, 6, go_deeper, &n);
    assert_int_equal(leaves, 6 * 6 * 6 * 6);
    fr_pool_free(n.pool);
}

/* After a nested call in an item the pool still uses its threads, and from the caller too. */
static void hold_hands(void *arg, size_t i) {
    (void)i;
    atomic_int *here = arg;
    atomic_fetch_add(here, 1);
    double until = fr_now() + 20;
    while (atomic_load(here) < 2 && fr_now() < until) usleep(100);
}

static void items_run_side_by_side(void **state) {
    (void)state;
    atomic_int leaves = 0;
    nest n = {pool_of(2), 1, &leaves};
    fr_pool_run(n.pool, 2, go_deeper, &n);
    atomic_int here = 0;
    double start = fr_now();
    fr_pool_run(n.pool, 2, hold_hands, &here); /* returns at once only with two threads */
    assert_true(fr_now() - start < 15);
    fr_pool_free(n.pool);
}

static void thread_counts_are_chosen_with_sense(void **state) {
    (void)state;
    fr_pool *p;
    assert_fails(fr_pool_new(-1, &p), FR_INVALID, "-1 threads");
    assert_fails(fr_pool_new(100000, &p), FR_INVALID, "100000 threads");
    assert_null(p);
    static const char *const bad[] = {"0", "-3", "two", "9999999", "2x", "99999999999999999999"};
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        setenv("FRUGAL_THREADS", bad[i], 1);
        assert_fails(fr_pool_new(0, &p), FR_INVALID, bad[i]);
    }
    setenv("FRUGAL_THREADS", "3", 1);
    assert_int_equal(fr_pool_new(0, &p), FR_OK);
    assert_int_equal(fr_pool_threads(p), 3);
    fr_pool_free(p);
    p = pool_of(2); /* what the caller asks for comes first */
    fr_pool_free(p);
    unsetenv("FRUGAL_THREADS");
    assert_int_equal(fr_pool_new(0, &p), FR_OK);
    assert_in_range(fr_pool_threads(p), 1, sysconf(_SC_NPROCESSORS_CONF));
    fr_pool_free(p);
    fr_memory_fail_after(1);
    assert_int_equal(fr_pool_new(2, &p), FR_NOMEM);
    fr_pool_free(NULL);
}

static double share(const char *name) {
    char groups[512], *root = fr_strdup(in_test_dir(""));
    strcpy(groups, in_test_dir(name));
    double x = fr_processor_share(groups, root);
    fr_free(root);
    return x;
}

static void put(const char *dir, const char *name, const char *text) {
    assert_int_equal(fr_make_dirs(in_test_dir(dir)), FR_OK);
    char *path = fr_path_join(in_test_dir(dir), name);
    assert_int_equal(fr_write_file(path, text, strlen(text)), FR_OK);
    fr_free(path);
}

static void a_container_has_a_share_of_time(void **state) {
    (void)state;
    put("a/b", "cpu.max", "max 100000\n");
    put("a", "cpu.max", "250000 100000\n");
    put("cpu/v1", "cpu.cfs_quota_us", "150000\n");
    put("cpu/v1", "cpu.cfs_period_us", "50000\n");
    put("cpu/free", "cpu.cfs_quota_us", "-1\n");
    put("cpu/free", "cpu.cfs_period_us", "50000\n");
    put(".", "two", "0::/a/b\n"); /* held back by the group above */
    put(".", "one", "8:pids:/\n3:cpuacct,cpu:/v1\n1:cpuset:/\n0::/none\n");
    put(".", "free", "3:cpu:/free\n0::/\nnonsense\n");
    assert_true(share("two") == 2.5);
    assert_true(share("one") == 3);
    assert_true(share("free") > 1e9);
    assert_true(share("missing") > 1e9);
    assert_in_range(fr_processors(), 1, sysconf(_SC_NPROCESSORS_CONF));
    remove_test_dir();
}

static void nothing(void *arg, size_t i) {
    (void)arg, (void)i;
}

/* Not a test of speed: the figure is printed for whoever looks, and only the calls are checked. */
static void dispatch_is_timed(void **state) {
    (void)state;
    fr_pool *p = pool_of(2);
    double best = 1;
    for (int round = 0; round < 200; round++) {
        double start = fr_now();
        for (int k = 0; k < 100; k++) fr_pool_run(p, 2, nothing, NULL);
        best = FR_MIN(best, (fr_now() - start) / 100);
    }
    printf("dispatch to 2 threads: %.2f us (best of 200)\n", best * 1e6);
    assert_true(best < 1);
    fr_pool_free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_runs_once),
        cmocka_unit_test(late_threads_take_nothing),
        cmocka_unit_test(ranges_cover_without_overlap),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(thread_numbers_are_private),
        cmocka_unit_test(a_pool_inside_its_own_items_does_not_wait_for_itself),
        cmocka_unit_test(items_run_side_by_side),
        cmocka_unit_test(thread_counts_are_chosen_with_sense),
        cmocka_unit_test(a_container_has_a_share_of_time),
        cmocka_unit_test(dispatch_is_timed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
