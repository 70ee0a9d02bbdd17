/* test_schema.c: JSON schemas as grammars: which texts they take, what they refuse and how that is said, and that
 * whatever random logits say under one is JSON of that shape. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/sampler.h"
#include "text/schema.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static fr_grammar *schema_of(const char *text) {
    fr_grammar *g;
    if (fr_grammar_schema(text, strlen(text), "test.json", &g))
        fail_msg("%s: %s", text, fr_message());
    return g;
}

/* Texts that end with NULL; ' in them stands for a quote. */
static void takes(const char *schema, const char *const *yes, const char *const *no) {
    char text[1024];
    snprintf(text, sizeof text, "%s", schema);
    for (char *p = text; *p; p++) *p = *p == '\'' ? '"' : *p;
    fr_grammar *g = schema_of(text);
    for (int k = 0; k < 2; k++)
        for (const char *const *t = k ? no : yes; *t; t++) {
            fr_fit fit;
            snprintf(text, sizeof text, "%s", *t);
            for (char *p = text; *p; p++) *p = *p == '\'' ? '"' : *p;
            ok(fr_grammar_fits(g, text, strlen(text), &fit));
            if ((fit == FR_FIT_WHOLE) == k) fail_msg("%s: %s gives %d", schema, text, fit);
        }
    fr_grammar_free(g);
}
#define TEXTS(...)                                                                                 \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

static void test_types(void **state) {
    (void)state;
    takes("{'type':'string'}", TEXTS("''", "'a\\n'", "'\xC3\xA4'", "'\\u00e4'"),
          TEXTS("'", "a", "'\n'", "'\\x'", "'\\ud800'", "'\\u0000'", "1"));
    takes("{'type':'string','minLength':2,'maxLength':3}", TEXTS("'ab'", "'\xC3\xA4\\\"b'"),
          TEXTS("'a'", "'abcd'"));
    takes("{'type':'integer'}", TEXTS("0", "-5", "123"), TEXTS("01", "1.5", "+1", "--1", ""));
    takes("{'type':'number'}", TEXTS("0", "-5.25", "1e5", "1.5E-3"), TEXTS("1.", ".5", "e5", "1e"));
    takes("{'type':'boolean'}", TEXTS("true", "false"), TEXTS("True", "1"));
    takes("{'type':['null','integer']}", TEXTS("null", "7"), TEXTS("'7'", "nul"));
    takes("{}", TEXTS("null", "{'a':[1,{'b':''}]}", "[]"), TEXTS("{a:1}", "[1,]", "{'a'}"));
    takes("{'enum':['a\\\\b',1,null,{'k':[2]}]}", TEXTS("'a\\\\b'", "1", "null", "{'k':[2]}"),
          TEXTS("'a'", "2"));
    takes("{'const':'x'}", TEXTS("'x'"), TEXTS("'y'", "x"));
    takes("{'type':'string','format':'date'}", TEXTS("'2024-02-28'"),
          TEXTS("'2024-13-01'", "'2024-1-1'"));
    takes("{'type':'string','format':'uuid'}", TEXTS("'01234567-89ab-cdef-0123-456789abcdef'"),
          TEXTS("'01234567'"));
}

static void test_objects(void **state) {
    (void)state;
    takes("{'type':'object','properties':{'a':{'type':'integer'},'b':{'type':'string'},"
          "'c':{'type':'null'}},'required':['b']}",
          TEXTS("{'b':''}", "{'a':1,'b':''}", "{'b':'','c':null}", "{ 'a' : 1 , 'b' : 'x' }",
                "{\n  'b':'x'}"),
          TEXTS("{}", "{'a':1}", "{'b':'','a':1}", "{'b':1}", "{'b':'',}", "{,'b':''}",
                "{'b':'','d':1}"));
    takes("{'properties':{'a':{'type':'null'}}}", TEXTS("{}", "{'a':null}"),
          TEXTS("{'b':1}", "{'a':1}", "1"));
    takes("{'type':'object','properties':{'ab':{'type':'null'},'ac':{'type':'null'}},"
          "'additionalProperties':{'type':'integer'}}",
          TEXTS("{}", "{'ab':null}", "{'ab':null,'x':1,'abc':2}", "{'a':1}", "{'':5,'b':6}"),
          TEXTS("{'ab':1}", "{'ac':1}", "{'x':null}", "{'x':1,'ab':1}"));
    takes("{'type':'object','required':['id'],'additionalProperties':true}",
          TEXTS("{'id':[]}", "{'id':1,'x':2}"), TEXTS("{}", "{'x':2}"));
    takes("{'type':'object','additionalProperties':false}", TEXTS("{}"), TEXTS("{'a':1}"));
}

static void test_arrays(void **state) {
    (void)state;
    takes("{'type':'array','items':{'type':'integer'}}", TEXTS("[]", "[1]", "[1, 2,3]"),
          TEXTS("[,]", "['a']", "[1"));
    takes("{'type':'array','items':{'type':'integer'},'minItems':2,'maxItems':3}",
          TEXTS("[1,2]", "[1,2,3]"), TEXTS("[]", "[1]", "[1,2,3,4]"));
    takes("{'type':'array','minItems':1}", TEXTS("[1,'a']"), TEXTS("[]"));
    takes("{'type':'array','maxItems':0}", TEXTS("[]"), TEXTS("[1]"));
    takes("{'type':'array','prefixItems':[{'type':'integer'},{'type':'string'}]}", TEXTS("[1,'a']"),
          TEXTS("['a',1]", "[1,'a',2]", "[1]"));
    takes("{'type':'array','prefixItems':[{'type':'integer'}],'items':{'type':'null'},"
          "'maxItems':3}",
          TEXTS("[1]", "[1,null,null]"), TEXTS("[1,null,null,null]", "[1,1]"));
}

static void test_choices(void **state) {
    (void)state;
    takes("{'anyOf':[{'type':'integer'},{'type':'array','items':{'$ref':'#'}}]}",
          TEXTS("1", "[]", "[1,[2,[3]]]"), TEXTS("'a'", "[null]"));
    takes("{'allOf':[{'$ref':'#/$defs/a~1b'}],'$defs':{'a/b':{'const':1}}}", TEXTS("1"),
          TEXTS("2"));
    takes("{'$ref':'#/definitions/node','definitions':{'node':{'type':'object','properties':"
          "{'v':{'type':'integer'},'next':{'anyOf':[{'$ref':'#/definitions/node'},"
          "{'type':'null'}]}},'required':['v','next']}}}",
          TEXTS("{'v':1,'next':{'v':2,'next':null}}"), TEXTS("{'v':1}", "{'v':1,'next':1}"));
}

static void check_range(int low, int high) {
    char schema[128], text[16];
    snprintf(schema, sizeof schema, "{\"type\":\"integer\",\"minimum\":%d,\"maximum\":%d}", low,
             high);
    fr_grammar *g = schema_of(schema);
    for (int i = low - 120; i <= high + 120; i++) {
        fr_fit fit;
        int n = snprintf(text, sizeof text, "%d", i);
        ok(fr_grammar_fits(g, text, (size_t)n, &fit));
        if ((fit == FR_FIT_WHOLE) != (i >= low && i <= high)) fail_msg("%s: %d", schema, i);
    }
    fr_grammar_free(g);
}

static void test_numbers(void **state) {
    (void)state;
    static const int ranges[][2] = {{0, 0},      {0, 9},    {1, 10},    {17, 342},  {-5, 5},
                                    {-342, -17}, {99, 101}, {100, 999}, {-1, 1000}, {7, 7}};
    for (size_t i = 0; i < FR_COUNT(ranges); i++) check_range(ranges[i][0], ranges[i][1]);
    takes("{'type':'integer','exclusiveMinimum':3}", TEXTS("4", "10", "99999"), TEXTS("3", "-1"));
    takes("{'type':'integer','minimum':-2.5}", TEXTS("-2", "0", "7"), TEXTS("-3", "-10"));
    takes("{'type':'number','minimum':0,'maximum':1}", TEXTS("0", "0.5", "1", "1.0"),
          TEXTS("-0.5", "1.5", "1.01", "2"));
    takes("{'type':'number','minimum':-3,'maximum':12}", TEXTS("-2.9", "-3", "11.99", "0.1"),
          TEXTS("-3.1", "12.1", "13"));
}

static void test_patterns(void **state) {
    (void)state;
    takes("{'type':'string','pattern':'^[A-Z]{2}\\\\d+$'}", TEXTS("'AB1'", "'XY123'"),
          TEXTS("'A1'", "'AB'", "'ab1'", "'AB1x'"));
    takes("{'type':'string','pattern':'^(foo|ba[rz])?-?.$'}",
          TEXTS("'foo-x'", "'bazq'", "'\xC3\xA4'"), TEXTS("'foo--x'", "''", "'\n'"));
    takes("{'type':'string','pattern':'b+'}", TEXTS("'b'", "'abbc'"), TEXTS("''", "'a'"));
    takes("{'type':'string','pattern':'^[^a]$'}", TEXTS("'b'", "'\\''", "'\\\\'", "'\\n'"),
          TEXTS("'a'", "'\\'", "'bb'"));
}

static void refused(const char *schema, const char *word) {
    char text[1024];
    fr_grammar *g;
    snprintf(text, sizeof text, "%s", schema);
    for (char *p = text; *p; p++) *p = *p == '\'' ? '"' : *p;
    assert_int_not_equal(fr_grammar_schema(text, strlen(text), "test.json", &g), FR_OK);
    assert_null(g);
    if (!strstr(fr_message(), word)) fail_msg("\"%s\" does not say \"%s\"", fr_message(), word);
}

static void test_refused(void **state) {
    (void)state;
    refused("{'type':'strin'}", "strin");
    refused("{'type':'object','patternProperties':{}}", "patternProperties");
    refused("{'properties':{'a':{'items':{'multipleOf':3}}}}", "#/properties/a/items");
    refused("{'not':{}}", "\"not\"");
    refused("{'$ref':'#/nowhere'}", "#/nowhere");
    refused("{'allOf':[{},{}]}", "allOf");
    refused("{'anyOf':[]}", "anyOf");
    refused("{'enum':[]}", "enum");
    refused("{'anyOf':[{}],'properties':{}}", "beside");
    refused("{'type':'array','minItems':3,'maxItems':2}", "maxItems");
    refused("{'type':'string','minLength':-1}", "minLength");
    refused("{'type':'integer','minimum':5,'maximum':4}", "bounds");
    refused("{'type':'number','minimum':0.5}", "minimum");
    refused("{'type':'string','pattern':'(?=a)b'}", "group of this kind");
    refused("{'type':'string','pattern':'\\\\1'}", "escape");
    refused("{'type':'string','pattern':'^a|b$'}", "group");
    refused("{'$ref':'#'}", "no text ends");
    refused("{'required':['a'],'additionalProperties':false}", "required");
    refused("{'properties':{'a':{'type':'object','properties':{'a':{'$ref':'#'}},'required':['a']}}"
            ",'required':['a']}",
            "no text ends");
    refused("[1]", "no schema");
    refused("{", "test.json");
}

/* ---- what random logits say ---- */

static const char *const vocab[] = {
    "",    "a",    "b",        "c",     "e",  "u",  "0",    "1",    "2",
    "9",   "{",    "}",        "[",     "]",  "\"", ":",    ",",    "\":",
    "\",", "true", "false",    "null",  " ",  "\n", "\\",   "\\\"", "\\n",
    "\\u", "name", "\"name\"", "-",     ".",  "00", "\xC3", "\xA4", "\xF0\x9F\x98\x80",
    "{\"", "d",    "f",        "g",     "i",  "k",  "l",    "m",    "n",
    "o",   "p",    "r",        "s",     "t",  "x",  "\"}",  "[]",   "{}",
    "]}",  "tags", "red",      "green", "ok", "12", "A",    "Z"};
enum { VOCAB = FR_COUNT(vocab), END = 0 };

static const char rich[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1,"
    "\"maxLength\":12},\"age\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":120},\"tags\":{"
    "\"type\":\"array\",\"items\":{\"enum\":[\"red\",\"green\",1]},\"minItems\":1,\"maxItems\":4},"
    "\"inner\":{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#\"}]},\"code\":{\"type\":\"string\","
    "\"pattern\":\"^[A-Z]{1,3}-\\\\d+$\"},\"free\":{}},\"required\":[\"name\",\"tags\",\"code\"],"
    "\"additionalProperties\":{\"type\":\"number\"}}";

/* The shape once more, by hand. */
static bool fits_rich(const fr_json *j) {
    const char *name = json_string_value(json_object_get(j, "name"));
    const fr_json *age = json_object_get(j, "age"), *tags = json_object_get(j, "tags");
    const fr_json *inner = json_object_get(j, "inner"), *code = json_object_get(j, "code");
    if (!name || !name[0] || !json_is_string(code) || !json_is_array(tags)) return false;
    if (age && !(json_integer_value(age) >= 0 && json_integer_value(age) <= 120)) return false;
    if (json_array_size(tags) < 1 || json_array_size(tags) > 4) return false;
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const fr_json *t = json_array_get(tags, i);
        const char *s = json_string_value(t);
        if (!(s && (!strcmp(s, "red") || !strcmp(s, "green"))) && json_integer_value(t) != 1)
            return false;
    }
    const char *c = json_string_value(code);
    size_t letters = strspn(c, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (letters < 1 || letters > 3 || c[letters] != '-' || !c[letters + 1]) return false;
    return !inner || json_is_null(inner) || fits_rich(inner);
}

static void test_random(void **state) {
    (void)state;
    size_t bytes[VOCAB], whole = 0;
    fr_token_trie *trie;
    fr_constraint *c;
    fr_sampler *s;
    fr_sampler_scratch *w;
    fr_grammar *g = schema_of(rich);
    for (int i = 0; i < VOCAB; i++) bytes[i] = strlen(vocab[i]);
    ok(fr_token_trie_of(vocab, bytes, VOCAB, &trie));
    ok(fr_constraint_new(g, trie, (int32_t[]){END}, 1, &c));
    ok(fr_sampler_scratch_new(VOCAB, &w));
    ok(fr_sampler_new(&(fr_sampling){.temperature = 2, .seed = 3}, VOCAB, 0, c, NULL, 0, &s));
    for (uint64_t k = 0; k < 200; k++) {
        char text[4096];
        size_t n = 0;
        int32_t t = -1;
        ok(fr_sampler_reset(s, k, NULL, 0));
        for (uint64_t i = 0; n < sizeof text - 16; i++) {
            float logits[VOCAB];
            fr_random_normal(k, 5, i * VOCAB, logits, VOCAB);
            /* Brackets that close, more and more, so that texts end. */
            for (int q = 0; q < VOCAB; q++)
                if (strpbrk(vocab[q], "]}\"") || q == END) logits[q] += 0.02f * (float)i;
            t = fr_sampler_pick(s, w, logits);
            if (t < 0) fail_msg("%.*s: %s", (int)n, text, fr_message());
            ok(fr_sampler_accept(s, t));
            if (t == END) break;
            memcpy(text + n, vocab[t], bytes[t]);
            n += bytes[t];
        }
        if (t != END) continue;
        whole++;
        fr_json *j = json_loadb(text, n, JSON_DECODE_ANY, NULL);
        if (!j || !fits_rich(j)) fail_msg("%.*s", (int)n, text);
        if (getenv("FRUGAL_SHOW")) printf("%.*s\n", (int)n, text);
        fr_json_free(j);
    }
    assert_true(whole > 150);
    fr_sampler_free(s);
    fr_sampler_scratch_free(w);
    fr_constraint_free(c);
    fr_token_trie_free(trie);
    fr_grammar_free(g);
}

static void test_any_json(void **state) {
    (void)state;
    fr_grammar *g;
    fr_fit fit;
    ok(fr_grammar_json(&g));
    const char *text = "{\"a\": [1, {\"b\": null}], \"c\": \"\\u00e4\"}";
    ok(fr_grammar_fits(g, text, strlen(text), &fit));
    assert_int_equal(fit, FR_FIT_WHOLE);
    ok(fr_grammar_fits(g, "[1]", 3, &fit));
    assert_int_equal(fit, FR_FIT_NO);
    fr_grammar_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),    cmocka_unit_test(test_objects),
        cmocka_unit_test(test_arrays),   cmocka_unit_test(test_choices),
        cmocka_unit_test(test_numbers),  cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_random),
        cmocka_unit_test(test_any_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
