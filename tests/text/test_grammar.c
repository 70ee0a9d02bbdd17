/* test_grammar.c: which texts a grammar takes, what is refused and how that is said, and that tokens under a grammar
 * never leave it, whatever the logits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/grammar.h"
#include "text/sampler.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static fr_grammar *parse(const char *text) {
    fr_grammar *g;
    ok(fr_grammar_parse(text, strlen(text), "test", &g));
    return g;
}

static void check(const fr_grammar *g, const char *text, size_t bytes, fr_fit want) {
    fr_fit got;
    ok(fr_grammar_fits(g, text, bytes, &got));
    if (got != want) fail_msg("\"%s\" gives %d, not %d", text, got, want);
}

/* Texts separated by |: whole ones, beginnings, and such as do not fit. */
static void takes(const char *grammar, const char *whole, const char *begin, const char *no) {
    const char *lists[] = {[FR_FIT_NO] = no, [FR_FIT_BEGIN] = begin, [FR_FIT_WHOLE] = whole};
    fr_grammar *g = parse(grammar);
    for (int fit = 0; fit < 3; fit++)
        for (const char *at = lists[fit]; at;) {
            char text[256];
            size_t n = strcspn(at, "|");
            snprintf(text, sizeof text, "%.*s", (int)n, at);
            check(g, text, n, (fr_fit)fit);
            at = at[n] ? at + n + 1 : NULL;
        }
    fr_grammar_free(g);
}

static void test_notation(void **state) {
    (void)state;
    takes("root ::= \"yes\" | \"no\"", "yes|no", "|y|ye|n", "x|yess|yn");
    takes("root ::= a b\na ::= \"x\"* # stars\nb ::= [0-9]+", "1|x1|xx12", "|x", "a|1x");
    takes("root ::= (\"a\" | \"b\" \"c\")? \"d\"", "d|ad|bcd", "|b|bc", "abd|bd");
    takes("root ::= \"a\"{2}", "aa", "|a", "aaa");
    takes("root ::= \"a\"{2,}", "aa|aaa|aaaaa", "|a", "b");
    takes("root ::= \"a\"{1,3}", "a|aa|aaa", "", "aaaa");
    takes("root ::= \"a\"{,2} \"b\"", "b|ab|aab", "|a|aa", "aaa");
    takes("root ::= (\"ab\"{1,2} \"c\"){2}", "abcabc|ababcabc", "abc|ababca", "abb");
    takes("root ::= [^a-y\\n]", "z|A|0", "", "a|q|\n|zz");
    takes("root ::= [a\\-z]+", "a-z", "", "b");
    takes("root ::= [a-]+", "a-a", "", "b");
    takes("root ::= \"\\x41\\u00e4\\U0001F600\\n\\\"\\\\\"", "A\xC3\xA4\xF0\x9F\x98\x80\n\"\\",
          "A\xC3", "A\xC3\xA5");
    takes("root ::= .", "a|\xC3\xA4|\xE2\x82\xAC|\xF0\x9F\x98\x80", "\xE2|\xE2\x82|\xF0\x9F",
          "ab|\xFF|\x80|\xED\xA0|\xC0|\xF5");
    takes("root ::= \"a\"\n  | \"b\" # or\n\n  | (\n \"c\"\n \"d\" )\n\n", "a|b|cd", "c", "d");
    takes("root ::= (\"\"*)* \"a\"", "a", "", "b");
    takes("# first\nroot::=under_score-x\nunder_score-x::=\"q\"", "q", "", "r");
}

static void test_recursion(void **state) {
    (void)state;
    takes("root ::= \"(\" root \")\" | \"x\"", "x|(x)|(((x)))", "(|((x)|", ")|(x))");
    takes("root ::= item (\",\" root)?\nitem ::= [0-9] | \"[\" root? \"]\"", "1|1,2|[]|[1,[2,3]],4",
          "[|[1,|1,", "[1,]|,");
    /* Deep, and long: the calls of a list at the end of a rule are not remembered. */
    static char text[200001];
    fr_grammar *g =
        parse("root ::= \"(\" root \")\" | \"x\" | \"l\" tail\ntail ::= \"a\" tail | \"\"");
    memset(text, '(', 50000);
    text[50000] = 'x';
    memset(text + 50001, ')', 50000);
    check(g, text, 100001, FR_FIT_WHOLE);
    check(g, text, 100000, FR_FIT_BEGIN);
    memset(text, 'a', 200000);
    text[0] = 'l';
    check(g, text, 200000, FR_FIT_WHOLE);
    fr_grammar_free(g);
}

/* Classes of characters against a walk over all of them. */
static void test_classes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t low, high;
    } all[] = {{"root ::= [\\x00-\\U0010FFFF]", 0, 0x10FFFF},
               {"root ::= [\\u0100-\\u2fff]", 0x100, 0x2FFF},
               {"root ::= [\\u07fe-\\u0801]", 0x7FE, 0x801},
               {"root ::= [\\ud7f0-\\ue010]", 0xD7F0, 0xE010},
               {"root ::= [\\U00012345-\\U00054321]", 0x12345, 0x54321}};
    for (size_t i = 0; i < FR_COUNT(all); i++) {
        fr_grammar *g = parse(all[i].text);
        for (uint32_t c = 0; c < 0x110000; c += c < 0x3000 ? 7 : 251) {
            char t[4];
            size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
            uint32_t v = c;
            for (size_t k = n; k-- > 1; v >>= 6) t[k] = (char)(0x80 | (v & 0x3F));
            t[0] = (char)((n == 1 ? 0 : n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | v);
            bool in = c >= all[i].low && c <= all[i].high && (c < 0xD800 || c > 0xDFFF);
            check(g, t, n, in ? FR_FIT_WHOLE : FR_FIT_NO);
        }
        fr_grammar_free(g);
    }
}

static void refused(const char *text, const char *word) {
    fr_grammar *g;
    fr_status st = fr_grammar_parse(text, strlen(text), "test.gbnf", &g);
    assert_true(st == FR_FORMAT || st == FR_UNSUPPORTED);
    assert_null(g);
    if (!strstr(fr_message(), word)) fail_msg("\"%s\" does not say \"%s\"", fr_message(), word);
}

static void test_refused(void **state) {
    (void)state;
    refused("", "root");
    refused("start ::= \"a\"", "root");
    refused("root ::= other", "other is not defined");
    refused("root ::= \"a\nb\"", "line 1");
    refused("a ::= \"x\"\nroot ::= a\nroot ::= a", "line 3");
    refused("root ::= \"a\" )", "ends with its line");
    refused("root ::= (\"a\"", ")");
    refused("root ::= [b-a]", "before it begins");
    refused("root ::= [a", "brackets");
    refused("root ::= \"\\q\"", "escape");
    refused("root ::= \"\\ud800\"", "no such character");
    refused("root ::= \"\\x4\"", "hexadecimal");
    refused("root ::= \"a\"{3,2}", "before it begins");
    refused("root ::= \"a\"{1000000}", "100000");
    refused("root ::= \"\xFF\"", "UTF-8");
    refused("root = \"a\"", "::=");
    refused("root ::= ((\"a\"{9999}){9999}){9999}", "too large");
    refused("root ::= (((\"\"{9999}){9999}){9999}){9999}", "too large");
    refused("root ::= root \"a\" | \"a\"", "rule root may begin with itself");
    refused("root ::= a\na ::= b? \"q\"\nb ::= \"\" c\nc ::= \"\"* a", "may begin with itself");
    refused("root ::= a\na ::= \"x\" a", "no text ends the rule");
    refused("root ::= [^\\x00-\\U0010FFFF]", "no text");
    char deep[700] = "root ::= ";
    memset(deep + 9, '(', 600);
    refused(deep, "too deep");
}

/* ---- tokens ---- */

static const char *const vocab[] = {
    "",     "a",        "b",        "c",        "ab",  "abc",  "1",    "2",   "12",
    "{",    "}",        "[",        "]",        "\"",  ":",    ",",    "\":", "\", ",
    "true", "nul",      "null",     " ",        "\n",  "\\",   "\\\"", "x\"", "\xC3",
    "\xA4", "\xC3\xA4", "\xF0\x9F", "\x98\x80", "-",   ".",    "e",    "0",   "\"}",
    "]]",   "{\"",      "\"a\"",    "\xFF",     "u00", "name", "fals", "e]",  "//"};
enum { VOCAB = FR_COUNT(vocab), END = 0 };

static fr_token_trie *make_trie(void) {
    size_t bytes[VOCAB];
    fr_token_trie *t;
    for (int i = 0; i < VOCAB; i++) bytes[i] = strlen(vocab[i]);
    ok(fr_token_trie_of(vocab, bytes, VOCAB, &t));
    return t;
}

typedef struct rig {
    fr_grammar *g;
    fr_token_trie *trie;
    fr_constraint *c;
    fr_sampler *s;
    fr_sampler_scratch *w;
} rig;

static rig set_up(fr_grammar *g, const fr_sampling *how) {
    rig r = {.g = g, .trie = make_trie()};
    ok(fr_constraint_new(r.g, r.trie, (int32_t[]){END}, 1, &r.c));
    ok(fr_sampler_new(how, VOCAB, 0, r.c, NULL, 0, &r.s));
    ok(fr_sampler_scratch_new(VOCAB, &r.w));
    return r;
}

static void tear_down(rig *r) {
    fr_sampler_free(r->s);
    fr_sampler_scratch_free(r->w);
    fr_constraint_free(r->c);
    fr_token_trie_free(r->trie);
    fr_grammar_free(r->g);
}

/* What the mask lets through is what the grammar takes, token by token. */
static void check_mask(rig *r, const char *text, size_t bytes) {
    float logits[VOCAB] = {0}, p[VOCAB];
    char longer[4096];
    fr_fit fit, now;
    ok(fr_grammar_fits(r->g, text, bytes, &now));
    bool some = fr_sampler_probabilities(r->s, r->w, logits, p);
    for (int i = 0; i < VOCAB; i++) {
        size_t n = strlen(vocab[i]);
        memcpy(longer, text, bytes);
        memcpy(longer + bytes, vocab[i], n);
        ok(fr_grammar_fits(r->g, longer, bytes + n, &fit));
        bool want = n ? fit != FR_FIT_NO : now == FR_FIT_WHOLE;
        if (want != (some && p[i] > 0))
            fail_msg("after \"%.*s\" token %d \"%s\" is %d", (int)bytes, text, i, vocab[i], want);
    }
}

/* One text from random logits; its bytes. */
static size_t speak(rig *r, uint64_t seed, size_t most, char *text, bool masks) {
    size_t n = 0;
    ok(fr_sampler_reset(r->s, seed, NULL, 0));
    for (uint64_t i = 0; n < most; i++) {
        float logits[VOCAB];
        if (masks) check_mask(r, text, n);
        fr_random_normal(seed, 77, i * VOCAB, logits, VOCAB);
        if (i > 40) logits[END] += 5;
        int32_t t = fr_sampler_pick(r->s, r->w, logits);
        if (t < 0) fail_msg("after \"%.*s\": %s", (int)n, text, fr_message());
        ok(fr_sampler_accept(r->s, t));
        if (t == END) break;
        memcpy(text + n, vocab[t], strlen(vocab[t]));
        n += strlen(vocab[t]);
    }
    text[n] = 0;
    return n;
}

static void test_tokens(void **state) {
    (void)state;
    static const char *const grammars[] = {
        "root ::= \"abc\" [0-9]{2,4} | \"\\\"\" [^\"\\\\]{1,6} \"\\\"\"",
        "root ::= (.{0,5} \"\xC3\xA4\" [12]?){1,3}",
        "root ::= \"[\" (root (\",\" root)*)? \"]\" | \"a\" | \"\xF0\x9F\x98\x80\"",
    };
    for (size_t i = 0; i < FR_COUNT(grammars); i++) {
        char text[4096];
        fr_fit fit;
        rig r = set_up(parse(grammars[i]), &(fr_sampling){.temperature = 2});
        for (uint64_t seed = 0; seed < 20; seed++) {
            size_t n = speak(&r, seed, 300, text, true);
            ok(fr_grammar_fits(r.g, text, n, &fit));
            assert_int_not_equal(fit, FR_FIT_NO);
            if (n < 300) assert_int_equal(fit, FR_FIT_WHOLE);
        }
        tear_down(&r);
    }
}

static void test_end(void **state) {
    (void)state;
    rig r = set_up(parse("root ::= \"ab\" \"c\"?"), &(fr_sampling){0});
    float logits[VOCAB] = {0};
    logits[END] = 100;
    assert_int_equal(fr_sampler_accept(r.s, END), FR_INVALID);
    assert_int_equal(fr_sampler_accept(r.s, 2), FR_INVALID); /* b */
    assert_int_equal(fr_sampler_pick(r.s, r.w, logits), 1);
    ok(fr_sampler_accept(r.s, 4)); /* ab */
    assert_false(fr_sampler_finished(r.s));
    assert_int_equal(fr_sampler_pick(r.s, r.w, logits), END);
    ok(fr_sampler_accept(r.s, 3));
    assert_true(fr_sampler_finished(r.s));
    assert_int_equal(fr_sampler_pick(r.s, r.w, logits), END);
    ok(fr_sampler_undo(r.s, 1));
    assert_false(fr_sampler_finished(r.s));
    ok(fr_sampler_accept(r.s, END));
    assert_true(fr_sampler_finished(r.s));
    tear_down(&r);
}

/* A grammar whose states are many: they are forgotten under way, and nothing shows. */
static void test_forgets(void **state) {
    (void)state;
    rig r =
        set_up(parse("root ::= \"[\" root \"]\" | \"{\" root \"}\" | \"a\""), &(fr_sampling){0});
    fr_sampler *other;
    ok(fr_sampler_new(&(fr_sampling){0}, VOCAB, 1, r.c, NULL, 0, &other));
    for (int i = 0; i < 40000; i++) ok(fr_sampler_accept(r.s, i % 3 ? 11 - 2 * (i % 2) : 11));
    ok(fr_sampler_accept(other, 9));
    ok(fr_sampler_accept(r.s, 1));
    for (int i = 40000; i-- > 0;) {
        bool square = !(i % 3) || i % 2 == 0;
        if (i % 1000 == 0) assert_int_equal(fr_sampler_accept(r.s, square ? 10 : 12), FR_INVALID);
        ok(fr_sampler_accept(r.s, square ? 12 : 10));
    }
    assert_true(fr_sampler_finished(r.s));
    ok(fr_sampler_accept(other, 1));
    ok(fr_sampler_accept(other, 10));
    fr_sampler_free(other);
    tear_down(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_notation), cmocka_unit_test(test_recursion),
        cmocka_unit_test(test_classes),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tokens),   cmocka_unit_test(test_end),
        cmocka_unit_test(test_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
