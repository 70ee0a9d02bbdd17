/* tokenizer.c: the parts of a tokenizer, put together once, and ids as text. */
#include <stdlib.h>
#include <string.h>

#include "text/normal.h"
#include "text/tokenizer_parts.h"

/* Ids may have holes, but not so many that a small file asks for much memory. */
#define HOLES_MOST 65536
#define STEPS_MOST 16

fr_status fr_tokenizer_new(fr_tokenizer **out) {
    fr_tokenizer *t = *out = fr_alloc(FR_MEM_OTHER, sizeof *t);
    if (!t) return FR_NOMEM;
    t->bos = t->eos = -1;
    t->arena = fr_arena_new();
    if (t->arena) return FR_OK;
    fr_free(t);
    *out = NULL;
    return FR_NOMEM;
}

void fr_tokenizer_free(fr_tokenizer *t) {
    if (!t) return;
    for (size_t i = 0; i < t->step_count; i++) fr_pattern_free(t->steps[i].pattern);
    for (int i = 0; i < 2; i++) fr_free(t->finders[i].ids);
    fr_strings_free(&t->names);
    fr_strings_free(&t->whole);
    fr_pairs_free(&t->pairs);
    fr_free(t->tokens);
    fr_free(t->merges);
    fr_free(t->steps);
    fr_free(t->around);
    fr_arena_free(t->arena);
    fr_free(t);
}

fr_status fr_tokenizer_reserve(fr_tokenizer *t, size_t count, size_t most) {
    if (most > count + HOLES_MOST || most >= INT32_MAX) {
        return fr_fail(FR_FORMAT, "the id %zu is out of range for a vocabulary of %zu tokens", most,
                       count);
    }
    size_t size = most + 1;
    FR_TRY(fr_grow((void **)&t->tokens, &t->cap, size, sizeof *t->tokens));
    if (size > t->size) {
        memset(t->tokens + t->size, 0, (size - t->size) * sizeof *t->tokens);
        t->size = size;
    }
    return FR_OK;
}

fr_status fr_tokenizer_put(fr_tokenizer *t, int64_t id, const char *name, size_t bytes,
                           uint32_t flags) {
    fr_string *there = fr_strings_find(&t->names, name, bytes);
    if (there && there->value != id) {
        return fr_fail(FR_FORMAT, "the token \"%.100s\" has two ids, %d and %lld", name,
                       there->value, (long long)id);
    }
    if (there) {
        t->tokens[id].flags |= flags;
        return FR_OK;
    }
    if (id < 0) return fr_fail(FR_FORMAT, "the token \"%.100s\" has no id from 0 on", name);
    if ((uint64_t)id >= t->size) FR_TRY(fr_tokenizer_reserve(t, t->names.count, (size_t)id));
    fr_token *token = &t->tokens[id];
    if (token->name) {
        return fr_fail(FR_FORMAT, "the id %lld has two tokens, \"%.100s\" and \"%.100s\"",
                       (long long)id, token->name, name);
    }
    char *copy = fr_arena_alloc(t->arena, bytes + 1);
    if (!copy) return FR_NOMEM;
    memcpy(copy, name, bytes);
    *token = (fr_token){.name = copy, .name_bytes = (uint32_t)bytes, .flags = flags};
    return fr_strings_add(&t->names, copy, bytes, (int32_t)id);
}

fr_status fr_tokenizer_join(const fr_tokenizer *t, int32_t left, int32_t right, char **name,
                            size_t *bytes) {
    const fr_token *a = &t->tokens[left], *b = &t->tokens[right];
    *bytes = (size_t)a->name_bytes + b->name_bytes;
    char *n = *name = fr_alloc_array(FR_MEM_OTHER, *bytes + 1, 1);
    if (!n) return FR_NOMEM;
    memcpy(n, a->name, a->name_bytes);
    memcpy(n + a->name_bytes, b->name, b->name_bytes + (size_t)1);
    return FR_OK;
}

fr_status fr_tokenizer_put_merge(fr_tokenizer *t, int32_t left, int32_t right) {
    char *name;
    size_t bytes;
    FR_TRY(fr_tokenizer_join(t, left, right, &name, &bytes));
    const fr_string *both = fr_strings_find(&t->names, name, bytes);
    fr_status status = FR_OK;
    if (!both || !(t->tokens[both->value].flags & FR_TOKEN_VOCAB)) {
        status = fr_fail(FR_FORMAT, "a merge makes \"%.100s\", which is no token", name);
    }
    fr_free(name);
    FR_TRY(status);
    FR_TRY(fr_grow((void **)&t->merges, &t->merge_cap, t->merge_count + 1, sizeof *t->merges));
    t->merges[t->merge_count] = (fr_merge){left, right, both->value};
    return fr_pairs_put(&t->pairs, left, right, (int32_t)t->merge_count++, both->value);
}

fr_status fr_tokenizer_put_step(fr_tokenizer *t, const fr_step *step) {
    if (t->step_count == STEPS_MOST) {
        return fr_fail(FR_UNSUPPORTED, "a pre-tokenizer of more than %d steps", STEPS_MOST);
    }
    FR_TRY(fr_grow((void **)&t->steps, &t->step_cap, t->step_count + 1, sizeof *t->steps));
    fr_step *s = &t->steps[t->step_count];
    *s = *step;
    s->pattern = NULL;
    t->step_count++;
    if (!s->source) return FR_OK;
    s->source = fr_arena_strdup(t->arena, step->source);
    if (!s->source) return FR_NOMEM;
    return fr_pattern_new(s->source, s->literal, &s->pattern);
}

/* ---- what follows from the tokens ---- */

static fr_status find_bytes(fr_tokenizer *t) {
    fr_byte_char chars[256];
    fr_byte_chars(chars);
    for (int b = 0; b < 256; b++) {
        const fr_string *found = fr_strings_find(&t->names, chars[b].utf8, chars[b].bytes);
        if (!found || !(t->tokens[found->value].flags & FR_TOKEN_VOCAB)) {
            return fr_fail(FR_UNSUPPORTED,
                           "the vocabulary has no token for the byte %d (\"%s\"): it is not a "
                           "byte-level one, and texts would lose something",
                           b, chars[b].utf8);
        }
        t->byte_ids[b] = found->value;
    }
    return FR_OK;
}

/* Added tokens, and the odd names that no bytes could be written as, stand for themselves. */
static fr_status find_texts(fr_tokenizer *t) {
    for (size_t i = 0; i < t->size; i++) {
        fr_token *token = &t->tokens[i];
        token->text = token->name;
        token->bytes = token->name_bytes;
        if (!token->name || (token->flags & FR_TOKEN_ADDED)) continue;
        char *text = fr_arena_alloc(t->arena, token->name_bytes + (size_t)1);
        if (!text) return FR_NOMEM;
        int64_t bytes = fr_bytes_of_name(token->name, token->name_bytes, text);
        if (bytes < 0) continue;
        token->text = text;
        token->bytes = (uint32_t)bytes;
        if (t->ignore_merges) FR_TRY(fr_strings_add(&t->whole, text, (size_t)bytes, (int32_t)i));
    }
    return FR_OK;
}

/* It is looked for in texts that are normalized. */
static fr_status check_normal(const fr_token *token) {
    char *changed;
    size_t bytes;
    FR_TRY(fr_nfc(token->name, token->name_bytes, &changed, &bytes));
    bool same = !changed || (bytes == token->name_bytes && !memcmp(changed, token->name, bytes));
    fr_free(changed);
    if (same) return FR_OK;
    return fr_fail(FR_UNSUPPORTED,
                   "the added token \"%.100s\" is not in the normal form C that "
                   "texts are brought to",
                   token->name);
}

static int by_name(const void *a, const void *b, void *arg) {
    const fr_token *tokens = arg;
    return strcmp(tokens[*(const int32_t *)a].name, tokens[*(const int32_t *)b].name);
}

static fr_status find_added(fr_tokenizer *t, fr_finder *f, uint32_t normalized) {
    f->all_special = true;
    size_t cap = 0;
    for (size_t i = 0; i < t->size; i++) {
        uint32_t flags = t->tokens[i].flags;
        if (!(flags & FR_TOKEN_ADDED) || (flags & FR_TOKEN_NORMALIZED) != normalized) continue;
        if (t->nfc && normalized) FR_TRY(check_normal(&t->tokens[i]));
        FR_TRY(fr_grow((void **)&f->ids, &cap, f->count + 1, sizeof *f->ids));
        f->ids[f->count++] = (int32_t)i;
        f->all_special &= (flags & FR_TOKEN_SPECIAL) != 0;
        f->starts[(uint8_t)t->tokens[i].name[0]] = true;
    }
    if (f->count) qsort_r(f->ids, f->count, sizeof *f->ids, by_name, t->tokens);
    return FR_OK;
}

fr_status fr_tokenizer_finish(fr_tokenizer *t) {
    FR_TRY(find_bytes(t));
    FR_TRY(find_texts(t));
    FR_TRY(find_added(t, &t->finders[0], 0));
    return find_added(t, &t->finders[1], FR_TOKEN_NORMALIZED);
}

/* ---- questions ---- */

int32_t fr_tokenizer_size(const fr_tokenizer *t) {
    return (int32_t)t->size;
}
int32_t fr_tokenizer_bos(const fr_tokenizer *t) {
    return t->bos;
}
int32_t fr_tokenizer_eos(const fr_tokenizer *t) {
    return t->eos;
}

int32_t fr_tokenizer_find(const fr_tokenizer *t, const char *token) {
    const fr_string *s = fr_strings_find(&t->names, token, strlen(token));
    return s ? s->value : -1;
}

static const fr_token *token_at(const fr_tokenizer *t, int32_t id) {
    if (id < 0 || (size_t)id >= t->size || !t->tokens[id].name) return NULL;
    return &t->tokens[id];
}

const char *fr_tokenizer_bytes(const fr_tokenizer *t, int32_t id, size_t *bytes) {
    const fr_token *token = token_at(t, id);
    bool none = !token || (token->flags & FR_TOKEN_SPECIAL) || !token->bytes;
    *bytes = none ? 0 : token->bytes;
    return none ? NULL : token->text;
}

bool fr_tokenizer_special(const fr_tokenizer *t, int32_t id) {
    const fr_token *token = token_at(t, id);
    return !token || (token->flags & FR_TOKEN_SPECIAL);
}

fr_status fr_tokenizer_decode(const fr_tokenizer *t, const int32_t *ids, size_t count, bool special,
                              char **text, size_t *bytes) {
    *text = NULL;
    *bytes = 0;
    size_t all = 1;
    for (size_t i = 0; i < count; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= t->size) {
            return fr_fail(FR_INVALID, "the id %d stands for no token; the tokenizer has 0 to %zu",
                           ids[i], t->size - 1);
        }
        if (!fr_size_add(all, t->tokens[ids[i]].bytes, &all)) {
            return fr_fail(FR_NOMEM, "the text of %zu ids is too long", count);
        }
    }
    char *out = fr_alloc_array(FR_MEM_OTHER, all, 1);
    if (!out) return FR_NOMEM;
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const fr_token *token = &t->tokens[ids[i]];
        if (!token->name || (!special && (token->flags & FR_TOKEN_SPECIAL))) continue;
        memcpy(out + n, token->text, token->bytes);
        n += token->bytes;
    }
    out[n] = 0;
    *text = out;
    *bytes = n;
    return FR_OK;
}
