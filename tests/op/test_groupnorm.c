/* test_groupnorm.c: group norm and batch norm against f64 sums written out. */
#include "op_test.h"

typedef struct arg {
    int groups;
    float eps;
} arg;

static const arg two = {2, 1e-5f}, one = {1, 1e-3f}, batch = {0, 1e-5f};

/* Samples, positions and channels of x. */
static void cut(const fr_tensor *x, bool is_batch, int64_t *samples, int64_t *positions,
                int64_t *channels) {
    *channels = x->dim[x->rank - 1];
    *samples = is_batch ? 1 : x->dim[0];
    *positions = fr_values(x) / (*channels * *samples);
}

static void ref_norm(const void *argument, const op_f64 *in, op_f64 *out) {
    const arg *a = argument;
    int64_t samples, positions, channels;
    cut(&in[0].desc, !a->groups, &samples, &positions, &channels);
    int64_t each = a->groups ? channels / a->groups : 1;
    for (int64_t s = 0; s < samples; s++)
        for (int64_t first = 0; first < channels; first += each) {
            double n = (double)(positions * each), mean = 0, var = 0;
#define AT(p, c) ((s * positions + (p)) * channels + (c))
            for (int64_t p = 0; p < positions; p++)
                for (int64_t c = first; c < first + each; c++) mean += in[0].v[AT(p, c)] / n;
            for (int64_t p = 0; p < positions; p++)
                for (int64_t c = first; c < first + each; c++)
                    var += (in[0].v[AT(p, c)] - mean) * (in[0].v[AT(p, c)] - mean) / n;
            for (int64_t p = 0; p < positions; p++)
                for (int64_t c = first; c < first + each; c++)
                    out[0].v[AT(p, c)] =
                        (in[0].v[AT(p, c)] - mean) / sqrt(var + (double)a->eps) * in[1].v[c] +
                        in[2].v[c];
            if (!a->groups) out[1].v[first] = mean, out[2].v[first] = var;
        }
}

static void ref_given(const void *argument, const op_f64 *in, op_f64 *out) {
    const arg *a = argument;
    int64_t c = in[1].desc.dim[0];
    for (int64_t i = 0; i < fr_values(&in[0].desc); i++) {
        int64_t k = i % c;
        out[0].v[i] =
            (in[0].v[i] - in[3].v[k]) / sqrt(in[4].v[k] + (double)a->eps) * in[1].v[k] + in[2].v[k];
    }
}

static int build_group(fr_graph *g, const fr_val *in, const void *argument, fr_val *out) {
    const arg *a = argument;
    out[0] = fr_groupnorm(g, in[0], in[1], in[2], a->groups, a->eps);
    return 1;
}

static int build_batch(fr_graph *g, const fr_val *in, const void *argument, fr_val *out) {
    const arg *a = argument;
    out[0] = fr_batchnorm_train(g, in[0], in[1], in[2], a->eps, &out[1], &out[2]);
    return 3;
}

static int build_given(fr_graph *g, const fr_val *in, const void *argument, fr_val *out) {
    const arg *a = argument;
    out[0] = fr_batchnorm(g, in[0], in[1], in[2], in[3], in[4], a->eps);
    return 1;
}

#define CHANNELS(n, lo, hi)                                                                        \
    { FR_F32, 1, {n}, lo, hi, true, NULL, false }

static void test_group(void **state) {
    (void)state;
    op_check(&(op_case){"groupnorm small",
                        {{FR_F32, 4, {2, 3, 4, 6}, 0, 0, true, NULL, false},
                         CHANNELS(6, 0.5, 1.5),
                         CHANNELS(6, -1, 1)},
                        &two,
                        build_group,
                        ref_norm,
                        0,
                        0,
                        true,
                        0.03});
    op_check(&(op_case){"groupnorm one group",
                        {{FR_F32, 3, {1, 300, 5}, 0, 0, true, NULL, false},
                         CHANNELS(5, 0.5, 1.5),
                         CHANNELS(5, -1, 1)},
                        &one,
                        build_group,
                        ref_norm,
                        0,
                        0,
                        false,
                        0});
    op_check(&(op_case){"groupnorm wide",
                        {{FR_F32, 4, {2, 9, 17, 530}, 0, 0, true, NULL, false},
                         CHANNELS(530, 0.5, 1.5),
                         CHANNELS(530, -1, 1)},
                        &two,
                        build_group,
                        ref_norm,
                        0,
                        0,
                        false,
                        0});
    op_check(&(op_case){"groupnorm far from zero",
                        {{FR_F32, 3, {2, 40, 8}, 1000, 1001, false, NULL, false},
                         CHANNELS(8, 0.5, 1.5),
                         CHANNELS(8, -1, 1)},
                        &two,
                        build_group,
                        ref_norm,
                        5e-4,
                        0,
                        false,
                        0});
}

static void test_batch(void **state) {
    (void)state;
    op_check(&(op_case){"batchnorm_train",
                        {{FR_F32, 4, {3, 5, 4, 7}, 0, 0, true, NULL, false},
                         CHANNELS(7, 0.5, 1.5),
                         CHANNELS(7, -1, 1)},
                        &batch,
                        build_batch,
                        ref_norm,
                        0,
                        0,
                        true,
                        0.03});
    op_check(&(op_case){"batchnorm",
                        {{FR_F32, 3, {3, 11, 7}, 0, 0, true, NULL, false},
                         CHANNELS(7, 0.5, 1.5),
                         CHANNELS(7, -1, 1),
                         CHANNELS(7, -0.5, 0.5),
                         CHANNELS(7, 0.5, 2)},
                        &batch,
                        build_given,
                        ref_given,
                        0,
                        0,
                        true,
                        0.03});
}

static void test_refused(void **state) {
    (void)state;
    const arg bad = {4, 1e-5f};
    op_check_refused((op_in[]){{FR_F32, 3, {1, 4, 6}, 0, 0, false, NULL, false},
                               CHANNELS(6, 0, 1),
                               CHANNELS(6, 0, 1),
                               {0}},
                     build_group, &bad, "4 groups");
    op_check_refused((op_in[]){{FR_F32, 3, {1, 4, 6}, 0, 0, false, NULL, false},
                               CHANNELS(5, 0, 1),
                               CHANNELS(6, 0, 1),
                               {0}},
                     build_group, &two, "weight");
    op_check_refused(
        (op_in[]){
            {FR_F32, 1, {6}, 0, 0, false, NULL, false}, CHANNELS(6, 0, 1), CHANNELS(6, 0, 1), {0}},
        build_group, &two, "two axes");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_group), cmocka_unit_test(test_batch),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
