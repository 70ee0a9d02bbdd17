/* test_assign.c: labels are those of sums in f64 wherever rounding cannot matter, and to the bit those of the scores
 * that assign.h defines; with every table of kernels, of any cut of a block, whether bf16 helps or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "cluster/assign.h"
#include "kernel/kernel.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static void *take(size_t bytes) {
    void *p = fr_alloc(FR_MEM_OTHER, bytes);
    assert_non_null(p);
    return p;
}

/* Normal numbers by the counter-based generator. */
static float *normals(uint64_t seed, size_t n, float scale) {
    float *x = take(n * 4);
    fr_random_normal(seed, fr_random_stream("assign"), 0, x, n);
    for (size_t i = 0; i < n; i++) x[i] *= scale;
    return x;
}

typedef struct problem {
    int64_t n, k, width;
    float *x, *c;
} problem;

static void drop(problem *p) {
    fr_free(p->x);
    fr_free(p->c);
}

/* The score of assign.h, as it is written there. */
static float score_of(const problem *p, fr_metric metric, int64_t i, int64_t j) {
    const float *x = p->x + i * p->width, *c = p->c + j * p->width;
    float sum = 0;
    for (int64_t d = 0; d < p->width; d++) sum = fmaf(x[d], c[d], sum);
    double square = 0;
    /* Sums of squares in f64 are so exact that their order hardly ever shows after rounding to f32: the same order
     * as in assign.c all the same. */
    double s[4] = {0};
    int64_t d = 0;
    for (; d + 4 <= p->width; d += 4)
        for (int q = 0; q < 4; q++) s[q] += (double)c[d + q] * c[d + q];
    for (; d < p->width; d++) s[0] += (double)c[d] * c[d];
    square = (s[0] + s[1]) + (s[2] + s[3]);
    return metric == FR_EUCLID ? fmaf(-2, sum, (float)square) : fmaf(-1, sum, 0);
}

typedef struct truth {
    int32_t label;
    float best, second;
} truth;

static truth truth_of(const problem *p, fr_metric metric, int64_t i) {
    truth t = {0, INFINITY, INFINITY};
    for (int64_t j = 0; j < p->k; j++) {
        float s = score_of(p, metric, i, j);
        if (s < t.best)
            t.second = t.best, t.best = s, t.label = (int32_t)j;
        else if (s < t.second)
            t.second = s;
    }
    return t;
}

typedef struct result {
    int32_t *label;
    float *best, *second;
    int64_t products, rechecked;
} result;

static void drop_result(result *r) {
    fr_free(r->label);
    fr_free(r->best);
    fr_free(r->second);
}

/* In blocks of `block` rows; rows end where their memory ends. */
static result assign(const problem *p, fr_metric metric, fr_kmeans_products products, bool scores,
                     int64_t block) {
    fr_centroids *c;
    ok(fr_centroids_new(p->k, p->width, metric, products, &c));
    fr_centroids_set(c, p->c, NULL);
    assert_memory_equal(fr_centroids_rows(c), p->c, (size_t)(p->k * p->width) * 4);
    fr_points points = {.rows = p->n, .width = p->width};
    void *scratch = take(fr_assign_scratch(c, &points));
    result r = {take((size_t)p->n * 4), NULL, NULL, 0, 0};
    if (scores) r.best = take((size_t)p->n * 4), r.second = take((size_t)p->n * 4);
    for (int64_t i = 0; i < p->n; i += block) {
        int64_t count = p->n - i < block ? p->n - i : block;
        fr_assigned out = {.label = r.label + i,
                           .best = scores ? r.best + i : NULL,
                           .second = scores ? r.second + i : NULL};
        fr_assign_rows(c, count, p->x + i * p->width, scratch, &out);
        r.products += out.products, r.rechecked += out.rechecked;
    }
    assert_int_equal(r.products, p->n * p->k);
    fr_free(scratch);
    fr_centroids_free(c);
    return r;
}

/* ---- against f64 ---- */

/* No label may be farther from its point than another by more than rounding can explain. */
static void check_f64(const problem *p, fr_metric metric, const int32_t *label) {
    for (int64_t i = 0; i < p->n; i++) {
        const float *x = p->x + i * p->width;
        double least = INFINITY, given = 0, xx = 0, largest = 0;
        for (int64_t d = 0; d < p->width; d++) xx += (double)x[d] * x[d];
        for (int64_t j = 0; j < p->k; j++) {
            const float *c = p->c + j * p->width;
            double dot = 0, cc = 0;
            for (int64_t d = 0; d < p->width; d++)
                dot += (double)x[d] * c[d], cc += (double)c[d] * c[d];
            double s = metric == FR_EUCLID ? cc - 2 * dot : -dot;
            if (s < least) least = s;
            if (j == label[i]) given = s;
            if (cc > largest) largest = cc;
        }
        assert_in_range(label[i], 0, p->k - 1);
        double margin = 4 * 0x1p-23 * (xx + largest) * sqrt((double)p->width);
        if (given - least > margin)
            fail_msg("n %lld k %lld width %lld: point %lld goes to %d, %g farther than the nearest",
                     (long long)p->n, (long long)p->k, (long long)p->width, (long long)i, label[i],
                     given - least);
    }
}

static const int64_t widths[] = {1, 2, 3, 5, 16, 128, 513, 1024};
static const int64_t ks[] = {1, 2, 7, 31, 32, 33, 100, 1000};
static const int64_t counts[] = {1, 13, 14, 15, 512};

static problem random_problem(uint64_t seed, int64_t n, int64_t k, int64_t width) {
    return (problem){n, k, width, normals(seed, (size_t)(n * width), 1),
                     normals(seed + 1, (size_t)(k * width), 1)};
}

static void test_f64(void **state) {
    (void)state;
    for (size_t w = 0; w < FR_COUNT(widths); w++)
        for (size_t j = 0; j < FR_COUNT(ks); j++)
            for (size_t i = 0; i < FR_COUNT(counts); i++) {
                int64_t n = counts[i];
                if (n * ks[j] * widths[w] > 4000000) n = 15; /* quick under sanitizers, too */
                problem p = random_problem(7 + w + 16 * j + 256 * i, n, ks[j], widths[w]);
                for (int metric = 0; metric < 3; metric++) {
                    if (metric && n > 100) continue;
                    result r = assign(&p, (fr_metric)metric, FR_PRODUCTS_AUTO, false, 512);
                    check_f64(&p, (fr_metric)metric, r.label);
                    drop_result(&r);
                }
                drop(&p);
            }
}

/* ---- to the bit ---- */

static void check_bits(const problem *p, fr_metric metric, bool scores, int64_t block,
                       fr_kmeans_products products, const truth *want) {
    result r = assign(p, metric, products, scores, block);
    for (int64_t i = 0; i < p->n; i++) {
        if (r.label[i] != want[i].label)
            fail_msg("%s, n %lld k %lld width %lld, point %lld: label %d, wanted %d",
                     fr_kernel()->name, (long long)p->n, (long long)p->k, (long long)p->width,
                     (long long)i, r.label[i], want[i].label);
        if (!scores) continue;
        assert_memory_equal(r.best + i, &want[i].best, 4);
        assert_memory_equal(r.second + i, &want[i].second, 4);
    }
    drop_result(&r);
}

static void check_all_ways(const problem *p) {
    static const unsigned tables[] = {0, FR_CPU_AVX2, FR_CPU_AVX2 | FR_CPU_AVX512, ~0u};
    truth *want = take((size_t)p->n * sizeof *want);
    for (int metric = 0; metric < 3; metric++) {
        for (int64_t i = 0; i < p->n; i++) want[i] = truth_of(p, (fr_metric)metric, i);
        for (size_t t = 0; t < FR_COUNT(tables); t++) {
            static fr_kernels table; /* stays in use when a check fails */
            fr_kernels_fill(fr_cpu_flags() & tables[t], &table);
            fr_kernel_use(&table);
            check_bits(p, (fr_metric)metric, true, 512, FR_PRODUCTS_AUTO, want);
            check_bits(p, (fr_metric)metric, false, 37, FR_PRODUCTS_F32, want);
            check_bits(p, (fr_metric)metric, false, 512, FR_PRODUCTS_BF16, want);
            check_bits(p, (fr_metric)metric, false, 512, FR_PRODUCTS_INT8, want);
            check_bits(p, (fr_metric)metric, false, 37, FR_PRODUCTS_INT8, want);
            fr_kernel_use(NULL);
        }
    }
    fr_free(want);
}

static void test_bits(void **state) {
    (void)state;
    static const int64_t shapes[][3] = {{70, 3, 1},     {70, 40, 2},   {150, 70, 7},  {20, 5, 9},
                                        {70, 33, 16},   {60, 100, 17}, {30, 200, 64}, {20, 65, 200},
                                        {15, 33, 5000}, {16, 64, 128}, {1, 1, 1},     {3, 48, 33}};
    for (size_t i = 0; i < FR_COUNT(shapes); i++) {
        problem p = random_problem(100 + i, shapes[i][0], shapes[i][1], shapes[i][2]);
        check_all_ways(&p);
        drop(&p);
    }
}

/* Centroids that are the same, or differ in the last place of one coordinate; points that are centroids. */
static void test_near_ties(void **state) {
    (void)state;
    static const int64_t sizes[] = {2, 8, 16, 100, 128};
    for (size_t s = 0; s < FR_COUNT(sizes); s++) {
        problem p = random_problem(200 + s, 90, 130, sizes[s]);
        for (int64_t j = 40; j < p.k; j++) {
            float *c = p.c + j * p.width;
            memcpy(c, p.c + (j % 40) * p.width, (size_t)p.width * 4);
            if (j % 3 == 1) c[j % p.width] = nextafterf(c[j % p.width], j & 1 ? 9 : -9);
        }
        for (int64_t i = 0; i < p.n; i++)
            for (int64_t d = 0; d < p.width; d++)
                p.x[i * p.width + d] = p.c[(i % 40) * p.width + d] + 0.01f * p.x[i * p.width + d];
        check_all_ways(&p);
        drop(&p);
    }
}

/* Groups of points far from the origin, and numbers of all sizes. */
static void test_sizes_of_numbers(void **state) {
    (void)state;
    static const float scales[] = {1e-42f, 1e-38f, 1e-25f, 1e-19f, 1e-10f, 1e10f, 1e16f};
    for (size_t s = 0; s < FR_COUNT(scales); s++) {
        problem p = {40, 70, 48, normals(300 + s, 40 * 48, scales[s]),
                     normals(400 + s, 70 * 48, scales[s])};
        check_all_ways(&p);
        drop(&p);
    }
    static const float offsets[] = {0.5f, 10, 1000, -30000};
    for (size_t s = 0; s < FR_COUNT(offsets); s++) {
        problem p = random_problem(500 + s, 60, 70, 32);
        for (int64_t i = 0; i < p.n * p.width; i++) p.x[i] += offsets[s];
        for (int64_t i = 0; i < p.k * p.width; i++) p.c[i] += offsets[s];
        check_all_ways(&p);
        drop(&p);
    }
    /* A few centroids and points a million times as long as the others, and zeros. */
    problem p = random_problem(600, 60, 70, 32);
    for (int64_t d = 0; d < p.width; d++) {
        for (int64_t j = 0; j < p.k; j += 9) p.c[j * p.width + d] *= 1e6f;
        for (int64_t i = 0; i < p.n; i += 7) p.x[i * p.width + d] *= 1e6f;
        p.c[5 * p.width + d] = p.x[5 * p.width + d] = 0;
    }
    check_all_ways(&p);
    drop(&p);
}

/* Products of one sign alone: lanes past the last centroid, which hold zeros, would win. */
static void test_padding(void **state) {
    (void)state;
    for (int64_t k = 1; k < 70; k += 3) {
        problem p = random_problem(700 + (uint64_t)k, 30, k, 24);
        for (int64_t i = 0; i < p.n * p.width; i++) p.x[i] = fabsf(p.x[i]);
        for (int64_t i = 0; i < p.k * p.width; i++) p.c[i] = -fabsf(p.c[i]);
        check_all_ways(&p);
        drop(&p);
    }
}

/* Scores of ranges are those of labels. */
static void test_scores(void **state) {
    (void)state;
    static const int64_t shapes[][2] = {{1, 3}, {7, 2}, {31, 16}, {130, 33}, {300, 5}};
    for (size_t s = 0; s < FR_COUNT(shapes); s++) {
        problem p = random_problem(800 + s, 3, shapes[s][0], shapes[s][1]);
        for (int metric = 0; metric < 3; metric++) {
            fr_centroids *c;
            ok(fr_centroids_new(p.k, p.width, (fr_metric)metric, FR_PRODUCTS_F32, &c));
            fr_centroids_set(c, p.c, NULL);
            float *got = take((size_t)p.k * 4);
            for (int64_t from = 0; from < p.k; from += 1 + p.k / 13)
                for (int64_t to = from; to <= p.k; to += 1 + p.k / 11) {
                    fr_assign_scores(c, p.x + p.width, from, to, got);
                    for (int64_t j = from; j < to; j++) {
                        float want = score_of(&p, (fr_metric)metric, 1, j);
                        assert_memory_equal(got + (j - from), &want, 4);
                    }
                }
            fr_free(got);
            fr_centroids_free(c);
        }
        drop(&p);
    }
}

/* ---- ways ---- */

static int64_t label_once(fr_centroids *c, const problem *p, void *scratch, const truth *want) {
    int32_t *label = take((size_t)p->n * 4);
    fr_assigned out = {.label = label};
    fr_assign_rows(c, p->n, p->x, scratch, &out);
    for (int64_t i = 0; i < p->n; i++) assert_int_equal(label[i], want[i].label);
    fr_free(label);
    return out.refused;
}

/* One coordinate is so long that 8 bits say nothing of the others, and exact in bf16: int8 is given up for bf16, comes
 * back, and is given up for longer. */
static void test_ways(void **state) {
    (void)state;
    const fr_nearest_few *few = fr_kernel()->nearest.bounds;
    if (!few[FR_NEAREST_INT8].scan || !few[FR_NEAREST_BF16].scan) skip();
    problem p = random_problem(900, 300, 256, 64);
    for (int64_t j = 0; j < p.k; j++) p.c[j * p.width] = j % 2 ? 40 : -40;
    for (int64_t i = 0; i < p.n; i++) p.x[i * p.width] = i % 3 ? 40 : -40;
    truth *want = take((size_t)p.n * sizeof *want);
    for (int64_t i = 0; i < p.n; i++) want[i] = truth_of(&p, FR_EUCLID, i);
    fr_centroids *c;
    ok(fr_centroids_new(p.k, p.width, FR_EUCLID, FR_PRODUCTS_AUTO, &c));
    void *scratch = take(fr_assign_scratch(c, NULL));
    fr_centroids_set(c, p.c, NULL);
    const size_t bytes = fr_assign_codes_bytes(c);
    /* Sets of centroids that are labelled by int8: the first, the third, and then after two of bf16. */
    static const bool by_int8[] = {true, false, true, false, false, true};
    for (size_t i = 0; i < FR_COUNT(by_int8); i++) {
        if (i) fr_centroids_set(c, p.c, NULL);
        const size_t now = fr_assign_codes_bytes(c);
        assert_true(by_int8[i] ? now == bytes : now > bytes);
        const int64_t refused = label_once(c, &p, scratch, want);
        assert_int_equal(refused, by_int8[i] ? p.n : 0);
        fr_centroids_learn(c, p.n, refused);
        assert_int_equal(fr_assign_codes_bytes(c), now); /* until the next set */
    }
    /* Tried with a few points first, nothing is refused. */
    fr_points points = {.rows = p.n, .width = p.width};
    fr_tensor t = {
        .dtype = FR_F32, .rank = 2, .dim = {p.n, p.width}, .stride = {p.width, 1}, .data = p.x};
    ok(fr_points_of(&t, 0, false, &points));
    fr_centroids_forget(c);
    fr_centroids_set(c, p.c, NULL);
    fr_centroids_try(c, &points, NULL, scratch, NULL);
    assert_int_equal(label_once(c, &p, scratch, want), 0);
    fr_free(scratch);
    fr_free(want);
    fr_centroids_free(c);
    drop(&p);
}

static void test_no_memory(void **state) {
    (void)state;
    for (long n = 1; n < 20; n++) {
        fr_centroids *c;
        fr_memory_fail_after(n);
        fr_status st = fr_centroids_new(40, 20, FR_EUCLID, FR_PRODUCTS_AUTO, &c);
        fr_memory_fail_after(0);
        if (!st) {
            fr_centroids_free(c);
            assert_true(n > 3);
            return;
        }
        assert_null(c);
    }
    fail_msg("memory never sufficed");
}

static void test_refused(void **state) {
    (void)state;
    fr_centroids *c;
    assert_int_equal(fr_centroids_new(0, 3, FR_EUCLID, FR_PRODUCTS_AUTO, &c), FR_INVALID);
    assert_int_equal(fr_centroids_new(INT64_MAX / 2, 3, FR_EUCLID, FR_PRODUCTS_AUTO, &c),
                     FR_INVALID);
    assert_int_equal(fr_centroids_new(1 << 30, INT64_MAX / 4, FR_EUCLID, FR_PRODUCTS_AUTO, &c),
                     FR_NOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f64),       cmocka_unit_test(test_bits),
        cmocka_unit_test(test_near_ties), cmocka_unit_test(test_sizes_of_numbers),
        cmocka_unit_test(test_padding),   cmocka_unit_test(test_scores),
        cmocka_unit_test(test_ways),      cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
