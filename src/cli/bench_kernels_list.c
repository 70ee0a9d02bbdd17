/* bench_kernels_list.c: what `frugal bench kernels` measures, and the targets. */
#include "cli/bench_kernels.h"

#include <string.h>

/* Weights in all their copies, to lie in memory and not in the last cache. */
enum { OUT_OF_CACHE = 128 << 20 };

static double ops_of(int64_t m, int64_t n, int64_t k) {
    return 2.0 * (double)m * (double)n * (double)k;
}

/* A run of a model over m rows of bf16, with its operations as the work. */
static fr_status add_product(kb_group *g, kb_model *model, const kb_product *p, int64_t m,
                             const char *what, kb_peak peak) {
    kb_run *r = kb_run_add(g, model, m, p->n, p->k, "%s", what);
    r->work = ops_of(m, p->n, p->k);
    r->peak = peak;
    r->ins = 1;
    for (int i = 0; i + 1 < g->runs; i++)
        if (g->run[i].m == m && g->run[i].in[0].dtype == p->type && g->run[i].k == p->k) {
            r->in[0] = g->run[i].in[0];
            return FR_OK;
        }
    return kb_random(g, p->type, 2, (int64_t[]){m, p->k}, &r->in[0]);
}

static kb_run *last(kb_group *g) {
    return &g->run[g->runs - 1];
}

static void goal(kb_group *g, kb_goal kind, double target, int beside) {
    last(g)->goal = kind;
    last(g)->target = target;
    last(g)->beside = beside;
}

/* ---- many rows ---- */

static fr_status fill_products(kb_group *g, const kb_entry *e) {
    static const struct {
        const char *what, *format;
    } kinds[] = {
        {"W8A8", "int8-channel"}, {"W4A8 g128", "qoq-g128"}, {"W4A8 channel", "qoq-channel"}};
    static const int64_t rows[] = {128, 512, 1024};
    kb_model *model[FR_COUNT(kinds)];
    kb_product p = {.type = FR_BF16, .n = e->n, .k = e->k};
    for (size_t i = 0; i < FR_COUNT(kinds); i++) {
        p.format = kinds[i].format;
        FR_TRY(kb_model_product(g, &p, &model[i]));
    }
    for (size_t j = 0; j < (g->quick ? 1 : FR_COUNT(rows)); j++)
        for (size_t i = 0; i < FR_COUNT(kinds); i++) {
            FR_TRY(add_product(g, model[i], &p, rows[j], kinds[i].what, KB_INT8));
            goal(g, KB_SHARE, fr_pool_threads(g->pool) == 1 ? 0.80 : 0.75, -1);
        }
    return FR_OK;
}

static fr_status fill_others(kb_group *g, const kb_entry *e) {
    static const struct {
        const char *what, *format;
        kb_peak peak;
        double share;
    } kinds[] = {{"NVFP4 W4A4", "nvfp4", KB_INT8, 0.5},
                 {"W4A4 g64", "int4-g64", KB_INT8, 0},
                 {"W4A16 g128", "uint4-z-g128", KB_BF16, 0},
                 {"FP8 blocks", "fp8-128x128", KB_BF16, 0}};
    kb_product p = {.type = FR_BF16, .n = e->n, .k = e->k};
    for (size_t i = 0; i < FR_COUNT(kinds); i++) {
        kb_model *model;
        p.format = kinds[i].format;
        FR_TRY(kb_model_product(g, &p, &model));
        FR_TRY(add_product(g, model, &p, g->quick ? 128 : e->m, kinds[i].what, kinds[i].peak));
        if (kinds[i].share > 0) goal(g, KB_SHARE, kinds[i].share, -1);
    }
    return FR_OK;
}

/* ---- few rows ---- */

/* One row is bound by reading the weight; 8 rows, on one core, by multiplying. */
static fr_status fill_few(kb_group *g, const kb_entry *e) {
    static const struct {
        const char *what, *format;
        kb_peak peak;
    } kinds[] = {{"W4A8 g128", "qoq-g128", KB_INT8}, {"W4A16 g128", "uint4-z-g128", KB_BF16}};
    int64_t copies = OUT_OF_CACHE / (e->n * e->k / 2);
    kb_product p = {.type = FR_BF16, .n = e->n, .k = e->k};
    p.copies = (int)FR_MAX_OF(1, FR_MIN(copies, (int64_t)KB_COPIES));
    for (size_t i = 0; i < FR_COUNT(kinds); i++) {
        kb_model *model;
        p.format = kinds[i].format;
        FR_TRY(kb_model_product(g, &p, &model));
        FR_TRY(add_product(g, model, &p, 1, kinds[i].what, KB_READ));
        last(g)->work = model->weight_bytes;
        goal(g, KB_SHARE, 0.90, -1);
        FR_TRY(add_product(g, model, &p, 8, kinds[i].what, kinds[i].peak));
        goal(g, KB_AT_MOST, 1.5, g->runs - 2);
    }
    return FR_OK;
}

/* ---- the low-rank branch ---- */

static kb_product svdquant(int64_t n, int64_t k) {
    return (kb_product){.format = "int4-g64", .type = FR_BF16, .n = n, .k = k, .rank = 32};
}

static fr_status fill_branch(kb_group *g, const kb_entry *e) {
    kb_product with = svdquant(e->n, e->k), without = with, apart = with;
    kb_model *model;
    without.rank = 0;
    apart.apart = true;
    FR_TRY(kb_model_product(g, &without, &model));
    FR_TRY(add_product(g, model, &without, e->m, "W4A4, no branch", KB_INT8));
    FR_TRY(kb_model_product(g, &with, &model));
    FR_TRY(add_product(g, model, &with, e->m, "W4A4, branch fused", KB_INT8));
    goal(g, KB_AT_MOST, 1.12, 0);
    FR_TRY(kb_model_product(g, &apart, &model));
    FR_TRY(add_product(g, model, &apart, e->m, "W4A4, branch apart", KB_INT8));
    last(g)->beside = 0;
    return FR_OK;
}

static fr_status fill_versus(kb_group *g, const kb_entry *e) {
    int64_t m = g->quick ? 256 : e->m;
    static const struct {
        const char *what, *format;
        fr_dtype type;
        kb_peak peak;
        kb_goal goal;
        double target;
    } kinds[] = {{"W4A16 g128", "uint4-z-g128", FR_BF16, KB_BF16, KB_KNOWN, 3},
                 {"bf16", NULL, FR_BF16, KB_BF16, KB_AT_LEAST, 1.7},
                 {"f32", NULL, FR_F32, KB_F32, KB_AT_LEAST, 3}};
    kb_product p = svdquant(e->n, e->k);
    kb_model *model;
    FR_TRY(kb_model_product(g, &p, &model));
    FR_TRY(add_product(g, model, &p, m, "W4A4, branch", KB_INT8));
    for (size_t i = 0; i < FR_COUNT(kinds); i++) {
        p = (kb_product){.format = kinds[i].format, .type = kinds[i].type, .n = e->n, .k = e->k};
        FR_TRY(kb_model_product(g, &p, &model));
        FR_TRY(add_product(g, model, &p, m, kinds[i].what, kinds[i].peak));
        goal(g, kinds[i].goal, kinds[i].target, 0);
    }
    return FR_OK;
}

/* ---- rows on their way into few bits ---- */

static const struct {
    const char *what, *into;
    fr_before before;
    fr_fn fn;
    fr_rows_kind kind;
    float add;
} ways[] = {
    {"RMSNorm", "INT8", FR_BEFORE_RMSNORM, FR_FN_NONE, FR_ROWS_INT8, 0},
    {"LayerNorm", "INT4", FR_BEFORE_LAYERNORM, FR_FN_NONE, FR_ROWS_INT4, 0},
    {"SiLU x up", "INT8", FR_BEFORE_GLU, FR_FN_SILU, FR_ROWS_INT8, 0},
    {"GELU", "UINT4", FR_BEFORE_FN, FR_FN_GELU_TANH, FR_ROWS_UINT4, 0.171875f},
};

/* Way i as one node, or what comes before as a node of its own. Inputs: x, then what the way wants. */
static fr_graph *way_graph(size_t i, int64_t m, int64_t k, bool apart) {
    fr_graph *g = fr_graph_new();
    fr_quantize_opts o = {.kind = ways[i].kind, .before = ways[i].before, .fn = ways[i].fn};
    fr_val x = fr_input(g, "x", FR_BF16, 2, (int64_t[]){m, k});
    o.eps = 1e-6f;
    o.add = ways[i].add;
    if (o.before == FR_BEFORE_RMSNORM) o.weight = fr_param(g, "weight", FR_F32, 1, (int64_t[]){k});
    if (o.before == FR_BEFORE_LAYERNORM) {
        o.scale = fr_input(g, "scale", FR_BF16, 2, (int64_t[]){1, k});
        o.shift = fr_input(g, "shift", FR_BF16, 2, (int64_t[]){1, k});
    }
    if (o.before == FR_BEFORE_GLU) o.up = fr_input(g, "up", FR_BF16, 2, (int64_t[]){m, k});
    if (apart) {
        if (o.before == FR_BEFORE_RMSNORM) x = fr_rmsnorm(g, x, o.weight, FR_NONE, FR_NONE, o.eps);
        if (o.before == FR_BEFORE_LAYERNORM)
            x = fr_layernorm(g, x, FR_NONE, FR_NONE, o.scale, o.shift, o.eps);
        if (o.before == FR_BEFORE_GLU) x = fr_glu(g, x, o.up, o.fn);
        if (o.before == FR_BEFORE_FN) x = fr_unary(g, x, o.fn);
        o = (fr_quantize_opts){.kind = o.kind, .add = o.add};
    }
    fr_output(g, "rows", fr_quantize_rows(g, x, &o, NULL));
    return g;
}

static fr_status fill_rows(kb_group *g, const kb_entry *e) {
    int64_t m = g->quick ? 256 : e->m;
    fr_tensor x, row;
    FR_TRY(kb_random(g, FR_BF16, 2, (int64_t[]){m, e->k}, &x));
    FR_TRY(kb_random(g, FR_BF16, 2, (int64_t[]){1, e->k}, &row));
    for (size_t i = 0; i < FR_COUNT(ways); i++)
        for (int apart = 1; apart >= 0; apart--) {
            kb_model *model;
            FR_TRY(kb_model_of(g, way_graph(i, m, e->k, apart), 1, &model));
            FR_TRY(fr_session_init_random(model->session[0], 1, 1));
            kb_run *r = kb_run_add(g, model, m, 0, e->k, "%s %s %s", ways[i].what,
                                   apart ? "then" : "with", ways[i].into);
            r->in[r->ins++] = x;
            if (ways[i].before == FR_BEFORE_LAYERNORM)
                r->in[1] = r->in[2] = row, r->ins = 3;
            else if (ways[i].before == FR_BEFORE_GLU)
                r->in[r->ins++] = x;
            r->work = (double)fr_bytes(&x) * (ways[i].before == FR_BEFORE_GLU ? 2 : 1);
            r->peak = KB_READ;
            r->beside = apart ? -1 : g->runs - 2;
        }
    return FR_OK;
}

/* ---- the list ---- */

const kb_entry kb_entries[] = {
    {"W8A8 and W4A8 products", fill_products, 0, 2048, 2048, true},
    {"W8A8 and W4A8 products", fill_products, 0, 4096, 4096, false},
    {"W8A8 and W4A8 products", fill_products, 0, 8192, 2048, false},
    {"W8A8 and W4A8 products", fill_products, 0, 2048, 8192, false},
    {"W8A8 and W4A8 products", fill_products, 0, 8192, 8192, false},
    {"NVFP4, W4A4, W4A16, FP8 products", fill_others, 512, 4096, 4096, true},
    {"few rows, W4A8 and W4A16", fill_few, 0, 4096, 4096, true},
    {"few rows, W4A8 and W4A16", fill_few, 0, 11008, 4096, false},
    {"few rows, W4A8 and W4A16", fill_few, 0, 8192, 8192, false},
    {"branch of rank 32", fill_branch, 256, 3072, 3072, true},
    {"branch of rank 32", fill_branch, 4096, 3072, 3072, false},
    {"branch of rank 32", fill_branch, 4096, 9216, 3072, false},
    {"branch of rank 32", fill_branch, 4096, 12288, 3072, false},
    {"branch of rank 32", fill_branch, 4096, 3072, 12288, false},
    {"W4A4 against W4A16, bf16, f32", fill_versus, 4096, 3072, 3072, true},
    {"quantizing rows", fill_rows, 4096, 0, 4096, true},
    {"decode, tokens in cache", kb_fill_cache, 1, 0, 8192, true},
    {"decode, tokens in cache", kb_fill_cache, 1, 0, 32768, false},
    {0},
};

void kb_title(const kb_entry *e, char *out, size_t size) {
    if (e->n)
        snprintf(out, size, "%s, %lldx%lld", e->name, (long long)e->n, (long long)e->k);
    else
        snprintf(out, size, "%s, %lld", e->name, (long long)e->k);
}
