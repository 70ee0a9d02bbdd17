/* token_gguf.c: a tokenizer from the metadata of a GGUF file: lists of tokens, scores, types and merges, and names for
 * the rest ("qwen2" is a pattern that texts are cut by), which stand for parts of a tokenizer.json. */
#include <string.h>

#include "tensor/tensor.h"
#include "text/read.h"
#include "text/sentence.h"

#define KEY(name) "tokenizer.ggml." name

/* ---- the metadata ---- */

typedef struct gguf {
    const fr_store *store;
    const fr_json *meta;
    fr_tokenizer *t;
    const fr_meta_array *scores, *types;
    bool words; /* of BERT: its names are written otherwise */
    fr_status status;
} gguf;

static double number_at(const fr_meta_array *a, size_t i) {
    int32_t whole;
    float f;
    double d;
    size_t size = a->dtype == FR_F64 ? 8 : 4;
    const uint8_t *at = a->data + size * i;
    memcpy(&whole, at, sizeof whole);
    memcpy(&f, at, sizeof f);
    if (a->dtype != FR_F64) return a->dtype == FR_F32 ? (double)f : (double)whole;
    memcpy(&d, at, sizeof d);
    return d;
}

/* A list as long as the vocabulary, or NULL. */
static fr_status numbers(const gguf *g, const char *key, size_t count, fr_dtype dtype,
                         fr_dtype wide, const fr_meta_array **out) {
    const fr_meta_array *a = *out = fr_store_meta_array(g->store, key);
    if (!a || (!a->is_string && a->count == count && (a->dtype == dtype || a->dtype == wide)))
        return FR_OK;
    return fr_fail(FR_FORMAT, "\"%s\" is not a list of %zu %s, one for each token", key, count,
                   dtype == FR_I32 ? "whole numbers" : "scores");
}

static fr_status id_of(const gguf *g, const char *key, int32_t *id) {
    int64_t n;
    FR_TRY(fr_json_i64(g->meta, key, -1, &n));
    if (n >= (int64_t)g->t->size) {
        return fr_fail(FR_FORMAT, "\"%s\" is %lld, but there are %zu tokens", key, (long long)n,
                       g->t->size);
    }
    if (n >= 0 && g->t->tokens[n].name) *id = (int32_t)n;
    return FR_OK;
}

/* ---- tokens ---- */

static uint32_t user_flags(const fr_tokenizer *t) {
    return t->model == FR_PIECES_UNIGRAM ? FR_TOKEN_USER : FR_TOKEN_ADDED;
}

static bool in_brackets(const char *text, size_t bytes) {
    return bytes > 1 && text[0] == '[' && text[bytes - 1] == ']';
}

/* Names of WordPiece: words begin with a mark of a space there, and here the other pieces with ##. */
static fr_status put_word(gguf *g, size_t i, const char *text, size_t bytes, int64_t type) {
    bool begins = bytes >= FR_SPACE_BYTES && !memcmp(text, FR_SPACE, FR_SPACE_BYTES);
    if (begins) return fr_put_scored(g->t, i, text + 3, bytes - 3, 0, type, FR_TOKEN_ADDED);
    if (type != FR_PIECE_NORMAL || in_brackets(text, bytes)) {
        return fr_put_scored(g->t, i, text, bytes, 0, type, FR_TOKEN_ADDED);
    }
    char *name = fr_format("##%.*s", (int)FR_MIN(bytes, 4096), text);
    if (!name) return FR_NOMEM;
    fr_status status = fr_put_scored(g->t, i, name, strlen(name), 0, type, FR_TOKEN_ADDED);
    fr_free(name);
    return status;
}

static void put_token(void *arg, size_t i, const char *text, size_t bytes) {
    gguf *g = arg;
    if (g->status != FR_OK || i >= g->t->size) return;
    double score = g->scores ? number_at(g->scores, i) : 0;
    int64_t type = g->types ? (int64_t)number_at(g->types, i) : FR_PIECE_NORMAL;
    g->status = g->words ? put_word(g, i, text, bytes, type)
                         : fr_put_scored(g->t, i, text, bytes, score, type, user_flags(g->t));
}

static fr_status put_tokens(gguf *g) {
    const fr_meta_array *a = fr_store_meta_array(g->store, KEY("tokens"));
    if (!a || !a->is_string || !a->count) {
        return fr_fail(FR_FORMAT, "the file has no list \"" KEY("tokens") "\"");
    }
    FR_TRY(fr_tokenizer_reserve(g->t, a->count, a->count - 1));
    FR_TRY(fr_tokenizer_reserve_scores(g->t, a->count));
    FR_TRY(numbers(g, KEY("scores"), a->count, FR_F32, FR_F64, &g->scores));
    FR_TRY(numbers(g, KEY("token_type"), a->count, FR_I32, FR_U32, &g->types));
    fr_meta_strings(a, put_token, g);
    return g->status;
}

static void put_merge(void *arg, size_t i, const char *text, size_t bytes) {
    gguf *g = arg;
    if (g->status != FR_OK) return;
    const char *space = bytes ? memchr(text + 1, ' ', bytes - 1) : NULL;
    const fr_string *left = NULL, *right = NULL;
    if (space) left = fr_strings_find(&g->t->names, text, (size_t)(space - text));
    if (space) {
        right = fr_strings_find(&g->t->names, space + 1, bytes - (size_t)(space - text) - 1);
    }
    if (left && right) {
        g->status = fr_tokenizer_put_merge(g->t, left->value, right->value);
    } else {
        g->status = fr_fail(FR_FORMAT, "merge %zu, \"%.*s\", is not two tokens", i,
                            (int)FR_MIN(bytes, 100), text);
    }
}

static fr_status put_merges(gguf *g) {
    const fr_meta_array *a = fr_store_meta_array(g->store, KEY("merges"));
    const fr_json *few = fr_json_get(g->meta, KEY("merges"));
    if (a && a->is_string) fr_meta_strings(a, put_merge, g);
    for (size_t i = 0; i < json_array_size(few); i++) {
        const json_t *m = json_array_get(few, i);
        if (json_is_string(m)) put_merge(g, i, json_string_value(m), json_string_length(m));
    }
    if (!a && !few) return fr_fail(FR_FORMAT, "the file has no list \"" KEY("merges") "\"");
    return g->status;
}

/* ---- what texts are cut by ---- */

#define CUT(pattern)                                                                               \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern                                        \
    "\"},\"behavior\":\"Isolated\",\"invert\":false},"
#define BYTES                                                                                      \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":"      \
    "false}"
#define GPT2                                                                                       \
    CUT("'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| ?[^\\\\s\\\\p{L}\\\\p{N}]+|"             \
        "\\\\s+(?!\\\\S)|\\\\s+")
#define LLAMA3(digits)                                                                             \
    CUT("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" digits     \
        "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+")
#define UPPER "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define LOWER "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define OTHER "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?"
#define CASED(end, digits)                                                                         \
    CUT(OTHER UPPER                                                                                \
        "*" LOWER "+" end "|" OTHER UPPER "+" LOWER "*" end "|\\\\p{N}" digits                     \
        "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+")
#define SHORT_FORMS "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

typedef struct cut {
    const char *names; /* with a space before and behind each */
    const char *steps;
    bool whole, nfc, bos;
} cut;

static const cut cuts[] = {
    {" gpt-2 gpt2 phi-2 mpt olmo jais roberta-bpe jina-es jina-de jina-v2-es jina-v2-de ", GPT2,
     false, false, false},
    {" llama-bpe llama3 llama-v3 falcon3 pixtral ", LLAMA3("{1,3}"), true, false, true},
    {" dbrx smaug-bpe ", LLAMA3("{1,3}"), false, false, false},
    {" qwen2 qwen3 ", LLAMA3(""), false, true, false},
    {" stablelm2 deepseek-r1-qwen megrez ", LLAMA3(""), false, false, false},
    {" tekken ", CASED("", ""), true, false, true},
    {" gpt-4o llama4 ", CASED(SHORT_FORMS, "{1,3}"), false, false, false},
    {" starcoder refact smollm command-r codeshell exaone ", CUT("\\\\p{N}") GPT2, false, false,
     false},
    {" falcon ", CUT("[\\\\p{P}\\\\$\\\\+<=>\\\\^~\\\\|`]+") GPT2 CUT("[0-9][0-9][0-9]"), false,
     false, false},
    {" deepseek-coder ",
     CUT("[\\\\r\\\\n]") CUT("\\\\s?\\\\p{L}+") CUT("\\\\s?\\\\p{P}+")
         CUT("[\\u4e00-\\u9fa5\\u0800-\\u4e00\\uac00-\\ud7ff]+") CUT("\\\\p{N}"),
     false, false, false},
    {" default ",
     CUT("[\\\\p{P}\\\\$\\\\+<=>\\\\^~\\\\|]+") GPT2 CUT("\\\\p{N}+") CUT("[0-9][0-9][0-9]"), false,
     false, false}};

static const cut *cut_named(const char *name) {
    char *spaced = fr_format(" %.100s ", name);
    const cut *found = NULL;
    for (size_t i = 0; spaced && !strchr(name, ' ') && i < FR_COUNT(cuts); i++) {
        if (strstr(cuts[i].names, spaced)) found = &cuts[i];
    }
    fr_free(spaced);
    return found;
}

/* ---- the kinds ---- */

static fr_status read_gpt2(gguf *g, bool around[2]) {
    const char *pre;
    FR_TRY(fr_json_string(g->meta, KEY("pre"), "default", &pre));
    const cut *c = cut_named(pre);
    if (!c) return fr_read_refuse("way to cut (tokenizer.ggml.pre)", pre);
    g->t->model = FR_PIECES_CHARS;
    g->t->ignore_merges = c->whole;
    around[0] = c->bos;
    FR_TRY(put_tokens(g));
    FR_TRY(put_merges(g));
    if (c->nfc) FR_TRY(fr_read_part(g->t, fr_read_normalizer, "{\"type\":\"NFC\"}"));
    char *steps = fr_format("{\"type\":\"Sequence\",\"pretokenizers\":[%s" BYTES "]}", c->steps);
    if (!steps) return FR_NOMEM;
    fr_status status = fr_read_part(g->t, fr_read_steps, steps);
    fr_free(steps);
    FR_TRY(status);
    return fr_read_part(g->t, fr_read_decoder,
                        "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,"
                        "\"use_regex\":true}");
}

#define SPACES "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}"

static fr_status read_llama(gguf *g, bool around[2]) {
    bool prefix;
    FR_TRY(fr_json_bool(g->meta, KEY("add_space_prefix"), true, &prefix));
    g->t->model = FR_PIECES_CHARS;
    g->t->byte_fallback = g->t->fuse_unknown = around[0] = true;
    FR_TRY(put_tokens(g));
    if (!g->scores) return fr_fail(FR_FORMAT, "the file has no list \"" KEY("scores") "\"");
    FR_TRY(id_of(g, KEY("unknown_token_id"), &g->t->unknown));
    FR_TRY(fr_merge_by_scores(g->t));
    FR_TRY(fr_read_part(g->t, fr_read_normalizer,
                        prefix ? "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\","
                                 "\"prepend\":\"\\u2581\"}," SPACES "]}"
                               : SPACES));
    return fr_read_space_decoder(g->t, prefix);
}

/* BERT's normalizer knows whether a vocabulary has capital letters; the file does not say it. */
static bool is_cased(const fr_tokenizer *t) {
    for (size_t i = 0; i < t->size; i++) {
        const fr_token *token = &t->tokens[i];
        if (!token->name || (token->flags & FR_TOKEN_SPECIAL) ||
            in_brackets(token->name, token->name_bytes)) {
            continue;
        }
        for (const char *c = token->name; *c; c++) {
            if (*c >= 'A' && *c <= 'Z') return true;
        }
    }
    return false;
}

#define BERT                                                                                       \
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_"      \
    "accents\":null,\"lowercase\":"

static fr_status read_bert(gguf *g, bool around[2]) {
    fr_tokenizer *t = g->t;
    t->model = FR_PIECES_WORDS;
    t->word_most = 100;
    t->prefix = "##";
    around[0] = around[1] = g->words = true;
    FR_TRY(put_tokens(g));
    FR_TRY(id_of(g, KEY("unknown_token_id"), &t->unknown));
    if (t->unknown < 0) t->unknown = fr_tokenizer_find(t, "[UNK]");
    if (t->unknown < 0) return fr_fail(FR_FORMAT, "the vocabulary has no unknown token");
    FR_TRY(fr_read_part(t, fr_read_normalizer, is_cased(t) ? BERT "false}" : BERT "true}"));
    FR_TRY(fr_read_part(t, fr_read_steps, "{\"type\":\"BertPreTokenizer\"}"));
    return fr_read_part(t, fr_read_decoder,
                        "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}");
}

/* Unigram, as T5's files have it: SentencePiece's own way. */
static fr_status read_t5(gguf *g, bool around[2]) {
    fr_rewrite r = {.kind = FR_REWRITE_SENTENCE};
    bool tidy;
    const fr_meta_array *map = fr_store_meta_array(g->store, KEY("precompiled_charsmap"));
    FR_TRY(fr_json_bool(g->meta, KEY("add_space_prefix"), true, &r.dummy_prefix));
    FR_TRY(fr_json_bool(g->meta, KEY("remove_extra_whitespaces"), false, &tidy));
    r.extra_spaces = !tidy;
    g->t->model = FR_PIECES_UNIGRAM;
    g->t->single = g->t->plain_find = g->t->unwritable = around[1] = true;
    FR_TRY(put_tokens(g));
    FR_TRY(id_of(g, KEY("unknown_token_id"), &g->t->unknown));
    if (!g->scores || g->t->unknown < 0) {
        return fr_fail(FR_FORMAT, "Unigram has no scores, or no unknown token");
    }
    fr_set_scores(g->t);
    if (map && !map->is_string && map->count) {
        uint8_t *copy = fr_arena_alloc(g->t->arena, map->count);
        if (!copy) return FR_NOMEM;
        memcpy(copy, map->data, map->count);
        FR_TRY(fr_charsmap_read(copy, map->count, &r.map));
    }
    FR_TRY(fr_tokenizer_put_rewrite(g->t, &r));
    g->t->trims = tidy;
    return fr_read_space_decoder(g->t, !tidy && r.dummy_prefix);
}

/* ---- the whole ---- */

static fr_status read_around(gguf *g, const bool usual[2]) {
    bool begin, end;
    fr_tokenizer *t = g->t;
    FR_TRY(id_of(g, KEY("bos_token_id"), &t->bos));
    FR_TRY(id_of(g, KEY("eos_token_id"), &t->eos));
    int32_t first = t->bos, last = t->eos;
    if (g->words) {
        last = -1;
        FR_TRY(id_of(g, KEY("cls_token_id"), &first));
        FR_TRY(id_of(g, KEY("seperator_token_id"), &last)); /* spelled so there */
        FR_TRY(id_of(g, KEY("separator_token_id"), &last));
        if (last < 0) last = fr_tokenizer_find(t, "[SEP]");
        if (first < 0) first = fr_tokenizer_find(t, "[CLS]");
        if (t->bos < 0) t->bos = first;
        if (t->eos < 0) t->eos = last;
    }
    FR_TRY(fr_json_bool(g->meta, KEY("add_bos_token"), usual[0], &begin));
    FR_TRY(fr_json_bool(g->meta, KEY("add_eos_token"), usual[1], &end));
    if (begin && first >= 0) FR_TRY(fr_tokenizer_put_around(t, first, false));
    if (end && last >= 0) FR_TRY(fr_tokenizer_put_around(t, last, true));
    fr_guess_ends(t);
    return FR_OK;
}

static fr_status read_gguf(gguf *g) {
    const char *model;
    bool around[2] = {false, false};
    FR_TRY(fr_json_string(g->meta, KEY("model"), NULL, &model));
    if (!model) return fr_fail(FR_FORMAT, "the file has no \"" KEY("model") "\": no tokenizer");
    if (strcmp(model, "gpt2") == 0) {
        FR_TRY(read_gpt2(g, around));
    } else if (strcmp(model, "llama") == 0) {
        FR_TRY(read_llama(g, around));
    } else if (strcmp(model, "bert") == 0) {
        FR_TRY(read_bert(g, around));
    } else if (strcmp(model, "t5") == 0) {
        FR_TRY(read_t5(g, around));
    } else {
        return fr_read_refuse("tokenizer.ggml.model", model);
    }
    FR_TRY(fr_tokenizer_finish(g->t));
    return read_around(g, around);
}

fr_status fr_tokenizer_from_store(const struct fr_store *s, fr_tokenizer **out) {
    gguf g = {.store = s, .meta = fr_store_metadata(s)};
    *out = NULL;
    FR_TRY(fr_tokenizer_new(&g.t));
    fr_status status = read_gguf(&g);
    if (status == FR_OK) {
        *out = g.t;
        return FR_OK;
    }
    fr_tokenizer_free(g.t);
    return status == FR_NOMEM ? status : fr_fail_in(status, "%s", fr_store_path(s));
}

fr_status fr_open_gguf(const char *path, fr_tokenizer **out) {
    fr_store *s;
    *out = NULL;
    FR_TRY(fr_store_open(path, &s));
    fr_status status = fr_tokenizer_from_store(s, out);
    fr_store_close(s);
    return status;
}
