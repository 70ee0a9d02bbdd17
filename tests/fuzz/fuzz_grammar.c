/* fuzz_grammar.c: any bytes as a grammar, or behind a { as a JSON schema: refused, or texts are tried on it, by bytes
 * and by tokens. */
#include <stdlib.h>
#include <string.h>

#include "text/sampler.h"
#include "text/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void use(const fr_grammar *g) {
    enum { VOCAB = 9, STEPS = 12 };
    static const char *const texts[] = {"", "a", "ab", "{\"", "\":", "1", "}", "\xC3", "\xA4"};
    size_t bytes[VOCAB];
    fr_token_trie *trie = NULL;
    fr_constraint *c = NULL;
    fr_sampler *s = NULL;
    fr_sampler_scratch *w = NULL;
    fr_fit fit;
    float logits[VOCAB];
    for (int i = 0; i < VOCAB; i++) bytes[i] = strlen(texts[i]);
    fr_message_clear();
    if (fr_grammar_fits(g, "{\"a\": [1, \"\xC3\xA4\"]}", 16, &fit) && !fr_message()[0]) abort();
    if (fr_token_trie_of(texts, bytes, VOCAB, &trie) ||
        fr_constraint_new(g, trie, (int32_t[]){0}, 1, &c) || fr_sampler_scratch_new(VOCAB, &w) ||
        fr_sampler_new(&(fr_sampling){.temperature = 1}, VOCAB, 0, c, NULL, 0, &s)) {
        if (!fr_message()[0]) abort();
    }
    for (uint64_t i = 0; i < STEPS && s; i++) {
        fr_random_normal(1, 2, i * VOCAB, logits, VOCAB);
        int32_t t = fr_sampler_pick(s, w, logits);
        if (t < 0) break;
        if (fr_sampler_accept(s, t)) abort(); /* what was picked is allowed */
    }
    fr_sampler_free(s);
    fr_sampler_scratch_free(w);
    fr_constraint_free(c);
    fr_token_trie_free(trie);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fr_grammar *g;
    bool schema = bytes && data[0] == '{';
    fr_message_clear();
    fr_status st = schema ? fr_grammar_schema((const char *)data, bytes, "fuzz.json", &g)
                          : fr_grammar_parse((const char *)data, bytes, "fuzz.gbnf", &g);
    if (!st)
        use(g);
    else if (g || !fr_message()[0])
        abort();
    fr_grammar_free(g);
    return 0;
}
