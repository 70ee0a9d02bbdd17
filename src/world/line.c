/* line.c: the list of the text world's tasks, lines by number, their splits and their judges.
 *
 * A line is drawn again until its problem falls into the wanted split, so a problem stands on one side only,
 * whatever the seeds: who trains on one seed may test on any. */
#include "world/line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "world/caption.h"
#include "world/line_parts.h"

#define LINE_STREAM 0x6c696e65ull << 32 /* "line" */
#define MOST_DRAWS  4000 /* of a split of one in twenty: missed once in 10^89 lines */

static fr_line_maker make_caption;
static fr_line_judger judge_caption, judge_exact;

static const struct {
    fr_line_maker *make;
    fr_line_judger *judge;
    int share; /* of the training mix, in hundredths */
} tasks[FR_LINE_TASKS] = {
    [FR_LINE_CAPTION] = {make_caption, judge_caption, 5},
    [FR_LINE_HOW_MANY] = {fr_line_how_many, judge_exact, 9},
    [FR_LINE_HOW_MANY_OF] = {fr_line_how_many_of, judge_exact, 9},
    [FR_LINE_COLOUR] = {fr_line_colour, judge_exact, 8},
    [FR_LINE_WHERE] = {fr_line_where, judge_exact, 10},
    [FR_LINE_COUNT] = {fr_line_count, judge_exact, 6},
    [FR_LINE_ADD] = {fr_line_add, judge_exact, 16},
    [FR_LINE_SUBTRACT] = {fr_line_subtract, judge_exact, 6},
    [FR_LINE_MULTIPLY] = {fr_line_multiply, judge_exact, 3},
    [FR_LINE_COUNTDOWN] = {fr_line_countdown, fr_line_countdown_judge, 8},
    [FR_LINE_STORY] = {fr_line_story, fr_line_story_judge, 20},
};

const char *const fr_line_task_names[FR_LINE_TASKS] = {
    "caption", "how_many", "how_many_of", "colour",    "where", "count",
    "add",     "subtract", "multiply",    "countdown", "story"};

/* ---- what makers share ---- */

void fr_line_add_text(fr_line *l, const char *fmt, ...) {
    int room = FR_LINE_TEXT - l->bytes;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(l->text + l->bytes, (size_t)room, fmt, args);
    va_end(args);
    l->bytes += n < room ? n : room - 1;
}

uint64_t fr_line_hash(const void *data, size_t bytes) {
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < bytes; i++) h = (h ^ p[i]) * 0x100000001b3ull;
    return h;
}

/* ---- lines by number ---- */

/* The high bits of a product with an odd number depend on all bits of the hash; those of FNV alone do not. */
fr_line_split fr_line_split_of(const fr_line *line) {
    uint64_t h = (line->problem ^ line->problem >> 29) * 0x9e3779b97f4a7c15ull;
    uint64_t lot = (h >> 32) * 20 >> 32;
    return lot == 0 ? FR_LINES_VALIDATION : lot == 1 ? FR_LINES_HELD_OUT : FR_LINES_TRAIN;
}

static int by_lot(fr_rng r) {
    int lot = (int)fr_rng_below(&r, 100), task = 0;
    while (lot >= tasks[task].share) lot -= tasks[task++].share;
    return task;
}

void fr_line_make(uint64_t seed, uint64_t index, int task, fr_line_split split, fr_line *out) {
    /* Sixteen streams a line: one for each task, and one for the lot. */
    uint64_t stream = (LINE_STREAM) ^ index * 16;
    if (task < 0) task = by_lot(fr_rng_new(seed, stream ^ 15));
    fr_rng r = fr_rng_new(seed, stream ^ (uint64_t)task);
    out->task = (fr_line_task)task;
    for (int draw = 0; draw < MOST_DRAWS; draw++) {
        out->prompt = out->bytes = 0;
        out->text[0] = 0;
        out->problem = tasks[task].make(&r, out);
        if (split == FR_LINES_ALL || fr_line_split_of(out) == split) return;
    }
}

/* ---- judges ---- */

bool fr_line_judge(const fr_line *asked, const char *said, char reason[96]) {
    reason[0] = 0;
    return tasks[asked->task].judge(asked, said, reason);
}

/* Without the spaces at its ends. */
static size_t trimmed(const char **text) {
    while (**text == ' ') (*text)++;
    size_t n = strlen(*text);
    while (n && (*text)[n - 1] == ' ') n--;
    return n;
}

static bool judge_exact(const fr_line *asked, const char *said, char reason[96]) {
    const char *right = asked->text + asked->prompt;
    size_t n = trimmed(&right), m = trimmed(&said);
    if (n == m && memcmp(right, said, n) == 0) return true;
    snprintf(reason, 96, "right is: %.*s", (int)FR_MIN(n, (size_t)80), right);
    return false;
}

/* Nothing is given, so any sentence of the grammar is right. */
static bool judge_caption(const fr_line *asked, const char *said, char reason[96]) {
    (void)asked;
    fr_prompt p;
    if (fr_prompt_parse(said, &p) == FR_OK) return true;
    fr_message_clear();
    snprintf(reason, 96, "not a sentence of the picture world");
    return false;
}

static uint64_t make_caption(fr_rng *r, fr_line *out) {
    fr_scene s;
    char text[FR_CAPTION_TEXT];
    uint64_t seed = fr_rng_u64(r), index = fr_rng_u64(r);
    fr_scene_make(seed, index, 64, FR_ALL_TAGS, FR_SPLIT_ALL, &s);
    fr_prompt_text(&s.prompt, text);
    fr_line_add_text(out, "%s", text);
    return fr_line_hash(text, strlen(text));
}
