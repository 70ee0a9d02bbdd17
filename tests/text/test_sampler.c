/* test_sampler.c: how a token is chosen: every filter against its meaning in doubles over a full sort, frequencies
 * against chances, penalties against a recount, and that nothing but seed, stream and place decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/sampler.h"

enum { MOST = 3000 };

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

/* ---- the meaning ---- */

typedef struct cand {
    int id;
    double x, p, key;
} cand;

static int by_key(const void *a, const void *b) {
    const cand *l = a, *r = b;
    if (l->key != r->key) return l->key < r->key ? -1 : 1;
    return l->id - r->id;
}

static double weigh(cand *c, int n) {
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) top = fmax(top, c[i].x);
    for (int i = 0; i < n; i++) sum += c[i].p = exp(c[i].x - top);
    for (int i = 0; i < n; i++) c[i].p /= sum;
    return top;
}

static int cut_share(cand *c, int n, double share) {
    double sum = 0;
    qsort(c, (size_t)n, sizeof *c, by_key);
    for (int i = 0; i < n; i++)
        if ((sum += c[i].p) >= share) return i + 1;
    return n;
}

static void meaning(const fr_sampling *s, const float *logits, int n, double *p) {
    static cand c[MOST];
    for (int i = 0; i < n; i++) c[i] = (cand){.id = i, .x = (double)logits[i]};
    for (int i = 0; i < n; i++) p[i] = 0;
    if (s->top_k > 0 && s->top_k < n) {
        for (int i = 0; i < n; i++) c[i].key = -c[i].x;
        qsort(c, (size_t)n, sizeof *c, by_key);
        n = s->top_k;
    }
    if (s->typical_p > 0 && s->typical_p < 1) {
        double mean = 0, top = weigh(c, n), sum = 0;
        for (int i = 0; i < n; i++) sum += exp(c[i].x - top);
        for (int i = 0; i < n; i++) c[i].key = log(sum) + top - c[i].x; /* its surprise */
        for (int i = 0; i < n; i++) mean += c[i].p * c[i].key;
        for (int i = 0; i < n; i++) c[i].key = fabs(c[i].key - mean);
        n = cut_share(c, n, (double)s->typical_p);
    }
    if (s->top_p > 0 && s->top_p < 1) {
        weigh(c, n);
        for (int i = 0; i < n; i++) c[i].key = -c[i].x;
        n = cut_share(c, n, (double)s->top_p);
    }
    if (s->min_p > 0) {
        int kept = 0;
        double top = weigh(c, n);
        for (int i = 0; i < n; i++)
            if (exp(c[i].x - top) >= (double)s->min_p) c[kept++] = c[i];
        n = kept;
    }
    for (int i = 0; i < n; i++) c[i].x /= (double)s->temperature;
    weigh(c, n);
    for (int i = 0; i < n; i++) p[c[i].id] = c[i].p;
}

static void compare(const fr_sampling *s, const float *logits, int n) {
    static float got[MOST];
    static double want[MOST];
    fr_sampler *sampler;
    fr_sampler_scratch *w;
    ok(fr_sampler_scratch_new(n, &w));
    ok(fr_sampler_new(s, n, 0, NULL, NULL, 0, &sampler));
    assert_true(fr_sampler_probabilities(sampler, w, logits, got));
    meaning(s, logits, n, want);
    for (int i = 0; i < n; i++)
        if (fabs((double)got[i] - want[i]) > 1e-5 * want[i] + 1e-9)
            fail_msg("token %d of %d has %g, not %g (k %d, p %g, min %g, typical %g, T %g)", i, n,
                     (double)got[i], want[i], s->top_k, (double)s->top_p, (double)s->min_p,
                     (double)s->typical_p, (double)s->temperature);
    fr_sampler_free(sampler);
    fr_sampler_scratch_free(w);
}

/* Widths from flat to steep; some logits equal, some far away. */
static void make_logits(uint64_t seed, float width, int n, float *x) {
    fr_random_normal(seed, 1, 0, x, (size_t)n);
    for (int i = 0; i < n; i++) {
        x[i] *= width;
        if (i % 7 == 3) x[i] = x[i / 2]; /* ties */
    }
    if (seed % 3 == 0) x[n / 3] -= 1e4f;
    if (seed % 4 == 0) x[n / 2] += 30;
}

static void test_filters(void **state) {
    (void)state;
    static float x[MOST];
    const fr_sampling all[] = {
        {.temperature = 1},
        {.temperature = 0.3f},
        {.temperature = 2.5f},
        {.temperature = 1, .top_k = 1},
        {.temperature = 0.7f, .top_k = 40},
        {.temperature = 1, .top_k = 100000},
        {.temperature = 1, .top_p = 0.9f},
        {.temperature = 1, .top_p = 0.01f},
        {.temperature = 1.5f, .top_p = 0.99f},
        {.temperature = 1, .min_p = 0.05f},
        {.temperature = 1, .min_p = 1},
        {.temperature = 1, .typical_p = 0.5f},
        {.temperature = 0.8f, .typical_p = 0.95f},
        {.temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f},
        {.temperature = 1.2f, .top_k = 200, .typical_p = 0.8f, .top_p = 0.7f, .min_p = 0.01f},
    };
    const int sizes[] = {1, 2, 33, 500, MOST};
    for (size_t i = 0; i < FR_COUNT(all); i++)
        for (size_t k = 0; k < FR_COUNT(sizes); k++)
            for (uint64_t seed = 1; seed < 6; seed++) {
                make_logits(seed + 10 * k, seed == 1 ? 0.01f : (float)seed, sizes[k], x);
                compare(&all[i], x, sizes[k]);
            }
}

static void test_all_equal(void **state) {
    (void)state;
    static float x[MOST];
    compare(&(fr_sampling){.temperature = 1, .top_p = 0.5f}, x, MOST);
    compare(&(fr_sampling){.temperature = 1, .top_k = 77, .typical_p = 0.3f}, x, MOST);
}

/* ---- draws ---- */

static void test_frequencies(void **state) {
    (void)state;
    enum { N = 40, DRAWS = 40000 };
    float x[N], p[N];
    int hits[N] = {0};
    make_logits(5, 1.5f, N, x);
    const fr_sampling how = {.temperature = 0.9f, .top_p = 0.97f, .seed = 3};
    fr_sampler *s;
    fr_sampler_scratch *w;
    ok(fr_sampler_scratch_new(N, &w));
    ok(fr_sampler_new(&how, N, 0, NULL, NULL, 0, &s));
    assert_true(fr_sampler_probabilities(s, w, x, p));
    for (int i = 0; i < DRAWS; i++) {
        int32_t t = fr_sampler_pick(s, w, x);
        hits[t]++;
        ok(fr_sampler_accept(s, t));
    }
    double chi = 0;
    int free = -1;
    for (int i = 0; i < N; i++) {
        double want = DRAWS * (double)p[i];
        if (p[i] <= 0) assert_int_equal(hits[i], 0);
        if (p[i] <= 0) continue;
        chi += (hits[i] - want) * (hits[i] - want) / want;
        free++;
    }
    /* Four standard deviations of chi-square above its mean. */
    assert_true(free > 10);
    assert_true(chi < free + 4 * sqrt(2.0 * free));
    fr_sampler_free(s);
    fr_sampler_scratch_free(w);
}

/* The draws of a stream, with what came before them. */
static void say(fr_sampler *s, fr_sampler_scratch *w, int n, const float *x, int count,
                int32_t *out) {
    for (int i = 0; i < count; i++) {
        out[i] = fr_sampler_pick(s, w, x + (i % 5) * n);
        assert_int_equal(out[i], fr_sampler_pick(s, w, x + (i % 5) * n));
        ok(fr_sampler_accept(s, out[i]));
    }
}

static void test_same_again(void **state) {
    (void)state;
    enum { N = 200, COUNT = 60 };
    static float x[5 * N];
    int32_t a[COUNT], b[COUNT], c[COUNT];
    make_logits(8, 1, 5 * N, x);
    const fr_sampling how = {.temperature = 1, .frequency_penalty = 0.7f, .seed = 3};
    fr_sampler *s;
    fr_sampler_scratch *w;
    ok(fr_sampler_scratch_new(N, &w));
    ok(fr_sampler_new(&how, N, 7, NULL, (int32_t[]){1, 2}, 2, &s));
    say(s, w, N, x, COUNT, a);
    ok(fr_sampler_reset(s, 7, (int32_t[]){1, 2}, 2));
    say(s, w, N, x, COUNT, b);
    assert_memory_equal(a, b, sizeof a);
    /* Some are taken back, others tried, taken back too: the rest comes as before. */
    ok(fr_sampler_undo(s, 40));
    for (int i = 0; i < 30; i++) ok(fr_sampler_accept(s, i));
    ok(fr_sampler_undo(s, 30));
    say(s, w, N, x, COUNT - 20, b + 20); /* 20 is a multiple of 5: the same logits */
    assert_memory_equal(a, b, sizeof a);
    ok(fr_sampler_reset(s, 8, (int32_t[]){1, 2}, 2));
    say(s, w, N, x, COUNT, c);
    assert_memory_not_equal(a, c, sizeof a);
    fr_sampler_free(s);
    fr_sampler_scratch_free(w);
}

static void test_uniform(void **state) {
    (void)state;
    fr_sampler *s;
    ok(fr_sampler_new(&(fr_sampling){.temperature = 1, .seed = 1}, 4, 0, NULL, NULL, 0, &s));
    double sum[4] = {0}, both = 0;
    for (int i = 0; i < 10000; i++) {
        double u[4];
        for (int k = 0; k < 4; k++) {
            u[k] = fr_sampler_uniform(s, k);
            assert_true(u[k] >= 0 && u[k] < 1);
            sum[k] += u[k] / 10000;
        }
        both += (u[0] - 0.5) * (u[1] - 0.5) / 10000;
        ok(fr_sampler_accept(s, 0));
    }
    for (int k = 0; k < 4; k++) assert_true(fabs(sum[k] - 0.5) < 0.012);
    assert_true(fabs(both) < 0.004);
    fr_sampler_free(s);
}

/* ---- bias and penalties ---- */

static int32_t likeliest(const fr_sampling *how, const float *x, int n, const int32_t *prompt,
                         size_t count) {
    fr_sampler *s;
    fr_sampler_scratch *w;
    ok(fr_sampler_scratch_new(n, &w));
    ok(fr_sampler_new(how, n, 0, NULL, prompt, count, &s));
    int32_t t = fr_sampler_pick(s, w, x);
    fr_sampler_free(s);
    fr_sampler_scratch_free(w);
    return t;
}

static void test_bias(void **state) {
    (void)state;
    const float x[] = {1, 3, 2, 3};
    const fr_logit_bias up[] = {{2, 1.5f}}, never[] = {{1, -INFINITY}, {3, -INFINITY}};
    const fr_logit_bias none[] = {{0, -INFINITY}, {1, -INFINITY}, {2, -INFINITY}, {3, -INFINITY}};
    assert_int_equal(likeliest(&(fr_sampling){0}, x, 4, NULL, 0), 1);
    assert_int_equal(likeliest(&(fr_sampling){.bias = up, .biases = 1}, x, 4, NULL, 0), 2);
    assert_int_equal(likeliest(&(fr_sampling){.bias = never, .biases = 2}, x, 4, NULL, 0), 2);
    assert_int_equal(likeliest(&(fr_sampling){.bias = none, .biases = 4}, x, 4, NULL, 0), -1);
    assert_non_null(strstr(fr_message(), "No token can follow"));
    const float odd[] = {NAN, 1, INFINITY, 0};
    assert_int_equal(likeliest(&(fr_sampling){0}, odd, 4, NULL, 0), 2);
}

/* Chances with penalties are those of logits that a recount of the window has changed. */
static void test_penalties(void **state) {
    (void)state;
    enum { N = 30, WINDOW = 12 };
    float x[N], y[N], p[N];
    double want[N];
    int32_t said[60];
    make_logits(5, 2, N, x);
    const fr_sampling how = {.temperature = 1,
                             .repetition_penalty = 1.3f,
                             .presence_penalty = 0.4f,
                             .frequency_penalty = 0.25f,
                             .penalty_window = WINDOW,
                             .seed = 9};
    fr_sampler *s;
    fr_sampler_scratch *w;
    for (int i = 0; i < 5; i++) said[i] = i;
    ok(fr_sampler_scratch_new(N, &w));
    ok(fr_sampler_new(&how, N, 0, NULL, said, 5, &s));
    for (int at = 5; at < 60; at++) {
        for (int i = 0; i < N; i++) {
            int times = 0;
            for (int k = at > WINDOW ? at - WINDOW : 0; k < at; k++) times += said[k] == i;
            y[i] = x[i];
            if (!times) continue;
            y[i] = x[i] > 0 ? x[i] / 1.3f : x[i] * 1.3f;
            y[i] -= 0.4f + 0.25f * (float)times;
        }
        meaning(&(fr_sampling){.temperature = 1}, y, N, want);
        assert_true(fr_sampler_probabilities(s, w, x, p));
        for (int i = 0; i < N; i++) assert_true(fabs((double)p[i] - want[i]) < 1e-5);
        said[at] = fr_sampler_pick(s, w, x);
        ok(fr_sampler_accept(s, said[at]));
    }
    fr_sampler_free(s);
    fr_sampler_scratch_free(w);
}

static void refused(fr_sampling how, const char *word) {
    fr_sampler *s;
    assert_int_equal(fr_sampler_new(&how, 4, 0, NULL, NULL, 0, &s), FR_INVALID);
    assert_null(s);
    if (!strstr(fr_message(), word)) fail_msg("\"%s\" does not say %s", fr_message(), word);
}

static void test_refused(void **state) {
    (void)state;
    const fr_logit_bias outside[] = {{4, 1}}, nan[] = {{1, NAN}};
    refused((fr_sampling){.temperature = -1}, "temperature");
    refused((fr_sampling){.temperature = NAN}, "temperature");
    refused((fr_sampling){.top_k = -1}, "top_k");
    refused((fr_sampling){.top_p = 1.5f}, "top_p");
    refused((fr_sampling){.min_p = -0.5f}, "min_p");
    refused((fr_sampling){.typical_p = 2}, "typical_p");
    refused((fr_sampling){.repetition_penalty = -1}, "repetition");
    refused((fr_sampling){.presence_penalty = INFINITY}, "presence");
    refused((fr_sampling){.frequency_penalty = NAN}, "frequency");
    refused((fr_sampling){.bias = outside, .biases = 1}, "token 4");
    refused((fr_sampling){.bias = nan, .biases = 1}, "token 1");
    fr_sampler *s;
    ok(fr_sampler_new(&(fr_sampling){0}, 4, 0, NULL, NULL, 0, &s));
    assert_int_equal(fr_sampler_accept(s, 4), FR_INVALID);
    assert_int_equal(fr_sampler_undo(s, 1), FR_INVALID);
    fr_sampler_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters),     cmocka_unit_test(test_all_equal),
        cmocka_unit_test(test_frequencies), cmocka_unit_test(test_same_again),
        cmocka_unit_test(test_uniform),     cmocka_unit_test(test_bias),
        cmocka_unit_test(test_penalties),   cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
