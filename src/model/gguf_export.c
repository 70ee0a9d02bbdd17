/* gguf_export.c: see gguf_export.h. The names and the rows of q and k are gguf_model.c's, backwards. */
#include "model/gguf_export.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"

typedef struct exporter {
    const fr_model *m;
    const char *arch;
    fr_dtype blocks;
    fr_arena *arena;
    fr_json *meta;
    fr_named_tensor *tensor;
    fr_quantized *q; /* memory of those in blocks */
    void **own;      /* of the others */
    size_t count, quantized, owned;
} exporter;

typedef struct pair {
    const char *from, *to;
    bool needed;
} pair;

static const pair in_layer[] = {
    {"input_layernorm.weight", "attn_norm.weight", true},
    {"post_attention_layernorm.weight", "ffn_norm.weight", true},
    {"self_attn.q_proj.weight", "attn_q.weight", true},
    {"self_attn.k_proj.weight", "attn_k.weight", true},
    {"self_attn.v_proj.weight", "attn_v.weight", true},
    {"self_attn.q_proj.bias", "attn_q.bias", false},
    {"self_attn.k_proj.bias", "attn_k.bias", false},
    {"self_attn.v_proj.bias", "attn_v.bias", false},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", false},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", false},
    {"self_attn.o_proj.weight", "attn_output.weight", true},
    {"mlp.gate_proj.weight", "ffn_gate.weight", true},
    {"mlp.up_proj.weight", "ffn_up.weight", true},
    {"mlp.down_proj.weight", "ffn_down.weight", true},
};

/* ---- tensors ---- */

/* As floats, also what is in few bits; dim of rank 1 or 2. data NULL: there is none. */
static fr_status load(exporter *e, const char *name, fr_tensor *out) {
    const fr_tensor *t = fr_store_find(e->m->store, name);
    fr_quantized q = {0};
    *out = (fr_tensor){0};
    if (t) {
        *out = fr_tensor_make(FR_F32, t->rank, t->dim, NULL);
    } else if (fr_quantized_is(e->m->store, name)) {
        FR_TRY(fr_quantized_open(e->m->store, name, &q));
        *out = fr_tensor_make(FR_F32, 2, (int64_t[]){q.rows, q.cols}, NULL);
    } else {
        return FR_OK;
    }
    float *x = out->data = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(out) + 1, sizeof *x);
    if (!x) return FR_NOMEM;
    if (t) return fr_tensor_to_f32(t, x);
    q.format->decode(&q, 0, q.rows, x);
    return FR_OK;
}

/* Rows i and i + half of a head become rows 2 i and 2 i + 1. */
static fr_status turn_rows(fr_tensor *t, int64_t dim) {
    int64_t rows = t->dim[0], cols = fr_values(t) / rows;
    const float *x = t->data;
    float *y = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(t) + 1, sizeof *y);
    if (!y) return FR_NOMEM;
    for (int64_t r = 0; r < rows; r++) {
        int64_t j = r % dim, from = r - j + j % 2 * (dim / 2) + j / 2;
        memcpy(y + r * cols, x + from * cols, (size_t)cols * sizeof *y);
    }
    fr_free(t->data);
    t->data = y;
    return FR_OK;
}

/* Takes the floats of t; they become what is written. */
static fr_status add(exporter *e, const char *name, fr_tensor *t, fr_dtype type) {
    fr_tensor *made = fr_arena_alloc(e->arena, sizeof *made);
    char *copy = fr_arena_strdup(e->arena, name);
    if (t->rank == 1) type = FR_F32;
    if (type != FR_F32 && type != FR_BF16 && t->dim[1] % 32) type = FR_BF16;
    e->own[e->owned++] = t->data; /* whatever happens */
    if (!made || !copy) return FR_NOMEM;
    *made = fr_tensor_make(type, t->rank, t->dim, t->data);
    e->tensor[e->count++] = (fr_named_tensor){copy, made};
    if (type == FR_F32) return FR_OK;
    if (type == FR_BF16) { /* in place: half of each value's room */
        uint16_t *half = t->data;
        const float *x = t->data;
        for (int64_t i = 0; i < fr_values(t); i++) half[i] = fr_f32_to_bf16(x[i]);
        return FR_OK;
    }
    fr_quantized *q = &e->q[e->quantized];
    const fr_qformat *f = fr_format_find(type == FR_Q4_0 ? "q4_0" : "q8_0");
    FR_TRY(fr_quantize(f, NULL, t->data, t->dim[0], t->dim[1], q));
    e->quantized++;
    made->data = q->part[0].data;
    fr_free(e->own[--e->owned]);
    return FR_OK;
}

static fr_status put(exporter *e, const char *from, const char *to, bool needed, int64_t turn,
                     fr_dtype type) {
    fr_tensor t;
    fr_status st = load(e, from, &t);
    if (!st && !t.data && needed)
        st = fr_fail(FR_FORMAT, "%s has no tensor '%s'.", e->m->path, from);
    if (!st && t.data && turn) st = turn_rows(&t, turn);
    if (st) fr_free(t.data);
    FR_TRY(st);
    return t.data ? add(e, to, &t, type) : FR_OK;
}

static fr_status put_layer(exporter *e, int64_t layer) {
    char from[128], to[128];
    bool turns = !strcmp(e->arch, "llama");
    for (size_t i = 0; i < FR_COUNT(in_layer); i++) {
        const pair *p = &in_layer[i];
        bool qk = strstr(p->from, "q_proj") || strstr(p->from, "k_proj");
        snprintf(from, sizeof from, "model.layers.%lld.%s", (long long)layer, p->from);
        snprintf(to, sizeof to, "blk.%lld.%s", (long long)layer, p->to);
        int64_t turn = turns && qk ? e->m->decoder.head_dim : 0;
        FR_TRY(put(e, from, to, p->needed, turn, e->blocks));
    }
    return FR_OK;
}

/* Llama 3.1's stretch: by how much each pair turns slower. */
static fr_status put_stretch(exporter *e) {
    const fr_decoder *m = &e->m->decoder;
    int64_t n = fr_rotation_pairs(m);
    fr_tensor t = fr_tensor_make(FR_F32, 1, &n, NULL);
    if (m->rope.stretch != FR_STRETCH_LLAMA3) return FR_OK;
    float *x = t.data = fr_alloc(FR_MEM_OTHER, (size_t)n * sizeof *x);
    if (!x) return FR_NOMEM;
    fr_rotation_frequencies(m, x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(pow((double)m->rope.theta, -(double)i / (double)n) / (double)x[i]);
    return add(e, "rope_freqs.weight", &t, FR_F32);
}

static fr_status put_tensors(exporter *e) {
    fr_dtype ends = e->blocks == FR_Q4_0 ? FR_Q8_0 : e->blocks;
    FR_TRY(put(e, "model.embed_tokens.weight", "token_embd.weight", true, 0, ends));
    FR_TRY(put(e, "model.norm.weight", "output_norm.weight", true, 0, FR_F32));
    FR_TRY(put(e, "lm_head.weight", "output.weight", !e->m->decoder.tied, 0, ends));
    FR_TRY(put_stretch(e));
    for (int64_t i = 0; i < e->m->decoder.layers; i++) FR_TRY(put_layer(e, i));
    return FR_OK;
}

/* ---- metadata ---- */

static fr_status say(exporter *e, const char *name, fr_json *value) {
    char key[96];
    if (strchr(name, ':')) /* of the architecture */
        snprintf(key, sizeof key, "%s.%s", e->arch, name + 1);
    else
        snprintf(key, sizeof key, "%s", name);
    return json_object_set_new(e->meta, key, value) == 0
               ? FR_OK
               : fr_fail(FR_NOMEM, "There is no memory for the metadata of %s.", e->m->path);
}

static fr_status say_numbers(exporter *e) {
    const fr_decoder *m = &e->m->decoder;
    const struct {
        const char *name;
        int64_t value;
    } whole[] = {{":block_count", m->layers},
                 {":context_length", m->context},
                 {":embedding_length", m->width},
                 {":feed_forward_length", m->hidden},
                 {":attention.head_count", m->heads},
                 {":attention.head_count_kv", m->kv_heads},
                 {":attention.key_length", m->head_dim},
                 {":attention.value_length", m->head_dim},
                 {":rope.dimension_count", 2 * fr_rotation_pairs(m)},
                 {":vocab_size", m->vocab},
                 {"general.quantization_version", 2},
                 {"general.file_type", e->blocks == FR_Q4_0   ? 2
                                       : e->blocks == FR_Q8_0 ? 7
                                                              : 32}};
    FR_TRY(say(e, "general.architecture", json_string(e->arch)));
    FR_TRY(say(e, "general.name", json_string(e->m->path)));
    for (size_t i = 0; i < FR_COUNT(whole); i++)
        FR_TRY(say(e, whole[i].name, json_integer(whole[i].value)));
    FR_TRY(say(e, ":attention.layer_norm_rms_epsilon", json_real((double)m->eps)));
    FR_TRY(say(e, ":rope.freq_base", json_real((double)m->rope.theta)));
    if (m->rope.stretch == FR_STRETCH_LINEAR) {
        FR_TRY(say(e, ":rope.scaling.type", json_string("linear")));
        FR_TRY(say(e, ":rope.scaling.factor", json_real((double)m->rope.factor)));
    }
    return m->window ? say(e, ":attention.sliding_window", json_integer(m->window)) : FR_OK;
}

/* How text is cut before merging: llama.cpp knows patterns by name. */
static const char *cut_of(const fr_json *tokenizer) {
    char *text =
        json_dumps(fr_json_get(tokenizer, "pre_tokenizer"), JSON_COMPACT | JSON_ENCODE_ANY);
    const char *name = "gpt-2";
    if (text && strstr(text, "\\\\p{N}{1,3}"))
        name = "llama-bpe";
    else if (text && strstr(text, "|\\\\p{N}|"))
        name = "qwen2";
    free(text);
    return name;
}

static fr_status say_words(exporter *e, const fr_json *tokenizer) {
    enum { NORMAL = 1, CONTROL = 3, USER = 4, UNUSED = 5 };
    const fr_json *vocab = fr_json_get(fr_json_get(tokenizer, "model"), "vocab");
    const fr_json *added = fr_json_get(tokenizer, "added_tokens");
    const char *word;
    json_t *id, *one;
    size_t i, n = (size_t)e->m->decoder.vocab;
    fr_json *words = json_array(), *types = json_array();
    for (i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "[PAD%zu]", i);
        json_array_append_new(words, json_string(name));
        json_array_append_new(types, json_integer(UNUSED));
    }
    json_object_foreach((json_t *)(uintptr_t)vocab, word, id) {
        if (!json_is_integer(id) || (size_t)json_integer_value(id) >= n) continue;
        json_array_set_new(words, (size_t)json_integer_value(id), json_string(word));
        json_array_set_new(types, (size_t)json_integer_value(id), json_integer(NORMAL));
    }
    json_array_foreach(added, i, one) {
        int64_t at = json_integer_value(fr_json_get(one, "id"));
        word = json_string_value(fr_json_get(one, "content"));
        if (!word || at < 0 || at >= (int64_t)n) continue;
        bool special = json_is_true(fr_json_get(one, "special"));
        json_array_set_new(words, (size_t)at, json_string(word));
        json_array_set_new(types, (size_t)at, json_integer(special ? CONTROL : USER));
    }
    fr_status st = say(e, "tokenizer.ggml.tokens", words);
    fr_status also = say(e, "tokenizer.ggml.token_type", types);
    return st ? st : also;
}

/* "a b", or a list of two in newer files */
static fr_status say_merges(exporter *e, const fr_json *tokenizer) {
    fr_json *out = json_array();
    json_t *m;
    size_t i;
    json_array_foreach(fr_json_get(fr_json_get(tokenizer, "model"), "merges"), i, m) {
        const char *a = json_string_value(json_array_get(m, 0));
        const char *b = json_string_value(json_array_get(m, 1));
        json_array_append_new(out, json_is_string(m) ? json_deep_copy(m)
                                   : a && b          ? json_sprintf("%s %s", a, b)
                                                     : json_string(""));
    }
    return say(e, "tokenizer.ggml.merges", out);
}

static fr_status say_tokenizer(exporter *e) {
    char *path = fr_path_join(e->m->path, "tokenizer.json");
    const fr_decoder *m = &e->m->decoder;
    fr_json *t = NULL;
    if (!path) return FR_NOMEM;
    fr_status st = fr_path_exists(path) ? fr_json_load(path, &t) : FR_OK;
    fr_free(path);
    if (st || !t) return st; /* without one it is a model all the same */
    const char *kind = json_string_value(fr_json_get(fr_json_get(t, "model"), "type"));
    char *decoder = json_dumps(fr_json_get(t, "decoder"), JSON_COMPACT | JSON_ENCODE_ANY);
    if (!kind || strcmp(kind, "BPE") || !decoder || !strstr(decoder, "ByteLevel"))
        st = fr_fail(FR_UNSUPPORTED,
                     "The tokenizer of %s is not byte-level BPE, and Frugal writes "
                     "only such ones to GGUF.",
                     e->m->path);
    free(decoder);
    if (!st) st = say(e, "tokenizer.ggml.model", json_string("gpt2"));
    if (!st) st = say(e, "tokenizer.ggml.pre", json_string(cut_of(t)));
    if (!st) st = say_words(e, t);
    if (!st) st = say_merges(e, t);
    if (!st && m->bos >= 0) st = say(e, "tokenizer.ggml.bos_token_id", json_integer(m->bos));
    if (!st && m->eos_count) st = say(e, "tokenizer.ggml.eos_token_id", json_integer(m->eos[0]));
    if (!st) st = say(e, "tokenizer.ggml.add_bos_token", json_boolean(m->bos >= 0));
    fr_json_free(t);
    return st;
}

/* ---- the whole ---- */

static const char *arch_of(const fr_decoder *m) {
    bool plain = !m->experts && !m->fused && !m->around && m->rope.stretch != FR_STRETCH_YARN &&
                 m->rope.stretch != FR_STRETCH_LONG;
    if (!plain) return NULL;
    switch (m->family) {
    case FR_FAMILY_LLAMA:
    case FR_FAMILY_MISTRAL: return "llama";
    case FR_FAMILY_QWEN2: return "qwen2";
    case FR_FAMILY_QWEN3: return "qwen3";
    default: return NULL;
    }
}

static fr_status export_all(exporter *e, const char *path, double *bytes) {
    FR_TRY(say_numbers(e));
    FR_TRY(say_tokenizer(e));
    FR_TRY(put_tensors(e));
    for (size_t i = 0; bytes && i < e->count; i++) *bytes += (double)fr_bytes(e->tensor[i].tensor);
    return fr_gguf_write(path, e->tensor, e->count, e->meta, NULL);
}

fr_status fr_gguf_export(const fr_model *m, const char *path, fr_dtype blocks, double *bytes) {
    exporter e = {.m = m, .arch = arch_of(&m->decoder), .blocks = blocks};
    size_t room = (size_t)m->decoder.layers * FR_COUNT(in_layer) + 8;
    if (bytes) *bytes = 0;
    if (!e.arch)
        return fr_fail(FR_UNSUPPORTED,
                       "Frugal does not write models like %s (%s) to GGUF: only llama, mistral, "
                       "qwen2 and qwen3 with one MLP a layer and plain positions.",
                       m->path, fr_family_names[m->decoder.family]);
    e.arena = fr_arena_new();
    e.meta = json_object();
    e.tensor = fr_alloc(FR_MEM_OTHER, room * sizeof *e.tensor);
    e.q = fr_alloc(FR_MEM_OTHER, room * sizeof *e.q);
    e.own = fr_alloc(FR_MEM_OTHER, room * sizeof *e.own);
    fr_status st = e.arena && e.meta && e.tensor && e.q && e.own ? FR_OK : FR_NOMEM;
    if (!st) st = export_all(&e, path, bytes);
    for (size_t i = 0; i < e.quantized; i++) fr_quantized_free(&e.q[i]);
    for (size_t i = 0; i < e.owned; i++) fr_free(e.own[i]);
    fr_free(e.tensor);
    fr_free(e.q);
    fr_free(e.own);
    fr_json_free(e.meta);
    fr_arena_free(e.arena);
    return st;
}
