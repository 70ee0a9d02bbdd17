/* world.c: `frugal world`: small worlds that a program makes and judges exactly: the list of actions and their
 * options. */
#include "cli/world.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct action {
    const char *name;
    world_action *run;
    double count;
} actions[] = {
    {"draw", world_draw, 24},          {"judge", world_judge, 1}, {"check", world_check, 100000},
    {"dataset", world_dataset, 10000}, {"suite", world_suite, 1}, {"compare", world_compare, 1},
    {"text", world_text, 20},
};

fr_status world_tag(const world_ask *a, int *tag) {
    *tag = -1;
    if (!a->task) return FR_OK;
    for (int t = 0; t < FR_ALL_TAGS; t++)
        if (!strcmp(a->task, fr_tag_names[t])) *tag = t;
    if (!strcmp(a->task, "all")) *tag = FR_ALL_TAGS;
    if (*tag >= 0) return FR_OK;
    return fr_fail(FR_INVALID, "\"%.40s\" is no task of pictures; see frugal help world.", a->task);
}

fr_status world_no_words(const world_ask *a) {
    if (!a->words) return FR_OK;
    return fr_fail(FR_INVALID, "What is \"%s\"? This action takes only options.", a->word[0]);
}

static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                        {"prompt", required_argument, NULL, 'p'},
                                        {"count", required_argument, NULL, 'n'},
                                        {"size", required_argument, NULL, 'z'},
                                        {"seed", required_argument, NULL, 's'},
                                        {"task", required_argument, NULL, 't'},
                                        {"split", required_argument, NULL, 'l'},
                                        {"prompts", required_argument, NULL, 'P'},
                                        {"images", required_argument, NULL, 'I'},
                                        {"fill", required_argument, NULL, 'f'},
                                        {"png", no_argument, NULL, 'g'},
                                        {"judge", no_argument, NULL, 'j'},
                                        {NULL, 0, NULL, 0}};

static bool whole(const char *text, double lo, double hi, double *out) {
    return fr_cli_number(text, lo, hi, out) && *out == floor(*out);
}

/* Of pictures or of text. */
static bool is_task(const char *word) {
    for (int t = 0; t < FR_ALL_TAGS; t++)
        if (!strcmp(word, fr_tag_names[t])) return true;
    for (int t = 0; t < FR_LINE_TASKS; t++)
        if (!strcmp(word, fr_line_task_names[t])) return true;
    return !strcmp(word, "all");
}

/* One option; else the exit code for it. */
static int take(world_ask *a, int c, const char *word) {
    switch (c) {
    case 'o': a->out = word; return 0;
    case 'p': a->prompt = word; return 0;
    case 't':
        a->task = word;
        if (is_task(word)) return 0;
        return fr_cli_usage("world", "\"%s\" is no task; see frugal help world", word);
    case 'l': a->split = word; return 0;
    case 'f': a->fill = word; return 0;
    case 'g': a->png = true; return 0;
    case 'j': a->judge = true; return 0;
    case 'n':
        if (whole(word, 1, 1e9, &a->count)) return 0;
        return fr_cli_usage("world", "\"%s\" is no count from 1 to 10^9", word);
    case 'z':
        if (fr_cli_number(word, 64, 128, &a->size) && (a->size == 64 || a->size == 128)) return 0;
        return fr_cli_usage("world", "\"%s\" is no size: 64 or 128", word);
    case 's':
        if (whole(word, 0, 1e15, &a->seed)) return 0;
        return fr_cli_usage("world", "\"%s\" is no seed, which is whole and from 0 to 10^15", word);
    case 'P':
        if (whole(word, 1, 10000, &a->prompts)) return 0;
        return fr_cli_usage("world", "\"%s\" is no number of prompts from 1 to 10000", word);
    default:
        if (whole(word, 1, 10000, &a->images)) return 0;
        return fr_cli_usage("world", "\"%s\" is no number of pictures from 1 to 10000", word);
    }
}

static int no_action(const char *word) {
    char names[120] = "";
    for (size_t i = 0; i < FR_COUNT(actions); i++) {
        size_t at = strlen(names);
        snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", actions[i].name);
    }
    if (!word) return fr_cli_usage("world", "what shall it do? There is: %s", names);
    return fr_cli_usage("world", "there is no \"%s\"; there is: %s", word, names);
}

static int run(int argc, char **argv) {
    world_ask a = {.size = 64, .seed = 1, .prompts = 100, .images = 4};
    const struct action *action = NULL;
    for (size_t i = 0; argc > 1 && i < FR_COUNT(actions); i++)
        if (!strcmp(argv[1], actions[i].name)) action = &actions[i];
    if (!action) return no_action(argv[1]);
    a.count = action->count;
    opterr = 0;
    argc--, argv++;
    for (int c; (c = getopt_long(argc, argv, ":o:p:n:z:s:t:", options, NULL)) != -1;) {
        if (c == ':') return fr_cli_usage("world", "%s wants a value", argv[optind - 1]);
        if (c == '?') return fr_cli_usage("world", "there is no option \"%s\"", argv[optind - 1]);
        int code = take(&a, c, optarg);
        if (code) return code;
    }
    a.words = argc - optind, a.word = argv + optind;
    fr_status st = action->run(&a);
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

const fr_command fr_command_world = {
    .name = "world",
    .summary = "small worlds with exact judges: draw, judge, check, dataset, suite, text",
    .help =
        "usage: frugal world draw [PROMPT] [-n N] [-o FILE]\n"
        "       frugal world judge PICTURE... [-p PROMPT]\n"
        "       frugal world judge DIR\n"
        "       frugal world suite -o DIR [--prompts N] [--images N] [--split WORD] [--fill WORD]\n"
        "       frugal world compare A B\n"
        "       frugal world dataset -o DIR [-n N] [--png] [--split WORD]\n"
        "       frugal world check [-n N]\n"
        "       frugal world text [-n N] [--task WORD] [--split WORD] [--judge]\n\n"
        "Small worlds for training and measuring models with nothing downloaded. Pictures: eight\n"
        "kinds of shapes in eight colours on grey, the six tasks of GenEval, and a judge that "
        "reads\n"
        "pixels alone. Text: questions about such scenes, numbers, the countdown game, stories.\n\n"
        "draw     a sheet of scenes, and what each shows; with a PROMPT, such as\n"
        "         \"a photo of a red circle left of a blue star\", scenes that show it\n"
        "judge    what is in a picture of 64 or 128 pixels, and whether it shows the prompt; of a\n"
        "         folder in GenEval's layout every picture, the scores of the tasks with their\n"
        "         errors, and what went wrong. results.jsonl in it tells of each picture\n"
        "suite    prompts fixed by the seed, as a folder for a model's pictures\n"
        "compare  two folders that were judged, picture by picture: is the difference luck?\n"
        "dataset  scenes with four captions each, and their pictures, for training\n"
        "check    how often the judge is right about clean scenes, and how long it takes\n"
        "text     lines of the text world; --judge reads answers and says which are right\n\n"
        "  -o, --output PATH  the sheet (world.png) or the new folder\n"
        "  -n, --count N      how many (draw: 24, check: 100000, dataset: 10000, text: 20)\n"
        "  -s, --seed N       other scenes, prompts, lines (1)\n"
        "  -z, --size N       64 or 128 pixels (64)\n"
        "  -t, --task WORD    single_object, two_object, counting, colors, position, color_attr;\n"
        "                     three_object, color_position, exactly; all of these (the first six)\n"
        "                     of text: caption, how_many, how_many_of, colour, where, count, add,\n"
        "                     subtract, multiply, countdown, story\n"
        "  -p, --prompt TEXT  what the picture should show\n"
        "      --split WORD   dataset: train, unseen or all (train); suite: seen, unseen or all\n"
        "                     (seen); text: train, validation, held_out or all (train)\n"
        "      --prompts N    of each task (100)\n"
        "      --images N     of each prompt (4)\n"
        "      --fill WORD    pictures made without a model, to try the judge: oracle, shuffled,\n"
        "                     random, flat, blur:0.8, noise:0.08, contrast:0.8\n"
        "      --png          one file a picture, in place of one tensor of all\n",
    .run = run,
};
