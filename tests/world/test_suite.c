/* test_suite.c: examinations: prompts that a seed fixes, negative controls, folders written and judged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "folders.h"
#include "tensor/tensor.h"
#include "world/folder.h"
#include "world/world.h"

static const fr_suite base = {.seed = 5, .prompts = 50, .size = 64};

static void same_prompt(const fr_prompt *a, const fr_prompt *b) {
    char x[FR_METADATA_TEXT], y[FR_METADATA_TEXT];
    fr_prompt_metadata(a, x);
    fr_prompt_metadata(b, y);
    assert_string_equal(x, y);
}

static void test_longer_suite(void **state) {
    (void)state;
    fr_suite more = base;
    more.prompts = 80;
    int other = 0;
    for (int i = 0; i < fr_suite_count(&base); i++) {
        fr_prompt a, b, c;
        fr_suite next = base;
        next.seed++;
        int tag = i / base.prompts;
        fr_suite_prompt(&base, i, &a);
        fr_suite_prompt(&more, tag * more.prompts + i % base.prompts, &b);
        same_prompt(&a, &b);
        assert_int_equal(a.tag, tag);
        fr_suite_prompt(&next, i, &c);
        other += memcmp(&a, &c, sizeof a) != 0;
    }
    assert_true(other > 200);
}

static void test_unseen(void **state) {
    (void)state;
    fr_suite unseen = base, seen = base;
    unseen.split = FR_SPLIT_UNSEEN, seen.split = FR_SPLIT_TRAIN;
    for (int i = 4 * base.prompts; i < fr_suite_count(&base); i++)
        for (int side = 0; side < 2; side++) {
            fr_prompt p;
            fr_suite_prompt(side ? &unseen : &seen, i, &p);
            const fr_clause *a = &p.include[0], *b = &p.include[1];
            bool held_out = p.tag == FR_POSITION
                                ? fr_held_out_triple(b->class, (fr_relation)b->relation, a->class)
                                : fr_held_out_pair((fr_colour)a->colour, a->class,
                                                   (fr_colour)b->colour, b->class);
            assert_int_equal(held_out, side);
        }
}

/* ---- pictures made without a model ---- */

static fr_report examine(const fr_suite *s, const char *fill, int images) {
    static float pixels[128 * 128 * 3];
    fr_report r = fr_report_new("pictures", fr_tag_names, FR_SCENE_TAGS, true);
    fr_fill f;
    assert_int_equal(fr_fill_parse(fill, &f), FR_OK);
    for (int i = 0; i < fr_suite_count(s); i++)
        for (int k = 0; k < images; k++) {
            fr_prompt p;
            fr_sight sight;
            fr_suite_prompt(s, i, &p);
            assert_int_equal(fr_suite_picture(s, &f, i, k, pixels), FR_OK);
            fr_judge_look(pixels, s->size, &sight);
            fr_verdict v = fr_judge_prompt(&p, &sight);
            fr_report_add(&r, (int)p.tag, v.correct, v.strict, fr_wrong_names[v.wrong], v.reason);
        }
    return r;
}

/* In points; the specification's figures, measured with a prototype, stand behind. */
static void share_within(const char *fill, double lo, double hi) {
    int groups;
    fr_report r = examine(&base, fill, 3);
    double share = 100 * fr_report_mean(&r, false, &groups).value;
    assert_int_equal(groups, 6);
    if (share < lo || share > hi) fail_msg("%s: %.2f%%", fill, share);
}

static void test_controls(void **state) {
    (void)state;
    share_within("oracle", 100, 100);
    share_within("blur:0.5", 99.9, 100);    /* 100 */
    share_within("blur:0.8", 96, 100);      /* 97 */
    share_within("blur:1.2", 76, 84);       /* 78 */
    share_within("noise:0.08", 99, 100);    /* 100 */
    share_within("contrast:0.8", 100, 100); /* 100 */
    share_within("shuffled", 2, 6);         /* 4 */
    share_within("random", 0, 0);
    share_within("flat", 0, 0);
}

/* What is done to a picture, in figures. */
static void test_damage(void **state) {
    (void)state;
    enum { SIDE = 64, VALUES = SIDE * SIDE * 3 };
    static float p[VALUES];
    for (int i = 0; i < VALUES; i++) p[i] = 0.5f;
    fr_fill_apply(&(fr_fill){FR_FILL_NOISE, 0.08f}, 1, 2, p, SIDE);
    double sum = 0, squares = 0;
    for (int i = 0; i < VALUES; i++) sum += p[i] - 0.5, squares += (p[i] - 0.5) * (p[i] - 0.5);
    assert_true(fabs(sum / VALUES) < 0.003);
    assert_true(fabs(sqrt(squares / VALUES) - 0.08) < 0.002);

    p[0] = 0.9f, p[1] = 0.1f;
    fr_fill_apply(&(fr_fill){FR_FILL_CONTRAST, 0.8f}, 1, 2, p, SIDE);
    assert_true(fabsf(p[0] - 0.82f) < 1e-6f && fabsf(p[1] - 0.18f) < 1e-6f);

    /* One bright point becomes a Gaussian of that variance in each direction, of its own channel only. */
    memset(p, 0, sizeof p);
    p[(30 * SIDE + 20) * 3 + 1] = 1;
    fr_fill_apply(&(fr_fill){FR_FILL_BLUR, 1.2f}, 1, 2, p, SIDE);
    double mass = 0, across = 0, down = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            const float *v = &p[(y * SIDE + x) * 3];
            assert_true(v[0] == 0 && v[2] == 0);
            mass += v[1], across += v[1] * (x - 20) * (x - 20), down += v[1] * (y - 30) * (y - 30);
        }
    assert_true(fabs(mass - 1) < 1e-5);
    assert_true(fabs(across - 1.44) < 0.02 && fabs(down - 1.44) < 0.02);
    /* At the edge nothing is lost. */
    memset(p, 0, sizeof p);
    p[0] = 1;
    fr_fill_apply(&(fr_fill){FR_FILL_BLUR, 8}, 1, 2, p, SIDE);
    for (int i = 0; i < VALUES; i++) mass += p[i];
    assert_true(fabs(mass - 2) < 1e-4);
}

static void test_large_pictures(void **state) {
    (void)state;
    fr_suite s = {.seed = 6, .prompts = 20, .size = 128};
    int groups;
    fr_report r = examine(&s, "oracle", 2);
    assert_true(fr_report_mean(&r, true, &groups).value == 1);
}

static void test_fill_words(void **state) {
    (void)state;
    static const char *const bad[] = {"",        "orac",         "oracle:1", "blur",
                                      "blur:",   "blur:abc",     "blur:-1",  "blur:9",
                                      "blur:0",  "noise:nan",    "blur:1x",  "noise:2",
                                      "oracle ", "contrast:inf", "blur:0x"};
    fr_fill f;
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        if (!fr_fill_parse(bad[i], &f)) fail_msg("'%s' was taken", bad[i]);
        assert_non_null(strstr(fr_message(), "fills no suite"));
    }
    assert_int_equal(fr_fill_parse("noise:0.25", &f), FR_OK);
    assert_int_equal(f.kind, FR_FILL_NOISE);
    assert_true(f.amount == 0.25f);
}

/* ---- lines of JSON ---- */

static void test_metadata_round_trip(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 3000; i++) {
        fr_scene s;
        fr_prompt p;
        char line[FR_METADATA_TEXT], text[FR_CAPTION_TEXT], said[FR_CAPTION_TEXT];
        fr_scene_make(41, i, 64, FR_ALL_TAGS, FR_SPLIT_ALL, &s);
        fr_prompt_text(&s.prompt, said);
        for (int whole = 0; whole < 2; whole++) {
            if (whole)
                fr_scene_metadata(&s, 41, i, line);
            else
                fr_prompt_metadata(&s.prompt, line);
            assert_true(strlen(line) < FR_METADATA_TEXT - 200); /* nothing was cut off */
            if (fr_prompt_from_metadata(line, strlen(line), "a line", &p, text))
                fail_msg("%s: %s", fr_message(), line);
            same_prompt(&p, &s.prompt);
            assert_string_equal(text, said);
        }
    }
    fr_prompt p;
    char text[FR_CAPTION_TEXT];
    const char *short_line =
        "{\"tag\":\"colors\",\"include\":[{\"class\":\"star\",\"color\":\"red\"}]}";
    assert_int_equal(fr_prompt_from_metadata(short_line, strlen(short_line), "a line", &p, text),
                     FR_OK);
    assert_string_equal(text, "a photo of a red star");
}

#define TAG       "{\"tag\": \"position\", "
#define ONE       "{\"class\": \"star\", \"count\": 1}"
#define STAR(...) "{\"class\": \"star\", " __VA_ARGS__ "}"

static void test_hostile_metadata(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"", "not valid JSON"},
        {"[[[[[[", "not valid JSON"},
        {"null", "not valid JSON"},
        {"[]", "no JSON object"},
        {"{}", "\"tag\" is missing"},
        {"{\"tag\": 3}", "\"tag\" is a whole number"},
        {"{\"tag\": \"cats\"}", "no tag 'cats'"},
        {TAG "\"include\": []}", "nothing to be shown"},
        {TAG "\"include\": \"star\"}", "\"include\" is no list"},
        {TAG "\"include\": [3]}", "\"class\" is missing"},
        {TAG "\"include\": [" ONE "," ONE "," ONE "," ONE "]}", "4 things, and may have 3"},
        {TAG "\"include\": [{\"class\": \"cat\"}]}",
         "thing 0: the picture world knows no class 'cat'"},
        {TAG "\"include\": [" STAR("\"color\": \"pink\"") "]}", "no color 'pink'"},
        {TAG "\"include\": [" STAR("\"count\": 0") "]}", "\"count\" is 0"},
        {TAG "\"include\": [" STAR("\"count\": 9000000000") "]}", "\"count\" is 9000000000"},
        {TAG "\"include\": [" STAR("\"count\": 1e99") "]}", "too large"},
        {TAG "\"include\": [" STAR("\"count\": \"two\"") "]}", "\"count\" is a text"},
        {TAG "\"include\": [" STAR("\"position\": 1") "]}", "not a relation"},
        {TAG "\"include\": [" ONE "," STAR("\"position\": [\"left of\"]") "]}", "not a relation"},
        {TAG "\"include\": [" ONE "," STAR("\"position\": [\"near\", 0]") "]}",
         "no relation 'near'"},
        {TAG "\"include\": [" ONE "," STAR("\"position\": [\"above\", 1]") "]}", "names thing 1"},
        {TAG "\"include\": [" ONE "," STAR("\"position\": [\"above\", -1]") "]}", "names thing -1"},
        {TAG "\"include\": [" ONE "], \"exclude\": [" ONE "," ONE "]}", "2 things, and may have 1"},
        {TAG "\"include\": [" ONE "], \"prompt\": 3}", "\"prompt\" is a whole number"},
    };
    fr_prompt p;
    char text[FR_CAPTION_TEXT];
    for (size_t i = 0; i < FR_COUNT(bad); i++) {
        fr_message_clear();
        if (!fr_prompt_from_metadata(bad[i][0], strlen(bad[i][0]), "a line", &p, text))
            fail_msg("it was taken: %s", bad[i][0]);
        if (!strstr(fr_message(), bad[i][1])) fail_msg("%s: %s", bad[i][0], fr_message());
        assert_non_null(strstr(fr_message(), "a line"));
    }
    char longer[400];
    memset(longer, 'a', sizeof longer);
    int at = snprintf(longer, sizeof longer, TAG "\"include\": [" ONE "], \"prompt\": \"");
    longer[at] = 'a', memcpy(longer + sizeof longer - 3, "\"}", 3);
    assert_int_not_equal(fr_prompt_from_metadata(longer, strlen(longer), "a line", &p, text),
                         FR_OK);
}

/* Lines with bytes that changed: refused with a sentence, or a prompt that can be judged and written again. */
static void test_damaged_metadata(void **state) {
    (void)state;
    static const char bytes[] = "\"{}[]:,0129-e.\\ua\xff\x80 \n";
    int taken = 0, refused = 0;
    for (uint64_t i = 0; i < 40000; i++) {
        fr_rng g = fr_rng_new(43, i);
        fr_scene s;
        fr_prompt p;
        fr_sight nothing = {0};
        char line[FR_METADATA_TEXT], text[FR_CAPTION_TEXT];
        fr_scene_make(42, i, 64, FR_ALL_TAGS, FR_SPLIT_ALL, &s);
        fr_prompt_metadata(&s.prompt, line);
        size_t n = strlen(line);
        for (uint32_t k = 1 + fr_rng_below(&g, 3); k > 0; k--) {
            char *at = &line[fr_rng_below(&g, (uint32_t)n)];
            *at = fr_rng_below(&g, 4) ? bytes[fr_rng_below(&g, sizeof bytes - 1)]
                                      : line[fr_rng_below(&g, (uint32_t)n)];
        }
        if (!fr_rng_below(&g, 10)) n = fr_rng_below(&g, (uint32_t)n);
        fr_message_clear();
        if (fr_prompt_from_metadata(line, n, "a line", &p, text)) {
            assert_true(fr_message()[0] != 0);
            refused++;
            continue;
        }
        assert_false(fr_judge_prompt(&p, &nothing).correct);
        fr_sight many = {.objects = FR_JUDGE_OBJECTS, .parts = FR_JUDGE_OBJECTS};
        for (int k = 0; k < FR_JUDGE_OBJECTS; k++) many.object[k].class = p.include[0].class;
        fr_judge_prompt(&p, &many);
        taken++;
    }
    assert_true(taken > 2000 && refused > 20000);
}

/* ---- folders ---- */

static void write_suite(const char *dir, const char *fill, int threads) {
    fr_suite s = {.seed = 7, .prompts = 5, .size = 64};
    fr_fill f;
    fr_pool *pool;
    assert_int_equal(fr_fill_parse(fill, &f), FR_OK);
    assert_int_equal(fr_pool_new(threads, &pool), FR_OK);
    if (fr_suite_write(dir, &s, &f, 2, pool)) fail_msg("%s", fr_message());
    fr_pool_free(pool);
}

static fr_report judge_suite(const char *dir, int threads) {
    fr_report r = fr_report_new("pictures", fr_tag_names, FR_ALL_TAGS, true);
    fr_suite_seen seen;
    fr_pool *pool;
    assert_int_equal(fr_pool_new(threads, &pool), FR_OK);
    if (fr_suite_judge(dir, pool, &r, &seen)) fail_msg("%s", fr_message());
    assert_int_equal(seen.prompts, 30);
    assert_int_equal(seen.pictures, 60);
    assert_int_equal(seen.without, 0);
    fr_pool_free(pool);
    return r;
}

static void test_folders(void **state) {
    (void)state;
    static const char *const fills[] = {"oracle", "blur:1.2"};
    for (size_t k = 0; k < FR_COUNT(fills); k++) {
        uint64_t hash[2];
        for (int side = 0; side < 2; side++) {
            char name[20];
            snprintf(name, sizeof name, "suite-%zu-%d", k, side);
            write_suite(in_folder(name), fills[k], side ? 4 : 1);
            fr_report r = judge_suite(in_folder(name), side ? 3 : 1);
            int groups;
            double share = fr_report_mean(&r, false, &groups).value;
            assert_true(k ? share < 0.95 && share > 0.5 : share == 1);
            hash[side] = tree_hash(in_folder(name)); /* with results.jsonl */
        }
        assert_true(hash[0] == hash[1]);
    }
    /* A folder that is there is not written over. */
    fr_suite s = {.seed = 7, .prompts = 1, .size = 64};
    fr_fill none = {0};
    assert_int_equal(fr_suite_write(in_folder("suite-0-0"), &s, &none, 1, NULL), FR_IO);

    fr_comparison c;
    assert_int_equal(fr_results_compare(in_folder("suite-0-0"), in_folder("suite-1-0"), &c), FR_OK);
    assert_int_equal(c.groups, 6);
    assert_int_equal(c.all.both + c.all.only_a, 60);
    assert_int_equal(c.all.only_b + c.all.neither, 0);
    assert_int_equal(c.alone, 0);
}

/* Files that are no pictures of the world: wrong, and told about, and the rest is judged as ever. */
static void test_unreadable(void **state) {
    (void)state;
    fr_suite s = {.seed = 7, .prompts = 1, .size = 64};
    fr_fill oracle = {.kind = FR_FILL_ORACLE};
    fr_report r = fr_report_new("pictures", fr_tag_names, FR_ALL_TAGS, true);
    fr_suite_seen seen;
    char *text;
    size_t bytes;
    uint8_t row[3] = {0};
    fr_image dot = {.width = 1, .height = 1, .channels = 3, .pixels = row};
    assert_int_equal(fr_suite_write(in_folder("broken"), &s, &oracle, 2, NULL), FR_OK);
    assert_int_equal(fr_write_file(in_folder("broken/00001/samples/0001.png"), "GIF89a", 6), FR_OK);
    assert_int_equal(fr_image_write_png(in_folder("broken/00002/samples/0000.png"), &dot), FR_OK);
    assert_int_equal(truncate(in_folder("broken/00004/samples/0000.png"), 100), 0);
    assert_int_equal(fr_make_dirs(in_folder("broken/00005/samples/0002.png")), FR_OK);
    if (fr_suite_judge(in_folder("broken"), NULL, &r, &seen)) fail_msg("%s", fr_message());
    assert_int_equal(seen.pictures, 13);
    assert_int_equal(seen.unreadable, 4);
    assert_int_equal(r.score[1].right + r.score[2].right + r.score[4].right + r.score[5].right, 5);
    assert_int_equal(r.score[0].right + r.score[3].right, 4);
    assert_int_equal(fr_read_file(in_folder("broken/results.jsonl"), 0, &text, &bytes), FR_OK);
    assert_non_null(strstr(text, "\"reason\": \"it is 1 x 1 pixels; pictures of the world are"));
    assert_null(strstr(text, in_folder("broken")));
    fr_free(text);
}

static fr_status write_one(const char *path, void *arg) {
    fr_suite s = {.seed = 8, .prompts = 1, .size = 64};
    fr_fill f = {.kind = FR_FILL_ORACLE};
    (void)arg;
    return fr_suite_write(path, &s, &f, 1, NULL);
}

static fr_status judge_one(const char *path, void *dir) {
    fr_report r = fr_report_new("pictures", fr_tag_names, FR_ALL_TAGS, true);
    fr_suite_seen seen;
    char results[300];
    fr_status st = fr_suite_judge(dir, NULL, &r, &seen);
    snprintf(results, sizeof results, "%s/results.jsonl", (const char *)dir);
    assert_int_equal(fr_path_exists(results), !st);
    if (!st) assert_int_equal(rename(results, path), 0);
    return st;
}

static void test_no_memory(void **state) {
    (void)state;
    char dir[200];
    assert_true(with_scarce_memory(write_one, in_folder("scarce"), NULL) > 40);
    snprintf(dir, sizeof dir, "%s", in_folder("judged"));
    assert_int_equal(write_one(dir, NULL), FR_OK);
    assert_true(with_scarce_memory(judge_one, in_folder("results"), dir) > 40);
}

static void test_interrupted(void **state) {
    (void)state;
    fr_suite s = {.seed = 8, .prompts = 1, .size = 64};
    fr_fill f = {.kind = FR_FILL_ORACLE};
    size_t before = names_in(in_folder(""));
    fr_interrupt_raise();
    assert_int_equal(fr_suite_write(in_folder("cut"), &s, &f, 1, NULL), FR_INTERRUPTED);
    fr_interrupt_clear();
    assert_int_equal(names_in(in_folder("")), before);
}

/* Whatever thread is first: the failure of the first item is told. */
static fr_status fail_some(void *arg, size_t i) {
    atomic_int *ran = arg;
    (*ran)++;
    if (i == 7) usleep(1000); /* others are sooner */
    return i % 10 == 7 ? fr_fail(FR_FORMAT, "item %zu", i) : FR_OK;
}

static void test_items(void **state) {
    (void)state;
    fr_pool *pool;
    assert_int_equal(fr_pool_new(4, &pool), FR_OK);
    for (int i = 0; i < 20; i++) {
        atomic_int ran = 0;
        assert_int_equal(fr_items_run(pool, 90, fail_some, &ran), FR_FORMAT);
        assert_string_equal(fr_message(), "item 7");
        assert_int_equal(ran, 90);
    }
    fr_pool_free(pool);
}

static int clean_up(void **state) {
    (void)state;
    remove_folder();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longer_suite),
        cmocka_unit_test(test_unseen),
        cmocka_unit_test(test_controls),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_large_pictures),
        cmocka_unit_test(test_fill_words),
        cmocka_unit_test(test_metadata_round_trip),
        cmocka_unit_test(test_hostile_metadata),
        cmocka_unit_test(test_damaged_metadata),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_items),
    };
    return cmocka_run_group_tests(tests, NULL, clean_up);
}
