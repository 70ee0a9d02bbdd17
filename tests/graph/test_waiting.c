/* test_waiting.c: parameters whose file has another type, or holds them in few bits, give what the same values given
 * directly give: packed alone, stacked with siblings, read by an embedding, in training, written over. Packed ones take no
 * memory as weights. */
#include <unistd.h>

#include "format/format.h"
#include "toy.h"

enum { ROWS = 96, K = 64, IDS = 3 };

static char path[64];
static float table[ROWS * K], half[ROWS * K], few[ROWS * K], other[ROWS * K];

/* One file: the table and "half" in f16, "few" in int4-g64, "other" in f32. */
static void write_store(void) {
    uint16_t h[2][ROWS * K];
    float *all[] = {table, half, few, other};
    const int64_t dim[] = {ROWS, K};
    fr_quantized q;
    fr_named_tensor list[8];
    fr_meta_pair meta[1];
    size_t count = 0, metas = 0;
    for (size_t i = 0; i < 4; i++) fr_random_normal(9, i, 0, all[i], ROWS * K);
    toy_good(fr_encode(FR_F16, table, ROWS * K, h[0]));
    toy_good(fr_encode(FR_F16, half, ROWS * K, h[1]));
    fr_decode(FR_F16, h[0], ROWS * K, table);
    fr_decode(FR_F16, h[1], ROWS * K, half);
    toy_good(fr_quantize(fr_format_find("int4-g64"), NULL, few, ROWS, K, &q));
    q.format->decode(&q, 0, ROWS, few);
    fr_tensor t[] = {fr_tensor_make(FR_F16, 2, dim, h[0]), fr_tensor_make(FR_F16, 2, dim, h[1]),
                     fr_tensor_make(FR_F32, 2, dim, other)};
    list[count++] = (fr_named_tensor){"table", &t[0]};
    list[count++] = (fr_named_tensor){"half", &t[1]};
    list[count++] = (fr_named_tensor){"other", &t[2]};
    fr_arena *arena = fr_arena_new();
    toy_good(fr_quantized_list(&q, "few", arena, list, &count, meta, &metas));
    snprintf(path, sizeof path, "/tmp/frugal-waiting-%d.safetensors", (int)getpid());
    toy_good(fr_safetensors_write(path, list, count, meta, metas));
    fr_arena_free(arena);
    fr_quantized_free(&q);
}

static fr_graph *graph(bool fused) {
    const int64_t dim[] = {ROWS, K};
    fr_graph *g = fr_graph_new();
    fr_val ids = fr_input(g, "ids", FR_I32, 1, (int64_t[]){IDS});
    fr_val x = fr_embedding(g, fr_param(g, "table", FR_F32, 2, dim), ids);
    static const char *const names[] = {"half", "few", "other"};
    for (int i = 0; i < 3; i++) {
        fr_val w = fr_param(g, names[i], FR_F32, 2, dim);
        char name[] = "y0";
        name[1] = (char)('0' + i);
        fr_output(g, name, fr_linear(g, x, w, FR_NONE, FR_NONE, FR_FN_NONE));
    }
    if (fused) toy_good(fr_fuse(g, FR_FUSE_ALL, NULL));
    return g;
}

static void run(fr_session *s, float out[3][IDS * ROWS]) {
    int32_t ids[IDS] = {5, 0, ROWS - 1};
    fr_tensor in = fr_tensor_make(FR_I32, 1, (int64_t[]){IDS}, ids);
    toy_good(fr_session_run(s, &in, 1));
    for (int i = 0; i < 3; i++) {
        char name[] = "y0";
        name[1] = (char)('0' + i);
        toy_good(fr_tensor_to_f32(fr_session_output(s, name), out[i]));
    }
}

static void set(fr_session *s, const fr_graph *g, const char *name, float *x) {
    fr_tensor t = fr_tensor_make(FR_F32, 2, (int64_t[]){ROWS, K}, x);
    toy_good(fr_session_set(s, fr_graph_find(g, name), &t));
}

static float want[3][IDS * ROWS], got[3][IDS * ROWS];

static void make_wanted(fr_graph *g, bool train) {
    fr_session *s;
    toy_good(fr_session_new_with(g, &(fr_session_opts){.train = train}, &s));
    set(s, g, "table", table);
    set(s, g, "half", half);
    set(s, g, "few", few);
    set(s, g, "other", other);
    run(s, want);
    fr_session_free(s);
}

static void same_values(void **state) {
    (void)state;
    for (int way = 0; way < 4; way++) {
        bool fused = way & 1, train = way & 2;
        fr_graph *g = graph(fused);
        fr_store *store;
        fr_session *s;
        make_wanted(g, train);
        toy_good(fr_store_open(path, &store));
        size_t before = fr_memory_stat(FR_MEM_WEIGHTS).now;
        toy_good(fr_session_new_with(g, &(fr_session_opts){.train = train}, &s));
        toy_good(fr_session_load(s, store));
        assert_int_equal(fr_memory_stat(FR_MEM_WEIGHTS).now, before);
        run(s, got);
        assert_memory_equal(got, want, sizeof got);
        if (!train) /* the table alone; the others are in panels */
            assert_int_equal(fr_memory_stat(FR_MEM_WEIGHTS).now - before, sizeof table);
        /* Who asks for a parameter sees its values, and a run is as before. */
        const fr_tensor *t = fr_session_tensor(s, fr_graph_find(g, "few"));
        assert_memory_equal(t->data, few, sizeof few);
        run(s, got);
        assert_memory_equal(got, want, sizeof got);
        set(s, g, "half", other);
        run(s, got);
        assert_memory_equal(got[0], got[2], sizeof got[0]);
        assert_memory_equal(got[1], want[1], sizeof got[1]);
        fr_session_free(s);
        fr_store_close(store);
        fr_graph_free(g);
    }
}

static void made_writable(void **state) {
    (void)state;
    fr_graph *g = graph(false);
    fr_store *store;
    fr_session *s;
    make_wanted(g, false);
    toy_good(fr_store_open(path, &store));
    toy_good(fr_session_new_with(g, NULL, &s));
    toy_good(fr_session_load(s, store));
    toy_good(fr_session_make_writable(s));
    toy_good(fr_session_load(s, store)); /* again, over what there is */
    toy_good(fr_session_make_writable(s));
    fr_store_close(store);
    run(s, got);
    assert_memory_equal(got, want, sizeof got);
    fr_session_free(s);
    fr_graph_free(g);
}

/* Whatever allocation fails, nothing is lost and the next try is right. */
static void want_of_memory(void **state) {
    (void)state;
    size_t before = fr_memory_total().now;
    for (long n = 1; n < 60; n++) {
        fr_graph *g = graph(true);
        fr_store *store;
        fr_session *s;
        int32_t ids[IDS] = {5, 0, ROWS - 1};
        fr_tensor in = fr_tensor_make(FR_I32, 1, (int64_t[]){IDS}, ids);
        toy_good(fr_store_open(path, &store));
        toy_good(fr_session_new_with(g, &(fr_session_opts){0}, &s));
        fr_memory_fail_after(n);
        fr_status st = fr_session_load(s, store);
        if (!st) st = fr_session_run(s, &in, 1);
        fr_memory_fail_after(0);
        if (st) {
            toy_good(fr_session_load(s, store));
            run(s, got);
            assert_memory_equal(got, want, sizeof got);
        }
        fr_session_free(s);
        fr_store_close(store);
        fr_graph_free(g);
        assert_int_equal(fr_memory_total().now, before);
    }
}

static int begin(void **state) {
    (void)state;
    write_store();
    return 0;
}

static int end(void **state) {
    (void)state;
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_values),
        cmocka_unit_test(made_writable),
        cmocka_unit_test(want_of_memory),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
