/* test_recipe.c: recipes are read as they are written, and what is wrong with one is said with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/job.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static void put(const char *path, const char *text) {
    ok(fr_write_file(path, text, strlen(text)));
}

static fr_recipe *open_text(const char *text) {
    fr_recipe *r;
    put("a.recipe", text);
    ok(fr_recipe_open("a.recipe", &r));
    unlink("a.recipe");
    return r;
}

static void says(fr_status st, const char *words) {
    assert_int_not_equal(st, FR_OK);
    if (!strstr(fr_message(), words)) fail_msg("\"%s\" does not say \"%s\"", fr_message(), words);
}

static void test_values(void **state) {
    (void)state;
    static const char *const words[] = {"red", "blue", NULL};
    fr_recipe *r = open_text("# all kinds\r\n\n  width=256 # wide\nlr\t= 2e-3\r\ncolour = blue\n"
                             "tied = no\nname = some words, and more  \nlast = -5");
    int64_t whole;
    double number;
    int word;
    bool yes;
    const char *text;
    ok(fr_recipe_i64(r, "width", 1, 1, 1000, &whole));
    assert_int_equal(whole, 256);
    ok(fr_recipe_f64(r, "lr", 1, 0, 1, &number));
    assert_true(number == 2e-3);
    ok(fr_recipe_word(r, "colour", words, 0, &word));
    assert_int_equal(word, 1);
    ok(fr_recipe_bool(r, "tied", true, &yes));
    assert_false(yes);
    ok(fr_recipe_text(r, "name", NULL, &text));
    assert_string_equal(text, "some words, and more");
    ok(fr_recipe_i64(r, "last", 1, -10, 10, &whole));
    assert_int_equal(whole, -5);
    ok(fr_recipe_done(r));

    /* What is not there is the fallback. */
    ok(fr_recipe_i64(r, "steps", 77, 1, 100, &whole));
    assert_int_equal(whole, 77);
    ok(fr_recipe_f64(r, "clip", 0.1, 0, 1, &number));
    assert_true(number == 0.1);
    ok(fr_recipe_text(r, "missing", NULL, &text));
    assert_null(text);
    char *print = fr_recipe_print(r);
    assert_string_equal(print, "clip = 0.1\ncolour = blue\nlast = -5\nlr = 0.002\n"
                               "name = some words, and more\nsteps = 77\ntied = no\nwidth = 256\n");
    fr_free(print);
    fr_recipe_free(r);
}

static void test_set(void **state) {
    (void)state;
    fr_recipe *r = open_text("a = 1\n");
    int64_t n;
    ok(fr_recipe_set(r, "a=2"));
    ok(fr_recipe_set(r, " b = 3 "));
    ok(fr_recipe_i64(r, "a", 0, 0, 9, &n));
    assert_int_equal(n, 2);
    ok(fr_recipe_i64(r, "b", 0, 0, 9, &n));
    assert_int_equal(n, 3);
    ok(fr_recipe_set(r, "a=99"));
    says(fr_recipe_i64(r, "a", 0, 0, 9, &n), "--set a=99: a is 99; it must be from 0 to 9");
    says(fr_recipe_set(r, "a"), "key=value");
    says(fr_recipe_set(r, "=3"), "key=value");
    says(fr_recipe_set(r, "a="), "key=value");
    says(fr_recipe_set(r, "a=1\nb=2"), "key=value");
    says(fr_recipe_set(r, "a=1\x01"), "control character");
    fr_recipe_free(r);
}

static void test_nearest(void **state) {
    (void)state;
    int64_t n;
    fr_recipe *r = open_text("width = 3\n\nwidht = 4\n");
    ok(fr_recipe_i64(r, "width", 0, 0, 9, &n));
    ok(fr_recipe_i64(r, "weights", 0, 0, 9, &n));
    says(fr_recipe_done(r), "a.recipe:3: there is no key \"widht\" here; did you mean width?");
    fr_recipe_free(r);
    r = open_text("something_else = 4\n");
    ok(fr_recipe_i64(r, "width", 0, 0, 9, &n));
    says(fr_recipe_done(r), "a.recipe:1: there is no key \"something_else\" here");
    assert_null(strstr(fr_message(), "did you mean"));
    fr_recipe_free(r);
}

/* Lines that are no recipe, and the words that must be said. */
static const char *const hostile[][2] = {
    {"width 3\n", "a.recipe:1: a line is \"key = value\""},
    {"\n\n= 3\n", "a.recipe:3: there is no key"},
    {"a =\n", "a.recipe:1: there is no value"},
    {"a = # 3\n", "a.recipe:1: there is no value"},
    {"a b = 3\n", "a.recipe:1: a key is made of"},
    {"\xc3\xa4 = 3\n", "a.recipe:1: a key is made of"},
    {"a = 1\nb = 2\na = 3\n", "a.recipe:3: a was set in line 1 already"},
    {"a = \x01\n", "a.recipe:1: there is a control character"},
    {"a = 1\x1b[2J\n", "a.recipe:1: there is a control character"},
};

static void test_hostile(void **state) {
    (void)state;
    fr_recipe *r;
    for (size_t i = 0; i < FR_COUNT(hostile); i++) {
        put("a.recipe", hostile[i][0]);
        says(fr_recipe_open("a.recipe", &r), hostile[i][1]);
        assert_null(r);
    }
    ok(fr_write_file("a.recipe", "a = 1\n\0b = 2\n", 13));
    says(fr_recipe_open("a.recipe", &r), "zero byte");
    says(fr_recipe_open("no/such.recipe", &r), "no/such.recipe");
    says(fr_recipe_open(".", &r), "");

    /* More keys than any recipe has, and a file without end. */
    size_t bytes = (size_t)2 << 20, at = 0;
    char *text = malloc(bytes);
    assert_non_null(text);
    for (int i = 0; i < 1100; i++) at += (size_t)sprintf(text + at, "k%d = 1\n", i);
    ok(fr_write_file("a.recipe", text, at));
    says(fr_recipe_open("a.recipe", &r), "a.recipe:1001: these are too many keys");
    memset(text, 'a', bytes);
    ok(fr_write_file("a.recipe", text, bytes));
    says(fr_recipe_open("a.recipe", &r), "a.recipe");
    free(text);
    unlink("a.recipe");
}

static void test_numbers(void **state) {
    (void)state;
    static const char *const bad[] = {"3.5", "x",   "3 4", "0x10", "99999999999999999999",
                                      "1e3", "--3", "3,0", "10"};
    static const char *const bad_floats[] = {"nan", "inf", "1e999", "x", "1,5", "3 4", "10", "-1"};
    int64_t n;
    double v;
    bool yes;
    char text[64];
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        snprintf(text, sizeof text, "a = %s\n", bad[i]);
        fr_recipe *r = open_text(text);
        says(fr_recipe_i64(r, "a", 0, 0, 9, &n), "a.recipe:1: a is ");
        fr_recipe_free(r);
    }
    for (size_t i = 0; i < FR_COUNT(bad_floats); i++) {
        snprintf(text, sizeof text, "a = %s\n", bad_floats[i]);
        fr_recipe *r = open_text(text);
        says(fr_recipe_f64(r, "a", 0, 0, 9, &v), "a.recipe:1: a is ");
        fr_recipe_free(r);
    }
    /* A fallback that follows from other keys is a number like any other. */
    fr_recipe *r = open_text("a = 1\n");
    says(fr_recipe_i64(r, "head_dim", 1250, 2, 1024, &n),
         "head_dim is not there, and would be 1250; it must be from 2 to 1024: set it, or what");
    says(fr_recipe_f64(r, "lora_alpha", 0, 1e-6, 1e6, &v),
         "lora_alpha is not there, and would be 0");
    fr_recipe_free(r);
    r = open_text("a = maybe\n");
    says(fr_recipe_bool(r, "a", false, &yes), "a is \"maybe\"; it must be one of: no, yes");
    fr_recipe_free(r);
}

/* A printed recipe is a recipe, and says the same. */
static void test_same(void **state) {
    (void)state;
    static const char *const loose[] = {"c", NULL};
    fr_recipe *r = open_text("a = 1\nb = 0.1\nc = 3\n");
    int64_t n;
    double v;
    ok(fr_recipe_i64(r, "a", 0, 0, 9, &n));
    ok(fr_recipe_f64(r, "b", 0, 0, 9, &v));
    ok(fr_recipe_i64(r, "c", 0, 0, 9, &n));
    char *print = fr_recipe_print(r);
    put("printed", print);
    fr_free(print);
    ok(fr_recipe_same(r, "printed", NULL));
    put("printed", "a = 1\nb = 0.1\nc = 4\n");
    ok(fr_recipe_same(r, "printed", loose));
    says(fr_recipe_same(r, "printed", NULL), "c (4 before, now 3)");
    put("printed", "a = 2\nb = 0.1\nd = 7\n");
    says(fr_recipe_same(r, "printed", loose), "a (2 before, now 1), d (7 before, now not there)");
    put("printed", "a = 11\nb = 0.1\nc = 3\n");
    says(fr_recipe_same(r, "printed", loose), "a (11 before, now 1)");
    /* A key of a later version, at its fallback, is none that differs; one that is set is. */
    ok(fr_recipe_i64(r, "later", 5, 0, 9, &n));
    put("printed", "a = 1\nb = 0.1\nc = 3\n");
    ok(fr_recipe_same(r, "printed", NULL));
    ok(fr_recipe_set(r, "later=5"));
    says(fr_recipe_same(r, "printed", NULL), "later (not there before, now 5)");
    /* A file of nothing but line ends is gone through once. */
    size_t bytes = (size_t)1 << 20;
    char *ends = malloc(bytes);
    assert_non_null(ends);
    memset(ends, '\n', bytes);
    ok(fr_write_file("printed", ends, bytes));
    says(fr_recipe_same(r, "printed", NULL), "not there before");
    free(ends);
    fr_recipe_free(r);
    unlink("printed");
}

static void test_find(void **state) {
    (void)state;
    ok(fr_make_dirs("shelf"));
    put("shelf/mine.recipe", "kind = tokenizer\n");
    setenv("FRUGAL_RECIPES", "shelf", 1);
    char *path = fr_recipe_find("mine");
    assert_string_equal(path, "shelf/mine.recipe");
    fr_free(path);
    path = fr_recipe_find("shelf/mine.recipe");
    assert_string_equal(path, "shelf/mine.recipe");
    fr_free(path);
    assert_null(fr_recipe_find("not-mine"));
    says(FR_IO, "There is no recipe not-mine");
    assert_null(fr_recipe_find("../shelf/mine"));
    unsetenv("FRUGAL_RECIPES");
    unlink("shelf/mine.recipe");
    rmdir("shelf");
}

/* Without memory it fails, and neither leaks nor crashes. */
static void test_memory(void **state) {
    (void)state;
    static const char text[] = "width = 256\nlr = 2e-3\ntokenizer = t\n";
    put("m.recipe", text);
    bool done = false;
    for (long n = 1; n < 500 && !done; n++) {
        fr_recipe *r = NULL;
        fr_job job;
        fr_memory_fail_after(n);
        fr_status st = fr_recipe_open("m.recipe", &r);
        if (!st) st = fr_recipe_set(r, "steps=7");
        if (!st) st = fr_job_read(r, &job);
        char *print = st ? NULL : fr_recipe_print(r);
        done = print != NULL;
        fr_memory_fail_after(0);
        fr_free(print);
        fr_recipe_free(r);
    }
    assert_true(done);
    unlink("m.recipe");
}

/* The recipes that come with Frugal, and what a job refuses. */
static void test_jobs(void **state) {
    (void)state;
    static const char *const shipped[] = {"tales", "tales-tokenizer", "tiny", "tiny-tokenizer"};
    fr_job job;
    for (size_t i = 0; i < FR_COUNT(shipped); i++) {
        char path[600];
        fr_recipe *r;
        snprintf(path, sizeof path, "%s/../recipes/%s.recipe", FR_TESTS_DIR, shipped[i]);
        ok(fr_recipe_open(path, &r));
        ok(fr_job_read(r, &job));
        fr_recipe_free(r);
    }
    static const char *const wrong[][2] = {
        {"width = 64\n", "there is no key tokenizer"},
        {"tokenizer = t\nheads = 4\nkv_heads = 3\n",
         "heads (4) must be a multiple of kv_heads (3)"},
        {"tokenizer = t\nhead_dim = 15\n", "head_dim is 15; it must be even"},
        {"tokenizer = t\nsteps = 10\nwarmup = 11\n", "warmup is 11"},
        {"kind = tokenizer\nwidth = 64\n", "there is no key \"width\""},
        {"kind = picture\n", "it must be one of: tokenizer, llama"},
    };
    for (size_t i = 0; i < FR_COUNT(wrong); i++) {
        fr_recipe *r = open_text(wrong[i][0]);
        says(fr_job_read(r, &job), wrong[i][1]);
        fr_recipe_free(r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),  cmocka_unit_test(test_set),
        cmocka_unit_test(test_nearest), cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_same),
        cmocka_unit_test(test_find),    cmocka_unit_test(test_memory),
        cmocka_unit_test(test_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
