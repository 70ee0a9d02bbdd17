/* world_text.c: `frugal world text`: lines of the text world, and answers judged.
 *
 * In a pipe a line is PROMPT, a tab, ANSWER, each as a model sees it; with --judge the same comes back, the
 * answers said by whoever was asked. On a terminal the answer stands out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/world.h"

typedef struct lines {
    uint64_t seed;
    int task;
    fr_line_split split;
} lines;

static fr_status find_lines(const world_ask *a, lines *l) {
    static const char *const splits[] = {"train", "validation", "held_out", "all"};
    *l = (lines){.seed = (uint64_t)a->seed, .task = -1};
    for (int i = 0; a->task && i < FR_LINE_TASKS; i++)
        if (!strcmp(a->task, fr_line_task_names[i])) l->task = i;
    if (a->task && l->task < 0)
        return fr_fail(FR_INVALID, "\"%.40s\" is no task of text; see frugal help world.", a->task);
    if (!a->split) return FR_OK;
    for (size_t i = 0; i < FR_COUNT(splits); i++) {
        l->split = (fr_line_split)i;
        if (!strcmp(a->split, splits[i])) return FR_OK;
    }
    return fr_fail(FR_INVALID,
                   "There is no split '%.40s'; there is: train, validation, held_out, all.",
                   a->split);
}

static void print_lines(const lines *l, uint64_t count) {
    bool terminal = fr_is_terminal(stdout);
    for (uint64_t i = 0; i < count && !fr_interrupted(); i++) {
        fr_line line;
        fr_line_make(l->seed, i, l->task, l->split, &line);
        printf("%.*s%s%s%s\n", line.prompt, line.text, terminal ? "\033[1m" : "\t",
               line.text + line.prompt, terminal ? "\033[0m" : "");
    }
}

/* ---- answers ---- */

static fr_status judge_one(const lines *l, uint64_t index, const char *text, fr_report *r) {
    fr_line asked;
    char reason[96] = "", example[96];
    fr_line_make(l->seed, index, l->task, l->split, &asked);
    const char *tab = strchr(text, '\t');
    if (!tab || tab - text != asked.prompt || memcmp(text, asked.text, (size_t)asked.prompt) != 0)
        return fr_fail(FR_INVALID,
                       "Line %llu does not answer '%.200s': --judge reads PROMPT, a tab, ANSWER in "
                       "the order in which the same call prints them.",
                       (unsigned long long)index + 1, asked.prompt ? asked.text : "");
    bool right = fr_line_judge(&asked, tab + 1, reason);
    snprintf(example, sizeof example, "line %llu, %.60s", (unsigned long long)index + 1, reason);
    fr_report_add(r, (int)asked.task, right, right, right ? "" : fr_line_task_names[asked.task],
                  example);
    return FR_OK;
}

static fr_status judge_lines(const lines *l) {
    fr_report r = fr_report_new("lines", fr_line_task_names, FR_LINE_TASKS, false);
    char *text = NULL;
    size_t room = 0;
    uint64_t count = 0;
    fr_status st = FR_OK;
    for (ssize_t n; !st && (n = getline(&text, &room, stdin)) >= 0; count++) {
        if (n && text[n - 1] == '\n') text[n - 1] = 0;
        st = judge_one(l, count, text, &r);
        if (!st) st = fr_interrupt_check();
    }
    free(text);
    if (!st && !count) st = fr_fail(FR_INVALID, "There is nothing to judge on standard input.");
    if (!st) fr_report_print(&r, stdout, fr_is_terminal(stdout));
    return st;
}

fr_status world_text(const world_ask *a) {
    lines l;
    FR_TRY(world_no_words(a));
    FR_TRY(find_lines(a, &l));
    if (a->judge) return judge_lines(&l);
    print_lines(&l, (uint64_t)a->count);
    return fr_interrupt_check();
}
