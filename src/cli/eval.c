/* eval.c: `frugal eval`: the scoreboard of a language model on held-out lines of the world of text. */
#include "eval/eval.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/perplexity.h"
#include "cli/run_memory.h"

typedef struct ask {
    const char *model, *json;
    fr_eval_opts o;
    fr_weighing text; /* file NULL: none */
    bool accuracy;    /* said, beside a file */
} ask;

/* ---- for a person ---- */

static void print_tasks(const fr_scoreboard *b) {
    fr_table *t = fr_table_new("task|>right, %|>+-|>of|>perplexity of the answer");
    if (!t) return;
    for (int i = 0; i < FR_LINE_TASKS; i++) {
        fr_score s = b->task[i];
        fr_share share = fr_share_of(s.right, s.asked);
        if (!s.asked) continue;
        fr_table_cell(t, "%s", fr_line_task_names[i]);
        fr_table_cell(t, "%.1f", 100 * share.value);
        fr_table_cell(t, "%.1f", 100 * share.error);
        fr_table_cell(t, "%lld", (long long)s.asked);
        fr_table_cell(t, "%.3f", fr_surprise_a_token(b->answers[i]));
    }
    fr_table_print(t, stdout);
    fr_table_free(t);
}

static void print_groups(const fr_scoreboard *b) {
    bool any = false;
    fr_table *t = fr_table_new("together|>right, %|>+-|>of|>target|");
    if (!t) return;
    for (int i = 0; i < FR_EVAL_GROUPS; i++) {
        fr_score s = b->group[i];
        fr_share share = fr_share_of(s.right, s.asked);
        if (!s.asked) continue;
        any = true;
        fr_table_cell(t, "%s", fr_eval_group_names[i]);
        fr_table_cell(t, "%.1f", 100 * share.value);
        fr_table_cell(t, "%.1f", 100 * share.error);
        fr_table_cell(t, "%lld", (long long)s.asked);
        fr_table_cell(t, "%.0f", 100 * fr_eval_targets[i]);
        fr_table_cell(t, "%s", share.value >= fr_eval_targets[i] ? "reached" : "missed");
    }
    if (any) {
        printf("\n");
        fr_table_print(t, stdout);
    }
    fr_table_free(t);
}

/* Words in lines as wide as the terminal, indented. */
static void print_wrapped(const char *text, int width) {
    enum { INDENT = 4 };
    int column = 0;
    while (*text == ' ') text++;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (column && column + 1 + n > width) {
            printf("\n");
            column = 0;
        }
        column += column ? printf(" %.*s", n, text) : printf("%*s%.*s", INDENT, "", n, text);
        text += n;
        while (*text == ' ') text++;
    }
    printf("\n");
}

static void print_told(const fr_told *t) {
    char text[4 * FR_LINE_TEXT];
    int width = fr_terminal_width(stdout);
    snprintf(text, sizeof text, "%.*s |%s", t->line.prompt, t->line.text,
             t->said ? t->said : " ...");
    print_wrapped(text, width ? FR_MIN(width, 110) : 100);
    if (t->reason[0]) printf("    (wrong: %s)\n", t->reason);
}

static void print_board(const ask *a, const fr_scoreboard *b) {
    char time[32];
    print_tasks(b);
    print_groups(b);
    if (b->text.tokens)
        printf("\nperplexity of whole lines of all tasks: %.3f a token, %.3f a byte\n",
               fr_surprise_a_token(b->text), fr_surprise_a_byte(b->text));
    if (b->shown_count) printf("\nStories, sampled at temperature %g:\n", (double)a->o.temperature);
    for (size_t i = 0; i < b->shown_count; i++) {
        printf("\n");
        print_told(&b->shown[i]);
    }
    for (size_t i = 0; i < b->wrong_count; i++) {
        bool first = !i || b->wrong[i].line.task != b->wrong[i - 1].line.task;
        if (first) printf("\nWrong, %s:\n\n", fr_line_task_names[b->wrong[i].line.task]);
        print_told(&b->wrong[i]);
    }
    printf("\n%s, on %s lines, in %s\n", a->model, a->o.seen ? "training" : "held-out",
           fr_show_time(time, b->seconds));
}

/* ---- for programs ---- */

/* Members whose value is NULL, because memory was short, make it false. */
static bool put(fr_json *j, const char *key, fr_json *value) {
    return json_object_set_new(j, key, value) == 0;
}

static fr_json *score_json(fr_score s) {
    fr_share share = fr_share_of(s.right, s.asked);
    fr_json *j = json_object();
    bool good = put(j, "asked", json_integer(s.asked)) && put(j, "right", json_integer(s.right)) &&
                put(j, "share", json_real(share.value)) && put(j, "error", json_real(share.error));
    if (good) return j;
    fr_json_free(j);
    return NULL;
}

static fr_json *tasks_json(const fr_scoreboard *b) {
    fr_json *out = json_object();
    for (int i = 0; i < FR_LINE_TASKS; i++) {
        if (!b->task[i].asked) continue;
        fr_json *j = score_json(b->task[i]);
        put(j, "perplexity", json_real(fr_surprise_a_token(b->answers[i])));
        put(out, fr_line_task_names[i], j);
    }
    return out;
}

static fr_json *groups_json(const fr_scoreboard *b) {
    fr_json *out = json_object();
    for (int i = 0; i < FR_EVAL_GROUPS; i++) {
        if (!b->group[i].asked) continue;
        fr_json *j = score_json(b->group[i]);
        put(j, "target", json_real(fr_eval_targets[i]));
        put(out, fr_eval_group_names[i], j);
    }
    return out;
}

static fr_json *told_json(const fr_told *list, size_t count) {
    fr_json *out = json_array();
    for (size_t i = 0; i < count; i++) {
        const fr_told *t = &list[i];
        fr_json *j = json_object();
        put(j, "task", json_string(fr_line_task_names[t->line.task]));
        put(j, "prompt", json_stringn(t->line.text, (size_t)t->line.prompt));
        put(j, "said", t->said ? json_string(t->said) : json_null());
        put(j, "right", json_boolean(!t->reason[0]));
        put(j, "reason", json_string(t->reason));
        json_array_append_new(out, j);
    }
    return out;
}

static fr_status write_json(const ask *a, const fr_scoreboard *b) {
    fr_json *j = json_object();
    bool good = put(j, "model", json_string(a->model)) &&
                put(j, "split", json_string(a->o.seen ? "train" : "held out")) &&
                put(j, "seed", json_integer((json_int_t)a->o.seed)) &&
                put(j, "tasks", tasks_json(b)) && put(j, "groups", groups_json(b)) &&
                put(j, "perplexity_a_token", json_real(fr_surprise_a_token(b->text))) &&
                put(j, "perplexity_a_byte", json_real(fr_surprise_a_byte(b->text))) &&
                put(j, "stories", told_json(b->shown, b->shown_count)) &&
                put(j, "wrong", told_json(b->wrong, b->wrong_count)) &&
                put(j, "seconds", json_real(b->seconds));
    fr_status st =
        good ? fr_json_save(j, a->json)
             : fr_fail(FR_NOMEM, "The scores of %s can not be written as JSON.", a->model);
    fr_json_free(j);
    return st;
}

/* ---- the call ---- */

static fr_status evaluate(const ask *a) {
    fr_pool *pool;
    fr_speaker s;
    fr_scoreboard b;
    FR_TRY(fr_cli_pool(&pool));
    FR_TRY(fr_speaker_open(a->model, pool, &s));
    fr_status st = fr_eval_text(&s, &a->o, &b);
    fr_speaker_close(&s);
    if (st) return st;
    print_board(a, &b);
    if (a->json) st = write_json(a, &b);
    fr_scoreboard_free(&b);
    return st;
}

static bool whole(const char *text, double lo, double hi, int64_t *out) {
    double v;
    if (!fr_cli_number(text, lo, hi, &v) || v != floor(v)) return false;
    *out = (int64_t)v;
    return true;
}

static bool add_task(fr_eval_opts *o, const char *word) {
    for (int t = 0; t < FR_LINE_TASKS; t++)
        if (!strcmp(word, fr_line_task_names[t])) {
            o->tasks |= 1u << t;
            return true;
        }
    return false;
}

static const struct option options[] = {{"lines", required_argument, NULL, 'n'},
                                        {"task", required_argument, NULL, 't'},
                                        {"seed", required_argument, NULL, 's'},
                                        {"stories", required_argument, NULL, 'S'},
                                        {"temperature", required_argument, NULL, 'T'},
                                        {"failures", required_argument, NULL, 'f'},
                                        {"seen", no_argument, NULL, 'e'},
                                        {"accuracy", no_argument, NULL, 'a'},
                                        {"perplexity", required_argument, NULL, 'p'},
                                        {"context", required_argument, NULL, 'c'},
                                        {"chunks", required_argument, NULL, 'k'},
                                        {"kv", required_argument, NULL, 'K'},
                                        {"json", required_argument, NULL, 'j'},
                                        {NULL, 0, NULL, 0}};

/* One option; else the exit code for it. */
static int take(ask *a, int c, const char *word) {
    int64_t seed = 0;
    double v = 0;
    switch (c) {
    case 'n':
        if (whole(word, 1, 1e7, &a->o.lines)) return 0;
        return fr_cli_usage("eval", "\"%s\" is no number of lines from 1 to 10^7", word);
    case 't':
        if (add_task(&a->o, word)) return 0;
        return fr_cli_usage("eval", "there is no task \"%s\"; see frugal help eval", word);
    case 's':
        if (!whole(word, 0, 1e15, &seed))
            return fr_cli_usage("eval", "\"%s\" is no seed, which is whole and from 0 to 10^15",
                                word);
        a->o.seed = (uint64_t)seed;
        return 0;
    case 'S':
        if (whole(word, 0, 100, &a->o.shown)) return 0;
        return fr_cli_usage("eval", "\"%s\" is no number of stories from 0 to 100", word);
    case 'T':
        if (!fr_cli_number(word, 0.01, 10, &v))
            return fr_cli_usage("eval", "\"%s\" is no temperature from 0.01 to 10", word);
        a->o.temperature = (float)v;
        return 0;
    case 'f':
        if (whole(word, 0, 1e6, &a->o.wrong)) return 0;
        return fr_cli_usage("eval", "\"%s\" is no number of failures from 0 to 10^6", word);
    case 'e': a->o.seen = true; return 0;
    case 'a': a->accuracy = true; return 0;
    case 'p': a->text.file = word; return 0;
    case 'c':
        if (whole(word, 2, 1e6, &a->text.o.context)) return 0;
        return fr_cli_usage("eval", "\"%s\" is no number of tokens from 2 to 10^6", word);
    case 'k':
        if (whole(word, 1, 1e9, &a->text.o.chunks)) return 0;
        return fr_cli_usage("eval", "\"%s\" is no number of chunks from 1 to 10^9", word);
    case 'K':
        a->text.kv = word;
        if (fr_cli_kv(word, &(fr_kv_kind){0})) return 0;
        return fr_cli_usage("eval", "--kv is f32, bf16, f16, 8 or 4, not \"%s\"", word);
    default: a->json = word; return 0;
    }
}

static int run(int argc, char **argv) {
    ask a = {.o = {.lines = 1000, .shown = 5, .seed = 1, .temperature = 0.8f}};
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":n:t:s:", options, NULL)) != -1;) {
        if (c == ':') return fr_cli_usage("eval", "%s wants a value", argv[optind - 1]);
        if (c == '?') return fr_cli_usage("eval", "there is no option \"%s\"", argv[optind - 1]);
        int code = take(&a, c, optarg);
        if (code) return code;
    }
    if (optind == argc) return fr_cli_usage("eval", "which model?");
    if (optind + 1 < argc)
        return fr_cli_usage("eval", "one model at a time, not \"%s\" too", argv[optind + 1]);
    a.model = argv[optind];
    a.o.text = a.o.tasks ? 0 : a.o.lines;
    fr_status st = FR_OK;
    a.text.model = a.model;
    if (!a.accuracy) a.text.json = a.json;
    if (a.text.file) st = fr_weigh_file(&a.text);
    if (!st && (a.accuracy || !a.text.file)) st = evaluate(&a);
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

const fr_command fr_command_eval = {
    .name = "eval",
    .summary = "how good a language model is, on held-out lines of the world of text",
    .help =
        "usage: frugal eval MODEL [-n N] [--task WORD]... [--failures N] [--json FILE]\n"
        "       frugal eval MODEL --perplexity FILE [--context N] [--kv KIND]\n\n"
        "Asks a language model lines that no training sees, task by task, with the likeliest\n"
        "token each time, and lets the exact judges of the world of text say what is right.\n"
        "Captions, which all begin alike, are sampled at temperature 1.\n"
        "Shows the share that is right with its standard error, the shares that the shipped\n"
        "model is held to, the perplexity (e to the mean surprise) of answers and of whole\n"
        "lines, and some sampled stories.\n\n"
        "MODEL is a folder with config.json, tokenizer.json and weights, or the name of a\n"
        "shipped model.\n\n"
        "  -n, --lines N      lines of each task (default: 1000)\n"
        "  -t, --task WORD    only this task; may be said more than once. There is: caption,\n"
        "                     how_many, how_many_of, colour, where, count, add, subtract,\n"
        "                     multiply, countdown, story\n"
        "  -s, --seed N       which lines (default: 1)\n"
        "  --stories N        sampled stories to show (default: 5)\n"
        "  --temperature T    how freely they are sampled (default: 0.8)\n"
        "  --failures N       show so many failures of each task: prompt, what was said, why not\n"
        "  --seen             lines of the training split, for comparison\n"
        "  --perplexity FILE  how unexpected a text is: in chunks that know nothing of each "
        "other,\n"
        "                     as papers on quantized models count it (WikiText-2: 2048 tokens)\n"
        "  --context N        tokens of a chunk (default: 2048, or the model's context if less)\n"
        "  --chunks N         only the first N\n"
        "  --kv KIND          keys and values in f32, bf16, f16, 8 or 4 bits (default: as the "
        "model says)\n"
        "  --accuracy         beside --perplexity: the questions of the world, too\n"
        "  --json FILE        write the scores, stories and failures there, too\n\n"
        "examples:\n"
        "  frugal eval tales --task story --failures 3\n"
        "  frugal eval ~/models/Llama-3.2-1B --perplexity wiki.test.raw --kv 4\n",
    .run = run,
};
