/* packed.c: checkpoints of Hugging Face's layout whose matrices other programs packed: AWQ and GPTQ, which say so in
 * config.json; QServe's, known by their tensors; FP8 with its scales beside. They become formats of our own without
 * loss (format/import.h), each matrix an item of the pool; all other tensors stay where they are. */
#include <string.h>

#include "model/layouts.h"

typedef enum kind { NONE, AWQ, GPTQ, QSERVE, INT8, FP8 } kind;

typedef struct matrix {
    char name[176]; /* the module, "model.layers.0.self_attn.q_proj" */
    kind kind;
    fr_quantized q;
    fr_status st;
    char *message;
} matrix;

typedef struct packed {
    fr_store *base, *out;
    const char *path;
    kind method; /* of config.json */
    fr_gptq gptq;
    bool fp8_blocks;
    matrix *list;
    size_t count, cap;
    bool qserve;
} packed;

static const fr_tensor *find(const packed *p, const char *module, const char *suffix) {
    char *name = fr_format("%s.%s", module, suffix);
    const fr_tensor *t = name ? fr_store_find(p->base, name) : NULL;
    fr_free(name);
    return t;
}

/* ---- what config.json says ---- */

static fr_status read_awq(packed *p, const fr_json *c) {
    const char *version;
    int64_t bits;
    FR_TRY(fr_json_i64(c, "bits", 4, &bits));
    FR_TRY(fr_json_string(c, "version", "gemm", &version));
    p->method = AWQ;
    if (bits == 4 && (!strcmp(version, "gemm") || !strcmp(version, "GEMM"))) return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "%s is packed by AWQ with %lld bits in the version \"%.40s\"; Frugal reads 4 "
                   "bits in the version \"gemm\".",
                   p->path, (long long)bits, version);
}

static fr_status read_gptq(packed *p, const fr_json *c) {
    const char *format;
    int64_t bits;
    FR_TRY(fr_json_i64(c, "bits", 4, &bits));
    FR_TRY(fr_json_string(c, "checkpoint_format", "gptq", &format));
    p->method = GPTQ;
    p->gptq = (fr_gptq){.bits = (int)bits, .v2 = !strcmp(format, "gptq_v2")};
    if ((bits == 4 || bits == 8) && (p->gptq.v2 || !strcmp(format, "gptq"))) return FR_OK;
    return fr_fail(
        FR_UNSUPPORTED,
        "%s is packed by GPTQ with %lld bits in the format \"%.40s\"; Frugal reads 4 and "
        "8 bits in the formats \"gptq\" and \"gptq_v2\".",
        p->path, (long long)bits, format);
}

static fr_status read_fp8(packed *p, const fr_json *c) {
    const fr_json *size = fr_json_get(c, "weight_block_size");
    p->method = FP8;
    p->fp8_blocks = json_is_array(size);
    if (!p->fp8_blocks || (json_integer_value(json_array_get(size, 0)) == 128 &&
                           json_integer_value(json_array_get(size, 1)) == 128))
        return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "%s is in FP8 with blocks that are not 128 x 128, which are the only ones that "
                   "Frugal reads.",
                   p->path);
}

static fr_status read_method(packed *p, const fr_json *config) {
    const fr_json *c = fr_json_get(config, "quantization_config");
    const char *method;
    if (!c || json_is_null(c)) return FR_OK;
    FR_TRY(fr_json_string(c, "quant_method", "", &method));
    if (!strcmp(method, "awq")) return read_awq(p, c);
    if (!strcmp(method, "gptq")) return read_gptq(p, c);
    if (!strcmp(method, "fp8")) return read_fp8(p, c);
    return fr_fail(FR_UNSUPPORTED,
                   "The weights of %s are packed by \"%.40s\"; Frugal reads awq, gptq, fp8 and "
                   "QServe's.",
                   p->path, method);
}

/* ---- which matrices there are ---- */

/* The kind of packing that this tensor's matrix is in, when the tensor is what holds its codes. */
static kind kind_of(const packed *p, const char *module, const char *suffix, const fr_tensor *t) {
    if (!strcmp(suffix, "qweight")) return find(p, module, "s1_scales") ? QSERVE : p->method;
    if (strcmp(suffix, "weight")) return NONE;
    if (t->dtype == FR_I8 && find(p, module, "dequant_scale")) return INT8;
    return p->method == FP8 && t->dtype == FR_F8E4M3 ? FP8 : NONE;
}

/* Belongs to a packed matrix and has no meaning alone. */
static bool is_part(const packed *p, const char *module, const char *suffix) {
    static const char *const of_codes[] = {"qweight",   "qzeros",    "scales",    "g_idx",
                                           "s1_scales", "s1_szeros", "s2_scales", "s2_zeros"};
    static const char *const of_weight[] = {"weight_scale_inv", "weight_scale", "input_scale",
                                            "dequant_scale"};
    for (size_t i = 0; i < FR_COUNT(of_codes); i++)
        if (!strcmp(suffix, of_codes[i])) return find(p, module, "qweight") != NULL;
    for (size_t i = 0; i < FR_COUNT(of_weight); i++)
        if (!strcmp(suffix, of_weight[i])) return find(p, module, "weight") != NULL;
    return false;
}

static fr_status add_matrix(packed *p, const char *module, kind k) {
    if (strlen(module) >= sizeof p->list->name)
        return fr_fail(FR_UNSUPPORTED, "%s: the name '%.60s...' is too long.", p->path, module);
    FR_TRY(fr_grow((void **)&p->list, &p->cap, p->count + 1, sizeof *p->list));
    matrix *m = &p->list[p->count++];
    *m = (matrix){.kind = k};
    snprintf(m->name, sizeof m->name, "%s", module);
    p->qserve |= k == QSERVE || k == INT8;
    return FR_OK;
}

/* Borrowed, a matrix, or a part of one. */
static fr_status look_at(packed *p, size_t i, bool add) {
    const char *full = fr_store_name(p->base, i), *dot = strrchr(full, '.');
    char *module = dot ? fr_format("%.*s", (int)(dot - full), full) : fr_strdup("");
    if (!module) return FR_NOMEM;
    const char *suffix = dot ? dot + 1 : full;
    kind k = kind_of(p, module, suffix, fr_store_shape(p->base, i));
    fr_status st = FR_OK;
    if (!add && k)
        st = add_matrix(p, module, k);
    else if (!add && !strcmp(suffix, "qweight"))
        st = fr_fail(FR_UNSUPPORTED,
                     "%s holds the packed matrix '%.100s', but its config.json has no "
                     "\"quantization_config\" that says how it is packed.",
                     p->path, module);
    else if (add && !k && !is_part(p, module, suffix)) {
        const fr_tensor *t = fr_store_tensor(p->base, i);
        st = t ? fr_store_derive_add(p->out, full, t) : FR_NOMEM;
    }
    fr_free(module);
    return st;
}

/* ---- unpacking ---- */

/* Codes of bytes where they lie, scales in f32 of their own. */
static fr_status with_scales(const packed *p, const char *module, const char *suffix,
                             const char *format, const char *format_of_one, fr_quantized *out) {
    const fr_tensor *w = find(p, module, "weight"), *s = find(p, module, suffix);
    char text[FR_SHAPE_TEXT];
    if (!w || w->rank != 2 || !s)
        return fr_fail(FR_FORMAT, "'%s' has no %s.", module, s ? "matrix" : suffix);
    const fr_qformat *f = fr_format_find(fr_values(s) == 1 ? format_of_one : format);
    fr_quantized q = {.format = f, .rows = w->dim[0], .cols = w->dim[1]};
    FR_TRY(f->describe(f, q.rows, q.cols, q.part));
    if (q.part[0].dtype != w->dtype || fr_values(&q.part[1]) != fr_values(s) ||
        !fr_dtype_get(s->dtype)->real)
        return fr_fail(FR_FORMAT, "'%s.%s' is %s, which does not go with its matrix.", module,
                       suffix, fr_shape_text(s, text));
    q.memory = fr_alloc_array(FR_MEM_WEIGHTS, (size_t)fr_values(s), sizeof(float));
    if (!q.memory) return FR_NOMEM;
    q.part[0].data = w->data;
    q.part[1].data = q.memory;
    fr_status st = fr_tensor_to_f32(s, q.memory);
    if (!st && f->check) st = f->check(&q);
    if (st) {
        fr_free(q.memory);
        return fr_fail_in(st, "'%s'", module);
    }
    *out = q;
    return FR_OK;
}

static fr_status unpack(const packed *p, const matrix *m, fr_quantized *q) {
    switch (m->kind) {
    case AWQ: return fr_import_awq(p->base, m->name, q);
    case GPTQ: return fr_import_gptq(p->base, m->name, p->gptq, q);
    case QSERVE: return fr_import_qserve(p->base, m->name, q);
    case INT8: return with_scales(p, m->name, "dequant_scale", "int8-channel", "int8-tensor", q);
    case FP8:
        return with_scales(p, m->name, p->fp8_blocks ? "weight_scale_inv" : "weight_scale",
                           "fp8-128x128", p->fp8_blocks ? "fp8-128x128" : "fp8-e4m3-tensor", q);
    case NONE: break;
    }
    return FR_INVALID;
}

/* Messages belong to threads: this one's is kept for the thread that goes on. */
static void unpack_item(void *arg, size_t i) {
    packed *p = arg;
    matrix *m = &p->list[i];
    m->st = unpack(p, m, &m->q);
    if (m->st) m->message = fr_strdup(fr_message());
}

static fr_status unpack_all(packed *p) {
    fr_pool *pool;
    char name[200];
    fr_status st = fr_pool_new(0, &pool);
    if (st) return st;
    fr_pool_run(pool, p->count, unpack_item, p);
    fr_pool_free(pool);
    for (size_t i = 0; i < p->count; i++) {
        matrix *m = &p->list[i];
        if (!st && m->st)
            st = fr_fail(m->st, "%s: %s", p->path, m->message ? m->message : "no memory");
        snprintf(name, sizeof name, "%s.weight", m->name);
        if (!st)
            st = fr_store_derive_quantized(p->out, name, &m->q);
        else
            fr_free(m->q.memory);
        fr_free(m->message);
    }
    return st;
}

/* ---- norms that QServe has folded away ---- */

static fr_status add_ones(const packed *p, const char *name, int64_t width) {
    if (fr_store_find(p->out, name)) return FR_OK;
    fr_tensor t = fr_tensor_make(FR_F32, 1, &width, NULL);
    float *x = t.data = fr_alloc_array(FR_MEM_WEIGHTS, (size_t)width, sizeof *x);
    if (!x) return FR_NOMEM;
    FR_TRY(fr_store_derive_keep(p->out, x));
    for (int64_t i = 0; i < width; i++) x[i] = 1;
    return fr_store_derive_add(p->out, name, &t);
}

static fr_status add_norms(const packed *p, const fr_json *config) {
    static const char *const in_layer[] = {"input_layernorm", "post_attention_layernorm"};
    int64_t width, layers;
    char name[96];
    FR_TRY(fr_json_i64(config, "hidden_size", 0, &width));
    FR_TRY(fr_json_i64(config, "num_hidden_layers", 0, &layers));
    if (width < 1 || width > 1 << 24 || layers > 4096) return FR_OK; /* refused by who reads it */
    for (int64_t i = 0; i < layers; i++)
        for (size_t k = 0; k < FR_COUNT(in_layer); k++) {
            snprintf(name, sizeof name, "model.layers.%lld.%s.weight", (long long)i, in_layer[k]);
            FR_TRY(add_ones(p, name, width));
        }
    return add_ones(p, "model.norm.weight", width);
}

/* ---- the whole ---- */

static fr_status derive(packed *p, const fr_json *config) {
    for (size_t i = 0; i < fr_store_count(p->base); i++) FR_TRY(look_at(p, i, true));
    FR_TRY(unpack_all(p));
    return p->qserve ? add_norms(p, config) : FR_OK;
}

fr_status fr_packed_model(fr_store **s, const fr_json *config) {
    packed p = {.base = *s, .path = fr_store_path(*s)};
    fr_status st = read_method(&p, config);
    for (size_t i = 0; !st && i < fr_store_count(p.base); i++) st = look_at(&p, i, false);
    if (!st && p.count) {
        st = fr_store_derive(p.base, &p.out);
        if (!st) {
            *s = p.out;
            st = derive(&p, config);
        }
    }
    fr_free(p.list);
    return st;
}
