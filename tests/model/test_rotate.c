/* test_rotate.c: a rotated decoder computes what it computed, for every family that can be rotated; taking a rotation
 * back restores the weights; channels that were far larger than the others no longer are. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "made.h"

static void rotate(made *a, const fr_rotate_opts *o) {
    for (int64_t layer = -1; layer < a->m.layers; layer++)
        made_ok(fr_rotate(&a->m, o, a->list, a->count, layer, NULL));
}

static const fr_rotate_opts whole = {.fold = true, .residual = true, .heads = true};

static void check_same(const made_kind *kind, const char *what, const fr_rotate_opts *o) {
    made a;
    made_new(&kind->m, 1, &a);
    float *before = made_logits(&a);
    if (o->fold || o->residual) made_ok(fr_decoder_untie(&a.m, &a.list, &a.count));
    rotate(&a, o);
    float *after = made_logits(&a);
    double d = made_apart(before, after);
    print_message("%s, %s: %.1e\n", kind->name, what, d);
    if (!(d < 1e-5)) fail_msg("%s, %s: logits are %.2g apart", kind->name, what, d);
    fr_free(before), fr_free(after);
    made_free(&a);
}

static void test_same(void **state) {
    (void)state;
    for (const made_kind *k = made_kinds; k->name; k++) {
        if (!made_can(&k->m)) {
            print_message("%s: cannot be built yet\n", k->name);
            continue;
        }
        if (!k->m.around) check_same(k, "folded", &(fr_rotate_opts){.fold = true});
        check_same(k, "heads", &(fr_rotate_opts){.heads = true});
        if (!k->m.around) check_same(k, "all", &whole);
    }
}

static bool is_norm(const fr_named_tensor *t) {
    return strstr(t->name, "norm") && !strstr(t->name, "q_norm") && !strstr(t->name, "k_norm");
}

/* Norms say nothing any more, and R then RT gives the weights back. */
static void test_back(void **state) {
    (void)state;
    for (const made_kind *k = made_kinds; k->name; k++) {
        made a, b;
        if (!made_can(&k->m) || k->m.around) continue;
        made_new(&k->m, 2, &a);
        made_ok(fr_decoder_untie(&a.m, &a.list, &a.count));
        assert_false(a.m.tied);
        rotate(&a, &(fr_rotate_opts){.fold = true});
        made_copy(&a, &b);
        rotate(&a, &(fr_rotate_opts){.residual = true, .heads = true});
        double moved = 0;
        for (int round = 0; round < 2; round++) {
            for (size_t i = 0; i < a.count; i++) {
                const float *x = a.list[i].tensor->data, *y = b.list[i].tensor->data;
                for (int64_t j = 0; j < fr_values(a.list[i].tensor); j++) {
                    double d = fabs((double)x[j] - (double)y[j]);
                    if (!round) moved = fmax(moved, d);
                    if (round && !(d < 1e-6)) fail_msg("%s is not what it was", a.list[i].name);
                    if (is_norm(&a.list[i])) assert_true(x[j] == (a.m.norm_plus_one ? 0 : 1));
                }
            }
            if (!round)
                rotate(&a, &(fr_rotate_opts){.residual = true, .heads = true, .back = true});
        }
        assert_true(moved > 0.1);
        made_free(&a), made_free(&b);
    }
}

/* One thing forgotten, and the logits say so. */
static void test_forgotten(void **state) {
    (void)state;
    static const char *const forgotten[] = {"model.layers.1.self_attn.q_proj.weight",
                                            "model.layers.0.self_attn.v_proj.bias",
                                            "model.layers.0.self_attn.o_proj.bias",
                                            "model.layers.1.mlp.down_proj.weight",
                                            "model.embed_tokens.weight",
                                            "lm_head.weight",
                                            "model.norm.weight",
                                            "model.layers.0.self_attn.o_proj.weight"};
    for (size_t i = 0; i < FR_COUNT(forgotten); i++) {
        made a, old;
        made_new(&made_kinds[2].m, 3, &a);
        made_copy(&a, &old);
        rotate(&a, &whole);
        float *before = made_logits(&old);
        for (size_t j = 0; j < a.count; j++)
            if (!strcmp(a.list[j].name, forgotten[i]))
                memcpy(a.list[j].tensor->data, old.list[j].tensor->data,
                       fr_bytes(a.list[j].tensor));
        float *after = made_logits(&a);
        if (!(made_apart(before, after) > 1e-3)) fail_msg("%s does not matter", forgotten[i]);
        fr_free(before), fr_free(after);
        made_free(&a), made_free(&old);
    }
}

/* ---- outliers ---- */

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The largest magnitude of any channel over that of the middle one. */
static double unevenness(const made *a, fr_tap_kind kind, const char *name, int64_t n) {
    float most[64];
    made_most(a, kind, name, n, most);
    qsort(most, (size_t)n, sizeof *most, by_size);
    return (double)most[n - 1] / (double)most[n / 2];
}

static void test_outliers(void **state) {
    (void)state;
    made a;
    made_new(&made_kinds[0].m, 4, &a);
    made_ok(fr_outliers(&a.m, &(fr_outlier_opts){.share = 0.02, .factor = 32, .seed = 1}, a.list,
                        a.count, NULL));
    const struct {
        fr_tap_kind kind;
        const char *name;
        int64_t n;
    } places[] = {{FR_TAP_LINEAR, "model.layers.1.self_attn.q_proj.weight", a.m.width},
                  {FR_TAP_LINEAR, "model.layers.1.mlp.up_proj.weight", a.m.width},
                  {FR_TAP_LINEAR, "lm_head.weight", a.m.width},
                  {FR_TAP_VALUE, "model.layers.1.self_attn", a.m.kv_heads * a.m.head_dim}};
    double before[FR_COUNT(places)];
    for (size_t i = 0; i < FR_COUNT(places); i++)
        before[i] = unevenness(&a, places[i].kind, places[i].name, places[i].n);
    rotate(&a, &whole);
    for (size_t i = 0; i < FR_COUNT(places); i++) {
        double after = unevenness(&a, places[i].kind, places[i].name, places[i].n);
        print_message("%s: largest channel over the middle one %.1f -> %.1f\n", places[i].name,
                      before[i], after);
        assert_true(before[i] > 7);
        assert_true(after < before[i] / (places[i].kind == FR_TAP_VALUE ? 2 : 5));
    }
    made_free(&a);
}

/* ---- what cannot be done ---- */

static void test_refuse(void **state) {
    (void)state;
    fr_decoder gemma = made_kinds[0].m, odd = made_kinds[0].m;
    gemma.family = FR_FAMILY_GEMMA2;
    gemma.around = gemma.norm_plus_one = true;
    odd.width = 46;
    made_fails(fr_rotate_check(&gemma, &whole), "gemma2 cannot be rotated");
    made_ok(fr_rotate_check(&gemma, &(fr_rotate_opts){.heads = true}));
    made_fails(fr_rotate_check(&made_kinds[1].m, &whole), "copy");
    made_fails(fr_rotate_check(&odd, &whole), "size 46");
    made_ok(fr_rotate_check(&odd, &(fr_rotate_opts){.fold = true, .heads = true}));
    odd.head_dim = 6;
    made_fails(fr_rotate_check(&odd, &(fr_rotate_opts){.heads = true}), "Heads");

    made a;
    made_new(&made_kinds[0].m, 5, &a);
    for (int64_t layer = -1; layer < 2; layer++) {
        made_fails(
            fr_rotate(&a.m, &(fr_rotate_opts){.residual = true}, a.list, a.count, layer, NULL),
            "must be folded");
        made_fails(fr_rotate(&a.m, &whole, a.list, 0, layer, NULL), "no parameter");
    }
    a.m.hidden++;
    made_fails(fr_rotate(&a.m, &whole, a.list, a.count, 0, NULL), "should be f32");
    made_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),      cmocka_unit_test(test_back),
        cmocka_unit_test(test_forgotten), cmocka_unit_test(test_outliers),
        cmocka_unit_test(test_refuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
