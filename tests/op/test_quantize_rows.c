/* test_quantize_rows.c: rows in few bits against the separate operators in f32 and the room of formats: each
 * kind, each thing before, f32 and bf16, lengths that fill no group, views, any number of threads. */
#include "op_test.h"

#include "format/format.h"

enum { LEADING = 2, TOKENS = 5, ROWS = LEADING * TOKENS };

typedef struct arg {
    fr_rows_kind kind;
    fr_before before;
    fr_fn fn;
    fr_dtype type; /* of x and its like */
    int64_t k, rank;
    int32_t group;
    bool
        operands; /* all that may stand there: weight, bias, scale, shift, up, by and something to add */
    bool view;  /* x, up, scale and shift are slices of something larger */
    bool fixed; /* `down` is a constant */
} arg;

/* ---- the graph: the operator, and beside it the separate ones ---- */

typedef struct making {
    fr_graph *g;
    const arg *a;
    fr_tensor feed[8];
    int count;
} making;

/* Real values [d0, d1, d2], those that are 0 left out; as a view of more when asked. */
static fr_val input(making *m, fr_dtype type, int64_t d0, int64_t d1, int64_t d2, bool view) {
    char name[16];
    int64_t dim[3], all[3];
    int rank = 0;
    for (int i = 0; i < 3; i++)
        if ((i == 0 ? d0 : i == 1 ? d1 : d2) > 0) dim[rank++] = i == 0 ? d0 : i == 1 ? d1 : d2;
    view &= m->a->view;
    for (int i = 0; i < rank; i++) all[i] = dim[i] + (view ? 3 : 0);
    fr_tensor t = fr_tensor_make(type, rank, all, NULL);
    size_t n = (size_t)fr_values(&t);
    float *f = fr_alloc_array(FR_MEM_OTHER, n, sizeof *f);
    t.data = fr_alloc(FR_MEM_OTHER, fr_bytes(&t));
    fr_random_normal(9, (uint64_t)m->count, 0, f, n);
    assert_int_equal(fr_encode(type, f, n, t.data), FR_OK);
    fr_free(f);
    snprintf(name, sizeof name, "in%d", m->count);
    m->feed[m->count++] = t;
    fr_val v = fr_input(m->g, name, type, rank, all);
    for (int i = 0; view && i < rank; i++) v = fr_slice(m->g, v, i, 1, dim[i]);
    return v;
}

static fr_val wide(fr_graph *g, fr_val v) {
    return v == FR_NONE || fr_desc(g, v)->dtype == FR_F32 ? v : fr_cast(g, v, FR_F32);
}

/* What stands before, by its own operator and in f32. */
static fr_val separate(fr_graph *g, fr_val x, const fr_quantize_opts *o) {
    fr_val w = wide(g, o->weight), b = wide(g, o->bias);
    fr_val scale = wide(g, o->scale), shift = wide(g, o->shift);
    x = wide(g, x);
    switch (o->before) {
    case FR_BEFORE_RMSNORM: return fr_rmsnorm(g, x, w, scale, shift, o->eps);
    case FR_BEFORE_LAYERNORM: return fr_layernorm(g, x, w, b, scale, shift, o->eps);
    case FR_BEFORE_GLU: return fr_glu(g, x, wide(g, o->up), o->fn);
    case FR_BEFORE_FN: return fr_unary(g, x, o->fn);
    default: return x;
    }
}

static void build(making *m, const arg *a) {
    *m = (making){.g = fr_graph_new(), .a = a};
    fr_graph *g = m->g;
    fr_quantize_opts o = {.kind = a->kind, .group = a->group, .before = a->before, .fn = a->fn};
    bool norm = a->before == FR_BEFORE_RMSNORM || a->before == FR_BEFORE_LAYERNORM;
    bool glu = a->before == FR_BEFORE_GLU, merged = glu && !a->operands;
    fr_val low, x = input(m, a->type, LEADING, TOKENS, a->k * (merged ? 2 : 1), true);
    o.eps = 1e-5f;
    if (a->operands) {
        if (norm) o.weight = input(m, FR_F32, a->k, 0, 0, false);
        if (a->before == FR_BEFORE_LAYERNORM) o.bias = input(m, a->type, a->k, 0, 0, false);
        if (norm) o.scale = input(m, a->type, LEADING, 1, a->k, true);
        if (norm) o.shift = input(m, a->type, a->k, 0, 0, true);
        if (glu) o.up = input(m, a->type, LEADING, TOKENS, a->k, true);
        o.by = input(m, FR_F32, a->k, 0, 0, false);
        o.add = 0.171875f;
    }
    if (a->rank) {
        o.down = input(m, a->type, a->rank, a->k, 0, false);
        if (a->fixed) o.down = fr_constant(g, &m->feed[m->count - 1]);
    }
    fr_output(g, "rows", fr_quantize_rows(g, x, &o, &low));
    fr_output(g, "low", low);
    fr_val h = separate(g, x, &o), z = fr_affine(g, h, 1, o.add);
    if (o.by != FR_NONE) z = fr_mul(g, z, o.by);
    fr_output(g, "h", h);
    fr_output(g, "z", z);
    if (o.down != FR_NONE) fr_output(g, "down", wide(g, o.down));
    if (fr_graph_check(g) != FR_OK) fail_msg("%s", fr_message());
}

/* ---- what is in a record ---- */

static float part_f32(const char *record, size_t at, int64_t i) {
    float v;
    memcpy(&v, record + at + 4 * (size_t)i, 4);
    return v;
}
static int32_t part_i32(const char *record, size_t at, int64_t i) {
    int32_t v;
    memcpy(&v, record + at + 4 * (size_t)i, 4);
    return v;
}

static double code_at(const fr_qrow *r, const char *record, int64_t i) {
    uint16_t h;
    if (r->code_bytes == 1) return ((const int8_t *)record)[i];
    memcpy(&h, record + 2 * i, 2);
    return (double)fr_bf16_to_f32(h);
}

/* Value i of the row that a record stands for. */
static double value_at(const fr_qrow *r, const char *record, int64_t i) {
    double code = code_at(r, record, i);
    if (r->kind == FR_ROWS_BF16) return code;
    int64_t g = r->kind == FR_ROWS_INT8 ? 0 : i / r->group;
    double s = (double)part_f32(record, r->scales, g);
    return r->kind == FR_ROWS_NVFP4 ? code / 2 * (4 * s) : code * s;
}

static void check_sums(const fr_qrow *r, const char *record) {
    double all = 0, times = r->kind == FR_ROWS_INT8 || r->kind == FR_ROWS_BF16 ? 1
                            : r->kind == FR_ROWS_NVFP4                         ? 12
                                                                               : 8;
    for (int64_t g = 0; g < r->groups && r->kind != FR_ROWS_FP8; g++) {
        double sum = 0, size = 0;
        for (int64_t i = g * r->group; i < (g + 1) * r->group; i++) {
            double code = code_at(r, record, i);
            if (i >= r->k && code != 0) fail_msg("code %d past the end is not 0", (int)i);
            sum += code, size += fabs(code);
        }
        all += sum;
        double less = r->kind == FR_ROWS_BF16 ? (double)part_f32(record, r->less, g)
                                              : (double)part_i32(record, r->less, g);
        if (fabs(less + times * sum) > (r->kind == FR_ROWS_BF16 ? 1e-5 * size : 0))
            fail_msg("group %d has less %g, and its codes sum to %g", (int)g, less, sum);
    }
    if (r->kind == FR_ROWS_INT8)
        assert_int_equal(part_i32(record, r->start, 0), (int32_t)(-128 * all));
}

/* What the room of formats makes of z. A further row sets the tensor's scale of NVFP4 to 1. */
static float *by_format(fr_rows_kind kind, const float *z, int64_t rows, int64_t k) {
    static const char *const names[FR_ROWS_KINDS] = {
        [FR_ROWS_INT8] = "int8-token", [FR_ROWS_INT4] = "int4-g64", [FR_ROWS_UINT4] = "uint4-g64",
        [FR_ROWS_NVFP4] = "nvfp4",     [FR_ROWS_FP8] = "fp8-1x128",
    };
    size_t n = (size_t)((rows + 1) * k);
    float *in = fr_alloc_array(FR_MEM_OTHER, n, sizeof *in);
    float *out = fr_alloc_array(FR_MEM_OTHER, n, sizeof *out);
    memset(in, 0, n * 4);
    memcpy(in, z, (size_t)(rows * k) * 4);
    in[rows * k] = 6 * 448;
    if (kind == FR_ROWS_BF16) {
        for (size_t i = 0; i < n; i++) out[i] = fr_bf16_to_f32(fr_f32_to_bf16(in[i]));
    } else {
        fr_quantized q;
        const fr_qformat *f = fr_format_find(names[kind]);
        assert_non_null(f);
        if (fr_quantize(f, NULL, in, rows + 1, k, &q) != FR_OK) fail_msg("%s", fr_message());
        f->decode(&q, 0, rows + 1, out);
        fr_quantized_free(&q);
    }
    fr_free(in);
    return out;
}

/* ---- one case ---- */

static void describe(const arg *a, char *text, size_t size) {
    snprintf(text, size, "%s %s after %s %s%s%s%s, k %d, rank %d (%s)", fr_dtype_name(a->type),
             fr_attr_word(FR_ATTR_ROWS, a->kind), fr_attr_word(FR_ATTR_BEFORE, a->before),
             fr_attr_word(FR_ATTR_FN, a->fn), a->operands ? ", operands" : "",
             a->view ? ", views" : "", a->fixed ? ", packed" : "", (int)a->k, (int)a->rank,
             fr_kernel()->name);
}

static void check_rows(const arg *a, const char *name, const fr_tensor *rows, const float *z) {
    fr_qrow r;
    fr_qrow_of(a->kind, a->k, a->group, &r);
    assert_int_equal(fr_dim(rows, -1), r.bytes);
    float *want = by_format(a->kind, z, ROWS, a->k);
    for (int64_t i = 0; i < ROWS; i++) {
        const char *record = (const char *)rows->data + (size_t)i * r.bytes;
        for (int64_t j = 0; j < a->k; j++) {
            double got = value_at(&r, record, j), expected = (double)want[i * a->k + j];
            if ((float)got != (float)expected)
                fail_msg("%s: row %d value %d is %.9g, expected %.9g of %.9g", name, (int)i, (int)j,
                         got, expected, (double)z[i * a->k + j]);
        }
        check_sums(&r, record);
    }
    fr_free(want);
}

/* low = h downT, where the dot instruction rounds both to bf16 before. */
static void check_low(const arg *a, const char *name, const fr_tensor *low, const float *h,
                      const float *down) {
    bool half = fr_kernel()->gemm.tile[FR_GEMM_BF16] != NULL;
    assert_int_equal(fr_dim(low, -1), a->rank);
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t r = 0; r < a->rank; r++) {
            double sum = 0, size = 0;
            for (int64_t j = 0; j < a->k; j++) {
                float x = h[i * a->k + j], y = down[r * a->k + j];
                if (half) x = fr_bf16_to_f32(fr_f32_to_bf16(x));
                if (half) y = fr_bf16_to_f32(fr_f32_to_bf16(y));
                sum += (double)x * (double)y, size += fabs((double)x * (double)y);
            }
            double got = (double)((const float *)low->data)[i * a->rank + r];
            if (!(fabs(got - sum) <= 2e-6 * size + 1e-30))
                fail_msg("%s: row %d low %d is %.9g, expected %.9g", name, (int)i, (int)r, got,
                         sum);
        }
}

/* Rows and low as bytes; the caller frees them. */
static char *run_with(const arg *a, fr_pool *pool, bool compare, size_t *bytes) {
    char name[128];
    making m;
    fr_session *s;
    describe(a, name, sizeof name);
    build(&m, a);
    if (fr_session_new_with(m.g, &(fr_session_opts){.pool = pool}, &s) != FR_OK ||
        fr_session_run(s, m.feed, m.count) != FR_OK)
        fail_msg("%s: %s", name, fr_message());
    const fr_tensor *rows = fr_session_output(s, "rows"), *low = fr_session_output(s, "low");
    if (compare) {
        check_rows(a, name, rows, fr_session_output(s, "z")->data);
        if (a->rank)
            check_low(a, name, low, fr_session_output(s, "h")->data,
                      fr_session_output(s, "down")->data);
    }
    *bytes = fr_bytes(rows) + fr_bytes(low);
    char *out = fr_alloc(FR_MEM_OTHER, *bytes);
    memcpy(out, rows->data, fr_bytes(rows));
    memcpy(out + fr_bytes(rows), low->data, fr_bytes(low));
    fr_session_free(s);
    fr_graph_free(m.g);
    for (int i = 0; i < m.count; i++) fr_free(m.feed[i].data);
    return out;
}

static void check_table(void *a) {
    size_t bytes;
    fr_free(run_with(a, NULL, true, &bytes));
}

static void check(arg a) {
    op_each_table(check_table, &a);
}

/* ---- tests ---- */

static void test_kinds(void **state) {
    (void)state;
    static const int64_t lengths[] = {128, 200, 63, 1};
    for (int kind = FR_ROWS_FLOAT + 1; kind < FR_ROWS_KINDS; kind++)
        for (int before = 0; before < FR_BEFORE_KINDS; before++)
            for (int half = 0; half < 2; half++)
                for (int operands = 0; operands < 2; operands++) {
                    arg a = {.kind = (fr_rows_kind)kind, .before = (fr_before)before};
                    if (before == FR_BEFORE_GLU) a.fn = FR_FN_SILU;
                    if (before == FR_BEFORE_FN) a.fn = FR_FN_GELU_TANH;
                    a.type = half ? FR_BF16 : FR_F32;
                    a.operands = operands;
                    a.k = lengths[(kind + before + half + operands) % 4];
                    a.rank = operands ? 5 : 0;
                    check(a);
                }
}

static void test_sizes(void **state) {
    (void)state;
    arg a = {.kind = FR_ROWS_INT4, .before = FR_BEFORE_LAYERNORM, .type = FR_F32, .operands = true};
    a.k = 2500, a.rank = 33; /* more than one block of k, more than one panel */
    check(a);
    a.k = 515, a.rank = 128, a.kind = FR_ROWS_INT8, a.before = FR_BEFORE_NONE;
    check(a);
    a.fixed = true;
    check(a);
    for (int32_t group = 32; group <= 128; group *= 2) {
        a = (arg){.kind = FR_ROWS_BF16, .type = FR_BF16, .k = 160, .group = group};
        check(a);
    }
}

static void test_views(void **state) {
    (void)state;
    for (int before = 0; before < FR_BEFORE_KINDS; before++)
        for (int operands = 0; operands < 2; operands++) {
            arg a = {.kind = FR_ROWS_NVFP4, .before = (fr_before)before, .view = true};
            a.type = before % 2 ? FR_BF16 : FR_F32, a.operands = operands;
            a.k = 72, a.rank = 3;
            check(a);
        }
}

/* More rows than an item of the pool holds would take long; few and long ones do it too. */
static void test_threads(void **state) {
    (void)state;
    static const int threads[] = {2, 3, 8};
    for (int kind = FR_ROWS_FLOAT + 1; kind < FR_ROWS_KINDS; kind++) {
        arg a = {.kind = (fr_rows_kind)kind, .before = FR_BEFORE_RMSNORM, .operands = true};
        a.type = FR_F32, a.k = 2100, a.rank = 16;
        size_t bytes, same;
        char *want = run_with(&a, NULL, true, &bytes);
        for (size_t i = 0; i < FR_COUNT(threads); i++) {
            fr_pool *pool;
            assert_int_equal(fr_pool_new(threads[i], &pool), FR_OK);
            char *got = run_with(&a, pool, false, &same);
            assert_int_equal(same, bytes);
            if (memcmp(want, got, bytes))
                fail_msg("rows of %s differ between 1 and %d threads",
                         fr_attr_word(FR_ATTR_ROWS, kind), threads[i]);
            fr_free(got);
            fr_pool_free(pool);
        }
        fr_free(want);
    }
}

/* Leading axes may be others than those the graph was made with, also none and no rows at all. */
static void test_leading(void **state) {
    (void)state;
    static const int64_t tokens[] = {3, 40, 0};
    fr_graph *g = fr_graph_new();
    fr_session *s;
    fr_val low, x = fr_input(g, "x", FR_F32, 2, (int64_t[]){3, 64});
    fr_val down = fr_input(g, "down", FR_F32, 2, (int64_t[]){4, 64});
    fr_quantize_opts o = {.kind = FR_ROWS_INT4, .down = down};
    fr_output(g, "rows", fr_quantize_rows(g, x, &o, &low));
    fr_output(g, "low", low);
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    float ones[40 * 64];
    for (int i = 0; i < 40 * 64; i++) ones[i] = 1;
    for (size_t i = 0; i < FR_COUNT(tokens); i++) {
        fr_tensor in[2] = {fr_tensor_make(FR_F32, 2, (int64_t[]){tokens[i], 64}, ones),
                           fr_tensor_make(FR_F32, 2, (int64_t[]){4, 64}, ones)};
        if (fr_session_run(s, in, 2) != FR_OK) fail_msg("%s", fr_message());
        const fr_tensor *rows = fr_session_output(s, "rows");
        assert_int_equal(rows->dim[0], tokens[i]);
        for (int64_t r = 0; r < tokens[i]; r++) {
            assert_int_equal(((const int8_t *)rows->data)[r * rows->dim[1] + 63], 7);
            assert_true(((const float *)fr_session_output(s, "low")->data)[r * 4 + 3] == 64.0f);
        }
    }
    fr_session_free(s);
    fr_graph_free(g);
}

/* A row that is not finite has codes 0 and scales that are no numbers; its neighbours are as ever. */
static void test_not_finite(void **state) {
    (void)state;
    fr_graph *g = fr_graph_new();
    fr_session *s;
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){3, 64});
    fr_output(g, "rows", fr_quantize_rows(g, x, &(fr_quantize_opts){.kind = FR_ROWS_INT8}, NULL));
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    float v[3 * 64];
    for (int i = 0; i < 3 * 64; i++) v[i] = (float)i;
    v[70] = INFINITY;
    fr_tensor in = fr_tensor_make(FR_F32, 2, (int64_t[]){3, 64}, v);
    assert_int_equal(fr_session_run(s, &in, 1), FR_OK);
    const fr_tensor *rows = fr_session_output(s, "rows");
    fr_qrow r;
    fr_qrow_of(FR_ROWS_INT8, 64, 0, &r);
    for (int row = 0; row < 3; row++) {
        const char *record = (const char *)rows->data + (size_t)row * r.bytes;
        assert_int_equal(record[63], row == 1 ? 0 : 127);
        assert_int_equal(isnan(part_f32(record, r.scales, 0)) != 0, row == 1);
    }
    fr_session_free(s);
    fr_graph_free(g);
}

/* ---- what is refused ---- */

typedef struct refused {
    fr_quantize_opts o;
    int place; /* of the second operand, counted like the inputs; 0: none */
    int64_t x, other[2];
    const char *words;
} refused;

static int build_refused(fr_graph *g, const fr_val *in, const void *argument, fr_val *out) {
    const refused *r = argument;
    fr_quantize_opts o = r->o;
    fr_val *const at[] = {NULL, &o.weight, &o.bias, &o.scale, &o.shift, &o.up, &o.by, &o.down};
    if (r->place) *at[r->place] = in[1];
    out[0] = fr_quantize_rows(g, in[0], &o, NULL);
    return 1;
}

static void test_refused(void **state) {
    (void)state;
    const refused all[] = {
        {{.kind = FR_ROWS_FLOAT}, 0, 64, {0}, "few bits are"},
        {{.kind = FR_ROWS_KINDS}, 0, 64, {0}, "few bits are"},
        {{.kind = FR_ROWS_INT4, .group = 32}, 0, 64, {0}, "groups of 32"},
        {{.kind = FR_ROWS_BF16, .group = 48}, 0, 64, {0}, "groups of 48"},
        {{.kind = FR_ROWS_INT8, .before = FR_BEFORE_KINDS}, 0, 64, {0}, "stand before rows"},
        {{.kind = FR_ROWS_INT8, .fn = FR_FN_COUNT}, 0, 64, {0}, "no function with number"},
        {{.kind = FR_ROWS_INT8, .add = NAN}, 0, 64, {0}, "is a number, not nan"},
        {{.kind = FR_ROWS_INT8, .before = FR_BEFORE_RMSNORM, .eps = -1}, 0, 64, {0}, "eps"},
        {{.kind = FR_ROWS_INT8}, 0, 0, {0}, "has no rows"},
        {{.kind = FR_ROWS_INT8}, 0, FR_Q_MAX_K + 1, {0}, "at most 131072"},
        {{.kind = FR_ROWS_INT8, .before = FR_BEFORE_GLU}, 0, 7, {0}, "gate then up"},
        {{.kind = FR_ROWS_INT8}, 1, 64, {64}, "weight belongs to a norm"},
        {{.kind = FR_ROWS_INT8, .before = FR_BEFORE_RMSNORM}, 2, 64, {64}, "to a layernorm"},
        {{.kind = FR_ROWS_INT8, .before = FR_BEFORE_FN}, 3, 64, {64}, "scale belongs to a norm"},
        {{.kind = FR_ROWS_INT8}, 5, 64, {3, 64}, "up operand belongs to a gated"},
        {{.kind = FR_ROWS_INT8, .before = FR_BEFORE_RMSNORM}, 1, 64, {63}, "weight is f32 [63]"},
        {{.kind = FR_ROWS_INT8, .before = FR_BEFORE_RMSNORM}, 4, 64, {2, 64}, "shift"},
        {{.kind = FR_ROWS_INT8, .before = FR_BEFORE_GLU}, 5, 64, {3, 63}, "does not fit"},
        {{.kind = FR_ROWS_INT8}, 6, 64, {1}, "by is f32 [1]"},
        {{.kind = FR_ROWS_INT8}, 7, 64, {64}, "down is f32 [64]"},
        {{.kind = FR_ROWS_INT8}, 7, 64, {4, 63}, "down is f32 [4, 63]"},
    };
    for (size_t i = 0; i < FR_COUNT(all); i++) {
        const refused *r = &all[i];
        op_in in[3] = {{FR_F32, 2, {3, r->x}, 0, 0, false, NULL, false}};
        if (r->place)
            in[1] = (op_in){
                FR_F32, r->other[1] ? 2 : 1, {r->other[0], r->other[1]}, 0, 0, false, NULL, false};
        op_check_refused(in, build_refused, r, r->words);
    }
    const refused whole = {{.kind = FR_ROWS_INT8}, 0, 64, {0}, "must be f32"};
    op_check_refused((op_in[2]){{FR_I32, 2, {3, 64}, 0, 4, false, NULL, false}}, build_refused,
                     &whole, whole.words);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),   cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_views),   cmocka_unit_test(test_threads),
        cmocka_unit_test(test_leading), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
