/* test_rope.c: rotary embedding against the rotation written out in doubles. */
#include "op_test.h"

typedef struct turn {
    fr_rope_opts o;
    bool freq;   /* input 2 */
    bool length; /* input 3 */
} turn;

static int build(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const turn *t = arg;
    fr_rope_opts o = t->o;
    o.inv_freq = t->freq ? in[2] : FR_NONE;
    o.length = t->length ? in[3] : FR_NONE;
    out[0] = fr_rope(g, in[0], in[1], &o);
    return 1;
}

/* Does the text in which row b stands turn by the second list? */
static bool is_far(const turn *t, const op_f64 *in, int64_t b) {
    const int64_t tokens = in[0].desc.dim[1], axes = t->o.axes ? t->o.axes : 1;
    const double *pos = in[1].v + (in[1].desc.rank == 3 ? b * tokens * axes : 0);
    double most = 0;
    for (int64_t i = 0; i < tokens; i++) most = fmax(most, pos[i * axes] + 1);
    return t->o.original && (t->length ? in[3].v[b] : most) > t->o.original;
}

static void ref(const void *arg, const op_f64 *in, op_f64 *out) {
    const turn *t = arg;
    const int64_t *s = in[0].desc.dim;
    const int axes = t->o.axes ? t->o.axes : 1;
    const double theta = t->o.theta > 0 ? t->o.theta : 10000;
    for (int64_t r = 0; r < s[0] * s[1] * s[2]; r++) {
        const int64_t token = r / s[2] % s[1], b = r / s[2] / s[1];
        const double *x = in[0].v + r * s[3];
        const double *pos = in[1].v + ((in[1].desc.rank == 3 ? b * s[1] : 0) + token) * axes;
        double *y = out[0].v + r * s[3];
        memcpy(y, x, (size_t)s[3] * sizeof *y);
        for (int64_t a = 0, at = 0, pair = 0; a < axes; a++) {
            int64_t n = t->o.axis_dim[a];
            if (!t->o.axis_dim[0] && !t->o.axis_dim[1] && !t->o.axis_dim[2] && !a) n = s[3];
            for (int64_t i = 0; i < n / 2; i++, pair++) {
                int64_t list = is_far(t, in, b) ? in[2].desc.dim[1] : 0;
                double f =
                    t->freq ? in[2].v[list + pair] : pow(theta, -2.0 * (double)i / (double)n);
                double scale = t->o.scale > 0 ? (double)t->o.scale : 1;
                double c = scale * cos(pos[a] * f), w = scale * sin(pos[a] * f);
                int64_t p = at + (t->o.interleaved ? 2 * i : i);
                int64_t q = at + (t->o.interleaved ? 2 * i + 1 : n / 2 + i);
                y[p] = x[p] * c - x[q] * w;
                y[q] = x[p] * w + x[q] * c;
            }
            at += n;
        }
    }
}

static op_case case_of(const char *name, const turn *t, int64_t dim, double far) {
    op_case c = {.name = name, .arg = t, .build = build, .ref = ref, .bf16 = true, .tol = 2e-6};
    const int64_t axes = t->o.axes ? t->o.axes : 1;
    c.in[0] = (op_in){FR_F32, 4, {2, 19, 3, dim}, 0, 0, true, NULL, false};
    c.in[1] = (op_in){FR_I32, 2, {19, axes}, 0, far, false, NULL, false};
    return c;
}

static void test_one_axis(void **state) {
    (void)state;
    const int64_t dim[] = {2, 6, 16, 34, 64, 128};
    for (int inter = 0; inter < 2; inter++)
        for (size_t i = 0; i < FR_COUNT(dim); i++) {
            const turn t = {.o = {.interleaved = inter, .theta = i % 2 ? 0 : 500000}};
            op_case c = case_of("rope", &t, dim[i], 200);
            op_check(&c);
        }
}

static void test_axes(void **state) {
    (void)state;
    for (int inter = 0; inter < 2; inter++) {
        const turn two = {.o = {.interleaved = inter, .axes = 2, .axis_dim = {20, 12}}};
        const turn three = {.o = {.interleaved = inter, .axes = 3, .axis_dim = {8, 0, 40}}};
        op_case c = case_of("rope, two axes", &two, 32, 90);
        op_check(&c);
        c = case_of("rope, three axes, part of the row", &three, 56, 90);
        c.in[1] = (op_in){FR_I32, 3, {2, 19, 3}, -50, 90, false, NULL, false};
        op_check(&c);
    }
}

static void test_given_frequencies(void **state) {
    (void)state;
    const turn t = {.o = {.axes = 1, .axis_dim = {24}}, .freq = true};
    op_case c = case_of("rope, inv_freq", &t, 40, 90);
    c.in[2] = (op_in){FR_F32, 1, {12}, 0.001, 1, false, NULL, false};
    c.bf16 = false; /* frequencies stay f32 */
    op_check(&c);
}

/* One text beyond the original length, one within it; then what is said of their lengths. */
static void test_two_lists(void **state) {
    (void)state;
    static int32_t pos[2 * 19], both[19];
    static const int32_t length[] = {30, 31};
    for (int i = 0; i < 19; i++) {
        both[i] = 12 + i;
        pos[i] = 12 + i; /* the last one is 30 */
        pos[19 + i] = 11 + i;
    }
    for (int i = 0; i < 3; i++) {
        const turn t = {.o = {.scale = 1.25f, .original = 30}, .freq = true, .length = i == 1};
        op_case c = case_of("rope, two lists", &t, 16, 0);
        c.in[1] = (op_in){FR_I32, 3, {2, 19, 1}, 0, 0, false, pos, false};
        if (i == 2) c.in[1] = (op_in){FR_I32, 2, {19, 1}, 0, 0, false, both, false};
        c.in[2] = (op_in){FR_F32, 2, {2, 8}, 0.001, 1, false, NULL, false};
        if (i == 1) c.in[3] = (op_in){FR_I32, 1, {2}, 0, 0, false, length, false};
        c.bf16 = false; /* frequencies stay f32 */
        op_check(&c);
    }
}

/* An angle of 10^5 in float would be off by 4e-3. */
static void test_far(void **state) {
    (void)state;
    static const int32_t pos[] = {100000, 99999, 1000000, -100000, 131072, 7,  1,
                                  0,      65537, 99991,   123456,  654321, 11, 12,
                                  13,     14,    15,      16,      17};
    for (int inter = 0; inter < 2; inter++) {
        const turn t = {.o = {.interleaved = inter}};
        op_case c = case_of("rope far out", &t, 64, 0);
        c.in[1].ints = pos;
        op_check(&c);
    }
}

static void test_refused(void **state) {
    (void)state;
    const op_in x = {FR_F32, 4, {2, 19, 3, 16}, 0, 0, false, NULL, false};
    op_in in[OP_MAX] = {x, {FR_I32, 2, {18, 1}, 0, 9, false, NULL, false}};
    const turn plain = {0}, odd = {.o = {.axis_dim = {3}}}, wide = {.o = {.axis_dim = {32}}};
    const turn beyond = {.o = {.axes = 1, .axis_dim = {4, 4}}}, four = {.o = {.axes = 4}};
    op_check_refused(in, build, &plain, "pos is i32 [18, 1]");
    in[1].dim[0] = 19;
    op_check_refused(in, build, &odd, "even number");
    op_check_refused(in, build, &wide, "more values than a row");
    op_check_refused(in, build, &beyond, "there are 1 axes");
    op_check_refused(in, build, &four, "1 to 3 axes");
    const turn one = {.o = {.original = 8}}, two = {.o = {.original = 8}, .freq = true};
    const turn length = {.freq = true, .length = true}, endless = {.o = {.scale = INFINITY}};
    op_check_refused(in, build, &one, "two lists");
    op_check_refused(in, build, &endless, "scale must be a number");
    in[2] = (op_in){FR_F32, 1, {8}, 0, 1, false, NULL, false};
    op_check_refused(in, build, &two, "wanted f32 [2, 8]");
    in[3] = (op_in){FR_I32, 1, {2}, 0, 0, false, NULL, false};
    op_check_refused(in, build, &length, "beside two lists");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_axis),
        cmocka_unit_test(test_axes),
        cmocka_unit_test(test_given_frequencies),
        cmocka_unit_test(test_two_lists),
        cmocka_unit_test(test_far),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
