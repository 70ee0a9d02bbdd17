/* tokenizer.c: the parts of a tokenizer, put together once. */
#include <string.h>

#include "text/tokenizer_parts.h"

/* Ids may have holes, but not so many that a small file asks for much memory. */
#define HOLES_MOST 65536
#define STEPS_MOST 16

fr_status fr_tokenizer_new(fr_tokenizer **out) {
    fr_tokenizer *t = *out = fr_alloc(FR_MEM_OTHER, sizeof *t);
    if (!t) return FR_NOMEM;
    t->bos = t->eos = t->unknown = t->inside = -1;
    t->arena = fr_arena_new();
    if (t->arena) return FR_OK;
    fr_free(t);
    *out = NULL;
    return FR_NOMEM;
}

void fr_tokenizer_free(fr_tokenizer *t) {
    if (!t) return;
    for (size_t i = 0; i < t->step_count; i++) fr_pattern_free(t->steps[i].pattern);
    for (size_t i = 0; i < t->rewrite_count; i++) fr_pattern_free(t->rewrites[i].pattern);
    for (int i = 0; i < 2; i++) fr_free(t->finders[i].items);
    fr_free(t->users.items);
    fr_strings_free(&t->names);
    fr_strings_free(&t->whole);
    fr_strings_free(&t->parts);
    fr_pairs_free(&t->pairs);
    fr_pairs_free(&t->trie.nodes);
    fr_free(t->char_ids);
    fr_free(t->scores);
    fr_free(t->rewrites);
    fr_free(t->says);
    fr_json_free(t->normalizer);
    fr_json_free(t->pre_tokenizer);
    fr_json_free(t->decoder);
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

fr_status fr_tokenizer_reserve_scores(fr_tokenizer *t, size_t count) {
    t->scores = fr_alloc_array(FR_MEM_OTHER, count, sizeof *t->scores);
    t->score_count = count;
    return t->scores ? FR_OK : FR_NOMEM;
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
    if (s->mark && !(s->mark = fr_arena_strdup(t->arena, step->mark))) return FR_NOMEM;
    if (!s->source) return FR_OK;
    s->source = fr_arena_strdup(t->arena, step->source);
    if (!s->source) return FR_NOMEM;
    return fr_pattern_new(s->source, s->literal, &s->pattern);
}

fr_status fr_tokenizer_put_rewrite(fr_tokenizer *t, const fr_rewrite *rewrite) {
    if (t->rewrite_count == STEPS_MOST) {
        return fr_fail(FR_UNSUPPORTED, "a normalizer of more than %d steps", STEPS_MOST);
    }
    FR_TRY(
        fr_grow((void **)&t->rewrites, &t->rewrite_cap, t->rewrite_count + 1, sizeof *t->rewrites));
    fr_rewrite *r = &t->rewrites[t->rewrite_count++];
    *r = *rewrite;
    if (r->from) r->from = fr_arena_strdup(t->arena, r->from);
    if (r->to) r->to = fr_arena_strdup(t->arena, r->to);
    return (rewrite->from && !r->from) || (rewrite->to && !r->to) ? FR_NOMEM : FR_OK;
}

fr_status fr_tokenizer_put_say(fr_tokenizer *t, const fr_say *say) {
    if (t->say_count == STEPS_MOST) {
        return fr_fail(FR_UNSUPPORTED, "a decoder of more than %d steps", STEPS_MOST);
    }
    FR_TRY(fr_grow((void **)&t->says, &t->say_cap, t->say_count + 1, sizeof *t->says));
    fr_say *s = &t->says[t->say_count++];
    *s = *say;
    if (s->from) s->from = fr_arena_strdup(t->arena, s->from);
    if (s->to) s->to = fr_arena_strdup(t->arena, s->to);
    t->firsts |= s->kind == FR_SAY_WORDS || s->kind == FR_SAY_META || s->kind == FR_SAY_JOIN;
    return (say->from && !s->from) || (say->to && !s->to) ? FR_NOMEM : FR_OK;
}

fr_status fr_tokenizer_put_around(fr_tokenizer *t, int32_t id, bool behind) {
    size_t n = t->before + t->behind;
    FR_TRY(fr_grow((void **)&t->around, &t->around_cap, n + 1, sizeof *t->around));
    t->around[n] = id;
    if (behind) {
        t->behind++;
    } else {
        t->before++;
    }
    return FR_OK;
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
