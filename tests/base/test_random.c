/* test_random.c: known answers, any cut gives the same, and the right distributions. */
#include "testing.h"

#include <math.h>

static uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

/* The answers that the authors of Philox publish: all zeros, all ones, the digits of pi. */
static void philox_gives_the_known_answers(void **state) {
    (void)state;
    uint32_t x[4];
    fr_philox(0, 0, 0, x);
    assert_memory_equal(x, ((uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), 16);
    fr_philox(UINT64_MAX, UINT64_MAX, UINT64_MAX, x);
    assert_memory_equal(x, ((uint32_t[]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}), 16);
    fr_philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, x);
    assert_memory_equal(x, ((uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}), 16);
}

/* From tests/oracle/random_numbers.py: Python integers, and 200-bit arithmetic for the normals. */
static const uint32_t golden_words[] = {0x90228a5a, 0x1b210ed6, 0xa084eb28, 0x43a204b9,
                                        0x4b05c1ac, 0x6bdb6c92, 0x59db4b35, 0x33e12ec3};
static const uint32_t golden_normals[] = {
    0x3f57c7c9, 0x3f297ff5, 0xbdb03391, 0x3f765cd7, 0xbfb088b9, 0x3f3e504d, 0x3ed92944, 0x3fb115fe,
    0xbdf8367b, 0x3f03dbeb, 0x3ef2d631, 0x3ecec005, 0xbf269fd6, 0x3f116188, 0x3e5b7a68, 0x3f204e94};
static const uint32_t golden_hash = 0x06f63365; /* of 10000 normals of seed 7, stream 1 */

static void the_numbers_are_golden(void **state) {
    (void)state;
    enum { many = 10000 };
    const uint64_t seed = 42, stream = 0x0123456789ABCDEF;
    uint32_t words[8];
    float x[16];
    fr_random_u32(seed, stream, 0, words, 8);
    assert_memory_equal(words, golden_words, sizeof words);
    fr_random_normal(seed, stream, 0, x, 16);
    assert_memory_equal(x, golden_normals, sizeof x);
    float *normals = fr_alloc_array(FR_MEM_OTHER, many, sizeof *normals);
    fr_random_normal(7, 1, 0, normals, many);
    uint32_t hash = 0;
    for (int i = 0; i < many; i++) hash = hash * 31 + bits_of(normals[i]);
    assert_int_equal(hash, golden_hash);
    fr_free(normals);
    fr_random_uniform(seed, stream, 0, x, 8);
    for (int i = 0; i < 8; i++) assert_true(x[i] == (float)(golden_words[i] >> 8) / 16777216.0f);
}

static void any_cut_gives_the_same(void **state) {
    (void)state;
    float whole[64], part[64];
    uint32_t words[64], word;
    fr_random_normal(3, 4, 100, whole, 64);
    for (size_t cut = 0; cut <= 64; cut++) {
        memset(part, 0, sizeof part);
        fr_random_normal(3, 4, 100 + cut, part + cut, 64 - cut);
        fr_random_normal(3, 4, 100, part, cut);
        assert_memory_equal(whole, part, sizeof whole);
    }
    fr_random_u32(3, 4, 7, words, 64);
    for (size_t i = 0; i < 64; i++) {
        fr_random_u32(3, 4, 7 + i, &word, 1);
        assert_int_equal(word, words[i]);
    }
    fr_random_u32(3, 4, UINT64_MAX - 2, words, 2); /* far out */
    fr_random_u32(3, 4, UINT64_MAX - 1, &word, 1);
    assert_int_equal(word, words[1]);
}

static void a_cursor_walks_the_stream(void **state) {
    (void)state;
    uint32_t words[40];
    fr_random_u32(9, 8, 0, words, 40);
    fr_rng r = fr_rng_new(9, 8);
    for (int i = 0; i < 37; i++) assert_int_equal(fr_rng_u32(&r), words[i]);
    assert_true(fr_rng_u64(&r) == ((uint64_t)words[38] << 32 | words[37]));
    assert_true(fr_rng_uniform(&r) == (float)(words[39] >> 8) * 0x1p-24f);
    float normal;
    r = fr_rng_new(9, 8);
    fr_random_normal(9, 8, 0, &normal, 1);
    assert_true(fr_rng_normal(&r) == normal);
    assert_int_equal(r.index, 2);
}

enum { samples = 1 << 20 };

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The largest distance to the distribution (Kolmogorov-Smirnov), times sqrt(n): 1.95 is passed by
 * chance once in a thousand seeds, and these seeds never change. */
static double ks(float *x, double (*cdf)(double)) {
    qsort(x, samples, sizeof *x, by_value);
    double most = 0;
    for (int i = 0; i < samples; i++) {
        double f = cdf((double)x[i]);
        most = fmax(most, fmax((double)(i + 1) / samples - f, f - (double)i / samples));
    }
    return most * sqrt(samples);
}

static double uniform_cdf(double x) {
    return x;
}
static double normal_cdf(double x) {
    return 0.5 * erfc(-x / sqrt(2));
}

static void moments(const float *x, double out[4]) {
    for (int p = 0; p < 4; p++) {
        double sum = 0;
        for (int i = 0; i < samples; i++) sum += pow((double)x[i], p + 1);
        out[p] = sum / samples;
    }
}

static void the_uniform_is_uniform(void **state) {
    (void)state;
    float *x = fr_alloc_array(FR_MEM_OTHER, samples, sizeof *x);
    fr_random_uniform(1, 2, 0, x, samples);
    double m[4];
    moments(x, m);
    for (int p = 0; p < 4; p++) assert_true(fabs(m[p] - 1.0 / (p + 2)) < 2e-3);
    for (int i = 0; i < samples; i++) assert_true(x[i] >= 0 && x[i] < 1);
    assert_true(ks(x, uniform_cdf) < 1.95);
    fr_free(x);
}

static void the_normal_is_normal(void **state) {
    (void)state;
    float *x = fr_alloc_array(FR_MEM_OTHER, samples, sizeof *x);
    fr_random_normal(1, 2, 0, x, samples);
    double m[4], pairs = 0, neighbours = 0;
    moments(x, m);
    assert_true(fabs(m[0]) < 4e-3 && fabs(m[1] - 1) < 6e-3 && fabs(m[2]) < 1.2e-2);
    assert_true(fabs(m[3] - 3) < 4e-2);
    for (int i = 0; i + 1 < samples; i += 2) pairs += (double)x[i] * (double)x[i + 1];
    for (int i = 1; i + 1 < samples; i += 2) neighbours += (double)x[i] * (double)x[i + 1];
    assert_true(fabs(pairs / (samples / 2)) < 6e-3 && fabs(neighbours / (samples / 2)) < 6e-3);
    assert_true(ks(x, normal_cdf) < 1.95);
    assert_true(x[0] > -7 && x[0] < -4 && x[samples - 1] > 4 && x[samples - 1] < 7);
    fr_free(x);
}

static void below_has_no_bias(void **state) {
    (void)state;
    fr_rng r = fr_rng_new(5, 6);
    int hits[7] = {0};
    for (int i = 0; i < 700000; i++) hits[fr_rng_below(&r, 7)]++;
    for (int i = 0; i < 7; i++) assert_in_range(hits[i], 98800, 101200);
    /* 3 << 30 does not divide 2^32: without rejection the multiples of 3 would come twice as often */
    int multiples = 0;
    for (int i = 0; i < 300000; i++) multiples += fr_rng_below(&r, 3u << 30) % 3 == 0;
    assert_in_range(multiples, 98800, 101200);
    assert_int_equal(fr_rng_below(&r, 0), 0);
    assert_int_equal(fr_rng_below(&r, 1), 0);
}

static void streams_and_seeds_differ(void **state) {
    (void)state;
    uint32_t a, b, c;
    fr_random_u32(1, 1, 0, &a, 1);
    fr_random_u32(1, 2, 0, &b, 1);
    fr_random_u32(2, 1, 0, &c, 1);
    assert_true(a != b && a != c && b != c);
    assert_true(fr_random_stream("layer.1") != fr_random_stream("layer.2"));
    assert_true(fr_random_stream("layer.1") == fr_random_stream("layer.1"));
    assert_true(fr_random_stream("") != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(the_numbers_are_golden),
        cmocka_unit_test(any_cut_gives_the_same),
        cmocka_unit_test(a_cursor_walks_the_stream),
        cmocka_unit_test(the_uniform_is_uniform),
        cmocka_unit_test(the_normal_is_normal),
        cmocka_unit_test(below_has_no_bias),
        cmocka_unit_test(streams_and_seeds_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
