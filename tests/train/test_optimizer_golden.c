/* test_optimizer_golden.c: AdamW against doubles, and CAME and the optimizers in 8 bits against the
 * NumPy of tests/oracle/optimizers.py, with gradients that both make from whole numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "train/train.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

typedef struct shape {
    const char *name;
    int rank;
    int64_t dim[4];
    size_t values;
} shape;

enum { SHAPES = 6, STEPS = 50, EVERY = 9, MOST = 20000 };
static const shape shapes[SHAPES] = {
    {"vector", 1, {37}, 37},          {"matrix", 2, {12, 20}, 240},
    {"wide", 2, {3, 70}, 210},        {"point", 4, {6, 1, 1, 10}, 60},
    {"kernel", 4, {5, 3, 3, 4}, 180}, {"large", 2, {200, 100}, MOST}};

static float input[SHAPES][MOST];

static void make_gradient(int which, int step) {
    const shape *s = &shapes[which];
    uint32_t cols = (uint32_t)s->dim[s->rank - 1];
    for (uint32_t i = 0; i < s->values; i++) {
        uint64_t whole =
            i * 2654435761ull + (uint64_t)(step + 1) * 40503 * 65537 + (uint64_t)which * 97;
        uint32_t h = (uint32_t)whole;
        h = (h ^ (h >> 15)) * 2246822519u;
        h ^= h >> 13;
        int size = (int)(i / cols % 5) - (int)(i % cols % 7) - (step < 25 ? 0 : 6);
        input[which][i] = (float)ldexp(((double)(h >> 16) - 30000) / 65536, size);
    }
}

/* The gradient of a sum of products with an input is that input. */
typedef struct run {
    fr_graph *g;
    fr_pool *pool;
    fr_trainer *t;
    fr_tensor in[SHAPES];
} run;

static run start(fr_train_opts o, int count) {
    run r = {.g = fr_graph_new()};
    fr_val loss = FR_NONE;
    for (int i = 0; i < count; i++) {
        const shape *s = &shapes[i];
        char name[32];
        snprintf(name, sizeof name, "x/%s", s->name);
        fr_val w = fr_param(r.g, s->name, FR_F32, s->rank, s->dim);
        fr_val x = fr_input(r.g, name, FR_F32, s->rank, s->dim);
        fr_val sum = fr_reduce(r.g, fr_mul(r.g, w, x), FR_SUM, (1u << s->rank) - 1, false);
        loss = i ? fr_add(r.g, loss, sum) : sum;
        r.in[i] = fr_tensor_make(FR_F32, s->rank, s->dim, input[i]);
    }
    ok(fr_pool_new(2, &r.pool));
    ok(fr_trainer_new(r.g, loss, &o, r.pool, &r.t));
    ok(fr_session_init_random(fr_trainer_session(r.t), 1, 0));
    for (int i = 0; i < count; i++) {
        fr_val w = fr_graph_find(r.g, shapes[i].name);
        float *at = fr_session_tensor(fr_trainer_session(r.t), w)->data;
        for (size_t k = 0; k < shapes[i].values; k++) at[k] = ((float)(k % 13) - 6) / 4;
    }
    return r;
}
static void finish(run *r) {
    fr_trainer_free(r->t);
    fr_graph_free(r->g);
    fr_pool_free(r->pool);
}
static const float *weights(run *r, int which) {
    return fr_session_tensor(fr_trainer_session(r->t), fr_graph_find(r->g, shapes[which].name))
        ->data;
}
static void step(run *r, int count, int number) {
    for (int i = 0; i < count; i++) make_gradient(i, number);
    ok(fr_trainer_step(r->t, r->in, count, NULL, NULL));
}

/* ---- AdamW ---- */

static void test_adamw(void **state) {
    (void)state;
    enum { LONG = 1000, COUNT = 5, SMALL = 240 };
    static double p[COUNT][SMALL], m[COUNT][SMALL], v[COUNT][SMALL];
    fr_train_opts o = {
        .optimizer = FR_ADAMW, .lr = 0.01f, .weight_decay = 0.1f, .beta2 = 0.99f, .clip = 40};
    run r = start(o, COUNT);
    for (int i = 0; i < COUNT; i++)
        for (size_t k = 0; k < shapes[i].values; k++) p[i][k] = ((double)(k % 13) - 6) / 4;
    const double lr = 0.01f, b1 = 0.9f, b2 = 0.99f, decay = 0.1f, eps = 1e-8f;
    for (int t = 0; t < LONG; t++) {
        double square = 0;
        step(&r, COUNT, t);
        for (int i = 0; i < COUNT; i++)
            for (size_t k = 0; k < shapes[i].values; k++)
                square += (double)input[i][k] * input[i][k];
        double by = sqrt(square) > 40 ? 40 / (sqrt(square) + 1e-6) : 1;
        for (int i = 0; i < COUNT; i++)
            for (size_t k = 0; k < shapes[i].values; k++) {
                double g = by * (double)input[i][k];
                m[i][k] = b1 * m[i][k] + (1 - b1) * g;
                v[i][k] = b2 * v[i][k] + (1 - b2) * g * g;
                if (shapes[i].rank > 1) p[i][k] *= 1 - lr * decay;
                p[i][k] -= lr * (m[i][k] / (1 - pow(b1, t + 1))) /
                           (sqrt(v[i][k] / (1 - pow(b2, t + 1))) + eps);
            }
    }
    double worst = 0;
    for (int i = 0; i < COUNT; i++)
        for (size_t k = 0; k < shapes[i].values; k++)
            worst = fmax(worst, fabs((double)weights(&r, i)[k] - p[i][k]));
    print_message("AdamW: largest difference from doubles after %d steps %.2g\n", LONG, worst);
    assert_true(worst < 2e-5);
    finish(&r);
}

/* ---- the others ---- */

/* How far the weights are from NumPy's, as a share of the way that they went. */
static double distance(fr_store *golden, run *r, const char *name, int which) {
    char key[64];
    snprintf(key, sizeof key, "%s.%s", name, shapes[which].name);
    const fr_tensor *t = fr_store_find(golden, key);
    if (!t) return 0; /* the small ones are those of "came" */
    int apart = shapes[which].values == MOST ? EVERY : 1;
    double off = 0, way = 0;
    for (int64_t i = 0; i < fr_values(t); i++) {
        int64_t k = i * apart;
        double want = ((const float *)t->data)[i], begin = ((double)(k % 13) - 6) / 4;
        off += pow((double)weights(r, which)[k] - want, 2);
        way += pow(want - begin, 2);
    }
    return sqrt(off / way);
}

static void check(const char *name, fr_train_opts o, double bound) {
    fr_store *golden;
    o.lr = 0.01f;
    o.weight_decay = 0.1f;
    o.clip = 40;
    ok(fr_store_open(FR_TESTS_DIR "/golden/train/optimizers.safetensors", &golden));
    run r = start(o, SHAPES);
    for (int t = 0; t < STEPS; t++) step(&r, SHAPES, t);
    for (int i = 0; i < SHAPES; i++) {
        double d = distance(golden, &r, name, i);
        if (d > 0) print_message("%s %s: %.2g of the way\n", name, shapes[i].name, d);
        if (!(d <= bound))
            fail_msg("%s: %s is %.3g of its way from NumPy's", name, shapes[i].name, d);
    }
    finish(&r);
    fr_store_close(golden);
}

static void test_came(void **state) {
    (void)state;
    check("came", (fr_train_opts){.optimizer = FR_CAME}, 1e-5);
}

/* A code that rounds the other way moves one value a little. */
static void test_eight_bits(void **state) {
    (void)state;
    check("came8", (fr_train_opts){.optimizer = FR_CAME8}, 1e-3);
    check("around", (fr_train_opts){.optimizer = FR_CAME8, .around_zero8 = true}, 1e-3);
    check("adamw8", (fr_train_opts){.optimizer = FR_ADAMW8}, 1e-3);
}

/* Small gradients beside a large one: their squares are below the smallest value of the map. They may
 * go slower than in f32, not faster. */
static void test_small_beside_large(void **state) {
    (void)state;
    enum { N = 64, LONG = 100 };
    static float x[N * N];
    fr_graph *g = fr_graph_new();
    fr_val p = fr_param(g, "w", FR_F32, 2, (int64_t[]){N, N});
    fr_val in = fr_input(g, "x", FR_F32, 2, (int64_t[]){N, N});
    fr_trainer *t;
    fr_train_opts o = {.optimizer = FR_ADAMW8, .lr = 0.01f};
    ok(fr_trainer_new(g, fr_reduce(g, fr_mul(g, p, in), FR_SUM, 3, false), &o, NULL, &t));
    ok(fr_session_init_random(fr_trainer_session(t), 1, 0));
    for (int i = 0; i < N * N; i++) x[i] = i % 256 ? 1e-4f : 1;
    fr_tensor tensor = fr_tensor_make(FR_F32, 2, (int64_t[]){N, N}, x);
    for (int i = 0; i < LONG; i++) ok(fr_trainer_step(t, &tensor, 1, NULL, NULL));
    const float *w = fr_session_tensor(fr_trainer_session(t), p)->data;
    for (int i = 0; i < N * N; i++) {
        assert_true(w[i] < 0 && w[i] > -1.01f);
        if (i % 256 == 0) assert_float_equal(w[i], -1, 0.01);
    }
    fr_trainer_free(t);
    fr_graph_free(g);
}

/* Blocks of one value keep all bits, whichever way they are kept. */
static void test_blocks_of_one(void **state) {
    (void)state;
    run a = start((fr_train_opts){.optimizer = FR_CAME, .lr = 0.01f}, SHAPES);
    run b = start((fr_train_opts){.optimizer = FR_CAME8, .lr = 0.01f, .block8 = 1, .least8 = 1},
                  SHAPES);
    for (int t = 0; t < 5; t++) {
        step(&a, SHAPES, t);
        step(&b, SHAPES, t);
    }
    for (int i = 0; i < SHAPES; i++)
        assert_memory_equal(weights(&a, i), weights(&b, i), shapes[i].values * sizeof(float));
    finish(&a);
    finish(&b);
}

/* Squares that are the product of a row and a column are kept as they are: with no first moment to
 * speak of, the step of the first update is g / |g|, divided by the confidence. */
static void test_rank_one(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    enum { R = 6, C = 9 };
    float x[R * C], *w;
    for (int i = 0; i < R * C; i++) x[i] = ldexpf(i % 4 == 1 ? -1 : 1, i / C - 2 * (i % C % 3));
    fr_val p = fr_param(g, "w", FR_F32, 2, (int64_t[]){R, C});
    fr_val in = fr_input(g, "x", FR_F32, 2, (int64_t[]){R, C});
    fr_trainer *t;
    fr_train_opts o = {.optimizer = FR_CAME, .lr = 1, .beta1 = 1e-30f, .beta2 = 1e-30f, .eps2 = 1};
    ok(fr_trainer_new(g, fr_reduce(g, fr_mul(g, p, in), FR_SUM, 3, false), &o, NULL, &t));
    ok(fr_session_init_random(fr_trainer_session(t), 1, 0));
    fr_tensor tensor = fr_tensor_make(FR_F32, 2, (int64_t[]){R, C}, x);
    ok(fr_trainer_step(t, &tensor, 1, NULL, NULL));
    w = fr_session_tensor(fr_trainer_session(t), p)->data;
    /* U = g / |g|; m = U, so that the instability is eps2 = 1, of which 1e-4 is taken */
    for (int i = 0; i < R * C; i++) assert_float_equal(w[i], x[i] > 0 ? -100 : 100, 1e-2);
    fr_trainer_free(t);
    fr_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adamw),         cmocka_unit_test(test_came),
        cmocka_unit_test(test_eight_bits),    cmocka_unit_test(test_small_beside_large),
        cmocka_unit_test(test_blocks_of_one), cmocka_unit_test(test_rank_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
