/* test_kv_write.c: kv_write against fr_kv_page_write, byte for byte, and what it does with numbers that no page holds. */
#include "format/kv.h"
#include "op_test.h"

enum { BATCH = 2, PAGES = 5 }; /* of a sequence */

/* Which page holds tokens of a sequence: no order, none shared. */
static int32_t page_at(int64_t most, int b, int64_t i) {
    return (int32_t)((b * most + i) * 7 % (BATCH * most));
}

static float *normal(uint64_t stream, size_t n) {
    float *x = fr_alloc_array(FR_MEM_OTHER, n, sizeof *x);
    fr_random_normal(21, stream, 0, x, n);
    return x;
}

static void write_one(fr_kv_kind kind, fr_dtype type, int32_t dim, fr_pool *pool) {
    enum { TOKENS = 70, HEADS = 3 };
    fr_kv_layout l;
    assert_int_equal(fr_kv_layout_of(kind, HEADS, dim, &l), FR_OK);
    const int32_t start[BATCH] = {60, 129};
    int32_t table[BATCH * PAGES];
    for (int i = 0; i < BATCH * PAGES; i++) table[i] = page_at(PAGES, i / PAGES, i % PAGES);
    const int64_t shape_x[] = {BATCH, TOKENS, HEADS, dim},
                  shape_p[] = {BATCH * PAGES, (int64_t)l.bytes};
    const size_t n = (size_t)(BATCH * TOKENS * HEADS * dim);
    float *x = normal(9, n);
    fr_tensor in[3] = {fr_tensor_make(type, 4, shape_x, fr_alloc(FR_MEM_OTHER, n * 4)),
                       fr_tensor_make(FR_I32, 2, (int64_t[]){BATCH, PAGES}, table),
                       fr_tensor_make(FR_I32, 1, (int64_t[]){BATCH}, (void *)(uintptr_t)start)};
    assert_int_equal(fr_encode(type, x, n, in[0].data), FR_OK);
    fr_decode(type, in[0].data, n, x);
    fr_graph *g = fr_graph_new();
    fr_val pages = fr_state(g, "pages", FR_U8, 2, shape_p);
    fr_val v[3] = {FR_NONE};
    v[0] = fr_input(g, "x", type, 4, shape_x);
    v[1] = fr_input(g, "table", FR_I32, 2, in[1].dim);
    v[2] = fr_input(g, "start", FR_I32, 1, in[2].dim);
    fr_kv_write(g, pages, v[0], v[1], v[2], kind);
    fr_session *s;
    if (fr_session_new_with(g, &(fr_session_opts){.pool = pool}, &s)) fail_msg("%s", fr_message());
    if (fr_session_run(s, in, 3)) fail_msg("%s", fr_message());
    uint8_t *want = fr_alloc(FR_MEM_OTHER, BATCH * PAGES * l.bytes);
    for (int b = 0; b < BATCH; b++)
        for (int i = 0; i < TOKENS; i++) {
            const int at = start[b] + i;
            assert_int_equal(
                fr_kv_page_write(&l, want + (size_t)page_at(PAGES, b, at / 64) * l.bytes, at % 64,
                                 x + (size_t)(b * TOKENS + i) * HEADS * (size_t)dim),
                FR_OK);
        }
    if (memcmp(fr_session_tensor(s, pages)->data, want, BATCH * PAGES * l.bytes))
        fail_msg("%s: kind %d of %d channels: other bytes than fr_kv_page_write", fr_kernel()->name,
                 (int)kind, dim);
    fr_session_free(s);
    fr_graph_free(g);
    fr_free(want);
    fr_free(in[0].data);
    fr_free(x);
}

static void writes(void *arg) {
    (void)arg;
    for (int kind = 0; kind < FR_KV_KINDS; kind++)
        for (int32_t dim = 64; dim <= 128; dim += 22)
            for (int half = 0; half < 2; half++)
                write_one((fr_kv_kind)kind, half ? FR_BF16 : FR_F32, dim, half ? op_pool(3) : NULL);
}

static void test_write(void **state) {
    (void)state;
    op_each_table(writes, NULL);
}

/* What a page cannot hold is held as near as it can be; what comes after is not harmed. */
static void test_saturates(void **state) {
    (void)state;
    for (int kind = 0; kind < FR_KV_KINDS; kind++) {
        fr_kv_layout l;
        uint8_t page[64 * 64 * 4] = {0};
        float x[64] = {NAN, INFINITY, -INFINITY, 1e30f, 1}, y[64];
        assert_int_equal(fr_kv_layout_of((fr_kv_kind)kind, 1, 64, &l), FR_OK);
        fr_kernel()->kvattn.write((fr_kv_kind)kind, x, 64, page,
                                  (uint16_t *)(void *)(page + l.scales),
                                  (uint16_t *)(void *)(page + l.offsets));
        fr_kv_page_read(&l, page, 0, 0, 1, y);
        const float top = kind == FR_KV_F32    ? 0x1.fffffep127f
                          : kind == FR_KV_BF16 ? 0x1.fep127f
                                               : 65504.0f,
                    step = l.bits >= 16 ? 0 : top / 7;
        for (int i = 0; i < 64; i++) assert_true(isfinite(y[i]));
        assert_true(fabsf(y[0]) <= step && y[1] >= top - step && y[2] <= -top + step);
        if (kind == FR_KV_F32)
            assert_true(y[3] == 1e30f);
        else if (kind != FR_KV_BF16)
            assert_true(y[3] >= top - step);
    }
}

static void refused(int32_t page, int32_t start, const char *words) {
    enum { DIM = 4, TOKENS = 3 };
    const int64_t bytes = (int64_t)fr_kv_page_bytes(FR_KV_4, 1, DIM);
    const int64_t shape_p[] = {2, bytes}, shape_x[] = {1, TOKENS, 1, DIM}, shape_t[] = {1, 2},
                  one[] = {1};
    float x[TOKENS * DIM] = {0};
    int32_t table[2] = {0, page};
    fr_tensor in[3] = {fr_tensor_make(FR_F32, 4, shape_x, x),
                       fr_tensor_make(FR_I32, 2, shape_t, table),
                       fr_tensor_make(FR_I32, 1, one, &start)};
    fr_graph *g = fr_graph_new();
    fr_session *s;
    fr_val pages = fr_state(g, "pages", FR_U8, 2, shape_p), v[3];
    v[0] = fr_input(g, "x", FR_F32, 4, shape_x);
    v[1] = fr_input(g, "table", FR_I32, 2, shape_t);
    v[2] = fr_input(g, "start", FR_I32, 1, one);
    fr_kv_write(g, pages, v[0], v[1], v[2], FR_KV_4);
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    fr_status st = fr_session_run(s, in, 3);
    if (!words && st) fail_msg("%s", fr_message());
    if (words) {
        assert_int_not_equal(st, FR_OK);
        if (!strstr(fr_message(), words))
            fail_msg("\"%s\" does not say \"%s\"", fr_message(), words);
    }
    fr_session_free(s);
    fr_graph_free(g);
}

static void test_refusals(void **state) {
    (void)state;
    refused(2, 61, NULL); /* not reached */
    refused(1, 125, NULL);
    refused(2, 62, "names page 2");
    refused(-2, 64, "names page -2");
    refused(1, 126, "do not fit");
    refused(1, -1, "do not fit");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_write),
                                       cmocka_unit_test(test_saturates),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
