/* test_resample.c: pixel shuffle and unshuffle, nearest upsampling. */
#include "op_test.h"

typedef struct factor {
    int y, x;
} factor;

static int build_shuffle(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_pixel_shuffle(g, in[0], ((const factor *)arg)->y);
    return 1;
}
static int build_unshuffle(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    out[0] = fr_pixel_unshuffle(g, in[0], ((const factor *)arg)->y);
    return 1;
}

/* wide [n, h r, w r, c] <-> deep [n, h, w, c r r], where deep channel is (c, row, column). */
static void walk(const fr_tensor *wide, int r, double *to, const double *from, bool shuffle) {
    const int64_t *d = wide->dim;
    for (int64_t n = 0; n < d[0]; n++)
        for (int64_t y = 0; y < d[1]; y++)
            for (int64_t x = 0; x < d[2]; x++)
                for (int64_t c = 0; c < d[3]; c++) {
                    int64_t w = ((n * d[1] + y) * d[2] + x) * d[3] + c;
                    int64_t k = ((n * (d[1] / r) + y / r) * (d[2] / r) + x / r) * d[3] * r * r +
                                (c * r + y % r) * r + x % r;
                    if (shuffle)
                        to[w] = from[k];
                    else
                        to[k] = from[w];
                }
}
static void ref_shuffle(const void *arg, const op_f64 *in, op_f64 *out) {
    walk(&out[0].desc, ((const factor *)arg)->y, out[0].v, in[0].v, true);
}
static void ref_unshuffle(const void *arg, const op_f64 *in, op_f64 *out) {
    walk(&in[0].desc, ((const factor *)arg)->y, out[0].v, in[0].v, false);
}

static void test_shuffle(void **state) {
    (void)state;
    for (int r = 1; r <= 4; r++) {
        op_case c = {
            .name = "pixel_shuffle",
            .in = {{.dtype = FR_F32, .rank = 4, .dim = {2, 3, 5, 7 * r * r}, .grad = true}},
            .arg = &(factor){r, r},
            .build = build_shuffle,
            .ref = ref_shuffle,
            .bf16 = true};
        op_check(&c);
        c.name = "pixel_unshuffle";
        c.in[0] = (op_in){.dtype = FR_F32, .rank = 4, .dim = {2, 3 * r, 5 * r, 7}, .grad = true};
        c.build = build_unshuffle;
        c.ref = ref_unshuffle;
        op_check(&c);
    }
    op_check(&(op_case){.name = "pixel_shuffle to one channel",
                        .in = {{.dtype = FR_F32, .rank = 4, .dim = {1, 40, 50, 64}, .grad = true}},
                        .arg = &(factor){8, 8},
                        .build = build_shuffle,
                        .ref = ref_shuffle,
                        .bf16 = true});
}

static int build_up(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const factor *f = arg;
    out[0] = fr_upsample_nearest(g, in[0], f->y, f->x);
    return 1;
}
static void ref_up(const void *arg, const op_f64 *in, op_f64 *out) {
    const factor *f = arg;
    const int64_t *d = out[0].desc.dim, *s = in[0].desc.dim;
    for (int64_t i = 0; i < fr_values(&out[0].desc); i++) {
        int64_t c = i % d[3], x = i / d[3] % d[2], y = i / d[3] / d[2] % d[1];
        int64_t n = i / d[3] / d[2] / d[1];
        out[0].v[i] = in[0].v[((n * s[1] + y / f->y) * s[2] + x / f->x) * s[3] + c];
    }
}

static void test_up(void **state) {
    (void)state;
    static const factor f[] = {{2, 2}, {1, 3}, {3, 1}, {1, 1}, {4, 2}};
    for (size_t i = 0; i < FR_COUNT(f); i++)
        op_check(&(op_case){.name = "upsample_nearest",
                            .in = {{.dtype = FR_F32, .rank = 4, .dim = {2, 4, 5, 6}, .grad = true}},
                            .arg = &f[i],
                            .build = build_up,
                            .ref = ref_up,
                            .bf16 = true});
    op_check(&(op_case){.name = "upsample_nearest of one channel",
                        .in = {{.dtype = FR_F32, .rank = 4, .dim = {1, 64, 70, 1}, .grad = true}},
                        .arg = &f[0],
                        .build = build_up,
                        .ref = ref_up,
                        .bf16 = true});
}

static void test_refused(void **state) {
    (void)state;
    static const op_in in[] = {{.dtype = FR_F32, .rank = 4, .dim = {1, 4, 6, 8}}, {0}};
    op_check_refused(in, build_shuffle, &(factor){3, 3},
                     "f32 [1, 4, 6, 8]: the channels are no multiple of 9");
    op_check_refused(in, build_shuffle, &(factor){0, 0}, "0 by 0 makes no sense");
    op_check_refused(in, build_unshuffle, &(factor){4, 4}, "cannot be cut into blocks of 4 by 4");
    op_check_refused(in, build_up, &(factor){-1, 2}, "-1 by 2 makes no sense");
    static const op_in flat[] = {{.dtype = FR_F32, .rank = 3, .dim = {4, 6, 8}}, {0}};
    op_check_refused(flat, build_up, &(factor){2, 2}, "needs [n, height, width, channels]");
    static const op_in huge[] = {{.dtype = FR_F32, .rank = 4, .dim = {0, INT64_MAX / 4, 1, 1}},
                                 {0}};
    op_check_refused(huge, build_up, &(factor){1 << 14, 1}, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_up),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
