/* test_smooth.c: smoothing and reordering change no logits, for every family; factors are what their formula says, shared
 * where they must be; inputs come out smoother, or in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "made.h"

enum { MOST = 4 * 64, LAYER = 1 };

static const char *tap_name(const fr_decoder *m, fr_place place, int64_t expert) {
    static char name[96];
    const char *fused[] = {"self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj",
                           "mlp.down_proj"};
    const char *apart[] = {"self_attn.q_proj", "self_attn.o_proj", "mlp.gate_proj",
                           "mlp.down_proj"};
    const char *what = (m->fused ? fused : apart)[place];
    if (m->experts && place >= FR_PLACE_UP)
        snprintf(name, sizeof name, "model.layers.%d.block_sparse_moe.experts.%d.%s.weight", LAYER,
                 (int)expert, place == FR_PLACE_UP ? "w1" : "w2");
    else
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", LAYER, what);
    return name;
}

/* The largest magnitudes that flow into a place of LAYER. */
static void most_of(const made *a, fr_place place, float *most) {
    const int64_t experts = place == FR_PLACE_DOWN ? fr_weights_mlps(&a->m) : 1;
    const int64_t n = fr_place_inputs(&a->m, place) / experts;
    assert_true(n * experts <= MOST);
    for (int64_t e = 0; e < experts; e++)
        made_most(a, FR_TAP_LINEAR, tap_name(&a->m, place, e), n, most + e * n);
}

static void same(const char *kind, const char *what, const float *before, const made *a) {
    float *after = made_logits(a);
    double d = made_apart(before, after);
    if (!(d < 1e-5)) fail_msg("%s, %s: logits are %.2g apart", kind, what, d);
    fr_free(after);
}

/* ---- projections ---- */

static void check_place(const made_kind *kind, fr_place place) {
    made a;
    float most[MOST], after[MOST], by[MOST];
    made_new(&kind->m, 11, &a);
    float *before = made_logits(&a);
    const fr_smooth_opts o = {.alpha = 0.6, .beta = 0.3};
    most_of(&a, place, most);
    made_ok(fr_smooth(&a.m, place, &o, most, a.list, a.count, LAYER, by));
    same(kind->name, fr_place_names[place], before, &a);
    most_of(&a, place, after);
    bool any = false;
    for (int64_t i = 0; i < fr_place_inputs(&a.m, place); i++) {
        any |= fabsf(by[i] - 1) > 0.1f;
        if (fabsf(after[i] * by[i] - most[i]) > 1e-4f * most[i])
            fail_msg("%s, %s: input %d is %g, was %g, s is %g", kind->name, fr_place_names[place],
                     (int)i, (double)after[i], (double)most[i], (double)by[i]);
    }
    assert_true(any);
    fr_free(before);
    made_free(&a);
}

static void test_places(void **state) {
    (void)state;
    for (const made_kind *k = made_kinds; k->name; k++)
        for (int place = 0; place < FR_PLACES && made_can(&k->m); place++)
            check_place(k, (fr_place)place);
}

/* s = most ^ alpha / column ^ beta; 1 where that is nothing. */
static void test_factor(void **state) {
    (void)state;
    made a;
    float most[MOST], by[MOST], column[40] = {0};
    made_new(&made_kinds[0].m, 12, &a);
    float *down = made_values(&a, "model.layers.1.mlp.down_proj.weight");
    for (int c = 0; c < 40; c++) most[c] = 0.1f + (float)c;
    for (int r = 0; r < 48; r++) down[r * 40 + 7] = 0; /* a column of zeros */
    for (int r = 0; r < 48; r++)
        for (int c = 0; c < 40; c++) column[c] = fmaxf(column[c], fabsf(down[r * 40 + c]));
    most[3] = 0, most[4] = INFINITY, most[5] = NAN;
    float *before = made_logits(&a);
    made_ok(fr_smooth(&a.m, FR_PLACE_DOWN, &(fr_smooth_opts){.alpha = 0.3, .beta = 0.7}, most,
                      a.list, a.count, LAYER, by));
    for (int c = 0; c < 40; c++) {
        bool none = c == 3 || c == 4 || c == 5 || c == 7;
        double want = none ? 1 : pow((double)most[c], 0.3) / pow((double)column[c], 0.7);
        if (fabs((double)by[c] - want) > 1e-5 * want)
            fail_msg("channel %d: %g, not %g", c, (double)by[c], want);
    }
    same("llama", "factors", before, &a);
    fr_free(before);
    made_free(&a);
}

/* ---- keys ---- */

static void key_most(const made *a, float *keys, float *queries) {
    const fr_decoder *m = &a->m;
    made_most(a, FR_TAP_KEY, "model.layers.1.self_attn", m->kv_heads * m->head_dim, keys);
    made_most(a, FR_TAP_QUERY, "model.layers.1.self_attn", m->heads * m->head_dim, queries);
}

static void check_keys(const made_kind *kind, const fr_smooth_opts *o, int64_t turned) {
    made a;
    float keys[MOST], queries[MOST], after[MOST], grown[MOST], by[MOST];
    fr_decoder m = kind->m;
    m.rope.turned = turned;
    made_new(&m, 13, &a);
    const int64_t dim = m.head_dim, n = m.kv_heads * dim, group = m.heads / m.kv_heads;
    const int64_t half = (turned ? turned : dim) / 2;
    float *before = made_logits(&a);
    key_most(&a, keys, queries);
    made_ok(fr_smooth_keys(&m, o, keys, queries, a.list, a.count, LAYER, by));
    same(kind->name, "keys", before, &a);
    key_most(&a, after, grown);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = i % dim, other = at >= 2 * half ? at : (at + half) % (2 * half);
        double k = 0, q = 0;
        for (int64_t h = 0; h < m.kv_heads; h++) {
            if (h != i / dim && !m.head_norm) continue;
            k = fmax(k, (double)fmaxf(keys[h * dim + at], keys[h * dim + other]));
            for (int64_t g = h * group; g < (h + 1) * group; g++)
                q = fmax(q, (double)fmaxf(queries[g * dim + at], queries[g * dim + other]));
        }
        double want = pow(k, o->alpha) / pow(q, o->beta);
        if (fabs((double)by[i] - want) > 1e-5 * want)
            fail_msg("%s: channel %d: %g, not %g", kind->name, (int)i, (double)by[i], want);
        assert_true(fabsf(after[i] * by[i] - keys[i]) <= 1e-4f * keys[i]);
    }
    for (int64_t i = 0; i < m.heads * dim; i++) {
        float s = by[i / dim / group * dim + i % dim];
        assert_true(fabsf(grown[i] - queries[i] * s) <= 1e-4f * grown[i]);
    }
    fr_free(before);
    made_free(&a);
}

static void test_keys(void **state) {
    (void)state;
    static const fr_smooth_opts some[] = {{.alpha = 0.5}, {.alpha = 0.4, .beta = 0.6}};
    for (const made_kind *k = made_kinds; k->name; k++) {
        if (!made_can(&k->m)) continue;
        for (size_t i = 0; i < FR_COUNT(some); i++) check_keys(k, &some[i], i ? 8 : 0);
    }
}

/* Pairs lie next to each other: no graph of ours turns so, but the factors are shared so. */
static void test_interleaved(void **state) {
    (void)state;
    made a;
    float keys[MOST], queries[MOST], by[MOST];
    made_new(&made_kinds[0].m, 14, &a);
    for (int i = 0; i < MOST; i++) keys[i] = 1 + (float)i, queries[i] = 1;
    made_ok(fr_smooth_keys(&a.m, &(fr_smooth_opts){.alpha = 1, .interleaved = true}, keys, queries,
                           a.list, a.count, LAYER, by));
    for (int i = 0; i < 24; i++) assert_true(by[i] == keys[i | 1]);
    made_free(&a);
}

/* Keys without their bias smoothed too are other keys: what the released code does. */
static void test_bias_forgotten(void **state) {
    (void)state;
    static const char *const biases[] = {"model.layers.1.self_attn.k_proj.bias",
                                         "model.layers.1.self_attn.q_proj.bias"};
    for (int i = 0; i < 2; i++) {
        made a, old;
        float keys[MOST], queries[MOST];
        made_new(&made_kinds[4].m, 15, &a);
        made_copy(&a, &old);
        float *before = made_logits(&a);
        key_most(&a, keys, queries);
        made_ok(fr_smooth_keys(&a.m, &(fr_smooth_opts){.alpha = 0.9}, keys, queries, a.list,
                               a.count, LAYER, NULL));
        same("qwen2", "all", before, &a);
        memcpy(made_values(&a, biases[i]), made_values(&old, biases[i]), (i ? 48 : 24) * 4);
        float *after = made_logits(&a);
        assert_true(made_apart(before, after) > 1e-3);
        fr_free(before), fr_free(after);
        made_free(&a), made_free(&old);
    }
}

/* ---- order ---- */

static void check_order(const made_kind *kind, fr_place place) {
    made a;
    float most[MOST], after[MOST];
    int32_t from[MOST];
    made_new(&kind->m, 16, &a);
    float *before = made_logits(&a);
    const int64_t n = fr_place_inputs(&a.m, place), dim = a.m.head_dim;
    const int64_t group = a.m.heads / a.m.kv_heads;
    most_of(&a, place, most);
    made_ok(fr_reorder(&a.m, place, most, a.list, a.count, LAYER, from));
    same(kind->name, "order", before, &a);
    most_of(&a, place, after);
    const int64_t run = place == FR_PLACE_OUT ? dim : a.m.hidden;
    for (int64_t i = 0; i < n; i++) {
        assert_true(from[i] / run == i / run); /* inside a head, or an expert */
        if (fabsf(after[i] - most[from[i]]) > 1e-4f * after[i])
            fail_msg("%s, %s: input %d is not what %d was", kind->name, fr_place_names[place],
                     (int)i, from[i]);
        if (place == FR_PLACE_DOWN && i % run) assert_true(most[from[i]] >= most[from[i - 1]]);
        if (place == FR_PLACE_OUT && i % dim) { /* over the heads of a group */
            float here = 0, left = 0;
            for (int64_t g = 0; g < group; g++) {
                int64_t head = i / dim / group * group + g;
                here = fmaxf(here, most[head * dim + from[i] % dim]);
                left = fmaxf(left, most[head * dim + from[i - 1] % dim]);
            }
            assert_true(here >= left);
        }
    }
    fr_free(before);
    made_free(&a);
}

static void test_order(void **state) {
    (void)state;
    for (const made_kind *k = made_kinds; k->name; k++) {
        if (!made_can(&k->m)) continue;
        check_order(k, FR_PLACE_OUT);
        check_order(k, FR_PLACE_DOWN);
    }
}

/* Equal ones stay where they are, and what is no number is small. */
static void test_ties(void **state) {
    (void)state;
    made a;
    float most[MOST];
    int32_t from[MOST];
    made_new(&made_kinds[0].m, 17, &a);
    for (int i = 0; i < MOST; i++) most[i] = 1;
    most[5] = NAN;
    made_ok(fr_reorder(&a.m, FR_PLACE_DOWN, most, a.list, a.count, LAYER, from));
    for (int i = 0; i < 40; i++) assert_int_equal(from[i], !i ? 5 : i <= 5 ? i - 1 : i);
    made_free(&a);
}

/* ---- all of it, and what cannot be ---- */

/* In the order of QoQ. */
static void test_all(void **state) {
    (void)state;
    for (const made_kind *k = made_kinds; k->name; k++) {
        made a;
        float most[MOST], queries[MOST];
        if (!made_can(&k->m)) continue;
        made_new(&k->m, 18, &a);
        float *before = made_logits(&a);
        const fr_smooth_opts o = {.alpha = 0.3, .beta = 0.7};
        const fr_rotate_opts turn = {!a.m.around, !a.m.around, true, false};
        if (!a.m.around) made_ok(fr_decoder_untie(&a.m, &a.list, &a.count));
        for (int64_t layer = -1; layer < a.m.layers; layer++)
            made_ok(fr_rotate(&a.m, &turn, a.list, a.count, layer, NULL));
        for (int place = FR_PLACE_OUT; place <= FR_PLACE_DOWN; place += 2) {
            most_of(&a, (fr_place)place, most);
            made_ok(fr_reorder(&a.m, (fr_place)place, most, a.list, a.count, LAYER, NULL));
        }
        key_most(&a, most, queries);
        made_ok(fr_smooth_keys(&a.m, &(fr_smooth_opts){.alpha = 0.5}, most, queries, a.list,
                               a.count, LAYER, NULL));
        most_of(&a, FR_PLACE_DOWN, most);
        made_ok(fr_smooth(&a.m, FR_PLACE_DOWN, &o, most, a.list, a.count, LAYER, NULL));
        same(k->name, "all passes", before, &a);
        fr_free(before);
        made_free(&a);
    }
}

static void test_refuse(void **state) {
    (void)state;
    made a;
    float most[MOST] = {0};
    const fr_smooth_opts o = {.alpha = 0.5};
    made_new(&made_kinds[0].m, 19, &a);
    made_fails(fr_reorder(&a.m, FR_PLACE_QKV, most, a.list, a.count, 0, NULL), "'qkv'");
    made_fails(fr_reorder(&a.m, FR_PLACE_UP, most, a.list, a.count, 0, NULL), "'up'");
    made_fails(fr_reorder(&a.m, FR_PLACE_DOWN, most, a.list, a.count, 9, NULL), "layers.9");
    for (int place = 0; place < FR_PLACES; place++)
        made_fails(fr_smooth(&a.m, (fr_place)place, &o, most, a.list, 0, 0, NULL), "no parameter");
    made_fails(fr_smooth_keys(&a.m, &o, most, most, a.list, 0, 0, NULL), "no parameter");
    made_free(&a);
}

/* Whichever allocation fails, a status says so. */
static void test_memory(void **state) {
    (void)state;
    float most[MOST] = {1, 2, 3};
    const fr_smooth_opts o = {.alpha = 0.5};
    for (int pass = 0; pass < 5; pass++)
        for (long n = 1;; n++) {
            made a;
            made_new(&made_kinds[1].m, 20, &a);
            fr_status st = FR_OK;
            fr_memory_fail_after(n);
            if (pass == 0) st = fr_smooth(&a.m, FR_PLACE_OUT, &o, most, a.list, a.count, 0, NULL);
            if (pass == 1) st = fr_smooth_keys(&a.m, &o, most, most, a.list, a.count, 0, NULL);
            if (pass == 2) st = fr_reorder(&a.m, FR_PLACE_OUT, most, a.list, a.count, 0, NULL);
            if (pass == 3) st = fr_decoder_untie(&a.m, &a.list, &a.count);
            if (pass == 4) {
                a.m.tied = false;
                st = fr_rotate(&a.m, &(fr_rotate_opts){true, true, true, false}, a.list, a.count, 0,
                               NULL);
            }
            fr_memory_fail_after(0);
            made_free(&a);
            if (!st) {
                assert_true(n > 1);
                break;
            }
            assert_int_equal(st, FR_NOMEM);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),         cmocka_unit_test(test_factor),
        cmocka_unit_test(test_keys),           cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_bias_forgotten), cmocka_unit_test(test_order),
        cmocka_unit_test(test_ties),           cmocka_unit_test(test_all),
        cmocka_unit_test(test_refuse),         cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
