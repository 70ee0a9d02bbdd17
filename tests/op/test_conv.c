/* test_conv.c: convolution of pictures and videos in every form, its transpose, all gradients, the
 * packed weights and the refusals. */
#include "conv_ref.h"

/* ---- forward ---- */

static int build_conv(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const conv_arg *a = arg;
    fr_val bias = a->bias ? in[2] : FR_NONE;
    fr_val residual = a->residual ? in[a->bias ? 3 : 2] : FR_NONE;
    out[0] = (a->axes == 2 ? fr_conv2d : fr_conv3d)(g, in[0], in[1], bias, residual, &a->opts);
    return 1;
}

typedef struct sums {
    const double *x, *w;
    double *y;
} sums;

static void add_forward(void *user, int64_t x, int64_t y, int64_t w) {
    sums *s = user;
    s->y[y] += s->x[x] * s->w[w];
}

static void finish(const conv_arg *a, const op_f64 *in, op_f64 *out) {
    int64_t oc = out[0].desc.dim[out[0].desc.rank - 1];
    for (int64_t i = 0; i < fr_values(&out[0].desc); i++) {
        double v = out[0].v[i];
        if (a->bias) v += in[2].v[i % oc];
        v = conv_act(a->opts.act, v);
        if (a->residual) v += in[a->bias ? 3 : 2].v[i];
        out[0].v[i] = v;
    }
}

static void ref_conv(const void *arg, const op_f64 *in, op_f64 *out) {
    const conv_arg *a = arg;
    sums s = {in[0].v, in[1].v, out[0].v};
    conv_walk(a, &in[0].desc, &in[1].desc, &out[0].desc, add_forward, &s);
    finish(a, in, out);
}

/* x and w with gradients, and a bias [out]. */
static void check(const char *name, conv_arg a, op_in x, op_in w) {
    op_case c = {.name = name, .arg = &a, .build = build_conv, .ref = ref_conv, .bf16 = true};
    x.grad = w.grad = true;
    c.in[0] = x;
    c.in[1] = w;
    if (a.bias) c.in[2] = (op_in){.dtype = FR_F32, .rank = 1, .dim = {w.dim[0]}, .grad = true};
    op_check(&c);
}

static op_in picture(int64_t n, int64_t h, int64_t w, int64_t c) {
    return (op_in){.dtype = FR_F32, .rank = 4, .dim = {n, h, w, c}};
}
static op_in video(int64_t n, int64_t t, int64_t h, int64_t w, int64_t c) {
    return (op_in){.dtype = FR_F32, .rank = 5, .dim = {n, t, h, w, c}};
}

#define PAD(p) .before = {p, p, p}, .after = {p, p, p}

static void test_products(void **state) {
    (void)state;
    check("1x1", (conv_arg){.axes = 2, .bias = true}, picture(2, 5, 4, 19), picture(33, 1, 1, 19));
    check("1x1 stride 2", (conv_arg){.axes = 2, .opts = {.stride = {0, 2, 2}}}, picture(2, 5, 8, 6),
          picture(9, 1, 1, 6));
    check("1x1 padded", (conv_arg){.axes = 2, .opts = {PAD(1)}}, picture(1, 3, 4, 6),
          picture(9, 1, 1, 6));
    check("3x3", (conv_arg){.axes = 2, .opts = {PAD(1)}, .bias = true}, picture(2, 6, 7, 9),
          picture(11, 3, 3, 9));
    check("3x3 of few channels", (conv_arg){.axes = 2, .opts = {PAD(1)}, .bias = true},
          picture(1, 13, 11, 3), picture(8, 3, 3, 3));
    check("3x3 stride 2", (conv_arg){.axes = 2, .opts = {.stride = {0, 2, 2}, PAD(1)}},
          picture(1, 9, 8, 5), picture(7, 3, 3, 5));
    check("3x3 valid", (conv_arg){.axes = 2}, picture(1, 6, 5, 4), picture(3, 3, 3, 4));
    check("3x3 dilated", (conv_arg){.axes = 2, .opts = {.dilation = {0, 2, 3}, PAD(2)}},
          picture(1, 7, 8, 5), picture(6, 3, 3, 5));
    check("uneven",
          (conv_arg){.axes = 2,
                     .opts = {.stride = {0, 3, 2},
                              .dilation = {0, 1, 2},
                              .before = {0, 2, 0},
                              .after = {0, 1, 3}}},
          picture(2, 10, 11, 4), picture(5, 4, 2, 4));
    check("7x7 stride 4", (conv_arg){.axes = 2, .opts = {.stride = {0, 4, 4}, PAD(3)}},
          picture(1, 11, 13, 2), picture(4, 7, 7, 2));
    check("as large as the picture", (conv_arg){.axes = 2}, picture(3, 4, 5, 6),
          picture(2, 4, 5, 6));
    check("one of all", (conv_arg){.axes = 2}, picture(1, 1, 1, 1), picture(1, 1, 1, 1));
    check("nothing", (conv_arg){.axes = 2, .opts = {PAD(1)}}, picture(0, 4, 4, 3),
          picture(2, 3, 3, 3));
}

static void test_groups(void **state) {
    (void)state;
    check("3x3 in 2 groups", (conv_arg){.axes = 2, .opts = {PAD(1), .groups = 2}, .bias = true},
          picture(2, 5, 6, 10), picture(14, 3, 3, 5));
    check("1x1 in 12 groups", (conv_arg){.axes = 2, .opts = {.groups = 12}, .bias = true},
          picture(1, 3, 4, 48), picture(36, 1, 1, 4));
    check("two outputs a channel", (conv_arg){.axes = 2, .opts = {PAD(1), .groups = 9}},
          picture(1, 5, 6, 9), picture(18, 3, 3, 1));
}

static void test_depthwise(void **state) {
    (void)state;
    for (int k = 1; k <= 7; k += 2)
        for (int s = 1; s <= 3; s++) {
            conv_arg a = {
                .axes = 2, .opts = {.stride = {0, s, s}, PAD(k / 2), .groups = 17}, .bias = true};
            char name[64];
            snprintf(name, sizeof name, "depthwise %d stride %d", k, s);
            check(name, a, picture(1, 7, 8, 17), picture(17, k, k, 1));
        }
    check("depthwise dilated",
          (conv_arg){.axes = 2, .opts = {.dilation = {0, 2, 2}, PAD(2), .groups = 20}},
          picture(1, 8, 9, 20), picture(20, 3, 3, 1));
    check("depthwise uneven",
          (conv_arg){
              .axes = 2,
              .opts = {.stride = {0, 1, 2}, .before = {0, 0, 2}, .after = {0, 3, 0}, .groups = 5}},
          picture(1, 8, 9, 5), picture(5, 3, 5, 1));
    check("depthwise, narrow", (conv_arg){.axes = 2, .opts = {PAD(2), .groups = 3}},
          picture(1, 4, 2, 3), picture(3, 5, 5, 1));
    check("depthwise in blocks of channels", (conv_arg){.axes = 2, .opts = {PAD(1), .groups = 70}},
          picture(1, 1, 400, 70), picture(70, 3, 3, 1));
    check("depthwise video",
          (conv_arg){.axes = 3, .opts = {.stride = {2, 1, 1}, PAD(1), .groups = 18}, .bias = true},
          video(1, 3, 4, 4, 18), video(18, 3, 3, 3, 1));
}

static void test_video(void **state) {
    (void)state;
    check("3x3x3", (conv_arg){.axes = 3, .opts = {PAD(1)}, .bias = true}, video(1, 3, 4, 4, 5),
          video(4, 3, 3, 3, 5));
    check("causal in time",
          (conv_arg){.axes = 3,
                     .opts = {.before = {2, 1, 1}, .after = {0, 1, 1}, .stride = {1, 2, 2}}},
          video(2, 3, 6, 5, 4), video(5, 3, 3, 3, 4));
    check("1x1x1", (conv_arg){.axes = 3}, video(1, 2, 3, 4, 5), video(6, 1, 1, 1, 5));
    check("3x1x1 in groups",
          (conv_arg){.axes = 3, .opts = {.before = {1}, .after = {1}, .groups = 3}},
          video(1, 5, 2, 3, 6), video(6, 3, 1, 1, 2));
}

static void test_epilogue(void **state) {
    (void)state;
    for (int depthwise = 0; depthwise < 2; depthwise++)
        for (int fn = FR_FN_NONE; fn <= FR_FN_HSWISH; fn++) {
            int64_t c = depthwise ? 17 : 4, out = depthwise ? 17 : 7;
            conv_arg a = {.axes = 2,
                          .opts = {PAD(1), .groups = depthwise ? 17 : 1, .act = (fr_fn)fn},
                          .bias = fn != FR_FN_SILU,
                          .residual = fn != FR_FN_RELU};
            op_case k = {.name = "activation and residual",
                         .in = {picture(1, 3, 4, c), picture(out, 3, 3, depthwise ? 1 : c)},
                         .arg = &a,
                         .build = build_conv,
                         .ref = ref_conv,
                         .bf16 = true};
            int at = 2;
            if (a.bias)
                k.in[at++] = (op_in){.dtype = FR_F32, .rank = 1, .dim = {out}, .grad = true};
            if (a.residual) k.in[at++] = picture(1, 3, 4, out);
            for (int i = 0; i < at; i++) k.in[i].grad = true;
            op_check(&k);
        }
}

/* f32 pictures with bf16 weights, and the other way. */
static void test_mixed(void **state) {
    (void)state;
    for (int depthwise = 0; depthwise < 2; depthwise++)
        for (int half = 0; half < 2; half++) {
            conv_arg a = {.axes = 2, .opts = {PAD(1), .groups = depthwise ? 8 : 1}, .bias = true};
            op_case k = {.name = "mixed",
                         .in = {picture(1, 6, 7, 8),
                                picture(8, 3, 3, depthwise ? 1 : 8),
                                {.dtype = FR_BF16, .rank = 1, .dim = {8}}},
                         .arg = &a,
                         .build = build_conv,
                         .ref = ref_conv,
                         .tol = 1.6e-2};
            k.in[half].dtype = FR_BF16;
            op_check(&k);
        }
}

/* ---- transposed ---- */

static int build_transpose(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const conv_arg *a = arg;
    out[0] = (a->axes == 2 ? fr_conv2d_transpose : fr_conv3d_transpose)(
        g, in[0], in[1], a->bias ? in[2] : FR_NONE, FR_NONE, &a->opts, a->size);
    return 1;
}

static void add_back(void *user, int64_t x, int64_t y, int64_t w) {
    sums *s = user; /* y: what comes out, in the place of the convolution's source */
    s->y[x] += s->x[y] * s->w[w];
}

static void ref_transpose(const void *arg, const op_f64 *in, op_f64 *out) {
    const conv_arg *a = arg;
    sums s = {in[0].v, in[1].v, out[0].v};
    conv_walk(a, &out[0].desc, &in[1].desc, &in[0].desc, add_back, &s);
    finish(a, in, out);
}

static void check_transpose(const char *name, conv_arg a, op_in x, op_in w, int64_t out) {
    op_case c = {
        .name = name, .arg = &a, .build = build_transpose, .ref = ref_transpose, .bf16 = true};
    x.grad = w.grad = true;
    c.in[0] = x;
    c.in[1] = w;
    if (a.bias) c.in[2] = (op_in){.dtype = FR_F32, .rank = 1, .dim = {out}, .grad = true};
    op_check(&c);
}

static void test_transpose(void **state) {
    (void)state;
    check_transpose("transposed 4x4 stride 2",
                    (conv_arg){.axes = 2,
                               .opts = {.stride = {0, 2, 2}, PAD(1), .act = FR_FN_SILU},
                               .size = {0, 10, 12},
                               .bias = true},
                    picture(1, 5, 6, 7), picture(7, 4, 4, 9), 9);
    check_transpose(
        "transposed 3x3 stride 2, odd size",
        (conv_arg){.axes = 2, .opts = {.stride = {0, 2, 2}, PAD(1)}, .size = {0, 9, 12}},
        picture(2, 5, 6, 3), picture(3, 3, 3, 4), 4);
    check_transpose(
        "transposed in groups",
        (conv_arg){
            .axes = 2, .opts = {.stride = {0, 2, 1}, .groups = 2}, .size = {0, 6, 6}, .bias = true},
        picture(1, 3, 5, 6), picture(6, 2, 2, 4), 8);
    check_transpose("transposed depthwise",
                    (conv_arg){.axes = 2,
                               .opts = {.stride = {0, 2, 1}, PAD(1), .groups = 19},
                               .size = {0, 10, 6}},
                    picture(1, 5, 6, 19), picture(19, 3, 3, 1), 19);
    check_transpose("transposed video",
                    (conv_arg){.axes = 3, .opts = {.stride = {1, 2, 2}}, .size = {4, 6, 8}},
                    video(1, 3, 3, 4, 3), video(3, 2, 2, 2, 5), 5);
}

/* ---- packed weights ---- */

/* The same bits whether the weight is an input (never packed) or a parameter (packed ahead). */
static void test_packed(void **state) {
    (void)state;
    for (int form = 0; form < 3; form++) {
        int64_t c = 24, cg = form == 0 ? 24 : form == 1 ? 12 : 1;
        int64_t xd[4] = {1, 7, 9, c}, wd[4] = {24, 3, 3, cg};
        fr_conv_opts o = {PAD(1), .groups = (int32_t)(c / cg)};
        float *x = fr_alloc(FR_MEM_OTHER, sizeof(float) * 7 * 9 * 24);
        float *w = fr_alloc(FR_MEM_OTHER, sizeof(float) * 24 * 9 * 24);
        fr_random_normal(1, 1, 0, x, 7 * 9 * 24);
        fr_random_normal(1, 2, 0, w, (size_t)(24 * 9 * cg));
        fr_tensor feed[2] = {fr_tensor_make(FR_F32, 4, xd, x), fr_tensor_make(FR_F32, 4, wd, w)};
        float *kept = NULL;
        for (int packed = 0; packed < 2; packed++) {
            fr_graph *g = fr_graph_new();
            fr_val vx = fr_input(g, "x", FR_F32, 4, xd);
            fr_val vw = packed ? fr_param(g, "w", FR_F32, 4, wd) : fr_input(g, "w", FR_F32, 4, wd);
            fr_output(g, "y", fr_conv2d(g, vx, vw, FR_NONE, FR_NONE, &o));
            fr_session *s;
            assert_int_equal(fr_session_new(g, &s), FR_OK);
            if (packed) assert_int_equal(fr_session_set(s, vw, &feed[1]), FR_OK);
            assert_int_equal(fr_session_run(s, feed, packed ? 1 : 2), FR_OK);
            const fr_tensor *y = fr_session_output(s, "y");
            if (!kept) {
                kept = fr_alloc(FR_MEM_OTHER, fr_bytes(y));
                memcpy(kept, y->data, fr_bytes(y));
            } else {
                assert_memory_equal(kept, y->data, fr_bytes(y));
            }
            fr_session_free(s);
            fr_graph_free(g);
        }
        fr_free(kept);
        fr_free(x);
        fr_free(w);
    }
}

/* ---- refusals ---- */

static void refuse(conv_arg a, op_in x, op_in w, const char *words) {
    op_in in[3] = {x, w, {0}};
    op_check_refused(in, build_conv, &a, words);
}

static void test_refused(void **state) {
    (void)state;
    conv_arg plain = {.axes = 2};
    op_in x = picture(1, 6, 6, 8);
    refuse(plain, video(1, 2, 6, 6, 8), picture(4, 3, 3, 8), "with 4 axes");
    refuse(plain, x, picture(4, 3, 3, 7), "the weight is for 7 channels");
    refuse(plain, x, picture(4, 7, 3, 8), "larger than the padded f32 [1, 6, 6, 8]");
    refuse(plain, x, picture(4, 0, 3, 8), "not a kernel");
    refuse((conv_arg){.axes = 2, .opts = {.groups = 3}}, x, picture(3, 3, 3, 2),
           "3 groups do not divide");
    refuse((conv_arg){.axes = 2, .opts = {.groups = 4}}, x, picture(6, 3, 3, 2),
           "4 groups do not divide");
    refuse((conv_arg){.axes = 2, .opts = {.groups = -1}}, x, picture(6, 3, 3, 2), "-1 groups");
    refuse((conv_arg){.axes = 2, .opts = {.stride = {0, -1, 1}}}, x, picture(6, 3, 3, 8),
           "stride -1");
    refuse((conv_arg){.axes = 2, .opts = {.before = {0, -1, 1}}}, x, picture(6, 3, 3, 8),
           "padding -1");
    refuse((conv_arg){.axes = 2, .opts = {.act = FR_FN_EXP}}, x, picture(6, 3, 3, 8),
           "cannot be fused");
    op_in in[4] = {x, picture(4, 3, 3, 8), {.dtype = FR_F32, .rank = 1, .dim = {5}}, {0}};
    op_check_refused(in, build_conv, &(conv_arg){.axes = 2, .bias = true},
                     "the bias cannot be f32 [5]");
    in[2] = picture(1, 6, 6, 4);
    op_check_refused(in, build_conv, &(conv_arg){.axes = 2, .residual = true},
                     "the residual cannot be f32 [1, 6, 6, 4]");
    x = picture(1, INT32_MAX, INT32_MAX, 1);
    op_in huge[3] = {picture(INT64_MAX / 4, 1, 1, 1), picture(1024, 1, 1, 1), {0}};
    op_check_refused(huge, build_conv, &plain, "");
    op_in back[3] = {picture(1, 5, 5, 8), picture(8, 3, 3, 4), {0}};
    op_check_refused(back, build_transpose,
                     &(conv_arg){.axes = 2, .opts = {.stride = {0, 2, 2}}, .size = {0, 10, 13}},
                     "no convolution of size 10");
}

/* Bias and residual kept in f32 beside bf16 pictures have f32 gradients. */
static void test_types_of_gradients(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_val x = fr_input(g, "x", FR_BF16, 4, (int64_t[]){1, 4, 4, 3});
    fr_val w = fr_input(g, "w", FR_BF16, 4, (int64_t[]){3, 1, 1, 3});
    fr_val wrt[2] = {fr_input(g, "bias", FR_F32, 1, (int64_t[]){3}),
                     fr_input(g, "residual", FR_F32, 4, (int64_t[]){1, 4, 4, 3})};
    fr_val y[2] = {fr_conv2d(g, x, w, wrt[0], wrt[1], NULL),
                   fr_conv2d_transpose(g, x, w, wrt[0], wrt[1], NULL, (int[]){1, 4, 4})};
    for (int i = 0; i < 2; i++) {
        fr_val grad[2], loss = fr_reduce(g, fr_cast(g, y[i], FR_F32), FR_SUM, 15, false);
        assert_int_equal(fr_gradients(g, loss, 2, wrt, grad), FR_OK);
        assert_int_equal(fr_desc(g, grad[0])->dtype, FR_F32);
        assert_int_equal(fr_desc(g, grad[1])->dtype, FR_F32);
    }
    fr_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),           cmocka_unit_test(test_groups),
        cmocka_unit_test(test_depthwise),          cmocka_unit_test(test_video),
        cmocka_unit_test(test_epilogue),           cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_transpose),          cmocka_unit_test(test_packed),
        cmocka_unit_test(test_types_of_gradients), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
