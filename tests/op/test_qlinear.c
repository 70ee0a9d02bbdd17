/* test_qlinear.c: the operator over products with weights in few bits: against doubles, packed ahead or
 * not, chained through rows, saved and opened again, and what it refuses. */
#include "qgemm_ref.h"

#include <unistd.h>

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

/* How the weight and the branch come into the graph. */
typedef enum how { CONSTANTS, PARAMS, FED } how;

/* A graph under way: what is fed or set, in the order of declaration. */
typedef struct net {
    fr_graph *g;
    fr_session *s;
    how way;
    fr_tensor given[64]; /* data owned; what is fed stands first */
    fr_val val[64];
    int count, fed;
} net;

static fr_val take(net *t, how way, const char *name, fr_tensor desc, const void *data) {
    fr_tensor own = desc;
    own.data = fr_alloc(FR_MEM_OTHER, fr_bytes(&desc) + 1);
    memcpy(own.data, data, fr_bytes(&desc));
    fr_val v = way == CONSTANTS ? fr_constant(t->g, &own)
               : way == PARAMS  ? fr_param(t->g, name, desc.dtype, desc.rank, desc.dim)
                                : fr_input(t->g, name, desc.dtype, desc.rank, desc.dim);
    t->given[t->count] = own;
    t->val[t->count++] = way == FED ? -1 : way == PARAMS ? v : FR_NONE;
    return v;
}

/* Values of a type, that bf16 can hold: then the branch, which is multiplied in bf16 where there is a dot
 * instruction, is exact. Returned as floats too when `f` is not NULL (of a caller who frees them). */
static fr_val values(net *t, how way, const char *name, fr_dtype type, int rank, const int64_t *dim,
                     uint64_t stream, bool positive, float **f) {
    fr_tensor d = fr_tensor_make(type, rank, dim, NULL);
    size_t n = (size_t)fr_values(&d);
    float *x = qgemm_values(stream, n, positive);
    void *data = fr_alloc(FR_MEM_OTHER, n * 4 + 4);
    for (size_t i = 0; i < n; i++) x[i] = fr_bf16_to_f32(fr_f32_to_bf16(x[i]));
    ok(fr_encode(type, x, n, data));
    fr_val v = take(t, way, name, d, data);
    fr_free(data);
    if (f)
        *f = x;
    else
        fr_free(x);
    return v;
}

static fr_qweight weight(net *t, const char *name, const fr_qformat *f, int64_t n, int64_t k,
                         uint64_t stream, double *decoded) {
    fr_quantized q;
    fr_qweight w = {.format = f->name, .n = n, .k = k};
    float *x = qgemm_values(stream, (size_t)(n * k), false);
    ok(fr_quantize(f, NULL, x, n, k, &q));
    for (int i = 0; i < f->parts; i++) {
        char part[64];
        snprintf(part, sizeof part, "%s.%s", name, f->part_name[i]);
        w.part[i] = take(t, t->way, part, q.part[i], q.part[i].data);
    }
    if (decoded) qgemm_weights_f64(&q, decoded);
    fr_quantized_free(&q);
    fr_free(x);
    return w;
}

static void start(net *t, fr_pool *pool) {
    ok(fr_session_new_with(t->g, &(fr_session_opts){.pool = pool, .poison = true}, &t->s));
    for (int i = 0; i < t->count; i++)
        if (t->val[i] > 0) ok(fr_session_set(t->s, t->val[i], &t->given[i]));
}

static const fr_tensor *run(net *t, fr_session *s, const char *out) {
    fr_tensor fed[64];
    int n = 0;
    for (int i = 0; i < t->count; i++)
        if (t->val[i] < 0) fed[n++] = t->given[i];
    ok(fr_session_run(s, fed, n));
    const fr_tensor *y = fr_session_output(s, out);
    assert_non_null(y);
    return y;
}

static void end(net *t) {
    fr_session_free(t->s);
    fr_graph_free(t->g);
    for (int i = 0; i < t->count; i++) fr_free(t->given[i].data);
}

/* ---- one layer with all that it can have ---- */

typedef struct layer {
    qgemm_pair pair;
    fr_dtype type;
    int64_t m, n, k, rank;
    fr_fn act;
} layer;

/* What the layer gives, in doubles; NULL: not wanted. */
typedef struct facts {
    double *y, *size;
} facts;

static void reference(const layer *l, const float *x, float add, const float *by, const double *w,
                      const float *down, const float *up, const float *bias, const float *residual,
                      facts *out) {
    size_t mk = (size_t)(l->m * l->k), mn = (size_t)(l->m * l->n);
    float *smooth = fr_alloc_array(FR_MEM_OTHER, mk + 1, sizeof *smooth);
    double *rows = fr_alloc_array(FR_MEM_OTHER, mk + 1, sizeof *rows);
    out->y = fr_alloc_array(FR_MEM_OTHER, mn + 1, sizeof *out->y);
    out->size = fr_alloc_array(FR_MEM_OTHER, mn + 1, sizeof *out->size);
    for (size_t i = 0; i < mk; i++) smooth[i] = (x[i] + add) * by[i % (size_t)l->k];
    qgemm_rows_f64(l->pair.rows, smooth, l->m, l->k, rows);
    for (int64_t i = 0; i < l->m; i++)
        for (int64_t j = 0; j < l->n; j++) {
            double sum = 0, size = 0, low_size = 0;
            for (int64_t q = 0; q < l->k; q++) {
                sum += rows[i * l->k + q] * w[j * l->k + q];
                size += fabs(rows[i * l->k + q] * w[j * l->k + q]);
            }
            for (int64_t r = 0; r < l->rank; r++) {
                double low = 0;
                for (int64_t q = 0; q < l->k; q++) {
                    low += (double)x[i * l->k + q] * down[r * l->k + q];
                    low_size +=
                        fabs((double)x[i * l->k + q] * down[r * l->k + q] * up[j * l->rank + r]);
                }
                sum += low * up[j * l->rank + r];
            }
            sum = qgemm_act_f64(l->act, sum + bias[j]) + residual[i * l->n + j];
            out->y[i * l->n + j] = sum;
            /* Zeros that are taken off a whole group's sum leave the rounding of what they took off. */
            double part = l->pair.rows == FR_ROWS_BF16 ? 2e-5 : 4e-6;
            out->size[i * l->n + j] = part * (size + low_size + fabs(sum));
        }
    fr_free(smooth), fr_free(rows);
}

/* Builds the layer; f NULL: without a reference. */
static fr_val build(net *t, const layer *l, facts *f) {
    int64_t m = l->m, n = l->n, k = l->k, rank = l->rank;
    float *x, *by, *down = NULL, *up = NULL, *bias, *residual;
    double *w = fr_alloc_array(FR_MEM_OTHER, (size_t)(n * k) + 1, sizeof *w);
    bool positive = l->pair.rows == FR_ROWS_UINT4;
    fr_val vx = values(t, FED, "x", l->type, 3, (int64_t[]){1, m, k}, 1, positive, &x);
    fr_qweight vw = weight(t, "w", l->pair.format, n, k, 2, w);
    fr_qlinear_opts o = {.act = l->act, .rows = l->pair.rows, .add = positive ? 0.17f : 0};
    o.by = values(t, t->way, "by", FR_F32, 1, (int64_t[]){k}, 3, true, &by);
    o.bias = values(t, t->way, "bias", l->type, 1, (int64_t[]){n}, 4, false, &bias);
    o.residual = values(t, FED, "r", l->type, 3, (int64_t[]){1, m, n}, 5, false, &residual);
    if (rank) {
        o.down = values(t, t->way, "down", l->type, 2, (int64_t[]){rank, k}, 6, false, &down);
        o.up = values(t, t->way, "up", l->type, 2, (int64_t[]){n, rank}, 7, false, &up);
    }
    fr_val y = fr_qlinear(t->g, vx, &vw, &o, NULL);
    if (f) reference(l, x, o.add, by, w, down, up, bias, residual, f);
    fr_free(x), fr_free(by), fr_free(down), fr_free(up), fr_free(bias), fr_free(residual);
    fr_free(w);
    return y;
}

static void check_layer(const layer *l) {
    net t = {.g = fr_graph_new(), .way = CONSTANTS};
    facts f;
    fr_output(t.g, "y", build(&t, l, &f));
    ok(fr_graph_check(t.g));
    start(&t, NULL);
    const fr_tensor *y = run(&t, t.s, "y");
    assert_int_equal(y->dtype, l->type);
    assert_int_equal(y->rank, 3);
    size_t n = (size_t)(l->m * l->n);
    float *got = fr_alloc_array(FR_MEM_OTHER, n, sizeof *got);
    ok(fr_tensor_to_f32(y, got));
    double tol = l->type == FR_BF16 ? 4e-3 : 0;
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - f.y[i]) <= f.size[i] + tol * fabs(f.y[i]) + 1e-6))
            fail_msg("%s: %s %s, %d x %d x %d: value %zu is %.9g, expected %.9g", fr_kernel()->name,
                     l->pair.format->name, fr_dtype_name(l->type), (int)l->m, (int)l->n, (int)l->k,
                     i, got[i], f.y[i]);
    /* The same bits from a weight that is packed at every run, and from parameters. */
    for (how way = PARAMS; way <= FED; way++) {
        net u = {.g = fr_graph_new(), .way = way};
        fr_output(u.g, "y", build(&u, l, NULL));
        start(&u, NULL);
        assert_memory_equal(run(&u, u.s, "y")->data, y->data, fr_bytes(y));
        end(&u);
    }
    fr_free(got), fr_free(f.y), fr_free(f.size);
    end(&t);
}

static void test_layers(void **state) {
    (void)state;
    static const int64_t sizes[][4] = {{1, 40, 130, 5}, {9, 33, 64, 0}, {70, 65, 200, 32}};
    for (size_t p = 0; p < qgemm_pair_count; p++)
        for (size_t i = 0; i < FR_COUNT(sizes); i++) {
            layer l = {
                qgemm_pairs[p], i == 1 ? FR_BF16 : FR_F32,  sizes[i][0], sizes[i][1], sizes[i][2],
                sizes[i][3],    i ? FR_FN_NONE : FR_FN_SILU};
            check_layer(&l);
        }
}

/* ---- two layers, the rows of the second made in the first ---- */

typedef struct chain {
    fr_rows_kind kind; /* of the second's rows */
    const fr_qformat *second;
    bool fused;
    int64_t m;
} chain;

static fr_val build_chain(net *t, const chain *c) {
    int64_t m = c->m, k = 96, n = 130, out = 70, rank = 16;
    bool shifted = c->kind == FR_ROWS_UINT4;
    fr_val x = values(t, FED, "x", FR_F32, 2, (int64_t[]){m, k}, 1, false, NULL), low = FR_NONE;
    fr_qweight w1 = weight(t, "w1", &fr_int4_g64, n, k, 2, NULL);
    fr_qweight w2 = weight(t, "w2", c->second, out, n, 3, NULL);
    fr_val bias = values(t, CONSTANTS, "bias", FR_F32, 1, (int64_t[]){n}, 4, false, NULL);
    fr_val by = values(t, CONSTANTS, "by", FR_F32, 1, (int64_t[]){n}, 5, true, NULL);
    fr_val down = values(t, CONSTANTS, "d", FR_F32, 2, (int64_t[]){rank, n}, 6, false, NULL);
    fr_val up = values(t, CONSTANTS, "u", FR_F32, 2, (int64_t[]){out, rank}, 7, false, NULL);
    fr_qlinear_opts one = {.act = FR_FN_GELU, .bias = bias};
    fr_qlinear_opts two = {.rows = c->kind, .up = up};
    if (c->fused) {
        one.next = c->kind, one.next_by = by, one.next_down = down;
        one.next_group = c->kind == FR_ROWS_BF16 ? c->second->group : 0;
        one.next_add = shifted ? 0.171875f : 0;
        x = fr_qlinear(t->g, x, &w1, &one, &low);
        two.low = low;
    } else {
        x = fr_qlinear(t->g, x, &w1, &one, NULL);
        two.by = by, two.down = down, two.add = shifted ? 0.171875f : 0;
    }
    return fr_qlinear(t->g, x, &w2, &two, NULL);
}

/* Fused or not, and with any number of threads: the same bits. */
static void test_chain(void **state) {
    (void)state;
    static const int threads[] = {1, 2, 3, 8};
    static const int64_t ms[] = {1, 5, 50, 3000}; /* the last: rows that tasks own */
    fr_pool *pools[FR_COUNT(threads)];
    for (size_t i = 0; i < FR_COUNT(threads); i++) ok(fr_pool_new(threads[i], &pools[i]));
    for (size_t p = 0; p < qgemm_pair_count; p++)
        for (size_t i = 0; i < FR_COUNT(ms); i++) {
            char *first = NULL;
            if (ms[i] > 100 && (p % 3 || getenv("FRUGAL_TEST_SHORT"))) continue;
            for (size_t k = 0; k < 2 * FR_COUNT(threads); k++) {
                chain c = {qgemm_pairs[p].rows, qgemm_pairs[p].format, k % 2 == 0, ms[i]};
                net t = {.g = fr_graph_new(), .way = CONSTANTS};
                fr_output(t.g, "y", build_chain(&t, &c));
                ok(fr_graph_check(t.g));
                start(&t, pools[k / 2]);
                const fr_tensor *y = run(&t, t.s, "y");
                if (!first) {
                    first = fr_alloc(FR_MEM_OTHER, fr_bytes(y));
                    memcpy(first, y->data, fr_bytes(y));
                } else if (memcmp(first, y->data, fr_bytes(y))) {
                    fail_msg("%s, m = %d, %s, %d threads: other bits", c.second->name, (int)c.m,
                             c.fused ? "fused" : "not fused", threads[k / 2]);
                }
                end(&t);
            }
            fr_free(first);
        }
    for (size_t i = 0; i < FR_COUNT(threads); i++) fr_pool_free(pools[i]);
}

/* ---- the same as separate operators ---- */

static void close_floats(const char *what, const fr_tensor *got, const fr_tensor *want) {
    const float *a = got->data, *b = want->data;
    size_t n = (size_t)fr_values(want);
    float top = 0;
    assert_int_equal(fr_values(got), (int64_t)n);
    for (size_t i = 0; i < n; i++) top = fmaxf(top, fabsf(b[i]));
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-5f * top))
            fail_msg("%s: value %zu is %.8g fused and %.8g from separate operators", what, i,
                     (double)a[i], (double)b[i]);
}

/* Bytes of codes: where the values differ in their last digit, one may round to its neighbour. */
static void close_codes(const fr_tensor *got, const fr_tensor *want, const fr_qrow *row) {
    size_t differ = 0, count = (size_t)(fr_values(want) / fr_dim(want, -1));
    for (size_t i = 0; i < count; i++)
        for (int64_t j = 0; j < row->k; j++) {
            int8_t a = ((const int8_t *)got->data)[i * row->bytes + (size_t)j];
            int8_t b = ((const int8_t *)want->data)[i * row->bytes + (size_t)j];
            assert_in_range(a - b + 1, 0, 2);
            differ += a != b;
        }
    assert_true(differ * 200 <= count * (size_t)row->k);
}

/* One qlinear, and quantizing, product, low-rank product, bias, function and the next quantizing alone. */
static void test_unfused(void **state) {
    (void)state;
    int64_t m = 20, n = 130, k = 192, rank = 12;
    net t = {.g = fr_graph_new(), .way = CONSTANTS};
    fr_graph *g = t.g;
    fr_val x = values(&t, FED, "x", FR_F32, 2, (int64_t[]){m, k}, 1, false, NULL);
    fr_qweight w = weight(&t, "w", &fr_int4_g64, n, k, 2, NULL);
    fr_val bias = values(&t, CONSTANTS, "b", FR_F32, 1, (int64_t[]){n}, 3, false, NULL);
    fr_val down = values(&t, CONSTANTS, "d", FR_F32, 2, (int64_t[]){rank, k}, 4, false, NULL);
    fr_val up = values(&t, CONSTANTS, "u", FR_F32, 2, (int64_t[]){n, rank}, 5, false, NULL);
    fr_val by = values(&t, CONSTANTS, "s", FR_F32, 1, (int64_t[]){k}, 6, true, NULL);
    fr_val by2 = values(&t, CONSTANTS, "s2", FR_F32, 1, (int64_t[]){n}, 7, true, NULL);
    fr_val down2 = values(&t, CONSTANTS, "d2", FR_F32, 2, (int64_t[]){rank, n}, 8, false, NULL);
    fr_val low, low2, next_low;

    fr_qlinear_opts all = {.act = FR_FN_GELU, .bias = bias, .by = by, .down = down, .up = up};
    fr_output(g, "y", fr_qlinear(g, x, &w, &all, NULL));
    all.next = FR_ROWS_UINT4, all.next_by = by2, all.next_down = down2, all.next_add = 0.171875f;
    fr_output(g, "rows", fr_qlinear(g, x, &w, &all, &next_low));
    fr_output(g, "low", next_low);
    fr_output(g, "product", fr_qlinear(g, x, &w, &(fr_qlinear_opts){.by = by}, NULL));

    fr_quantize_opts q = {.kind = FR_ROWS_INT4, .by = by, .down = down};
    fr_val rows = fr_quantize_rows(g, x, &q, &low);
    fr_val y = fr_qlinear(g, rows, &w, NULL, NULL);
    fr_output(g, "product alone", y);
    y = fr_add(g, y, fr_linear(g, low, up, FR_NONE, FR_NONE, FR_FN_NONE));
    y = fr_unary(g, fr_add(g, y, bias), FR_FN_GELU);
    fr_output(g, "y alone", y);
    q = (fr_quantize_opts){.kind = FR_ROWS_UINT4, .by = by2, .down = down2, .add = 0.171875f};
    fr_output(g, "rows alone", fr_quantize_rows(g, y, &q, &low2));
    fr_output(g, "low alone", low2);

    start(&t, NULL);
    const fr_tensor *sums = run(&t, t.s, "product");
    assert_memory_equal(sums->data, fr_session_output(t.s, "product alone")->data, fr_bytes(sums));
    close_floats("y", fr_session_output(t.s, "y"), fr_session_output(t.s, "y alone"));
    close_floats("low", fr_session_output(t.s, "low"), fr_session_output(t.s, "low alone"));
    fr_qrow row;
    fr_qrow_of(FR_ROWS_UINT4, n, 0, &row);
    close_codes(fr_session_output(t.s, "rows"), fr_session_output(t.s, "rows alone"), &row);
    end(&t);
}

/* ---- files ---- */

static void test_saved(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        chain c = {FR_ROWS_UINT4, &fr_int4_g64, true, 7};
        if (i) c.kind = FR_ROWS_BF16, c.second = &fr_uint4_z_g32;
        net t = {.g = fr_graph_new(), .way = PARAMS};
        fr_graph *back;
        fr_store *store;
        fr_session *again;
        fr_output(t.g, "y", build_chain(&t, &c));
        start(&t, NULL);
        const fr_tensor *y = run(&t, t.s, "y");
        ok(fr_session_save(t.s, "qlinear.safetensors"));
        ok(fr_store_open("qlinear.safetensors", &store));
        ok(fr_graph_open(store, &back));
        ok(fr_session_new(back, &again));
        ok(fr_session_load(again, store));
        const fr_tensor *z = run(&t, again, "y");
        assert_memory_equal(z->data, y->data, fr_bytes(y));
        fr_session_free(again);
        fr_graph_free(back);
        fr_store_close(store);
        unlink("qlinear.safetensors");
        end(&t);
    }
}

static void test_cost(void **state) {
    (void)state;
    net t = {.g = fr_graph_new(), .way = PARAMS};
    layer l = {qgemm_pairs[5], FR_F32, 10, 64, 128, 8, FR_FN_NONE};
    fr_output(t.g, "y", build(&t, &l, NULL));
    fr_graph_cost cost;
    ok(fr_graph_cost_of(t.g, &cost));
    double want = 2.0 * 10 * (64 * 128 + 8 * 64 + 8 * 128) + 2 * 10 * 64;
    assert_true(cost.total.ops == want);
    assert_true(cost.total.read == 4.0 * (10 * 128 + 10 * 64));
    assert_true(cost.total.write == 4.0 * 10 * 64);
    /* codes, f16 scales, by, bias, down, up */
    assert_true(cost.total.param == 64.0 * 64 + 64 * 2 * 2 + 4 * (128 + 64 + 8 * (64 + 128)));
    t.s = NULL;
    end(&t);
}

/* ---- refusals ---- */

typedef struct wrong {
    const char *format;
    fr_dtype x_type, codes, scales;
    int64_t x, n, k, bytes, groups; /* last axis of x; weight; shapes of its parts */
    fr_rows_kind rows;
    int64_t bias, residual, up, down, low, next_down;
    fr_dtype by;
    fr_rows_kind next;
    int32_t next_group;
    fr_dtype out;
    fr_fn act;
    float add;
    bool third;
    const char *words;
} wrong;

static fr_val maybe(fr_graph *g, const char *name, fr_dtype t, int rank, int64_t a, int64_t b) {
    return a && b ? fr_input(g, name, t, rank, (int64_t[]){a, b}) : FR_NONE;
}

static void check_refused(const wrong *w) {
    fr_graph *g = fr_graph_new();
    fr_val x = maybe(g, "x", w->x_type ? w->x_type : FR_F32, 2, 3, w->x ? w->x : 64);
    int64_t n = w->n ? w->n : 8;
    fr_qweight q = {.format = w->format ? w->format : "int4-g64", .n = n, .k = w->k ? w->k : 64};
    q.part[0] = maybe(g, "codes", w->codes ? w->codes : FR_U8, 2, n, w->bytes ? w->bytes : 32);
    if (w->groups >= 0)
        q.part[1] =
            maybe(g, "scales", w->scales ? w->scales : FR_F16, 2, n, w->groups ? w->groups : 1);
    if (w->third) q.part[2] = maybe(g, "third", FR_F32, 1, n, 1);
    fr_qlinear_opts o = {.act = w->act, .rows = w->rows, .next = w->next, .out = w->out};
    o.add = w->add;
    o.bias = maybe(g, "bias", FR_F32, 1, w->bias, 1);
    o.residual = maybe(g, "residual", FR_F32, 2, w->residual ? 3 : 0, w->residual);
    o.up = maybe(g, "up", FR_F32, 2, w->up ? n : 0, w->up);
    o.down = maybe(g, "down", FR_F32, 2, w->down, 64);
    o.low = maybe(g, "low", FR_F32, 2, w->low ? 3 : 0, w->low);
    o.by = maybe(g, "by", w->by, 1, w->by ? 64 : 0, 1);
    o.next_down = maybe(g, "next", FR_F32, 2, w->next_down, n);
    o.next_group = w->next_group;
    fr_qlinear(g, x, &q, &o, NULL);
    if (fr_graph_check(g) == FR_OK)
        fail_msg("accepted what should be refused with \"%s\"", w->words);
    if (!strstr(fr_message(), w->words))
        fail_msg("the refusal says \"%s\", without \"%s\"", fr_message(), w->words);
    fr_graph_free(g);
}

static void test_refused(void **state) {
    (void)state;
    const wrong all[] = {
        {.format = "int5", .words = "no format 'int5'"},
        {.format = "mxfp4", .words = "quantize it as nvfp4"},
        {.k = 1 << 20, .words = "too long"},
        {.k = -1, .words = "nothing"},
        {.x = 63, .words = "wants x [..., 64]"},
        {.x_type = FR_F16, .words = "f32 or bf16, or rows in u8"},
        {.x_type = FR_U8, .words = "rows of int4 with 128 bytes"},
        {.codes = FR_I8, .words = "the part 'codes'"},
        {.bytes = 31, .words = "the part 'codes'"},
        {.scales = FR_BF16, .words = "the part 'scales'"},
        {.groups = 2, .words = "the part 'scales'"},
        {.groups = -1, .words = "needs its part 'scales'"},
        {.third = true, .words = "has 2 parts"},
        {.rows = FR_ROWS_INT8, .words = "not multiplied with rows of int8"},
        {.bias = 7, .words = "the bias as f32 or bf16 [8]"},
        {.residual = 9, .words = "the residual is"},
        {.up = 4, .words = "one of them is not there"},
        {.down = 4, .words = "one of them is not there"},
        {.up = 4, .down = 5, .words = "down as f32 or bf16 [4, 64]"},
        {.up = 4, .low = 4, .words = "x in floats wants `down`"},
        {.x_type = FR_U8, .x = 128, .up = 4, .low = 5, .words = "a row of ranks"},
        {.x_type = FR_U8, .x = 128, .by = FR_F32, .words = "rows already"},
        {.by = FR_BF16, .words = "by as f32 [64]"},
        {.next_down = 4, .words = "gives floats"},
        {.next = FR_ROWS_KINDS, .words = "no kind"},
        {.next = FR_ROWS_INT8, .next_group = 64, .words = "groups of 64"},
        {.next = FR_ROWS_BF16, .next_group = 48, .words = "groups of 48"},
        {.out = FR_I32, .words = "gives f32 or bf16"},
        {.act = FR_FN_EXP, .words = "cannot stand behind"},
        {.add = INFINITY, .words = "not inf"},
    };
    for (size_t i = 0; i < FR_COUNT(all); i++) check_refused(&all[i]);
}

/* Rows from outside that do not begin where kernels want them. */
static void test_unaligned(void **state) {
    (void)state;
    net t = {.g = fr_graph_new(), .way = CONSTANTS};
    fr_qweight w = weight(&t, "w", &fr_int8_channel, 8, 64, 1, NULL);
    fr_qrow row;
    fr_qrow_of(FR_ROWS_INT8, 64, 0, &row);
    int64_t dim[] = {2, (int64_t)row.bytes};
    char *data = fr_alloc(FR_MEM_OTHER, 4 * row.bytes);
    fr_val x = fr_input(t.g, "x", FR_U8, 2, dim);
    fr_output(t.g, "y", fr_qlinear(t.g, x, &w, NULL, NULL));
    start(&t, NULL);
    fr_tensor fed = fr_tensor_make(FR_U8, 2, dim, data);
    ok(fr_session_run(t.s, &fed, 1));
    fed.data = data + 4;
    assert_int_equal(fr_session_run(t.s, &fed, 1), FR_INVALID);
    assert_non_null(strstr(fr_message(), "multiple of 64"));
    fr_free(data);
    end(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),    cmocka_unit_test(test_chain),
        cmocka_unit_test(test_unfused),   cmocka_unit_test(test_saved),
        cmocka_unit_test(test_cost),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unaligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
