/* line_reader.c: descriptions, questions and numbers of the text world, read with the C library alone. */
#include "line_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *prompt_of(const fr_line *l, char out[FR_LINE_TEXT]) {
    snprintf(out, FR_LINE_TEXT, "%.*s", l->prompt, l->text);
    return out;
}

/* ---- descriptions and questions ---- */

static int find(const char *word, const char *const *list, int n) {
    for (int i = 0; i < n; i++)
        if (strcmp(word, list[i]) == 0) return i;
    return -1;
}

/* The class that a word names, and whether it names several. */
static int class_of(const char *word, bool *several) {
    char name[FR_LINE_TEXT];
    snprintf(name, sizeof name, "%s", word);
    int class = find(name, fr_class_names, FR_SHAPE_CLASSES);
    *several = class < 0;
    for (int cut = 1; class < 0 && cut <= 2 && strlen(word) > (size_t)cut; cut++) {
        const char *ending = word + strlen(word) - cut;
        if (strcmp(ending, cut == 1 ? "s" : "es") != 0) continue;
        snprintf(name, sizeof name, "%.*s", (int)strlen(word) - cut, word);
        class = find(name, fr_class_names, FR_SHAPE_CLASSES);
    }
    if (class == FR_CROSS && *several) assert_string_equal(word, "crosses");
    return class;
}

/* "two red circles": a count or an article that fits, a colour, a class in the number that fits. */
static thing read_thing(char *text) {
    static const char *const counts[] = {"two", "three", "four"};
    char *rest;
    const char *first = strtok_r(text, " ", &rest), *colour = strtok_r(NULL, " ", &rest);
    const char *class = strtok_r(NULL, " ", &rest);
    assert_non_null(class);
    assert_null(strtok_r(NULL, " ", &rest));
    bool several, vowel = strchr("aeiou", colour[0]) != NULL;
    thing t = {1, find(colour, fr_colour_names, FR_COLOURS), class_of(class, &several)};
    int count = find(first, counts, 3);
    if (count >= 0)
        t.count = count + 2;
    else
        assert_string_equal(first, vowel ? "an" : "a");
    assert_int_equal(several, t.count > 1);
    assert_true(t.colour >= 0 && t.class >= 0);
    return t;
}

asked_scene read_scene(const char *prompt) {
    static const char *const starts[] = {
        "There is ",          "There are ",           "I see ",
        "The picture shows ", "From left to right: ", "From top to bottom: "};
    asked_scene s = {.things = 0};
    char text[FR_LINE_TEXT];
    snprintf(text, sizeof text, "%s", prompt);
    int start = 0;
    while (start < 6 && strncmp(text, starts[start], strlen(starts[start])) != 0) start++;
    assert_true(start < 6);
    s.row = start == 4, s.column = start == 5;
    char *at = text + strlen(starts[start]), *end = strchr(at, '.');
    assert_non_null(end);
    *end = 0;
    while (at) {
        char *comma = strstr(at, ", "), *and = strstr(at, " and ");
        assert_true(!and || !(s.row || s.column));
        char *cut = comma ? comma : and;
        char *next = cut ? cut + strlen(comma ? ", " : " and ") : NULL;
        if (cut) *cut = 0;
        s.thing[s.things++] = read_thing(at);
        assert_true(s.things < 8);
        at = next;
    }
    assert_true(start > 1 || (start == 1) == (s.thing[0].count > 1));
    char *q = s.question;
    for (const char *c = end + 2; *c; c++)
        if (!strchr(".?", *c)) *q++ = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    return s;
}

int things_of(const char *question, thing *out, bool *several) {
    char text[FR_LINE_TEXT], *rest;
    snprintf(text, sizeof text, "%s", question);
    int n = 0, colour = -1;
    bool plural;
    for (char *w = strtok_r(text, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        int c = find(w, fr_colour_names, FR_COLOURS), k = class_of(w, &plural);
        bool shapes = strcmp(w, "shapes") == 0;
        if (c >= 0 && n && strstr(question, "how many"))
            out[n - 1].colour = c; /* "stars are red" */
        else if (c >= 0)
            colour = c;
        if (k < 0 && !shapes) continue;
        *several = plural;
        out[n++] = (thing){1, colour, k};
        colour = -1;
    }
    return n;
}

static int count_things(const asked_scene *s, thing t) {
    int n = 0;
    for (int i = 0; i < s->things; i++)
        if ((t.colour < 0 || t.colour == s->thing[i].colour) &&
            (t.class < 0 || t.class == s->thing[i].class))
            n += s->thing[i].count;
    return n;
}

static int place_of(const asked_scene *s, thing t) {
    int at = -1;
    for (int i = 0; i < s->things; i++)
        if (t.colour == s->thing[i].colour && t.class == s->thing[i].class) {
            assert_int_equal(at, -1); /* there is only one */
            at = i;
        }
    assert_true(at >= 0);
    return at;
}

static void say_where(const asked_scene *s, const thing *t, int things, char *out) {
    int step = strstr(s->question, "left of") || strstr(s->question, "above") ? -1 : 1;
    bool upright = strstr(s->question, "above") || strstr(s->question, "below");
    assert_true(upright ? s->column : s->row);
    int at = place_of(s, t[0]);
    if (things == 2) {
        bool yes = (at < place_of(s, t[1])) == (step < 0);
        snprintf(out, FR_LINE_TEXT, " %s.", yes ? "Yes" : "No");
        return;
    }
    int behind = step < 0 ? at : s->things - 1 - at;
    assert_true(behind == 1 || strstr(s->question, " just ")); /* else there were many answers */
    if (behind == 0) {
        snprintf(out, FR_LINE_TEXT, " Nothing.");
        return;
    }
    const thing *next = &s->thing[at + step];
    snprintf(out, FR_LINE_TEXT, " A%s %s %s.", next->colour == FR_ORANGE ? "n" : "",
             fr_colour_names[next->colour], fr_class_names[next->class]);
}

void answer_scene(const char *prompt, char out[FR_LINE_TEXT]) {
    static const char *const numbers[] = {"None", "One", "Two",   "Three", "Four",
                                          "Five", "Six", "Seven", "Eight", "Nine"};
    asked_scene s = read_scene(prompt);
    thing t[4];
    bool several = false;
    int things = things_of(s.question, t, &several);
    if (s.row || s.column) {
        say_where(&s, t, things, out);
        return;
    }
    assert_int_equal(things, 1);
    int n = count_things(&s, t[0]);
    assert_true(n < 10);
    if (!strstr(s.question, "colour")) {
        snprintf(out, FR_LINE_TEXT, " %s.", numbers[n]);
        return;
    }
    int colour = -1;
    for (int i = 0; i < s.things; i++)
        if (s.thing[i].class == t[0].class) {
            assert_int_equal(colour, -1); /* one group has this class */
            colour = s.thing[i].colour;
            assert_int_equal(s.thing[i].count > 1, several);
            assert_int_equal(strstr(s.question, " are ") || strstr(s.question, " do "), several);
        }
    snprintf(out, FR_LINE_TEXT, " %s.", fr_colour_names[colour]);
    out[1] = (char)(out[1] - 32);
}

/* ---- numbers ---- */

bool answer_number(const char *prompt, char out[FR_LINE_TEXT]) {
    int a, b, behind = 0;
    char sign[8];
    if (strncmp(prompt, "Count", 5) == 0 && strstr(prompt, "from")) {
        assert_int_equal(sscanf(strstr(prompt, "from"), "from %d to %d:%n", &a, &b, &behind), 2);
        if (strstr(prompt, "down")) assert_true(a > b);
        char *at = out;
        for (int i = a, n = 0; n <= abs(b - a); n++, i += a < b ? 1 : -1)
            at += sprintf(at, " %d", i);
        return true;
    }
    const char *colon = strchr(prompt, ':');
    if (colon) {
        if (colon[1]) prompt = colon + 2;
        int marks = 0;
        for (const char *p = prompt; *p && *p != ':'; p++)
            if (*p != ' ') {
                assert_int_equal(*p, *prompt);
                marks++;
            }
        snprintf(out, FR_LINE_TEXT, " %d", marks);
        return true;
    }
    const char *end = "";
    if (sscanf(prompt, "What is %d %7s %d?%n", &a, sign, &b, &behind) == 3 && behind)
        end = ".";
    else if (sscanf(prompt, "%d %7s %d =%n", &a, sign, &b, &behind) != 3 || !behind)
        return false;
    assert_int_equal(behind, strlen(prompt));
    int result = strchr("+p", sign[0]) ? a + b : strchr("-m", sign[0]) ? a - b : a * b;
    snprintf(out, FR_LINE_TEXT, " %d%s", result, end);
    return true;
}

bool is_scene(fr_line_task t) {
    return t >= FR_LINE_HOW_MANY && t <= FR_LINE_WHERE;
}
bool is_number(fr_line_task t) {
    return t >= FR_LINE_COUNT && t <= FR_LINE_MULTIPLY;
}
