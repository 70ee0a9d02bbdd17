/* grammar.h: what a text may look like, and which tokens can come next in one that does.
 *
 *     fr_grammar_parse(text, bytes, "answer.gbnf", &g);      or fr_grammar_schema, fr_grammar_json
 *     fr_token_trie_new(tokenizer, &trie);                   once for a tokenizer
 *     fr_constraint_new(g, trie, &eos, 1, &c);               once for a grammar; samplers share it
 *
 * A grammar is text in the notation GBNF of llama.cpp:
 *
 *     root   ::= "yes" | "no" ", " reason     # alternatives of sequences; root is the whole text
 *     reason ::= [a-z ]{3,40} (" and " .+)?   classes, groups, * + ? {m} {m,} {m,n}, any character
 *     quote  ::= "\"" [^"\n\x00-\x1F]* "\""   escapes: \" \\ \[ \] \n \r \t \xHH \uHHHH \UHHHHHHHH
 *
 * A rule that can begin with itself (left recursion), one that can never end, and an undefined one are refused by
 * name. */
#ifndef FR_TEXT_GRAMMAR_H
#define FR_TEXT_GRAMMAR_H

#include "text/tokenizer.h"

typedef struct fr_grammar fr_grammar;
/* `name` is what messages call the text. */
fr_status fr_grammar_parse(const char *text, size_t bytes, const char *name, fr_grammar **out);
/* All JSON texts that a JSON schema allows, keys in the order of the schema; see schema.h for what it may say. */
fr_status fr_grammar_schema(const char *json, size_t bytes, const char *name, fr_grammar **out);
/* Any JSON object. */
fr_status fr_grammar_json(fr_grammar **out);
void fr_grammar_free(fr_grammar *g);

typedef enum fr_fit {
    FR_FIT_NO,
    FR_FIT_BEGIN, /* more must come */
    FR_FIT_WHOLE
} fr_fit;
fr_status fr_grammar_fits(const fr_grammar *g, const char *text, size_t bytes, fr_fit *out);

/* The bytes of all tokens, as a tree. */
typedef struct fr_token_trie fr_token_trie;
fr_status fr_token_trie_new(const fr_tokenizer *t, fr_token_trie **out);
/* The same from a list; NULL or no bytes: the token is in no text. */
fr_status fr_token_trie_of(const char *const *texts, const size_t *bytes, int32_t count,
                           fr_token_trie **out);
void fr_token_trie_free(fr_token_trie *t);

/* A grammar over tokens; any number of samplers in any threads use it at once. Grammar and trie must outlive it, and it
 * its samplers. ends: tokens that end a text, allowed where the grammar is fulfilled. */
typedef struct fr_constraint fr_constraint;
fr_status fr_constraint_new(const fr_grammar *g, const fr_token_trie *t, const int32_t *ends,
                            int32_t count, fr_constraint **out);
void fr_constraint_free(fr_constraint *c);

#endif
