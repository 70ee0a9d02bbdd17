/* finish.c: what follows from a tokenizer's tokens, once they are all there: tables of bytes and characters, the texts
 * that are looked for, and the trie of Unigram and WordPiece. */
#include <stdio.h>
#include <string.h>

#include "text/tokenizer_parts.h"

/* ---- bytes ---- */

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

/* ---- characters ---- */

static void find_byte_tokens(fr_tokenizer *t) {
    for (int b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        const fr_string *s = fr_strings_find(&t->names, name, 6);
        bool good = s && (t->tokens[s->value].flags & FR_TOKEN_VOCAB);
        t->byte_ids[b] = good ? s->value : -1;
    }
}

/* Whether a text could lead to it. */
static bool can_come(const fr_token *token) {
    return token->name && (token->flags & (FR_TOKEN_VOCAB | FR_TOKEN_APART)) == FR_TOKEN_VOCAB;
}

static fr_status find_chars(fr_tokenizer *t) {
    t->char_ids = fr_alloc_array(FR_MEM_OTHER, FR_CHARS, sizeof *t->char_ids);
    if (!t->char_ids) return FR_NOMEM;
    for (size_t i = 0; i < FR_CHARS; i++) t->char_ids[i] = -1;
    for (size_t i = 0; i < t->size; i++) {
        const fr_token *token = &t->tokens[i];
        int32_t c;
        if (!can_come(token) || !token->name_bytes) continue;
        size_t n = fr_char_at(token->name, token->name_bytes, &c);
        if (n == token->name_bytes && c >= 0 && c < FR_CHARS) t->char_ids[c] = (int32_t)i;
        if (t->ignore_merges) {
            FR_TRY(fr_strings_add(&t->whole, token->name, token->name_bytes, (int32_t)i));
        }
    }
    return FR_OK;
}

/* Whether a mark of a space stands behind what is none. */
static bool has_inner_space(const char *text, size_t bytes) {
    for (size_t i = 1; i + FR_SPACE_BYTES <= bytes; i++) {
        if (memcmp(text + i, FR_SPACE, FR_SPACE_BYTES)) continue;
        if (i < FR_SPACE_BYTES || memcmp(text + i - FR_SPACE_BYTES, FR_SPACE, FR_SPACE_BYTES)) {
            return true;
        }
    }
    return false;
}

static bool can_cut_at_spaces(const fr_tokenizer *t) {
    if (t->char_ids[0x2581] < 0 || t->ignore_merges) return false;
    for (size_t i = 0; i < t->merge_count; i++) {
        const fr_token *made = &t->tokens[t->merges[i].id];
        if (has_inner_space(made->name, made->name_bytes)) return false;
    }
    for (size_t i = 0; i < t->users.count; i++) {
        if (has_inner_space(t->users.items[i].text, t->users.items[i].bytes)) return false;
    }
    return true;
}

static fr_status find_users(fr_tokenizer *t) {
    for (size_t i = 0; i < t->size; i++) {
        const fr_token *token = &t->tokens[i];
        if (!token->name || !(token->flags & FR_TOKEN_USER)) continue;
        FR_TRY(fr_finder_add(&t->users, token->name, token->name_bytes, (int32_t)i));
    }
    fr_finder_sort(&t->users);
    return FR_OK;
}

/* ---- the trie ---- */

/* The names of special tokens lead to them in no text, as a text is not to be trusted; where they are wanted, they are
 * looked for first. */
static fr_status find_pieces(fr_tokenizer *t) {
    for (size_t i = 0; i < t->size; i++) {
        const fr_token *token = &t->tokens[i];
        if (!can_come(token) || (token->flags & FR_TOKEN_SPECIAL)) continue;
        FR_TRY(fr_trie_add(&t->trie, token->name, token->name_bytes, (int32_t)i));
    }
    if (t->model != FR_PIECES_WORDS) return FR_OK;
    t->inside = 0;
    for (const char *c = t->prefix; *c && t->inside >= 0; c++) {
        const fr_pair *p = fr_pairs_find(&t->trie.nodes, t->inside, (uint8_t)*c);
        t->inside = p ? p->id : -1;
    }
    return FR_OK;
}

/* ---- added tokens ---- */

/* The text that it is looked for by: normalized, where the text is. */
static fr_status add_to_finder(fr_tokenizer *t, fr_finder *f, int32_t id,
                               fr_pattern_scratch *scratch) {
    const fr_token *token = &t->tokens[id];
    char *changed = NULL, *copy = NULL;
    size_t bytes = token->name_bytes;
    if (token->flags & FR_TOKEN_NORMALIZED) {
        FR_TRY(fr_rewrite_text(t, scratch, token->name, bytes, &changed, &bytes));
    }
    if (!changed) return fr_finder_add(f, token->name, bytes, id);
    copy = fr_arena_alloc(t->arena, bytes + 1);
    if (copy) memcpy(copy, changed, bytes);
    fr_free(changed);
    return copy ? fr_finder_add(f, copy, bytes, id) : FR_NOMEM;
}

static fr_status find_added(fr_tokenizer *t, fr_pattern_scratch *scratch) {
    t->finders[0].all_special = t->finders[1].all_special = true;
    for (size_t i = 0; i < t->size; i++) {
        uint32_t flags = t->tokens[i].flags;
        fr_finder *f = &t->finders[(flags & FR_TOKEN_NORMALIZED) != 0];
        if (!(flags & FR_TOKEN_ADDED)) continue;
        f->all_special &= (flags & FR_TOKEN_SPECIAL) != 0;
        FR_TRY(add_to_finder(t, f, (int32_t)i, scratch));
    }
    for (int i = 0; i < 2; i++) fr_finder_sort(&t->finders[i]);
    return FR_OK;
}

fr_status fr_tokenizer_finish(fr_tokenizer *t) {
    if (t->model == FR_PIECES_BYTES) {
        FR_TRY(find_bytes(t));
        FR_TRY(find_texts(t));
    } else {
        find_byte_tokens(t);
        FR_TRY(find_users(t));
    }
    if (t->model == FR_PIECES_CHARS) {
        FR_TRY(find_chars(t));
        t->cut_at_spaces = can_cut_at_spaces(t);
    }
    if (t->model == FR_PIECES_UNIGRAM || t->model == FR_PIECES_WORDS) FR_TRY(find_pieces(t));
    fr_pattern_scratch *scratch;
    FR_TRY(fr_pattern_scratch_new(&scratch));
    fr_status status = find_added(t, scratch);
    fr_pattern_scratch_free(scratch);
    FR_TRY(status);
    return t->model == FR_PIECES_BYTES ? FR_OK : fr_say_tokens(t);
}
