/* test_checkpoint.c: a checkpoint holds all that training is made of, survives a process that is
 * killed at any moment, and is refused whole when it is of another model. */
#include <setjmp.h>
#include <stdarg.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/train.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}
static void fails(fr_status st, const char *text) {
    assert_int_not_equal(st, FR_OK);
    if (!strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
}

enum { BATCH = 4, IN = 6, OUT = 5, STEPS = 12, KEYS = 3 };

/* How the graph differs from that of the checkpoint. */
typedef enum variant { SAME, WIDER, MORE, FEWER, OTHER_TYPE, NO_STATE } variant;

/* A bf16 weight, whose truth is an f32 master; an f32 bias; a table of integers, which is not
 * trained; and a state that counts steps and takes part in the loss. */
static fr_graph *model(variant how, fr_val *loss) {
    fr_graph *g = fr_graph_new();
    int64_t width = how == WIDER ? OUT + 1 : OUT;
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){BATCH, IN});
    fr_val w = fr_param(g, "w", how == OTHER_TYPE ? FR_F32 : FR_BF16, 2, (int64_t[]){width, IN});
    fr_val b = how == FEWER ? FR_NONE : fr_param(g, "b", FR_F32, 1, &width);
    fr_val keys = fr_param(g, "keys", FR_I32, 1, (int64_t[]){KEYS});
    if (how != OTHER_TYPE) w = fr_cast(g, w, FR_F32);
    fr_val y = fr_linear(g, x, w, b, FR_NONE, FR_FN_TANH);
    if (how == MORE) y = fr_mul(g, y, fr_param(g, "more", FR_F32, 1, &width));
    y = fr_gather(g, y, keys, 1);
    if (how != NO_STATE) {
        fr_val s = fr_state(g, "count", FR_F32, 1, (int64_t[]){1});
        y = fr_mul(g, y, fr_assign(g, s, fr_affine(g, s, 1, 1)));
    }
    *loss = fr_reduce(g, fr_unary(g, y, FR_FN_SQUARE), FR_MEAN, 3, false);
    return g;
}

typedef struct run {
    fr_graph *g;
    fr_trainer *t;
} run;

static run start(variant how, bool bound) {
    fr_val loss;
    run r = {.g = model(how, &loss)};
    fr_train_opts o = {.optimizer = FR_ADAMW,
                       .lr = 0.01f,
                       .weight_decay = 0.1f,
                       .clip = 1,
                       .schedule = FR_SCHEDULE_COSINE,
                       .steps = STEPS};
    ok(fr_trainer_new(r.g, loss, &o, NULL, &r.t));
    if (!bound) return r;
    fr_session *s = fr_trainer_session(r.t);
    int32_t keys[KEYS] = {4, 1, 1};
    fr_tensor t = fr_tensor_make(FR_I32, 1, (int64_t[]){KEYS}, keys);
    ok(fr_session_set(s, fr_graph_find(r.g, "keys"), &t));
    ok(fr_session_init_random(s, 2, 0.5f));
    return r;
}

static void finish(run *r) {
    fr_trainer_free(r->t);
    fr_graph_free(r->g);
}

static fr_status step(run *r) {
    float x[BATCH * IN], loss, norm;
    fr_random_normal(3, (uint64_t)fr_trainer_step_count(r->t), 0, x, BATCH * IN);
    fr_tensor in = fr_tensor_make(FR_F32, 2, (int64_t[]){BATCH, IN}, x);
    return fr_trainer_step(r->t, &in, 1, &loss, &norm);
}

static void steps(run *r, int64_t until) {
    while (fr_trainer_step_count(r->t) < until) ok(step(r));
}

/* What training comes to without a stop. */
static char *whole(size_t *bytes) {
    run r = start(SAME, true);
    char *data;
    steps(&r, STEPS);
    ok(fr_trainer_save(r.t, "whole.safetensors"));
    ok(fr_read_file("whole.safetensors", 0, &data, bytes));
    finish(&r);
    unlink("whole.safetensors");
    return data;
}

static void check_goes_on(const char *path) {
    size_t a_bytes, b_bytes;
    run r = start(SAME, false);
    ok(fr_trainer_resume(r.t, path));
    steps(&r, STEPS);
    ok(fr_trainer_save(r.t, "resumed.safetensors"));
    char *a = whole(&a_bytes), *b;
    ok(fr_read_file("resumed.safetensors", 0, &b, &b_bytes));
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(a, b, a_bytes);
    fr_free(a);
    fr_free(b);
    finish(&r);
    unlink("resumed.safetensors");
}

static void save_after(int64_t count, const char *path) {
    run r = start(SAME, true);
    steps(&r, count);
    ok(fr_trainer_save(r.t, path));
    finish(&r);
}

/* ---- masters, states and tables ---- */

static void test_same_bits(void **state) {
    (void)state;
    save_after(5, "five.safetensors");
    fr_store *store;
    ok(fr_store_open("five.safetensors", &store));
    static const char *const names[] = {
        "param/w", "master/w", "m/w", "v/w", "param/b", "m/b", "v/b", "param/keys", "state/count"};
    assert_int_equal(fr_store_count(store), FR_COUNT(names));
    for (size_t i = 0; i < FR_COUNT(names); i++)
        if (!fr_store_find(store, names[i])) fail_msg("no %s", names[i]);
    /* The master says more than the parameter, which is its rounding. */
    const fr_tensor *w = fr_store_find(store, "param/w"), *m = fr_store_find(store, "master/w");
    int finer = 0;
    for (int i = 0; i < OUT * IN; i++) {
        float exact = ((const float *)m->data)[i];
        uint16_t rounded = fr_f32_to_bf16(exact);
        assert_int_equal(rounded, ((const uint16_t *)w->data)[i]);
        finer += exact != fr_bf16_to_f32(rounded);
    }
    assert_true(finer > OUT * IN / 2);
    assert_float_equal(*(const float *)fr_store_find(store, "state/count")->data, 5, 0);
    fr_store_close(store);
    check_goes_on("five.safetensors");
    unlink("five.safetensors");
}

/* ---- another model ---- */

static void refuse(variant how, const char *path, const char *text) {
    run r = start(how, false);
    fails(fr_trainer_resume(r.t, path), text);
    fails(fr_trainer_save(r.t, "never.safetensors"), "has no value yet"); /* nothing was touched */
    finish(&r);
}

static void test_other_models(void **state) {
    (void)state;
    save_after(2, "two.safetensors");
    refuse(
        WIDER, "two.safetensors",
        "two.safetensors: param/w is bf16 [5, 6] in the checkpoint and bf16 [6, 6] in the graph");
    refuse(MORE, "two.safetensors", "the checkpoint has no param/more");
    refuse(FEWER, "two.safetensors", "the checkpoint holds param/b, which has no place");
    refuse(OTHER_TYPE, "two.safetensors", "bf16 [5, 6] in the checkpoint and f32 [5, 6]");
    refuse(NO_STATE, "two.safetensors", "holds state/count, which has no place");
    unlink("two.safetensors");
}

/* A trainer that goes on after a refused checkpoint is as if it had never been offered one. */
static void test_refused_midway(void **state) {
    (void)state;
    run other = start(WIDER, true);
    ok(fr_trainer_save(other.t, "other.safetensors"));
    finish(&other);
    run r = start(SAME, true);
    steps(&r, 4);
    fails(fr_trainer_resume(r.t, "other.safetensors"), "param/w is bf16 [6, 6]");
    assert_int_equal(fr_trainer_step_count(r.t), 4);
    ok(fr_trainer_save(r.t, "four.safetensors"));
    finish(&r);
    check_goes_on("four.safetensors");
    unlink("four.safetensors");
    unlink("other.safetensors");
}

static void check_step_text(const char *step, const char *text) {
    float v = 0;
    fr_tensor t = fr_tensor_make(FR_F32, 1, (int64_t[]){1}, &v);
    fr_named_tensor list[] = {{"x", &t}};
    fr_meta_pair meta[] = {{"step", step}, {"optimizer", "adamw"}};
    ok(fr_safetensors_write("odd.safetensors", list, 1, meta, step ? 2 : 0));
    run r = start(SAME, false);
    fails(fr_trainer_resume(r.t, "odd.safetensors"), text);
    finish(&r);
    unlink("odd.safetensors");
}

static void test_steps_that_are_none(void **state) {
    (void)state;
    check_step_text(NULL, "odd.safetensors: this is no checkpoint");
    check_step_text("-1", "step \"-1\"");
    check_step_text("7x", "step \"7x\"");
    check_step_text("9223372036854775807", "step \"9223372036854775807\"");
    check_step_text("99999999999999999999999", "is no number of steps");
}

static void test_broken_file(void **state) {
    (void)state;
    char *data;
    size_t bytes;
    save_after(2, "two.safetensors");
    ok(fr_read_file("two.safetensors", 0, &data, &bytes));
    ok(fr_write_file("two.safetensors", data, bytes - 1));
    fr_free(data);
    refuse(SAME, "two.safetensors", "two.safetensors");
    unlink("two.safetensors");
}

/* A name may be as long as it likes. */
static void test_long_name(void **state) {
    (void)state;
    char name[1001];
    memset(name, 'n', 1000);
    name[1000] = 0;
    for (int pass = 0; pass < 2; pass++) {
        fr_graph *g = fr_graph_new();
        fr_val w = fr_param(g, name, FR_F32, 1, (int64_t[]){2});
        fr_train_opts o = {.optimizer = FR_SGD, .lr = 0.1f, .momentum = 0.5f};
        fr_trainer *t;
        ok(fr_trainer_new(g, fr_mse(g, w, fr_affine(g, w, 2, 1)), &o, NULL, &t));
        if (pass) {
            ok(fr_trainer_resume(t, "long.safetensors"));
            assert_int_equal(fr_trainer_step_count(t), 1);
        } else {
            ok(fr_session_init_random(fr_trainer_session(t), 1, 1));
            ok(fr_trainer_step(t, NULL, 0, NULL, NULL));
            ok(fr_trainer_save(t, "long.safetensors"));
        }
        fr_trainer_free(t);
        fr_graph_free(g);
    }
    unlink("long.safetensors");
}

/* ---- a killed process ---- */

/* Saves after every step, and starts over, until somebody kills it. */
static void train_until_killed(int ready) {
    for (;;) {
        run r = start(SAME, true);
        for (int i = 0; i < STEPS; i++) {
            if (step(&r) || fr_trainer_save(r.t, "killed.safetensors")) _exit(1);
            if (i == 0 && ready >= 0 && write(ready, "x", 1) != 1) _exit(1);
        }
        ready = -1;
        finish(&r);
    }
}

static void remove_parts(void) {
    char **names;
    size_t count;
    ok(fr_list_dir(".", &names, &count));
    for (size_t i = 0; i < count; i++)
        if (strstr(names[i], "killed.safetensors.tmp.")) unlink(names[i]);
    fr_list_free(names, count);
}

static void test_killed(void **state) {
    (void)state;
    for (int round = 0; round < 4; round++) {
        int ends[2], status;
        char one;
        assert_int_equal(pipe(ends), 0);
        unlink("killed.safetensors");
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) train_until_killed(ends[1]);
        close(ends[1]);
        assert_int_equal(read(ends[0], &one, 1), 1);
        close(ends[0]);
        usleep((useconds_t)(1000 + 7919 * round)); /* anywhere, also within a save */
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        check_goes_on("killed.safetensors");
    }
    unlink("killed.safetensors");
    remove_parts();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),      cmocka_unit_test(test_other_models),
        cmocka_unit_test(test_refused_midway), cmocka_unit_test(test_steps_that_are_none),
        cmocka_unit_test(test_broken_file),    cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_killed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
