/* gguf_model.c: the tensors of a GGUF file under Hugging Face's names and meanings.
 *
 * Nothing is decoded: blocks become parts of the format of their name (format/ggml.c), where they lie. Three things
 * differ and are undone: files of the kind llama keep the rows of q and k so that neighbours turn together, in Hugging
 * Face's files the halves of a head do; norms of Gemma hold 1 + weight; experts are stacked into one tensor. */
#include <string.h>

#include "model/layouts.h"

typedef struct maker {
    fr_store *base, *out;
    const char *path, *arch, *type; /* type: model_type */
    int64_t heads, kv_heads, layers, experts;
    bool tied;
} maker;

/* ---- names ---- */

typedef struct pair {
    const char *from, *to; /* in a layer, without .weight and .bias */
    const char *arch;      /* NULL: all that have no line of their own */
} pair;
static const pair in_layer[] = {
    {"attn_norm", "input_layernorm", NULL},
    {"ffn_norm", "pre_feedforward_layernorm", "gemma2"},
    {"ffn_norm", "post_attention_layernorm", NULL},
    {"post_attention_norm", "post_attention_layernorm", "gemma2"},
    {"post_ffw_norm", "post_feedforward_layernorm", "gemma2"},
    {"attn_q", "self_attn.q_proj", NULL},
    {"attn_k", "self_attn.k_proj", NULL},
    {"attn_v", "self_attn.v_proj", NULL},
    {"attn_output", "self_attn.o_proj", NULL},
    {"attn_qkv", "self_attn.qkv_proj", "phi3"},
    {"attn_q_norm", "self_attn.q_norm", "qwen3"},
    {"attn_k_norm", "self_attn.k_norm", "qwen3"},
    {"ffn_up", "mlp.gate_up_proj", "phi3"},
    {"ffn_gate", "mlp.gate_proj", NULL},
    {"ffn_up", "mlp.up_proj", NULL},
    {"ffn_down", "mlp.down_proj", NULL},
    {"ffn_gate_inp", "block_sparse_moe.gate", "llama"},
};
static const pair outside[] = {
    {"token_embd", "model.embed_tokens", NULL},
    {"output_norm", "model.norm", NULL},
    {"output", "lm_head", NULL},
};
static const pair stacked[] = {
    {"ffn_gate_exps", "w1", "llama"},
    {"ffn_down_exps", "w2", "llama"},
    {"ffn_up_exps", "w3", "llama"},
};
/* Files from before experts were stacked: "ffn_gate.3". */
static const pair single[] = {
    {"ffn_gate.", "w1", "llama"},
    {"ffn_down.", "w2", "llama"},
    {"ffn_up.", "w3", "llama"},
};
/* What gguf_config.c has read, or nobody needs. */
static const char *const aside[] = {"rope_freqs.weight", "rope_factors_long.weight",
                                    "rope_factors_short.weight"};

static const pair *look_up(const pair *list, size_t count, const char *name, size_t length,
                           const char *arch) {
    for (size_t i = 0; i < count; i++)
        if (strlen(list[i].from) == length && !strncmp(list[i].from, name, length) &&
            (!list[i].arch || !strcmp(list[i].arch, arch)))
            return &list[i];
    return NULL;
}

/* A number of at most six digits that ends at `stop`; moves past it. */
static bool take_number(const char **at, char stop, int64_t *out) {
    const char *p = *at;
    for (*out = 0; *p >= '0' && *p <= '9' && p - *at < 6; p++) *out = *out * 10 + (*p - '0');
    if (p == *at || *p != stop) return false;
    *at = p + 1;
    return true;
}

/* ---- putting tensors ---- */

/* A matrix of blocks as a format; all else as it is. */
static fr_status put(const maker *m, const char *name, const fr_tensor *t) {
    const fr_qformat *f = fr_format_of_blocks(t->dtype);
    if (!f || t->rank != 2) return fr_store_derive_add(m->out, name, t);
    fr_quantized q = {.format = f, .rows = t->dim[0], .cols = t->dim[1]};
    fr_status st = f->describe(f, q.rows, q.cols, q.part);
    if (st) return fr_fail_in(st, "%s: '%s'", m->path, name);
    q.part[0].data = t->data;
    return fr_store_derive_quantized(m->out, name, &q);
}

/* Memory of the same type and shape, which the new store keeps. */
static fr_status own(const maker *m, const fr_tensor *t, fr_dtype type, fr_tensor *out) {
    *out = fr_tensor_make(type, t->rank, t->dim, NULL);
    void *memory = fr_alloc_array(FR_MEM_WEIGHTS, fr_bytes(out), 1);
    if (!memory)
        return fr_fail(FR_NOMEM, "%s: there is no memory for %zu bytes of it.", m->path,
                       fr_bytes(out));
    FR_TRY(fr_store_derive_keep(m->out, memory));
    out->data = memory;
    return FR_OK;
}

/* Rows 2 i and 2 i + 1 of a head become rows i and i + half of it. */
static fr_status turn_rows(const maker *m, const char *name, const fr_tensor *t, int64_t heads,
                           fr_tensor *out) {
    int64_t rows = t->rank ? t->dim[0] : 0;
    bool whole = t->rank == 2 || fr_dtype_get(t->dtype)->block == 1;
    if (!whole || rows < 1 || rows % heads || rows / heads % 2)
        return fr_fail(FR_FORMAT, "%s: '%s' has %lld rows, which are not %lld heads of pairs.",
                       m->path, name, (long long)rows, (long long)heads);
    FR_TRY(own(m, t, t->dtype, out));
    size_t bytes = fr_bytes(t) / (size_t)rows;
    int64_t dim = rows / heads, half = dim / 2;
    for (int64_t r = 0; r < rows; r++) {
        int64_t from = r / dim * dim + r % half * 2 + r % dim / half;
        memcpy((char *)out->data + (size_t)r * bytes, (const char *)t->data + (size_t)from * bytes,
               bytes);
    }
    return FR_OK;
}

static fr_status less_one(const maker *m, const fr_tensor *t, fr_tensor *out) {
    FR_TRY(own(m, t, FR_F32, out));
    float *x = out->data;
    FR_TRY(fr_tensor_to_f32(t, x));
    for (int64_t i = 0; i < fr_values(t); i++) x[i] -= 1;
    return FR_OK;
}

static bool has(const char *text, const char *part) {
    return strstr(text, part) != NULL;
}

static fr_status put_changed(const maker *m, const char *from, const char *name,
                             const fr_tensor *t) {
    fr_tensor changed;
    bool q = has(name, ".q_proj."), k = has(name, ".k_proj.");
    if (!strcmp(m->arch, "llama") && (q || k)) {
        FR_TRY(turn_rows(m, from, t, q ? m->heads : m->kv_heads, &changed));
        t = &changed;
    } else if (!strcmp(m->arch, "gemma2") && has(name, "norm.weight")) {
        FR_TRY(less_one(m, t, &changed));
        t = &changed;
    }
    return put(m, name, t);
}

static fr_status put_experts(const maker *m, int64_t layer, const char *from, const char *to,
                             const fr_tensor *t) {
    char name[160];
    if (m->experts < 1 || t->rank != 3 || t->dim[0] != m->experts)
        return fr_fail(FR_FORMAT, "%s: '%s' does not hold the matrices of %lld experts.", m->path,
                       from, (long long)m->experts);
    size_t bytes = fr_bytes(t) / (size_t)m->experts;
    for (int64_t e = 0; e < m->experts; e++) {
        fr_tensor one =
            fr_tensor_make(t->dtype, 2, t->dim + 1, (char *)t->data + (size_t)e * bytes);
        snprintf(name, sizeof name, "model.layers.%lld.block_sparse_moe.experts.%lld.%s.weight",
                 (long long)layer, (long long)e, to);
        FR_TRY(put(m, name, &one));
    }
    return FR_OK;
}

/* ---- one tensor ---- */

static fr_status unknown(const maker *m, const char *from) {
    return fr_fail(FR_UNSUPPORTED,
                   "%s: the tensor '%.80s' is none that Frugal knows of models of the kind %s.",
                   m->path, from, m->arch);
}

/* Behind "blk.N.". */
static fr_status put_in_layer(const maker *m, int64_t layer, const char *from, const char *rest,
                              const fr_tensor *t) {
    const char *end = strrchr(rest, '.');
    char name[160];
    if (!end || (strcmp(end, ".weight") && strcmp(end, ".bias"))) return unknown(m, from);
    const size_t length = (size_t)(end - rest);
    const pair *r = look_up(stacked, FR_COUNT(stacked), rest, length, m->arch);
    if (r) return put_experts(m, layer, from, r->to, t);
    r = look_up(in_layer, FR_COUNT(in_layer), rest, length, m->arch);
    if (r) {
        snprintf(name, sizeof name, "model.layers.%lld.%s%s", (long long)layer, r->to, end);
        return put_changed(m, from, name, t);
    }
    for (size_t i = 0; i < FR_COUNT(single); i++) {
        const char *at = rest + strlen(single[i].from);
        int64_t expert;
        if (strncmp(rest, single[i].from, strlen(single[i].from)) ||
            !take_number(&at, '.', &expert))
            continue;
        snprintf(name, sizeof name, "model.layers.%lld.block_sparse_moe.experts.%lld.%s%s",
                 (long long)layer, (long long)expert, single[i].to, end);
        return put(m, name, t);
    }
    return unknown(m, from);
}

static fr_status put_tensor(const maker *m, const char *from, const fr_tensor *t) {
    const char *rest = from + 4, *end = strrchr(from, '.');
    int64_t layer;
    char name[160];
    for (size_t i = 0; i < FR_COUNT(aside); i++)
        if (!strcmp(from, aside[i])) return FR_OK;
    if (!strncmp(from, "blk.", 4) && take_number(&rest, '.', &layer)) {
        if (layer < m->layers) return put_in_layer(m, layer, from, rest, t);
        return fr_fail(FR_FORMAT, "%s: there is a tensor '%.80s', but the model has %lld layers.",
                       m->path, from, (long long)m->layers);
    }
    const pair *r =
        end ? look_up(outside, FR_COUNT(outside), from, (size_t)(end - from), m->arch) : NULL;
    if (!r) return unknown(m, from);
    snprintf(name, sizeof name, "%s%s", r->to, end);
    FR_TRY(put_changed(m, from, name, t));
    /* The table in few bits serves as the output's weight too, where there is no other. */
    bool shared = m->tied && !strcmp(from, "token_embd.weight") && fr_format_of_blocks(t->dtype);
    return shared ? put(m, "lm_head.weight", t) : FR_OK;
}

/* ---- the whole ---- */

fr_status fr_store_derive_quantized(fr_store *s, const char *name, const fr_quantized *q) {
    fr_named_tensor list[FR_PARTS];
    fr_meta_pair meta[1];
    size_t count = 0, metas = 0;
    FR_TRY(fr_store_derive_keep(s, q->memory));
    fr_arena *arena = fr_arena_new();
    if (!arena) return FR_NOMEM;
    fr_status st = fr_quantized_list(q, name, arena, list, &count, meta, &metas);
    for (size_t i = 0; !st && i < count; i++)
        st = fr_store_derive_add(s, list[i].name, list[i].tensor);
    if (!st) st = fr_store_derive_meta(s, meta[0].key, meta[0].value);
    fr_arena_free(arena);
    return st;
}

static fr_status put_all(const maker *m) {
    for (size_t i = 0; i < fr_store_count(m->base); i++) {
        const fr_tensor *t = fr_store_tensor(m->base, i);
        if (!t) return FR_NOMEM;
        FR_TRY(put_tensor(m, fr_store_name(m->base, i), t));
    }
    return FR_OK;
}

static fr_status read_numbers(maker *m, const fr_json *c) {
    FR_TRY(fr_json_i64(c, "num_attention_heads", 0, &m->heads));
    FR_TRY(fr_json_i64(c, "num_key_value_heads", 0, &m->kv_heads));
    FR_TRY(fr_json_i64(c, "num_hidden_layers", 0, &m->layers));
    FR_TRY(fr_json_i64(c, "num_local_experts", 0, &m->experts));
    FR_TRY(fr_json_bool(c, "tie_word_embeddings", false, &m->tied));
    if (m->heads > 0 && m->kv_heads > 0 && m->layers > 0 && m->experts >= 0) return FR_OK;
    return fr_fail(FR_FORMAT, "%s: the metadata gives no numbers of layers and heads.", m->path);
}

fr_status fr_gguf_model(fr_store **s, const fr_json *config) {
    maker m = {.base = *s, .path = fr_store_path(*s)};
    m.arch = json_string_value(fr_json_get(fr_store_metadata(*s), "general.architecture"));
    FR_TRY(read_numbers(&m, config));
    FR_TRY(fr_store_derive(m.base, &m.out));
    *s = m.out;
    return put_all(&m);
}
