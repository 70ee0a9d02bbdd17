/* test_update.c: sums by label, striped, sorted, and of those that moved: right, and the same bits whatever cuts the
 * work. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "cluster/made.h"
#include "cluster/update.h"

enum { MIB = 1 << 20 };

typedef struct given {
    int64_t n, k, d;
    float *x, *weights;
    int32_t *label;
    fr_points p;
} given;

static given make(int64_t n, int64_t k, int64_t d, bool weighted) {
    given g = {.n = n, .k = k, .d = d};
    g.x = made_points(MADE_RANDOM, n, d, 3);
    g.label = fr_alloc(FR_MEM_OTHER, (size_t)n * sizeof *g.label);
    fr_random_u32(7, 1, 0, (uint32_t *)g.label, (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        uint32_t r = (uint32_t)g.label[i];
        g.label[i] = r % 4 ? (int32_t)(r / 4 % (uint32_t)k) : (int32_t)(k / 2); /* one is large */
    }
    g.weights = fr_alloc(FR_MEM_OTHER, (size_t)n * sizeof *g.weights);
    fr_random_uniform(9, 1, 0, g.weights, (size_t)n);
    fr_tensor t = made_tensor(g.x, n, d);
    assert_int_equal(fr_points_of(&t, 0, false, &g.p), FR_OK);
    g.p.weights = weighted ? g.weights : NULL;
    return g;
}

static void done(given *g) {
    fr_free(g->x);
    fr_free(g->label);
    fr_free(g->weights);
}

static fr_sums sum(const given *g, int threads, int64_t memory) {
    fr_sums s;
    fr_pool *pool;
    assert_int_equal(fr_pool_new(threads, &pool), FR_OK);
    assert_int_equal(fr_sums_new(g->k, g->d, &s), FR_OK);
    assert_int_equal(fr_update_sums(&g->p, g->label, memory, NULL, pool, &s), FR_OK);
    fr_pool_free(pool);
    return s;
}

static bool striped(const given *g) {
    fr_adder *a;
    fr_sums s;
    assert_int_equal(fr_adder_new(&g->p, g->k, MIB, 1, &a), FR_OK);
    assert_int_equal(fr_sums_new(g->k, g->d, &s), FR_OK);
    fr_adder_begin(a, &s);
    bool is = fr_adder_way(a) == FR_ADD_STRIPED;
    fr_adder_free(a);
    fr_sums_free(&s);
    return is;
}

/* Against doubles added one after another. */
static void check_sums(const given *g, const fr_sums *s, double within) {
    fr_sums want, sizes; /* of the values without signs */
    assert_int_equal(fr_sums_new(g->k, g->d, &want), FR_OK);
    assert_int_equal(fr_sums_new(g->k, g->d, &sizes), FR_OK);
    for (int64_t i = 0; i < g->n; i++) {
        int32_t j = g->label[i];
        double w = g->p.weights ? (double)g->p.weights[i] : 1;
        want.size[j]++;
        want.weight[j] += w;
        for (int64_t d = 0; d < g->d; d++) {
            want.sum[j * g->d + d] += w * (double)g->x[i * g->d + d];
            sizes.sum[j * g->d + d] += fabs(w * (double)g->x[i * g->d + d]);
        }
    }
    assert_memory_equal(want.size, s->size, (size_t)g->k * sizeof *want.size);
    for (int64_t j = 0; j < g->k; j++)
        assert_true(fabs(want.weight[j] - s->weight[j]) <= 1e-12 * want.weight[j]);
    for (int64_t i = 0; i < g->k * g->d; i++)
        assert_true(fabs(want.sum[i] - s->sum[i]) <= within * sizes.sum[i]);
    fr_sums_free(&want);
    fr_sums_free(&sizes);
}

/* Stripes are added in floats, a few hundred rows at a time. */
static void check_right(const given *g, const fr_sums *s) {
    check_sums(g, s, striped(g) ? 1e-6 : 1e-12);
}

static void same(const fr_sums *a, const fr_sums *b) {
    assert_memory_equal(a->sum, b->sum, (size_t)(a->k * a->width) * sizeof *a->sum);
    assert_memory_equal(a->weight, b->weight, (size_t)a->k * sizeof *a->weight);
    assert_memory_equal(a->size, b->size, (size_t)a->k * sizeof *a->size);
}

static void test_sums(void **state) {
    (void)state;
    const struct {
        int64_t n, k, d;
        bool striped;
    } size[] = {{1, 1, 1, true},        {700, 3, 5, true},       {30000, 8, 2, true},
                {20000, 40, 16, true},  {6000, 3000, 40, false}, {70000, 1500, 50, false},
                {3000, 30, 2300, false}};
    for (size_t i = 0; i < FR_COUNT(size); i++)
        for (int weighted = 0; weighted < 2; weighted++) {
            given g = make(size[i].n, size[i].k, size[i].d, weighted);
            assert_int_equal(striped(&g), size[i].striped);
            fr_sums one = sum(&g, 1, 64 * MIB), two = sum(&g, 2, 64 * MIB),
                    three = sum(&g, 3, MIB / 4);
            check_right(&g, &one);
            same(&one, &two);
            same(&one, &three);
            fr_sums_free(&one);
            fr_sums_free(&two);
            fr_sums_free(&three);
            done(&g);
        }
}

static int64_t wave_rows(const given *g, int64_t memory) {
    fr_adder *a;
    fr_sums s;
    assert_int_equal(fr_adder_new(&g->p, g->k, memory, 1, &a), FR_OK);
    assert_int_equal(fr_sums_new(g->k, g->d, &s), FR_OK);
    fr_adder_begin(a, &s);
    int64_t rows = fr_adder_wave(a, 0, g->n);
    assert_true(rows == g->n || rows <= fr_adder_wave_rows(a));
    fr_adder_free(a);
    fr_sums_free(&s);
    return rows;
}

/* Stripes are added in their order, be they in one wave or each in its own: of values so far apart that another order
 * would show in doubles, too. */
static void test_stripes(void **state) {
    (void)state;
    for (int weighted = 0; weighted < 2; weighted++) {
        given g = make(30000, 8, 3, weighted);
        for (int64_t i = 0; i < g.n * g.d; i++)
            g.x[i] = ldexpf(g.x[i], (int)(i / g.d / FR_POINTS_BLOCK * 37 % 59));
        assert_true(striped(&g));
        assert_true(wave_rows(&g, 1024) * 8 < wave_rows(&g, MIB));
        fr_sums few = sum(&g, 1, MIB), many = sum(&g, 2, 1024);
        check_right(&g, &few);
        same(&few, &many);
        fr_sums_free(&few);
        fr_sums_free(&many);
        done(&g);
    }
}

/* A cluster that has all points: floats that went on adding would round the same way thousands of times. */
static void test_large_cluster(void **state) {
    (void)state;
    given g = make(40000, 100, 16, false);
    for (int64_t i = 0; i < g.n * g.d; i++) g.x[i] = 0.1f;
    for (int64_t i = 0; i < g.n; i++) g.label[i] = 99;
    assert_true(striped(&g));
    fr_sums s = sum(&g, 2, MIB);
    check_right(&g, &s);
    fr_sums_free(&s);
    done(&g);
}

/* Weights that would leave the range of floats. */
static void test_wild_weights(void **state) {
    (void)state;
    const float scale[] = {1e-40f, 1e38f};
    for (size_t i = 0; i < FR_COUNT(scale); i++) {
        given g = make(3000, 5, 7, true);
        assert_true(striped(&g));
        for (int64_t r = 0; r < g.n; r++) g.weights[r] *= scale[i];
        for (int64_t v = 0; v < g.n * g.d; v++) g.x[v] *= i ? 1e6f : 1e-6f;
        fr_sums s = sum(&g, 2, MIB);
        check_right(&g, &s);
        fr_sums_free(&s);
        done(&g);
    }
}

/* Weights of one are none; rows that must be gathered add as those that lie side by side. */
static void test_ones_and_strides(void **state) {
    (void)state;
    const int64_t ks[] = {20, 2500};
    for (size_t i = 0; i < FR_COUNT(ks); i++) {
        given g = make(5000, ks[i], 33, false);
        fr_sums plain = sum(&g, 2, 64 * MIB);
        for (int64_t r = 0; r < g.n; r++) g.weights[r] = 1;
        g.p.weights = g.weights;
        fr_sums ones = sum(&g, 2, 64 * MIB);
        same(&plain, &ones);
        float *wide = fr_alloc(FR_MEM_OTHER, (size_t)(g.n * g.d * 2) * sizeof *wide);
        for (int64_t v = 0; v < g.n * g.d; v++) wide[2 * v] = g.x[v];
        fr_tensor t = made_tensor(wide, g.n, g.d);
        t.stride[0] = 2 * g.d;
        t.stride[1] = 2;
        assert_int_equal(fr_points_of(&t, 0, false, &g.p), FR_OK);
        fr_sums strided = sum(&g, 2, 64 * MIB);
        same(&plain, &strided);
        fr_free(wide);
        fr_sums_free(&plain);
        fr_sums_free(&ones);
        fr_sums_free(&strided);
        done(&g);
    }
}

static void test_means(void **state) {
    (void)state;
    double sum[] = {2, 4, 9, 9, 0, 0, 3, 4}, weight[] = {2, 0, 1, 1};
    int64_t size[] = {2, 0, 1, 1};
    fr_sums s = {.k = 4, .width = 2, .sum = sum, .weight = weight, .size = size};
    float euclid[] = {7, 7, 7, 7, 7, 7, 7, 7}, cosine[] = {7, 7, 7, 7, 1, 0, 7, 7};
    fr_update_means(&s, FR_EUCLID, euclid, NULL);
    assert_memory_equal(euclid, ((float[]){1, 2, 7, 7, 0, 0, 3, 4}), sizeof euclid);
    fr_update_means(&s, FR_COSINE, cosine, NULL);
    assert_true(fabsf(cosine[0] - 0.4472136f) < 1e-6f && cosine[2] == 7 && cosine[3] == 7);
    assert_true(cosine[4] == 1 && cosine[5] == 0); /* no direction: the old one stays */
    assert_true(fabsf(cosine[6] - 0.6f) < 1e-6f && fabsf(cosine[7] - 0.8f) < 1e-6f);
}

static void test_order(void **state) {
    (void)state;
    const int32_t label[] = {2, 0, 2, 3, 0, 0, 3};
    int32_t order[7];
    int64_t offset[6];
    assert_int_equal(fr_kmeans_order(label, 7, 5, order, offset), FR_OK);
    assert_memory_equal(order, ((int32_t[]){1, 4, 5, 0, 2, 3, 6}), sizeof order);
    assert_memory_equal(offset, ((int64_t[]){0, 3, 3, 5, 7, 7}), sizeof offset);
    assert_int_equal(fr_kmeans_order(label, 7, 3, order, offset), FR_INVALID);
    assert_string_equal(fr_message(), "label 3 is 3, and there are 3 clusters");
    assert_int_equal(fr_kmeans_order((int32_t[]){-1}, 1, 3, order, offset), FR_INVALID);
    assert_int_equal(fr_kmeans_order(label, 0, 2, order, offset), FR_OK);
    assert_int_equal(offset[2], 0);
    assert_int_equal(fr_kmeans_order(label, -1, 2, order, offset), FR_INVALID);
}

/* ---- only those that moved ---- */

/* Passes as the loop makes them, `window` rows at a time, each by labels that change before it. */
typedef struct passes {
    const given *g;
    fr_adder *a;
    fr_pool *pool;
    int64_t window;
    int32_t *label;
    fr_sums s;
} passes;

static passes begin(const given *g, int threads, int64_t memory, int64_t window) {
    passes p = {.g = g, .window = window};
    p.label = fr_alloc(FR_MEM_OTHER, (size_t)g->n * sizeof *p.label);
    for (int64_t i = 0; i < g->n; i++) p.label[i] = -1;
    assert_int_equal(fr_pool_new(threads, &p.pool), FR_OK);
    assert_int_equal(fr_adder_new(&g->p, g->k, memory, threads, &p.a), FR_OK);
    assert_int_equal(fr_sums_new(g->k, g->d, &p.s), FR_OK);
    return p;
}

static void end(passes *p) {
    fr_adder_free(p->a);
    fr_pool_free(p->pool);
    fr_sums_free(&p->s);
    fr_free(p->label);
}

/* To the labels of p->g; in which way. */
static fr_adding pass(passes *p) {
    const given *g = p->g;
    int64_t moved = 0;
    fr_adder_begin(p->a, &p->s);
    for (int64_t first = 0, last; first < g->n; first = last) {
        int64_t ready = FR_MIN(g->n, (first / p->window + 1) * p->window);
        last = fr_adder_wave(p->a, first, ready);
        for (int64_t at = first, n; at < last; at += n) {
            n = FR_MIN(FR_POINTS_BLOCK, last - at);
            int32_t before[FR_POINTS_BLOCK];
            memcpy(before, p->label + at, (size_t)n * sizeof *before);
            for (int64_t i = at; i < at + n; i++) {
                moved += p->label[i] != g->label[i];
                p->label[i] = g->label[i];
            }
            if (fr_adder_way(p->a) == FR_ADD_MOVED)
                fr_adder_note(p->a, at, n, g->x + at * g->d, before, p->label + at);
            if (fr_adder_way(p->a) == FR_ADD_STRIPED)
                fr_adder_block(p->a, at, n, g->x + at * g->d, p->label + at);
        }
        fr_adder_end(p->a, first, last, p->label, p->pool);
    }
    fr_adder_finish(p->a, moved);
    return fr_adder_way(p->a);
}

/* Every so-many-th point goes to the next cluster. */
static void shift(given *g, int64_t from, int64_t step) {
    for (int64_t i = from; i < g->n; i += step)
        g->label[i] = (int32_t)((g->label[i] + 1) % (int32_t)g->k);
}

static void test_moved(void **state) {
    (void)state;
    const struct {
        int64_t n, k, d;
        fr_adding all;
    } size[] = {{30000, 8, 3, FR_ADD_STRIPED}, {12000, 400, 340, FR_ADD_SORTED}};
    for (size_t i = 0; i < FR_COUNT(size); i++)
        for (int weighted = 0; weighted < 2; weighted++) {
            given g = make(size[i].n, size[i].k, size[i].d, weighted);
            passes one = begin(&g, 1, 64 * MIB, g.n),
                   two = begin(&g, 3, 16384, 4 * FR_POINTS_BLOCK);
            assert_int_equal(pass(&one), size[i].all);
            pass(&two);
            const struct {
                int64_t step;
                fr_adding way;
            } more[] = {{8, size[i].all}, /* few enough that the next pass lays the ground */
                        {16, size[i].all},     {16, FR_ADD_MOVED}, {1000, FR_ADD_MOVED},
                        {40000, FR_ADD_MOVED}, {3, FR_ADD_MOVED}, /* more than were thought */
                        {9, size[i].all},      {17, size[i].all},  {1000, FR_ADD_MOVED}};
            for (size_t m = 0; m < FR_COUNT(more); m++) {
                shift(&g, (int64_t)m, more[m].step);
                fr_adding way = pass(&one);
                assert_int_equal(way, more[m].way);
                assert_int_equal(pass(&two), way);
                same(&one.s, &two.s);
                check_sums(&g, &one.s, i ? 1e-9 : 1e-6);
            }
            end(&one);
            end(&two);
            done(&g);
        }
}

/* Begins with passes that leave sums from which the next goes on. */
static passes ready_to_move(given *g) {
    passes p = begin(g, 2, 64 * MIB, g->n);
    pass(&p);
    pass(&p);
    assert_int_equal(pass(&p), FR_ADD_STRIPED);
    shift(g, 0, 1000);
    assert_int_equal(pass(&p), FR_ADD_MOVED);
    return p;
}

/* A far point that leaves takes with it what the others were rounded to: all are added up again. */
static void test_moved_not_trusted(void **state) {
    (void)state;
    given g = make(30000, 8, 3, false);
    g.x[7 * 3 + 1] = 1e25f;
    passes p = ready_to_move(&g);
    shift(&g, 7, g.n);
    assert_int_equal(pass(&p), FR_ADD_MOVED);
    assert_int_equal(pass(&p), FR_ADD_STRIPED);
    check_sums(&g, &p.s, 1e-6);
    assert_int_equal(pass(&p), FR_ADD_MOVED);
    end(&p);
    done(&g);
}

static void test_moved_to_nothing(void **state) {
    (void)state;
    given g = make(30000, 8, 3, true);
    passes p = ready_to_move(&g);
    for (int64_t i = 0; i < g.n; i++)
        if (g.label[i] == 5) g.label[i] = 6;
    assert_int_equal(pass(&p), FR_ADD_MOVED);
    assert_int_equal(p.s.size[5], 0);
    assert_true(p.s.weight[5] == 0);
    for (int64_t d = 0; d < g.d; d++) assert_true(p.s.sum[5 * g.d + d] == 0);
    check_sums(&g, &p.s, 1e-6);
    end(&p);
    done(&g);
}

/* Sums that are no longer those of the labels are no beginning. */
static void test_moved_forgets(void **state) {
    (void)state;
    given g = make(30000, 8, 3, false);
    passes p = ready_to_move(&g);
    fr_adder_forget(p.a);
    assert_int_equal(pass(&p), FR_ADD_STRIPED);
    assert_int_equal(pass(&p), FR_ADD_MOVED);
    fr_adder_begin(p.a, NULL);
    assert_int_equal(pass(&p), FR_ADD_STRIPED);
    end(&p);
    done(&g);
}

static void test_no_memory(void **state) {
    (void)state;
    const int64_t ks[] = {5, 2500};
    for (size_t i = 0; i < FR_COUNT(ks); i++) {
        given g = make(3000, ks[i], 33, false);
        fr_sums s;
        assert_int_equal(fr_sums_new(g.k, g.d, &s), FR_OK);
        int failed = 0;
        for (long after = 1; after < 20; after++) {
            fr_memory_fail_after(after);
            failed += fr_update_sums(&g.p, g.label, MIB, NULL, NULL, &s) == FR_NOMEM;
            fr_memory_fail_after(0);
        }
        assert_true(failed > 3);
        fr_sums_free(&s);
        done(&g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_ones_and_strides),
        cmocka_unit_test(test_stripes),
        cmocka_unit_test(test_large_cluster),
        cmocka_unit_test(test_wild_weights),
        cmocka_unit_test(test_means),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_moved_not_trusted),
        cmocka_unit_test(test_moved_to_nothing),
        cmocka_unit_test(test_moved_forgets),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
