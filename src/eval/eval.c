/* eval.c: the scoreboard of a language model on the world of text.
 *
 * Lines are asked in rounds of ROUND, so that Ctrl-C and the progress bar do not wait for a whole task. Seeds of
 * the lines are far from those of a training; what keeps them unseen is the split. */
#include "eval/eval.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUND = 256, MOST_STORY = 224, MOST_ANSWER = 72 }; /* tokens */

const char *const fr_eval_group_names[FR_EVAL_GROUPS] = {
    "counting and colour questions", "addition of two digits", "stories that hold together"};
const double fr_eval_targets[FR_EVAL_GROUPS] = {0.95, 0.95, 0.90};

typedef struct asking {
    const fr_speaker *speaker;
    const fr_eval_opts *o;
    fr_scoreboard *board;
    fr_progress progress;
    double done;
    fr_line *lines;
    char **said;
    int64_t kept; /* failures of this task */
} asking;

static int64_t most_of(fr_line_task task) {
    return task == FR_LINE_STORY ? MOST_STORY : MOST_ANSWER;
}

/* Both numbers of the prompt have two digits. */
static bool two_digits(const fr_line *l) {
    int numbers = 0, digits = 0;
    for (int i = 0; i <= l->prompt; i++) {
        if (i < l->prompt && isdigit((unsigned char)l->text[i])) {
            digits++;
            continue;
        }
        if (digits && digits != 2) return false;
        numbers += digits > 0;
        digits = 0;
    }
    return numbers == 2;
}

static int group_of(const fr_line *l) {
    switch (l->task) {
    case FR_LINE_HOW_MANY:
    case FR_LINE_HOW_MANY_OF:
    case FR_LINE_COLOUR: return FR_EVAL_QUESTIONS;
    case FR_LINE_ADD: return two_digits(l) ? FR_EVAL_TWO_DIGITS : -1;
    case FR_LINE_STORY: return FR_EVAL_STORIES;
    default: return -1;
    }
}

/* Of captions nothing is given, and any document may begin so: here the words that only captions begin with are.
 * Their judge wants the whole. */
#define CAPTION "a photo of"

static bool judge(const fr_line *l, const char *said, char reason[96]) {
    char caption[sizeof CAPTION + 4 * MOST_ANSWER * 8];
    if (said && l->task == FR_LINE_CAPTION) {
        snprintf(caption, sizeof caption, CAPTION "%s", said);
        said = caption;
    }
    if (said) return fr_line_judge(l, said, reason);
    snprintf(reason, 96, "does not end");
    return false;
}

/* A model may say any bytes; those that a terminal or a JSON file would stumble over are not shown. */
static void make_printable(char *text) {
    for (; text && *text; text++)
        if (!isprint((unsigned char)*text) || (unsigned char)*text > 126) *text = '?';
}

/* Takes what was said over. */
static void keep(fr_told *list, size_t *count, const fr_line *l, char **said, const char *reason) {
    fr_told *t = &list[(*count)++];
    *t = (fr_told){.line = *l, .said = *said};
    *said = NULL;
    make_printable(t->said);
    snprintf(t->reason, sizeof t->reason, "%s", reason);
    make_printable(t->reason);
}

static void count_line(asking *a, const fr_line *l, char **said) {
    fr_scoreboard *b = a->board;
    char reason[96] = "";
    bool right = judge(l, *said, reason);
    int group = group_of(l);
    b->task[l->task].asked++;
    b->task[l->task].right += right;
    if (group >= 0) {
        b->group[group].asked++;
        b->group[group].right += right;
    }
    if (right || a->kept >= a->o->wrong) return;
    a->kept++;
    keep(b->wrong, &b->wrong_count, l, said, reason);
}

static void forget(char **said, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fr_free(said[i]);
        said[i] = NULL;
    }
}

/* Lines first .. first + count - 1 of a task (-1: of the mix). */
static void draw(asking *a, int task, int64_t first, size_t count) {
    fr_line_split split = a->o->seen ? FR_LINES_TRAIN : FR_LINES_HELD_OUT;
    for (size_t i = 0; i < count; i++)
        fr_line_make(a->o->seed, (uint64_t)first + i, task, split, &a->lines[i]);
    for (size_t i = 0; i < count && task == FR_LINE_CAPTION; i++)
        a->lines[i].prompt = (int)strlen(CAPTION);
}

static void step(asking *a, size_t lines) {
    a->done += (double)lines;
    fr_progress_update(&a->progress, a->done);
}

/* The likeliest answer; captions all have the same prompt, so they are drawn. */
static fr_sampling sampling_of(const asking *a, fr_line_task task, int64_t first) {
    if (task != FR_LINE_CAPTION) return (fr_sampling){0};
    return (fr_sampling){.temperature = 1, .seed = a->o->seed + (uint64_t)first};
}

static fr_status ask_round(asking *a, fr_line_task task, int64_t first, size_t count) {
    const fr_speaker *s = a->speaker;
    fr_surprise prompts = {0};
    fr_sampling how = sampling_of(a, task, first);
    draw(a, (int)task, first, count);
    FR_TRY(fr_interrupt_check());
    FR_TRY(s->weigh(s->self, a->lines, count, &prompts, &a->board->answers[task]));
    FR_TRY(s->say(s->self, a->lines, count, &how, most_of(task), a->said));
    for (size_t i = 0; i < count; i++) count_line(a, &a->lines[i], &a->said[i]);
    step(a, count);
    return FR_OK;
}

static bool wanted(const fr_eval_opts *o, int task) {
    return !o->tasks || o->tasks >> task & 1;
}

static fr_status ask_tasks(asking *a) {
    for (int task = 0; task < FR_LINE_TASKS; task++) {
        if (!wanted(a->o, task)) continue;
        a->kept = 0;
        fr_progress_note(&a->progress, "%s", fr_line_task_names[task]);
        for (int64_t i = 0; i < a->o->lines; i += ROUND) {
            size_t count = (size_t)FR_MIN(a->o->lines - i, ROUND);
            fr_status st = ask_round(a, (fr_line_task)task, i, count);
            forget(a->said, ROUND);
            FR_TRY(st);
        }
    }
    return FR_OK;
}

/* The mix that a training sees, of the other split. */
static fr_status weigh_text(asking *a) {
    const fr_speaker *s = a->speaker;
    fr_progress_note(&a->progress, "perplexity");
    for (int64_t i = 0; i < a->o->text; i += ROUND) {
        size_t count = (size_t)FR_MIN(a->o->text - i, ROUND);
        draw(a, -1, i, count);
        FR_TRY(fr_interrupt_check());
        FR_TRY(s->weigh(s->self, a->lines, count, &a->board->text, &a->board->text));
        step(a, count);
    }
    return FR_OK;
}

static fr_status show_stories(asking *a) {
    const fr_speaker *s = a->speaker;
    fr_sampling how = {.temperature = a->o->temperature, .seed = a->o->seed};
    size_t count = (size_t)a->o->shown;
    draw(a, FR_LINE_STORY, a->o->lines, count); /* none that was asked */
    FR_TRY(s->say(s->self, a->lines, count, &how, MOST_STORY, a->said));
    for (size_t i = 0; i < count; i++) {
        char reason[96] = "";
        judge(&a->lines[i], a->said[i], reason);
        keep(a->board->shown, &a->board->shown_count, &a->lines[i], &a->said[i], reason);
    }
    return FR_OK;
}

static fr_status ask_all(asking *a) {
    FR_TRY(ask_tasks(a));
    if (a->o->text) FR_TRY(weigh_text(a));
    return a->o->shown && wanted(a->o, FR_LINE_STORY) ? show_stories(a) : FR_OK;
}

static bool make_room(asking *a) {
    fr_scoreboard *b = a->board;
    size_t wrong = (size_t)FR_MIN(a->o->wrong, a->o->lines) * FR_LINE_TASKS;
    a->lines = fr_alloc_array(FR_MEM_OTHER, ROUND, sizeof *a->lines);
    a->said = fr_alloc(FR_MEM_OTHER, ROUND * sizeof *a->said);
    b->wrong = fr_alloc_array(FR_MEM_OTHER, wrong + 1, sizeof *b->wrong);
    b->shown = fr_alloc_array(FR_MEM_OTHER, (size_t)a->o->shown + 1, sizeof *b->shown);
    return a->lines && a->said && b->wrong && b->shown;
}

fr_status fr_eval_text(const fr_speaker *s, const fr_eval_opts *o, fr_scoreboard *out) {
    *out = (fr_scoreboard){0};
    if (o->lines < 1 || o->text < 0 || o->shown < 0 || o->shown > ROUND || o->wrong < 0 ||
        o->wrong > 1000000)
        return fr_fail(FR_INVALID,
                       "A scoreboard wants a line of each task or more, and at most %d "
                       "stories to show.",
                       ROUND);
    asking a = {.speaker = s, .o = o, .board = out};
    double begin = fr_now(), total = (double)o->text;
    for (int task = 0; task < FR_LINE_TASKS; task++)
        total += wanted(o, task) ? (double)o->lines : 0;
    a.progress = fr_progress_start("eval", total, "lines");
    fr_status st = make_room(&a) ? ask_all(&a) : FR_NOMEM;
    fr_progress_end(&a.progress);
    if (a.said) forget(a.said, ROUND);
    fr_free(a.lines);
    fr_free(a.said);
    out->seconds = fr_now() - begin;
    if (st) fr_scoreboard_free(out);
    return st;
}

static void free_told(fr_told *list, size_t count) {
    for (size_t i = 0; i < count; i++) fr_free(list[i].said);
    fr_free(list);
}

void fr_scoreboard_free(fr_scoreboard *b) {
    free_told(b->wrong, b->wrong_count);
    free_told(b->shown, b->shown_count);
    *b = (fr_scoreboard){0};
}
