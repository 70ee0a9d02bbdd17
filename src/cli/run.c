/* run.c: `frugal run`: a language model writes on from a prompt.
 *
 * One text is shown as it comes; several are made at once and shown when all are there. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/run_memory.h"
#include "model/model.h"
#include "text/text.h"

enum { MOST_AT_ONCE = 64, MOST_PROMPT = 1 << 24 };

typedef struct call {
    const char *model, *prompt;
    fr_sampling sampling;
    int64_t most, count;
    bool stats;
} call;

typedef struct job {
    const call *c;
    fr_model model;
    fr_tokenizer *tokenizer;
    fr_generator *generator;
    fr_tokens *prompts; /* c->count times the same */
    fr_tokens *texts;
    fr_ended *why;
    fr_text_stream stream;
    fr_progress progress; /* of several */
    bool begun;           /* something that is not the space before an answer was shown */
    int64_t made;         /* tokens of all texts */
    double opened;        /* seconds that reading the model took */
    double begin, first, end;
    fr_status st; /* of showing */
} job;

/* ---- showing ---- */

/* Under --quiet the answer alone, without the space that leads to it. */
static void print(job *j, const char *text, size_t bytes) {
    if (!j->begun && fr_is_quiet() && bytes && *text == ' ') {
        text++;
        bytes--;
    }
    j->begun |= bytes > 0;
    fwrite(text, 1, bytes, stdout);
}

static fr_status show(job *j, const fr_tokens *t) {
    char *text;
    size_t bytes;
    FR_TRY(fr_tokenizer_decode(j->tokenizer, t->ids, t->count, false, &text, &bytes));
    char *out = fr_alloc_array(FR_MEM_OTHER, FR_TEXT_STREAM_ROOM(bytes), 1);
    if (out) print(j, out, fr_text_stream_add(&j->stream, text, bytes, out));
    fr_free(text);
    fr_free(out);
    return out ? FR_OK : FR_NOMEM;
}

static void end_of_text(job *j) {
    char out[FR_TEXT_STREAM_ROOM(0)];
    print(j, out, fr_text_stream_end(&j->stream, out));
    printf("\n");
    j->begun = false;
}

static void begin_of_text(const job *j) {
    if (!fr_is_quiet()) fputs(j->c->prompt, stdout);
}

static bool on_token(void *arg, size_t which, int32_t token) {
    job *j = arg;
    (void)which;
    if (!j->made++) {
        j->first = fr_now();
        if (j->c->stats) fr_cli_memory_look();
    }
    if (j->c->count > 1) {
        fr_progress_update(&j->progress, (double)j->made);
        return true;
    }
    j->st = show(j, &(fr_tokens){.ids = &token, .count = 1});
    return !j->st && fflush(stdout) == 0; /* main says when it could not be written */
}

static fr_status show_all(job *j) {
    for (int64_t i = 0; i < j->c->count; i++) {
        begin_of_text(j);
        FR_TRY(show(j, &j->texts[i]));
        end_of_text(j);
        if (i + 1 < j->c->count) printf("\n");
    }
    return FR_OK;
}

/* ---- figures ---- */

static const char *reason(fr_ended why) {
    return why == FR_ENDED_STOP   ? "the text had ended"
           : why == FR_ENDED_FULL ? "the model's context was full"
                                  : "as many as were asked for";
}

/* The first token comes with the prompt; the others one by one. */
static void print_stats(const job *j) {
    char text[32];
    double prompt = (double)j->prompts[0].count, wait = j->first - j->begin;
    double rest = j->end - j->first, all = j->end - j->begin;
    fprintf(stderr, "\nmodel: read and made ready in %s\n", fr_show_time(text, j->opened));
    if (j->c->count > 1) {
        fprintf(stderr, "texts: %lld from a prompt of %.0f tokens, together %lld tokens in %s",
                (long long)j->c->count, prompt, (long long)j->made, fr_show_time(text, all));
        fprintf(stderr, ", %.0f tokens/s\n", (double)j->made / all);
    } else if (j->made) {
        fprintf(stderr, "prompt: %.0f tokens in %.1f ms, %.0f tokens/s\n", prompt, 1e3 * wait,
                prompt / wait);
        fprintf(stderr, "text: %lld tokens, %s", (long long)j->made, reason(j->why[0]));
        if (j->made > 1)
            fprintf(stderr, "; %.2f ms a token, %.0f tokens/s", 1e3 * rest / (double)(j->made - 1),
                    (double)(j->made - 1) / rest);
        fprintf(stderr, "\n");
    }
    fr_engine_stats e = fr_engine_stats_of(fr_generator_engine(j->generator));
    fr_cli_memory_print(&e);
}

/* ---- the work ---- */

static fr_status open_model(job *j, const call *c) {
    FR_TRY(fr_model_open(c->model, &j->model));
    FR_TRY(fr_tokenizer_open(j->model.path, &j->tokenizer));
    if (fr_tokenizer_size(j->tokenizer) > j->model.decoder.vocab)
        return fr_fail(FR_FORMAT, "The tokenizer of %s has %d tokens, its model only %lld.",
                       j->model.path, fr_tokenizer_size(j->tokenizer),
                       (long long)j->model.decoder.vocab);
    fr_generator_opts o = {.batch = (int32_t)FR_MIN(c->count, MOST_AT_ONCE)};
    FR_TRY(fr_cli_pool(&o.pool));
    return fr_generator_new(&j->model.decoder, j->model.store, &o, &j->generator);
}

static fr_status make_room(job *j) {
    size_t n = (size_t)j->c->count;
    j->prompts = fr_alloc(FR_MEM_OTHER, 2 * n * sizeof *j->prompts);
    j->why = fr_alloc(FR_MEM_OTHER, n * sizeof *j->why);
    if (!j->prompts || !j->why) return FR_NOMEM;
    j->texts = j->prompts + n;
    return FR_OK;
}

/* All share the ids of the first. */
static fr_status encode(job *j) {
    const char *text = j->c->prompt;
    fr_tokens *t = &j->prompts[0];
    FR_TRY(fr_tokenizer_encode(j->tokenizer, text, strlen(text), FR_ENCODE_BOS, t));
    int64_t context = j->model.decoder.context;
    if ((int64_t)t->count > context)
        return fr_fail(FR_INVALID, "The prompt has %zu tokens; %s was made for %lld.", t->count,
                       j->model.path, (long long)context);
    if (!t->count)
        return fr_fail(FR_INVALID, "The prompt is empty, and %s does not begin by itself.",
                       j->model.path);
    for (int64_t i = 1; i < j->c->count; i++) j->prompts[i] = *t;
    return FR_OK;
}

static fr_status generate(job *j) {
    const call *c = j->c;
    fr_generate_opts o = {.sampling = c->sampling,
                          .most = c->most ? c->most : j->model.decoder.context,
                          .on_token = on_token,
                          .arg = j};
    int32_t eos = fr_tokenizer_eos(j->tokenizer);
    if (eos >= 0) {
        o.stop = &eos;
        o.stops = 1;
    }
    bool alone = c->count == 1;
    if (alone) begin_of_text(j);
    j->progress = fr_progress_start("run", 0, "tokens");
    j->begin = fr_now();
    fr_status st = fr_generate(j->generator, j->prompts, (size_t)c->count, &o, j->texts, j->why);
    j->end = fr_now();
    if (alone)
        end_of_text(j);
    else
        fr_progress_end(&j->progress);
    if (!st) st = j->st;
    return st || alone ? st : show_all(j);
}

static fr_status work(job *j, const call *c) {
    double begin = fr_now();
    FR_TRY(make_room(j));
    FR_TRY(open_model(j, c));
    FR_TRY(encode(j));
    j->opened = fr_now() - begin;
    FR_TRY(generate(j));
    fflush(stdout);
    if (c->stats) print_stats(j);
    return FR_OK;
}

static fr_status run_model(const call *c) {
    job j = {.c = c};
    fr_status st = work(&j, c);
    fr_generator_free(j.generator);
    fr_tokenizer_free(j.tokenizer);
    fr_model_close(&j.model);
    if (j.prompts) fr_free(j.prompts[0].ids);
    for (int64_t i = 0; j.texts && i < c->count; i++) fr_free(j.texts[i].ids);
    fr_free(j.prompts);
    fr_free(j.why);
    return st;
}

/* ---- the call ---- */

/* All of standard input, without the end of its last line. */
static fr_status read_prompt(char **out) {
    size_t n = 0, cap = 0, got;
    *out = NULL;
    do {
        if (n > MOST_PROMPT)
            return fr_fail(FR_INVALID, "The prompt on standard input is longer than %d bytes.",
                           MOST_PROMPT);
        FR_TRY(fr_grow((void **)out, &cap, n + 4096, 1));
        got = fread(*out + n, 1, 4095, stdin);
        n += got;
    } while (got);
    if (ferror(stdin)) return fr_fail(FR_IO, "Standard input could not be read.");
    if (n && (*out)[n - 1] == '\n') n--;
    (*out)[n] = 0;
    if (strlen(*out) != n)
        return fr_fail(FR_INVALID,
                       "The prompt on standard input holds a zero byte; it is no text.");
    return FR_OK;
}

static fr_status run_call(call *c) {
    char *text = NULL;
    fr_status st = FR_OK;
    if (!strcmp(c->prompt, "-")) {
        st = read_prompt(&text);
        c->prompt = text;
    }
    if (!st) st = run_model(c);
    fr_free(text);
    return st;
}

typedef struct limits {
    int option;
    double lo, hi;
    bool whole;
    const char *what;
} limits;
static const limits numbers[] = {
    {'n', 1, 1e7, true, "a number of tokens from 1 to 10^7"},
    {'t', 0, 100, false, "a temperature from 0 to 100"},
    {'k', 0, 1e9, true, "a number of tokens from 0 (all) to 10^9"},
    {'P', 0, 1, false, "a share from 0 to 1"},
    {'s', 0, 1e15, true, "a seed, which is whole and from 0 to 10^15"},
    {'c', 1, 1e4, true, "a number of texts from 1 to 10000"},
};

/* One option; else the exit code for it. */
static int take(call *c, int option, const char *word) {
    double v = 0;
    for (size_t i = 0; i < FR_COUNT(numbers); i++) {
        const limits *l = &numbers[i];
        if (l->option != option) continue;
        if (!fr_cli_number(word, l->lo, l->hi, &v) || (l->whole && v != floor(v)))
            return fr_cli_usage("run", "\"%s\" is not %s", word, l->what);
    }
    switch (option) {
    case 'p': c->prompt = word; break;
    case 'n': c->most = (int64_t)v; break;
    case 't': c->sampling.temperature = (float)v; break;
    case 'k': c->sampling.top_k = (int32_t)v; break;
    case 'P': c->sampling.top_p = (float)v; break;
    case 's': c->sampling.seed = (uint64_t)v; break;
    case 'c': c->count = (int64_t)v; break;
    default: c->stats = true; break;
    }
    return 0;
}

static int run(int argc, char **argv) {
    static const struct option options[] = {{"prompt", required_argument, NULL, 'p'},
                                            {"most", required_argument, NULL, 'n'},
                                            {"temperature", required_argument, NULL, 't'},
                                            {"top-k", required_argument, NULL, 'k'},
                                            {"top-p", required_argument, NULL, 'P'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"stats", no_argument, NULL, 'S'},
                                            {NULL, 0, NULL, 0}};
    call c = {.model = "tales", .count = 1, .sampling.seed = 1};
    opterr = 0;
    for (int k; (k = getopt_long(argc, argv, ":p:n:t:s:", options, NULL)) != -1;) {
        if (k == ':') return fr_cli_usage("run", "%s wants a value", argv[optind - 1]);
        if (k == '?') return fr_cli_usage("run", "there is no option \"%s\"", argv[optind - 1]);
        int code = take(&c, k, optarg);
        if (code) return code;
    }
    if (optind + 1 < argc)
        return fr_cli_usage("run",
                            "one model at a time, not \"%s\" too; a prompt stands in "
                            "quotes behind -p",
                            argv[optind + 1]);
    if (optind < argc) c.model = argv[optind];
    if (!c.prompt) return fr_cli_usage("run", "what is it to go on from? -p \"PROMPT\"");
    if (c.count > 1 && !(c.sampling.temperature > 0))
        return fr_cli_usage("run", "at temperature 0 all %lld texts would be the same; add -t 0.8",
                            (long long)c.count);
    fr_status st = run_call(&c);
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

const fr_command fr_command_run = {
    .name = "run",
    .summary = "a language model writes on from a prompt",
    .help =
        "usage: frugal run [MODEL] -p \"PROMPT\" [options]\n\n"
        "Shows the prompt and what the model says behind it, as it comes, up to the end of the\n"
        "text. With --quiet only what it says.\n\n"
        "MODEL is a folder with config.json, tokenizer.json and weights, or the name of a\n"
        "shipped model; tales when not given: a small one that Frugal trained itself, on sums,\n"
        "questions about coloured shapes and little stories. It knows nothing else. What it was\n"
        "trained on is shown by: frugal world text\n\n"
        "  -p, --prompt TEXT    what it goes on from; - reads standard input. Without a space at\n"
        "                       the end: that belongs to the next word\n"
        "  -n, --most N         new tokens at most (default: until the model's context is full)\n"
        "  -t, --temperature T  how freely it speaks: 0 always says the likeliest, right for sums\n"
        "                       and questions; 0.8 makes each story another (default: 0)\n"
        "      --top-k N        choose among the N likeliest tokens only (default: 0, all)\n"
        "      --top-p X        choose among the likeliest that together have the share X\n"
        "                       (default: 0, all)\n"
        "  -s, --seed N         another choice with the same words (default: 1)\n"
        "      --count N        so many texts, made at once\n"
        "      --stats          on standard error: tokens a second, for the prompt and after it,\n"
        "                       and memory\n\n"
        "examples:\n"
        "  frugal run -p \"There are two red circles and a blue star. How many circles are "
        "there?\"\n"
        "  frugal run -p \"What is 23 + 48?\" --stats\n"
        "  frugal run -t 0.8 --count 3 -p \"One morning Ben met Ruth in the field. Ben had brought "
        "his green kite.\"\n"
        "  echo \"Count from 7 to 11:\" | frugal run tales -p - --quiet\n",
    .run = run,
};
