/* fuzz_world.c: what the small worlds read from anybody: prompts as lines of JSON and as sentences, words for fills,
 * countdown problems, and answers to the lines of the text world. What is taken can be written and is read again as
 * the same. An input is one of these texts; behind a zero byte may stand the number of the lines that are asked. */
#include <stdlib.h>
#include <string.h>

#include "world/countdown.h"
#include "world/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool good) {
    if (!good) abort();
}

static bool same_prompt(const fr_prompt *a, const fr_prompt *b) {
    char x[FR_METADATA_TEXT], y[FR_METADATA_TEXT];
    fr_prompt_metadata(a, x);
    fr_prompt_metadata(b, y);
    return strlen(x) < FR_METADATA_TEXT - 1 && !strcmp(x, y);
}

/* Pictures in which nothing is, and in which there is as much as can be found, all of one class. */
static void judge_pictures(const fr_prompt *p) {
    fr_sight nothing = {0}, many = {.objects = FR_JUDGE_OBJECTS, .parts = FR_JUDGE_OBJECTS};
    for (int i = 0; i < FR_JUDGE_OBJECTS; i++) many.object[i].class = p->include[0].class;
    must(!fr_judge_prompt(p, &nothing).correct);
    fr_verdict v = fr_judge_prompt(p, &many);
    must(v.strict ? v.correct && !v.reason[0] : v.reason[0] != 0);
}

static void read_metadata(const char *json, size_t bytes) {
    char text[FR_CAPTION_TEXT], line[FR_METADATA_TEXT];
    fr_prompt p, again;
    fr_message_clear();
    if (fr_prompt_from_metadata(json, bytes, "a line", &p, text)) {
        must(fr_message()[0]);
        return;
    }
    judge_pictures(&p);
    for (int i = 0; i < p.includes; i++)
        if (p.include[i].count > 4) return; /* no word says it */
    fr_prompt_metadata(&p, line);
    must(fr_prompt_from_metadata(line, strlen(line), "a line", &again, text) == FR_OK);
    must(same_prompt(&p, &again));
}

static void read_sentence(const char *said) {
    int32_t token[FR_CAPTION_TOKENS];
    int count;
    char text[FR_CAPTION_TEXT], line[FR_METADATA_TEXT];
    fr_prompt p, again;
    fr_scene s;
    fr_message_clear();
    if (fr_caption_tokens(said, token, &count)) {
        must(fr_message()[0] && fr_prompt_parse(said, &p));
        return;
    }
    for (int i = 0; i < FR_CAPTION_TOKENS; i++)
        must(i < count ? token[i] > 0 && token[i] < FR_CAPTION_WORDS : !token[i]);
    fr_message_clear();
    if (fr_prompt_parse(said, &p)) {
        must(fr_message()[0]);
        return;
    }
    judge_pictures(&p);
    fr_prompt_text(&p, text);
    must(fr_prompt_parse(text, &again) == FR_OK && same_prompt(&p, &again));
    fr_prompt_metadata(&p, line);
    must(fr_prompt_from_metadata(line, strlen(line), "a line", &again, text) == FR_OK);
    must(same_prompt(&p, &again));
    fr_message_clear();
    if (fr_scene_of_prompt(&p, 1, 2, 64, &s))
        must(fr_message()[0]);
    else
        must(s.shapes > 0 && s.shapes <= FR_SCENE_SHAPES);
}

/* "DIGITS ANSWER" and "DIGITS:TARGET,", neither of which need be any. */
static void read_countdown(const char *said, size_t bytes) {
    char reason[96] = "", digits[FR_COUNTDOWN_DIGITS + 1];
    int target = 0;
    if (fr_countdown_parse(said, (int)bytes, digits, &target))
        must(strlen(digits) <= FR_COUNTDOWN_DIGITS && abs(target) < 1000);
    size_t n = strcspn(said, " ");
    char *first = fr_format("%.*s", (int)n, said);
    if (!first) return;
    bool right = fr_countdown_check(first, target, said + n + (said[n] == ' '), reason);
    must(strlen(reason) < 96 && right == !reason[0]);
    must(fr_countdown_check(first, target, said + n + (said[n] == ' '), NULL) == right);
    fr_free(first);
}

static void judge_answer(const fr_line *line, const char *said) {
    char reason[96];
    memset(reason, 'x', sizeof reason);
    bool right = fr_line_judge(line, said, reason);
    must(memchr(reason, 0, sizeof reason) && right == !reason[0]);
    /* The task that can be checked in one line: all digits, and one operation fewer. */
    if (right && line->task == FR_LINE_COUNTDOWN)
        must((int)strlen(said) == 2 * (int)strcspn(line->text, ":") - 1);
}

static const fr_line *line_of(int task, int number) {
    static fr_line made[FR_LINE_TASKS][8]; /* making them takes longer than judging */
    fr_line *line = &made[task][number];
    char reason[96];
    if (line->bytes) return line;
    fr_line_make(1, (uint64_t)number, task, FR_LINES_ALL, line);
    must(fr_line_judge(line, line->text + line->prompt, reason) && !reason[0]);
    return line;
}

/* As the answer to a line of every task, and as the rest of one that began right. */
static void judge_answers(const char *said, int number) {
    for (int task = 0; task < FR_LINE_TASKS; task++) {
        const fr_line *line = line_of(task, number & 7);
        int begin = (line->bytes - line->prompt) * (number >> 3 & 7) / 7;
        char *both = fr_format("%.*s%s", begin, line->text + line->prompt, said);
        judge_answer(line, said);
        if (both) judge_answer(line, both);
        fr_free(both);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    const uint8_t *zero = memchr(data, 0, bytes);
    size_t own = zero ? (size_t)(zero - data) : bytes;
    fr_fill fill;
    char *text = fr_format("%.*s", (int)own, (const char *)data);
    if (!text) return 0;
    read_metadata((const char *)data, bytes);
    read_metadata(text, own);
    read_sentence(text);
    read_countdown(text, own);
    judge_answers(text, zero && own + 1 < bytes ? zero[1] : 0);
    fr_message_clear();
    must(fr_fill_parse(text, &fill) == FR_OK || fr_message()[0]);
    fr_free(text);
    return 0;
}
