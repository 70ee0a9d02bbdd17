/* test_any.c: every operator with attributes and operands that nobody checked, as a file that is not
 * to be trusted may hold them. Whatever comes must be refused in a sentence, or run without touching
 * what is not its own (which the run under sanitizers sees).
 *
 * A graph of samples holds every operator once or more, as its constructors and gradient rules make
 * it. Each of its nodes is then taken alone, with some things changed at random. */
#include "op_test.h"

#include "graph/infer.h"

enum { DRAWS = 2000, DRAWS_SHORT = 300, MOST_VALUES = 20000 };

/* ---- the samples ---- */

/* A real operand: gradients are wanted for all of these. */
typedef struct makings {
    fr_graph *g;
    fr_val loss, wrt[64];
    int count;
} makings;

static fr_val real(makings *m, int rank, const int64_t *dim) {
    char name[16];
    snprintf(name, sizeof name, "x%d", m->count);
    return m->wrt[m->count++] = fr_input(m->g, name, FR_F32, rank, dim);
}
#define REAL(...)                                                                                  \
    real(m, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]){__VA_ARGS__})

static fr_val whole(makings *m, const char *name, int rank, const int64_t *dim) {
    return fr_input(m->g, name, FR_I32, rank, dim);
}

/* Counts towards the loss. */
static void add(makings *m, fr_val y) {
    unsigned axes = (1u << fr_desc(m->g, y)->rank) - 1;
    fr_val sum = axes ? fr_reduce(m->g, y, FR_SUM, axes, false) : y;
    m->loss = m->loss == FR_NONE ? sum : fr_add(m->g, m->loss, sum);
}

static void add_values(makings *m) {
    fr_graph *g = m->g;
    fr_val x = REAL(2, 3, 4), b = REAL(4), y = REAL(2, 3, 4);
    add(m, fr_mul(g, x, b));
    add(m, fr_binary_op(g, FR_MAX, x, y));
    add(m, fr_affine(g, fr_unary(g, x, FR_FN_SILU), 2, 1));
    add(m, fr_glu(g, x, FR_NONE, FR_FN_GELU));
    add(m, fr_glu(g, x, y, FR_FN_SILU));
    add(m, fr_modulate(g, x, b, b));
    add(m, fr_gated_add(g, x, b, y));
    add(m, fr_cast(g, fr_cast(g, x, FR_BF16), FR_F32));
    add(m, fr_reduce(g, x, FR_AMAX, 2, true));
    add(m, fr_topk(g, x, 2, NULL));
    fr_output(g, "argmax", fr_argmax(g, x));
    add(m, fr_softmax(g, x));
    add(m, fr_mse(g, x, y));
    add(m, fr_cross_entropy(g, x, whole(m, "target", 2, (int64_t[]){2, 3})));
}

static void add_norms(makings *m) {
    fr_graph *g = m->g;
    fr_val x = REAL(2, 3, 4), w = REAL(4), b = REAL(4), mean, var;
    add(m, fr_rmsnorm(g, x, w, b, b, 1e-5f));
    add(m, fr_layernorm(g, x, w, b, b, b, 1e-5f));
    add(m, fr_groupnorm(g, x, w, b, 2, 1e-5f));
    add(m, fr_batchnorm(g, x, w, b, b, b, 1e-5f));
    add(m, fr_batchnorm_train(g, x, w, b, 1e-5f, &mean, &var));
}

static void add_products(makings *m) {
    fr_graph *g = m->g;
    fr_val x = REAL(2, 3, 4), w = REAL(5, 4), b = REAL(5), r = REAL(2, 3, 5);
    add(m, fr_linear(g, x, w, b, r, FR_FN_RELU));
    add(m, fr_matmul(g, x, r, true, false, 0.5f));
    fr_quantize_opts rows = {.kind = FR_ROWS_INT4, .before = FR_BEFORE_LAYERNORM, .eps = 1e-5f};
    rows.weight = rows.bias = rows.scale = rows.shift = rows.by = REAL(4), rows.down = REAL(3, 4);
    fr_output(g, "rows_norm", fr_quantize_rows(g, x, &rows, NULL));
    rows = (fr_quantize_opts){.kind = FR_ROWS_BF16, .before = FR_BEFORE_GLU, .up = REAL(2, 3, 4)};
    fr_output(g, "rows_glu", fr_quantize_rows(g, x, &rows, NULL));
    fr_val q = REAL(2, 3, 4, 6), k = REAL(2, 5, 2, 6), v = REAL(2, 5, 2, 6);
    add(m, fr_attention(g, q, k, v, NULL));
    fr_attention_opts o = {.mask = FR_MASK_WINDOW, .window = 2};
    o.kv_len = whole(m, "kv_len", 1, (int64_t[]){2});
    add(m, fr_attention(g, q, k, v, &o));
    o = (fr_attention_opts){.mask = FR_MASK_BLOCKS, .block_q = 2, .block_k = 2};
    o.block_start = whole(m, "start", 1, (int64_t[]){3});
    o.block_index = whole(m, "index", 1, (int64_t[]){4});
    add(m, fr_attention(g, q, k, v, &o));
    add(m, fr_linear_attention(g, k, k, v, 1));
    add(m, fr_rope(g, q, whole(m, "pos", 2, (int64_t[]){3, 1}), NULL));
    fr_rope_opts turn = {.interleaved = true, .axes = 2, .axis_dim = {2, 4}};
    turn.inv_freq = fr_input(g, "freq", FR_F32, 1, (int64_t[]){3});
    add(m, fr_rope(g, q, whole(m, "pos2", 3, (int64_t[]){2, 3, 2}), &turn));
}

/* Weights in few bits, with x in floats and as rows. No gradient: outputs alone keep these nodes. */
static void add_few_bits(makings *m) {
    fr_graph *g = m->g;
    int64_t n = 5, k = 70;
    fr_qweight w = {.format = "int4-g64", .n = n, .k = k};
    w.part[0] = fr_input(g, "codes", FR_U8, 2, (int64_t[]){n, k / 2});
    w.part[1] = fr_input(g, "scales", FR_F16, 2, (int64_t[]){n, 2});
    fr_qlinear_opts o = {.act = FR_FN_SILU, .bias = REAL(n), .residual = REAL(2, 3, n)};
    o.by = REAL(k), o.down = REAL(4, k), o.up = REAL(n, 4);
    fr_output(g, "qlinear", fr_qlinear(g, REAL(2, 3, k), &w, &o, NULL));
    fr_qlinear_opts rows = {.up = o.up, .next = FR_ROWS_INT8, .next_by = REAL(n)};
    rows.low = REAL(2, 3, 4), rows.next_down = REAL(2, n);
    fr_val x = fr_input(g, "rows", FR_U8, 3, (int64_t[]){2, 3, 192});
    fr_output(g, "qlinear rows", fr_qlinear(g, x, &w, &rows, NULL));
    fr_val ids = whole(m, "few ids", 2, (int64_t[]){2, 3});
    fr_output(g, "embedding_few", fr_embedding_few(g, &w, ids, FR_BF16));
}

/* One expert in floats, one with two of its weights in few bits. */
static void add_experts(makings *m) {
    fr_graph *g = m->g;
    fr_val x = REAL(2, 3, 4), sum = REAL(2, 3, 4), share = fr_route(g, REAL(2, 3, 5), 2);
    add(m, share);
    add(m, fr_expert_rows(g, x, share, 3));
    fr_expert_opts o = {.expert = 1, .chosen = 2, .act = FR_FN_SILU};
    for (int i = 0; i < 3; i++) {
        o.weight[i] = (fr_qweight){.n = i == 2 ? 4 : 6, .k = i == 2 ? 6 : 4};
        o.weight[i].part[0] = REAL(i == 2 ? 4 : 6, i == 2 ? 6 : 4);
    }
    fr_output(g, "expert", fr_expert(g, sum, x, share, &o));
    for (int i = 1; i < 3; i++) {
        o.weight[i].format = "int4-g64";
        o.weight[i].part[0] = fr_input(g, i == 1 ? "up codes" : "down codes", FR_U8, 2,
                                       (int64_t[]){o.weight[i].n, o.weight[i].k / 2});
        o.weight[i].part[1] = fr_input(g, i == 1 ? "up scales" : "down scales", FR_F16, 2,
                                       (int64_t[]){o.weight[i].n, 1});
    }
    fr_output(g, "expert in few bits", fr_expert(g, sum, x, share, &o));
}

static void add_pictures(makings *m) {
    fr_graph *g = m->g;
    fr_val x = REAL(2, 6, 6, 4), b = REAL(4), r = REAL(2, 3, 3, 4), video = REAL(1, 3, 4, 4, 4);
    fr_conv_opts o = {.stride = {1, 2, 2}, .before = {0, 1, 1}, .groups = 2, .act = FR_FN_RELU};
    add(m, fr_conv2d(g, x, REAL(4, 2, 2, 2), b, r, &o));
    o.groups = 4;
    add(m, fr_conv2d(g, x, REAL(4, 3, 3, 1), b, FR_NONE, &o));
    add(m, fr_conv2d(g, x, REAL(4, 1, 1, 4), b, FR_NONE, NULL));
    add(m, fr_conv3d(g, video, REAL(2, 2, 2, 2, 4), FR_NONE, FR_NONE, NULL));
    add(m, fr_conv2d_transpose(g, r, REAL(4, 2, 2, 4), b, x, &(fr_conv_opts){.stride = {1, 2, 2}},
                               (int[]){1, 6, 6}));
    add(m, fr_pixel_shuffle(g, x, 2));
    add(m, fr_pixel_unshuffle(g, x, 2));
    add(m, fr_upsample_nearest(g, x, 2, 3));
    add(m, fr_avgpool(g, x, 3, 2, 1));
    add(m, fr_maxpool(g, x, 2, 2, 1));
}

static void add_moves(makings *m) {
    fr_graph *g = m->g;
    fr_val x = REAL(2, 3, 4), y = REAL(2, 1, 4), table = REAL(7, 4);
    fr_val ids = whole(m, "ids", 2, (int64_t[]){2, 3}), list = whole(m, "list", 1, (int64_t[]){3});
    add(m, fr_reshape(g, fr_permute(g, x, (int[]){2, 0, 1}), 3, (int64_t[]){0, -1, 2}));
    add(m, fr_slice(g, x, 1, -2, 1));
    add(m, fr_concat(g, 2, (fr_val[]){x, y}, 1));
    add(m, fr_pad(g, x, (int64_t[]){0, 1, 2}, (int64_t[]){1, 0, 0}, 1));
    add(m, fr_embedding(g, table, ids));
    add(m, fr_gather(g, x, list, 1));
    add(m, fr_scatter_add(g, x, list, 1, 5));
    const fr_kv_kind kinds[] = {FR_KV_4, FR_KV_F16, FR_KV_8_QOQ};
    fr_val pages = fr_state(g, "pages", FR_U8, 2, (int64_t[]){3, 2 * 64 * 6});
    fr_val where = whole(m, "table", 2, (int64_t[]){2, 2}),
           len = whole(m, "len", 1, (int64_t[]){2});
    fr_kv_write(g, pages, REAL(2, 3, 2, 4), where, len, FR_KV_4);
    for (int i = 0; i < 3; i++) {
        int64_t bytes = (int64_t)fr_kv_page_bytes(kinds[i], 1, 4);
        fr_val k = fr_input(g, i ? i == 1 ? "k1" : "k2" : "k0", FR_U8, 2, (int64_t[]){3, bytes});
        fr_paged_attention_opts o = {.kind = kinds[i], .window = i};
        fr_output(g, i ? i == 1 ? "p1" : "p2" : "p0",
                  fr_paged_attention(g, i == 1 ? REAL(2, 40, 1, 4) : REAL(2, 3, 2, 4), k, k, where,
                                     len, &o));
    }
    fr_val state = fr_state(g, "state", FR_F32, 3, (int64_t[]){2, 5, 4});
    fr_update_rows(g, state, x, whole(m, "at", 1, (int64_t[]){1}), 1);
    fr_assign(g, state, REAL(2, 5, 4));
}

static fr_graph *samples(void) {
    makings m = {.g = fr_graph_new()};
    fr_val grad[FR_COUNT(m.wrt)];
    add_values(&m);
    add_norms(&m);
    add_products(&m);
    add_few_bits(&m);
    add_experts(&m);
    add_pictures(&m);
    add_moves(&m);
    if (fr_graph_check(m.g) != FR_OK) fail_msg("%s", fr_message());
    assert_int_equal(fr_gradients(m.g, m.loss, m.count, m.wrt, grad), FR_OK);
    return m.g;
}

/* ---- changes ---- */

static uint32_t below(fr_rng *r, uint32_t n) {
    return fr_rng_below(r, n);
}

/* Small ones mostly; now and then one at the edge of what the type holds. */
static int64_t draw_int(fr_rng *r, bool wide) {
    static const int64_t odd[] = {INT32_MAX, INT32_MIN, -1, 100, 65536, INT32_MAX - 1, 1 << 20, 33};
    static const int64_t far[] = {INT64_MAX, INT64_MIN, (int64_t)1 << 40, -1};
    if (wide && below(r, 4) == 0) return far[below(r, FR_COUNT(far))];
    return below(r, 3) ? (int64_t)below(r, 6) : odd[below(r, FR_COUNT(odd))];
}

static void change_attr(fr_rng *r, const fr_op *op, char *attr) {
    static const float odd[] = {0, 1, 1e-5f, 10000, -1, NAN, INFINITY, 3e38f};
    int fields = 0;
    while (op->fields && op->fields[fields].kind != FR_ATTR_END) fields++;
    if (!fields) return;
    const fr_attr_field *f = &op->fields[below(r, (uint32_t)fields)];
    int i = (int)below(r, (uint32_t)FR_MAX_OF(f->count, 1));
    void *at = attr + f->offset;
    switch (f->kind) {
    case FR_ATTR_I64: ((int64_t *)at)[i] = draw_int(r, true); break;
    case FR_ATTR_F32: ((float *)at)[i] = odd[below(r, FR_COUNT(odd))]; break;
    case FR_ATTR_BOOL: ((bool *)at)[i] = below(r, 2); break;
    case FR_ATTR_FN: ((int32_t *)at)[i] = (int32_t)below(r, FR_FN_COUNT); break;
    default: ((int32_t *)at)[i] = (int32_t)draw_int(r, false);
    }
}

/* A dimension of one operand, or wherever that size stands. */
static void change_dim(fr_rng *r, fr_tensor *in, int nin) {
    static const int64_t large[] = {(int64_t)1 << 20, INT32_MAX, (int64_t)1 << 40,
                                    (int64_t)1 << 62};
    fr_tensor *t = &in[below(r, (uint32_t)nin)];
    if (!t->rank) return;
    int64_t *one = &t->dim[below(r, (uint32_t)t->rank)], old = *one;
    int64_t to = below(r, 8) ? (int64_t)below(r, 8) : large[below(r, FR_COUNT(large))];
    *one = to;
    if (below(r, 3) == 0) return;
    for (int i = 0; i < nin; i++)
        for (int d = 0; d < in[i].rank; d++)
            if (in[i].dim[d] == old) in[i].dim[d] = to;
}

static void change_type(fr_rng *r, fr_tensor *in, int nin) {
    static const fr_dtype other[] = {FR_F32, FR_I32, FR_F16, FR_I64, FR_U8, FR_BOOL, FR_F8E4M3};
    bool all = below(r, 2);
    if (!all) in[below(r, (uint32_t)nin)].dtype = other[below(r, FR_COUNT(other))];
    for (int i = 0; all && i < nin; i++)
        if (in[i].dtype == FR_F32) in[i].dtype = FR_BF16;
}

static void change(fr_rng *r, const fr_op *op, char *attr, fr_tensor *in, int *nin) {
    switch (below(r, 8)) {
    case 0: change_type(r, in, *nin); break;
    case 1: in[below(r, (uint32_t)*nin)].rank = (int)below(r, FR_MAX_DIMS + 1); break;
    case 2: /* one less */
        if (below(r, 2) && *nin > op->nin_min) --*nin;
        if (below(r, 2)) in[below(r, (uint32_t)*nin)].dtype = FR_NOTYPE;
        break;
    case 3:
    case 4: change_dim(r, in, *nin); break;
    default: change_attr(r, op, attr);
    }
}

/* Any bytes: floats of every kind, indices far out of range. */
static void draw_data(fr_rng *r, fr_tensor *t) {
    fr_set_contiguous(t);
    size_t n = fr_bytes(t);
    t->data = fr_alloc(FR_MEM_OTHER, n);
    for (size_t i = 0; i + 4 <= n; i += 4) {
        uint32_t bits = below(r, 4) ? below(r, 5) : 0x80000000u + below(r, 0x7fffffff);
        if (t->dtype == FR_F32 && below(r, 4)) bits = fr_f32_bits((float)below(r, 9) - 4);
        memcpy((char *)t->data + i, &bits, 4);
    }
}

/* What is too large to try. */
static bool modest(const fr_graph *g, const fr_val *v, int count) {
    for (int i = 0; i < count; i++)
        if (fr_values(fr_desc(g, v[i])) > MOST_VALUES) return false;
    const fr_node *n = g->nodes[g->node_count - 1];
    fr_tensor in[FR_NODE_INPUTS], out[FR_NODE_OUTPUTS];
    fr_call c = fr_describe_call(g, n, in, out);
    return !n->op->scratch || n->op->scratch(&c) < (size_t)1 << 24;
}

static void run_it(fr_graph *g, const fr_val *out, int nout, const fr_tensor *in, int nin,
                   fr_pool *pool) {
    fr_session *s;
    for (int i = 0; i < nout; i++) {
        char name[16];
        snprintf(name, sizeof name, "out%d", i);
        fr_output(g, name, out[i]);
    }
    assert_int_equal(fr_session_new_with(g, &(fr_session_opts){.pool = pool}, &s), FR_OK);
    fr_message_clear();
    fr_status st = fr_session_run(s, in, nin); /* bad indices are refused here */
    if (st) assert_true(strlen(fr_message()) > 10);
    fr_session_free(s);
}

/* Adds the operands as inputs; a state where one is wanted. */
static bool add_inputs(fr_graph *g, const fr_op *op, const fr_tensor *t, int nin, fr_val *v,
                       fr_tensor *fed, int *nfed) {
    for (int i = 0; i < nin; i++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        v[i] = FR_NONE;
        if (t[i].dtype == FR_NOTYPE) continue;
        if (i == 0 && (op->flags & FR_OP_STATE)) {
            v[i] = fr_state(g, name, t[i].dtype, t[i].rank, t[i].dim);
        } else {
            v[i] = fr_input(g, name, t[i].dtype, t[i].rank, t[i].dim);
            fed[(*nfed)++] = t[i];
        }
    }
    return fr_graph_check(g) == FR_OK;
}

static bool small(const fr_tensor *t, int count) {
    for (int i = 0; i < count; i++)
        if (fr_values(&t[i]) > MOST_VALUES) return false;
    return true;
}

/* Node n with some things changed; whether the operator took it. */
static bool try_one(const fr_graph *from, const fr_node *n, fr_rng *r, fr_pool *pool) {
    union {
        char bytes[FR_ATTR_MAX];
        int64_t align;
    } attr = {{0}};
    fr_graph *g = fr_graph_new();
    fr_val v[OP_MAX], out[OP_MAX];
    fr_tensor in[OP_MAX], fed[OP_MAX];
    int nin = n->nin, nfed = 0;
    assert_true(nin > 0 && nin <= OP_MAX);
    memcpy(attr.bytes, n->attr, n->op->attr_bytes);
    for (int i = 0; i < nin; i++) in[i] = *fr_desc(from, n->in[i]);
    for (uint32_t changes = below(r, 4); changes; changes--) change(r, n->op, attr.bytes, in, &nin);
    bool taken = false;
    if (add_inputs(g, n->op, in, nin, v, fed, &nfed)) {
        fr_val first = fr_emit(g, n->op, nin, v, attr.bytes);
        taken = fr_graph_check(g) == FR_OK;
        for (int i = 0; i < n->op->nout; i++) out[i] = first + i;
    }
    if (!taken) {
        assert_true(strlen(fr_message()) > 10);
    } else {
        fr_graph_cost cost;
        assert_int_equal(fr_graph_cost_of(g, &cost), FR_OK);
        if (small(fed, nfed) && modest(g, out, n->op->nout)) {
            for (int i = 0; i < nfed; i++) draw_data(r, &fed[i]);
            run_it(g, out, n->op->nout, fed, nfed, pool);
            for (int i = 0; i < nfed; i++) fr_free(fed[i].data);
        }
    }
    fr_graph_free(g);
    return taken;
}

/* Whether an earlier node of the graph says the same. */
static bool seen_before(const fr_graph *g, size_t i) {
    for (size_t k = 0; k < i; k++) {
        const fr_node *a = g->nodes[k], *b = g->nodes[i];
        bool same =
            a->op == b->op && a->nin == b->nin && !memcmp(a->attr, b->attr, a->op->attr_bytes);
        for (int j = 0; same && j < a->nin; j++) {
            const fr_tensor *x = fr_desc(g, a->in[j]), *y = fr_desc(g, b->in[j]);
            same = x->dtype == y->dtype && fr_same_shape(x, y);
        }
        if (same) return true;
    }
    return false;
}

static void test_any(void **state) {
    (void)state;
    fr_pool *pool;
    fr_graph *g = samples();
    int draws = getenv("FRUGAL_TEST_SHORT") ? DRAWS_SHORT : DRAWS;
    assert_int_equal(fr_pool_new(2, &pool), FR_OK);
    for (size_t o = 0; fr_ops[o]; o++) {
        int taken = 0, tried = 0;
        for (size_t i = 0; i < g->node_count; i++) {
            if (g->nodes[i]->op != fr_ops[o] || seen_before(g, i)) continue;
            for (int k = 0; k < draws; k++, tried++) {
                fr_rng r = fr_rng_new(i, (uint64_t)k);
                taken += try_one(g, g->nodes[i], &r, pool);
            }
        }
        if (getenv("FRUGAL_TEST_TALK"))
            print_message("%-24s %6d of %6d taken\n", fr_ops[o]->name, taken, tried);
        if (taken < draws / 8 || taken == tried)
            fail_msg("%s: %d of %d were taken", fr_ops[o]->name, taken, tried);
    }
    fr_graph_free(g);
    fr_pool_free(pool);
}

/* ---- operands that are views, and operands that may be written over ---- */

typedef enum how { PLAIN, VIEWS, COMPUTED } how;

/* Input i as the operator sees it: as it is fed, as a part of something larger, or as the result of a
 * node. `axis` is where the larger one is longer. */
static fr_val operand(fr_graph *g, const fr_tensor *t, int i, how way, int axis) {
    char name[16];
    int64_t dim[FR_MAX_DIMS];
    snprintf(name, sizeof name, "in%d", i);
    memcpy(dim, t->dim, sizeof dim);
    bool real = fr_dtype_get(t->dtype)->real;
    if (way == VIEWS && t->rank > 0 && real) {
        dim[axis] += 2;
        return fr_slice(g, fr_input(g, name, t->dtype, t->rank, dim), axis, 1, t->dim[axis]);
    }
    fr_val v = fr_input(g, name, t->dtype, t->rank, dim);
    return way == COMPUTED && real ? fr_affine(g, v, 1, 0) : v;
}

/* What is fed for it: the values of t with NaN around them. */
static fr_tensor fed_as(const fr_tensor *t, how way, int axis) {
    fr_tensor big = *t, inside;
    if (way != VIEWS || !t->rank || !fr_dtype_get(t->dtype)->real) axis = -1;
    if (axis >= 0) big.dim[axis] += 2;
    fr_set_contiguous(&big);
    big.data = fr_alloc(FR_MEM_OTHER, fr_bytes(&big));
    memset(big.data, 0xff, fr_bytes(&big));
    inside = big;
    if (axis >= 0) assert_int_equal(fr_view_slice(&big, axis, 1, t->dim[axis], &inside), FR_OK);
    int64_t at[FR_MAX_DIMS] = {0};
    size_t size = (size_t)fr_dtype_get(t->dtype)->bytes;
    for (int64_t k = 0; k < fr_values(t); k++) {
        int64_t to = 0;
        for (int d = 0; d < t->rank; d++) to += at[d] * inside.stride[d];
        memcpy((char *)inside.data + (size_t)to * size, (char *)t->data + (size_t)k * size, size);
        for (int d = t->rank - 1; d >= 0 && ++at[d] == t->dim[d]; d--) at[d] = 0;
    }
    return big;
}

/* The outputs of node n in one way, as floats one after another; how many. */
static size_t outputs_of(const fr_node *n, const fr_tensor *in, how way, int axis, float *out) {
    fr_graph *g = fr_graph_new();
    fr_val v[OP_MAX], first;
    fr_tensor fed[OP_MAX];
    size_t count = 0;
    int nfed = 0, axes[OP_MAX];
    for (int i = 0; i < n->nin; i++) {
        v[i] = FR_NONE;
        if (in[i].dtype == FR_NOTYPE) continue;
        axes[nfed] = FR_MIN(axis, FR_MAX_OF(in[i].rank - 1, 0));
        v[i] = operand(g, &in[i], i, way, axes[nfed]);
        fed[nfed] = fed_as(&in[i], way, axes[nfed]);
        nfed++;
    }
    first = fr_emit(g, n->op, n->nin, v, n->attr);
    if (fr_graph_check(g)) fail_msg("%s", fr_message());
    for (int i = 0; i < n->nout; i++) {
        char name[16];
        snprintf(name, sizeof name, "out%d", i);
        fr_output(g, name, first + i);
    }
    fr_session *s;
    assert_int_equal(fr_session_new(g, &s), FR_OK);
    if (fr_session_run(s, fed, nfed)) fail_msg("%s", fr_message());
    for (int i = 0; i < n->nout; i++) {
        char name[16];
        snprintf(name, sizeof name, "out%d", i);
        const fr_tensor *t = fr_session_output(s, name);
        if (!fr_dtype_get(t->dtype)->real) continue;
        assert_true(count + (size_t)fr_values(t) <= MOST_VALUES);
        assert_int_equal(fr_tensor_to_f32(t, out + count), FR_OK);
        count += (size_t)fr_values(t);
    }
    fr_session_free(s);
    fr_graph_free(g);
    for (int i = 0; i < nfed; i++) fr_free(fed[i].data);
    return count;
}

static void compare_ways(const fr_node *n, const fr_tensor *in) {
    static float want[MOST_VALUES], got[MOST_VALUES];
    size_t count = outputs_of(n, in, PLAIN, 0, want);
    for (int axis = 0; axis <= FR_MAX_DIMS; axis++) { /* the last round: computed ones */
        how way = axis < FR_MAX_DIMS ? VIEWS : COMPUTED;
        assert_true(outputs_of(n, in, way, axis, got) == count);
        for (size_t k = 0; k < count; k++)
            if (!(fabsf(got[k] - want[k]) <= 1e-5f * fmaxf(1, fabsf(want[k]))) &&
                !(isnan(got[k]) && isnan(want[k])) && got[k] != want[k])
                fail_msg("%s of %s, %s %d: value %zu is %g, and %g for plain operands", n->op->name,
                         fr_dtype_name(in[0].dtype), way == VIEWS ? "views along axis" : "computed",
                         axis, k, (double)got[k], (double)want[k]);
    }
}

static void test_views(void **state) {
    (void)state;
    fr_graph *g = samples();
    for (size_t i = 0; i < g->node_count; i++) {
        const fr_node *n = g->nodes[i];
        if ((n->op->flags & FR_OP_STATE) || seen_before(g, i)) continue;
        for (int half = 0; half < 2; half++) {
            fr_tensor in[OP_MAX];
            for (int k = 0; k < n->nin; k++) {
                in[k] = *fr_desc(g, n->in[k]);
                if (in[k].dtype == FR_NOTYPE) continue;
                if (half && in[k].dtype == FR_F32) in[k].dtype = FR_BF16;
                fr_set_contiguous(&in[k]);
                float f[4096];
                int64_t values = fr_values(&in[k]);
                assert_true(values <= (int64_t)FR_COUNT(f));
                fr_random_uniform(3, (uint64_t)k, 0, f, (size_t)values);
                for (int64_t j = 0; j < values; j++) f[j] += 0.25f;
                in[k].data = fr_alloc(FR_MEM_OTHER, fr_bytes(&in[k])); /* indices: zeros */
                if (fr_dtype_get(in[k].dtype)->real)
                    assert_int_equal(fr_encode(in[k].dtype, f, (size_t)values, in[k].data), FR_OK);
            }
            fr_tensor out[FR_NODE_OUTPUTS];
            bool taken = fr_infer_node(n, in, out) == FR_OK; /* some want statistics in f32 */
            assert_true(taken || half);
            if (taken) compare_ways(n, in);
            for (int k = 0; k < n->nin; k++)
                if (in[k].dtype != FR_NOTYPE) fr_free(in[k].data);
        }
    }
    fr_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any), cmocka_unit_test(test_views)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
