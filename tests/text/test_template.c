/* test_template.c: chat templates give what transformers makes of them (tests/oracle/templates.py), and what lies
 * outside is refused with its line; a template that would never end, does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "text/template.h"

static fr_status render(const char *template, const fr_json *variables, char **text,
                        size_t *bytes) {
    fr_template *t;
    *text = NULL;
    FR_TRY(fr_template_parse(template, strlen(template), "test", &t));
    fr_status st = fr_template_apply(t, variables, 0, text, bytes);
    fr_template_free(t);
    return st;
}

static void test_golden(void **state) {
    (void)state;
    fr_json *cases;
    int wrong = 0;
    if (fr_json_load(FR_TESTS_DIR "/golden/text/templates.json", &cases))
        fail_msg("%s", fr_message());
    assert_true(json_array_size(cases) > 50);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const fr_json *c = json_array_get(cases, i), *want = json_object_get(c, "text");
        const char *template = json_string_value(json_object_get(c, "template"));
        char *text;
        size_t bytes;
        fr_message_clear();
        fr_status st = render(template, json_object_get(c, "variables"), &text, &bytes);
        bool good = st ? json_is_null(want) && fr_message()[0]
                       : json_is_string(want) && json_string_length(want) == bytes &&
                             !memcmp(json_string_value(want), text, bytes);
        if (!good) {
            wrong++;
            print_error("--- %s\ngives: %s\nnot:   %s\n", template, st ? fr_message() : text,
                        json_is_string(want) ? json_string_value(want) : "a refusal");
        }
        fr_free(text);
    }
    fr_json_free(cases);
    assert_int_equal(wrong, 0);
}

static void refused(const char *template, const char *word) {
    char *text;
    size_t bytes;
    fr_json *none = json_object();
    assert_int_not_equal(render(template, none, &text, &bytes), FR_OK);
    if (!strstr(fr_message(), word)) fail_msg("\"%s\" does not say \"%s\"", fr_message(), word);
    fr_json_free(none);
}

static void test_refused(void **state) {
    (void)state;
    refused("a\n\n{% include 'x' %}", "line 3: there is no statement include");
    refused("\n{{ x|frobnicate }}", "line 2: there is no filter frobnicate");
    refused("{{ x is frobnicated }}", "there is no test frobnicated");
    refused("{{ frobnicate() }}", "there is no function frobnicate");
    refused("{{ [].append(1) }}", "can not be changed");
    refused("{{ 'x'.encode() }}", "no method encode");
    refused("{{ raise_exception('Roles take turns') }}", "Roles take turns");
    refused("{{ nobody.name }}", "nobody is undefined");
    refused("{% for x in y recursive %}{% endfor %}", "not supported");
    refused("{{ f(*a) }}", "not supported");
    refused("{% if x %}", "ends without");
    refused("{{ 1", "}}");
    refused("{{ 'abc }}", "no end");
    refused("{# abc", "no end");
    refused("{% break %}", "no loop");
    refused("{{ 99999999999999999999 }}", "digits");
}

/* Templates that are after time, depth, or memory. */
static void test_bounded(void **state) {
    (void)state;
    refused("{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
            "more than");
    refused("{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}", "too deep");
    refused("{{ 'abcdefgh' * 99999999 }}", "longer than");
    refused("{% set n = namespace(t='xxxxxxxxxxxxxxxx') %}{% for a in range(99) %}"
            "{% set n.t = n.t ~ n.t %}{% endfor %}",
            "MiB");
    refused("{% set n = namespace(t=[1]) %}{% for a in range(99) %}{% set n.t = n.t + n.t %}"
            "{% endfor %}",
            "more than");
    refused("{% set n = namespace(t=[1]) %}{% for a in range(60) %}{% set n.t = [n.t, n.t] %}"
            "{% endfor %}{{ n.t }}",
            "longer than");
    refused("{% set n = namespace() %}{% set n.me = n %}{{ n }}", "too deep");
    refused("{{ 9223372036854775807 + 1 }}", "digits");
    refused("{{ 900000000000000000 * 900 }}", "too large");
    char deep[4000] = "{{ ";
    memset(deep + 3, '(', 3000);
    refused(deep, "too deep");
    memset(deep + 3, '-', 3000);
    refused(deep, "too deep");
    for (int i = 0; i < 3000; i += 4) memcpy(deep + 3 + i, "not ", 4);
    refused(deep, "too deep");
}

static void test_clock(void **state) {
    (void)state;
    fr_template *t;
    char *text;
    size_t bytes;
    const char *template = "{{ strftime_now('%Y') }}";
    fr_json *none = json_object();
    assert_int_equal(fr_template_parse(template, strlen(template), "test", &t), FR_OK);
    assert_int_equal(fr_template_apply(t, none, 1700000000, &text, &bytes), FR_OK);
    assert_string_equal(text, "2023");
    fr_free(text);
    fr_template_free(t);
    fr_json_free(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
