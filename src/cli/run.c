/* run.c: `frugal run`: a language model writes on from a prompt, or answers it.
 *
 * One text is shown as it comes; several are made at once and shown when all are there. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/run_memory.h"
#include "cli/run_times.h"
#include "cli/sampling_options.h"
#include "cli/saying.h"
#include "model/model.h"

enum { MOST_AT_ONCE = 64, MOST_PROMPT = 1 << 24 };

typedef struct call {
    const char *model, *prompt, *file, *system, *template;
    const char *kv, *drafter; /* NULL: as the model says; no model drafts */
    fr_sampling_call sampling;
    int64_t most, count;
    int32_t drafts;
    bool chat, stats, times;
} call;

typedef struct job {
    const call *c;
    fr_model model, drafter;
    fr_tokenizer *tokenizer;
    fr_chat *chat; /* NULL: the prompt as it is */
    fr_form form;
    fr_generator *generator;
    fr_tokens *prompts; /* c->count times the same */
    fr_tokens *texts;
    fr_ended *why;
    fr_saying *saying;    /* of each text: where it stops */
    fr_progress progress; /* of several */
    int64_t made;         /* tokens of all texts */
    double opened;        /* seconds that reading the model took */
    double begin, first, end;
    fr_status st; /* of showing */
} job;

/* ---- showing ---- */

static fr_status end_of_text(fr_saying *s) {
    FR_TRY(fr_saying_end(s));
    printf("\n");
    return FR_OK;
}

static void begin_of_text(const job *j) {
    if (!fr_is_quiet() && !j->chat) fputs(j->c->prompt, stdout);
}

static bool on_token(void *arg, size_t which, int32_t token) {
    job *j = arg;
    fr_saying *s = &j->saying[which];
    if (!j->made++) {
        j->first = fr_now();
        if (j->c->stats) fr_cli_memory_look();
    }
    if (!j->st) j->st = fr_saying_token(s, token);
    if (j->c->count > 1)
        fr_progress_update(&j->progress, (double)j->made);
    else if (fflush(stdout))
        return false; /* main says that it could not be written */
    return !j->st && !s->stops.hit;
}

static fr_status show_all(job *j) {
    for (int64_t i = 0; i < j->c->count; i++) {
        fr_saying *s = &j->saying[i];
        begin_of_text(j);
        fr_saying_begin(s);
        s->show = true;
        for (size_t k = 0; k < j->texts[i].count && !s->stops.hit; k++)
            FR_TRY(fr_saying_token(s, j->texts[i].ids[k]));
        FR_TRY(end_of_text(s));
        if (i + 1 < j->c->count) printf("\n");
    }
    return FR_OK;
}

/* ---- figures ---- */

static void print_drafts(const job *j) {
    fr_generate_stats s = fr_generator_stats(j->generator);
    if (s.guessed)
        fprintf(stderr, "drafts: %lld tokens guessed, %lld of them right\n", (long long)s.guessed,
                (long long)s.kept);
}

static const char *reason(fr_ended why) {
    return why == FR_ENDED_STOP      ? "the text had ended"
           : why == FR_ENDED_FULL    ? "the model's context was full"
           : why == FR_ENDED_GRAMMAR ? "nothing may follow"
           : why == FR_ENDED_CALLER  ? "up to a text to stop at"
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
    print_drafts(j);
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
    if (c->chat) FR_TRY(fr_chat_new(j->model.store, j->tokenizer, c->template, &j->chat));
    fr_generator_opts o = {.batch = (int32_t)FR_MIN(c->count, MOST_AT_ONCE),
                           .pages = j->model.pages};
    if (c->kv) fr_cli_kv(c->kv, &o.pages);
    if (c->drafter) {
        FR_TRY(fr_model_open(c->drafter, &j->drafter));
        o.draft = &j->drafter.decoder;
        o.draft_store = j->drafter.store;
    }
    FR_TRY(fr_cli_pool(&o.pool));
    FR_TRY(fr_generator_new(&j->model.decoder, j->model.store, &o, &j->generator));
    return c->times ? fr_engine_time(fr_generator_engine(j->generator)) : FR_OK;
}

static fr_status make_room(job *j) {
    size_t n = (size_t)j->c->count;
    j->prompts = fr_alloc(FR_MEM_OTHER, 2 * n * sizeof *j->prompts);
    j->why = fr_alloc(FR_MEM_OTHER, n * sizeof *j->why);
    j->saying = fr_alloc(FR_MEM_OTHER, n * sizeof *j->saying);
    if (!j->prompts || !j->why || !j->saying) return FR_NOMEM;
    j->texts = j->prompts + n;
    return FR_OK;
}

/* What is asked, as a conversation of one message. */
static fr_status encode_chat(job *j, fr_tokens *t) {
    fr_json *list = json_array();
    fr_status st = FR_OK;
    if (j->c->system)
        json_array_append_new(list,
                              json_pack("{s:s,s:s}", "role", "system", "content", j->c->system));
    if (json_array_append_new(list,
                              json_pack("{s:s,s:s}", "role", "user", "content", j->c->prompt)))
        st = fr_fail(FR_INVALID, "The prompt is no valid UTF-8, which a conversation must be.");
    if (!st) st = fr_chat_tokens(j->chat, list, NULL, true, t);
    fr_json_free(list);
    return st;
}

/* All share the ids of the first. */
static fr_status encode(job *j) {
    const char *text = j->c->prompt;
    fr_tokens *t = &j->prompts[0];
    FR_TRY(j->chat ? encode_chat(j, t)
                   : fr_tokenizer_encode(j->tokenizer, text, strlen(text), FR_ENCODE_BOS, t));
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

static fr_status begin_all(job *j) {
    const call *c = j->c;
    for (int64_t i = 0; i < c->count; i++) {
        fr_saying *s = &j->saying[i];
        FR_TRY(fr_saying_new(j->tokenizer, c->sampling.stops, c->sampling.stop_count, s));
        s->trim = fr_is_quiet() || j->chat;
        s->show = c->count == 1;
    }
    return FR_OK;
}

static fr_status generate(job *j) {
    const call *c = j->c;
    fr_generate_opts o = {.sampling = c->sampling.how,
                          .most = c->most ? c->most : j->model.decoder.context,
                          .drafts = c->drafts || !c->drafter ? c->drafts : 4,
                          .on_token = on_token,
                          .arg = j};
    int32_t eos = fr_tokenizer_eos(j->tokenizer);
    o.stop = &eos;
    o.stops = eos >= 0;
    if (j->chat) o.stop = fr_chat_ends(j->chat, &o.stops);
    FR_TRY(fr_form_new(&c->sampling, j->tokenizer, o.stop, o.stops, &j->form));
    o.constraint = j->form.constraint;
    FR_TRY(begin_all(j));
    bool alone = c->count == 1;
    if (alone) begin_of_text(j);
    j->progress = fr_progress_start("run", 0, "tokens");
    j->begin = fr_now();
    fr_status st = fr_generate(j->generator, j->prompts, (size_t)c->count, &o, j->texts, j->why);
    j->end = fr_now();
    if (!alone) fr_progress_end(&j->progress);
    if (!st) st = j->st;
    if (alone) {
        fr_status ended = end_of_text(&j->saying[0]);
        return st ? st : ended;
    }
    return st ? st : show_all(j);
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
    if (c->times) fr_cli_times_print(fr_generator_engine(j->generator), j->end - j->begin);
    return FR_OK;
}

static fr_status run_model(const call *c) {
    job j = {.c = c};
    fr_status st = work(&j, c);
    fr_generator_free(j.generator);
    fr_form_free(&j.form);
    fr_chat_free(j.chat);
    fr_tokenizer_free(j.tokenizer);
    fr_model_close(&j.model);
    fr_model_close(&j.drafter);
    if (j.prompts) fr_free(j.prompts[0].ids);
    for (int64_t i = 0; j.texts && i < c->count; i++) fr_free(j.texts[i].ids);
    for (int64_t i = 0; j.saying && i < c->count; i++) fr_saying_free(&j.saying[i]);
    fr_free(j.prompts);
    fr_free(j.why);
    fr_free(j.saying);
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

/* A file, in the same way. */
static fr_status read_file(const char *path, char **out) {
    size_t n;
    FR_TRY(fr_read_file(path, MOST_PROMPT, out, &n));
    if (n && (*out)[n - 1] == '\n') (*out)[--n] = 0;
    if (strlen(*out) == n) return FR_OK;
    return fr_fail(FR_INVALID, "The prompt in %s holds a zero byte; it is no text.", path);
}

static fr_status run_call(call *c) {
    char *text = NULL;
    fr_status st = FR_OK;
    if (c->file) {
        st = read_file(c->file, &text);
        c->prompt = text;
    } else if (!strcmp(c->prompt, "-")) {
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
    {'c', 1, 1e4, true, "a number of texts from 1 to 10000"},
    {'d', 0, 32, true, "a number of tokens from 0 to 32"},
};

/* One option; else the exit code for it. */
static int take(call *c, int option, const char *word) {
    double v = 0;
    int code = fr_sampling_take(&c->sampling, "run", option, word);
    if (code >= 0) return code;
    for (size_t i = 0; i < FR_COUNT(numbers); i++) {
        const limits *l = &numbers[i];
        if (l->option != option) continue;
        if (!fr_cli_number(word, l->lo, l->hi, &v) || (l->whole && v != floor(v)))
            return fr_cli_usage("run", "\"%s\" is not %s", word, l->what);
    }
    switch (option) {
    case 'p': c->prompt = word; break;
    case 'f': c->file = word; break;
    case 'n': c->most = (int64_t)v; break;
    case 'c': c->count = (int64_t)v; break;
    case 'd': c->drafts = (int32_t)v; break;
    case 'D': c->drafter = word; break;
    case 'K':
        c->kv = word;
        if (!fr_cli_kv(word, &(fr_kv_kind){0}))
            return fr_cli_usage("run", "--kv is f32, bf16, f16, 8 or 4, not \"%s\"", word);
        break;
    case 'C': c->chat = true; break;
    case 'R': c->chat = false; break;
    case 'y': c->system = word; break;
    case 'T': c->template = word; break;
    case 'W': c->times = true; break;
    default: c->stats = true; break;
    }
    if (option == 'y' || option == 'T') c->chat = true;
    return 0;
}

static const struct option own_options[] = {{"prompt", required_argument, NULL, 'p'},
                                            {"file", required_argument, NULL, 'f'},
                                            {"most", required_argument, NULL, 'n'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"drafts", required_argument, NULL, 'd'},
                                            {"drafter", required_argument, NULL, 'D'},
                                            {"kv", required_argument, NULL, 'K'},
                                            {"chat", no_argument, NULL, 'C'},
                                            {"raw", no_argument, NULL, 'R'},
                                            {"system", required_argument, NULL, 'y'},
                                            {"template", required_argument, NULL, 'T'},
                                            {"stats", no_argument, NULL, 'S'},
                                            {"times", no_argument, NULL, 'W'}};

static int run(int argc, char **argv) {
    struct option options[FR_COUNT(own_options) + FR_SAMPLING_OPTIONS];
    call c = {.model = "tales", .count = 1, .sampling.how.seed = 1};
    fr_sampling_options(own_options, FR_COUNT(own_options), options);
    opterr = 0;
    for (int k; (k = getopt_long(argc, argv, ":p:f:n:t:s:", options, NULL)) != -1;) {
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
    if (c.prompt && c.file) return fr_cli_usage("run", "one prompt at a time: -p or -f");
    if (!c.prompt && !c.file) return fr_cli_usage("run", "what is it to go on from? -p \"PROMPT\"");
    if (c.count > 1 && !(c.sampling.how.temperature > 0))
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
        "  -f, --file FILE      the prompt is in a file\n"
        "      --chat           the prompt is a question: it is put to the model in the form of a\n"
        "                       conversation, as its chat template says, and the answer is shown\n"
        "      --system TEXT    and before it, how the model is to answer (means --chat)\n"
        "      --template WHAT  another chat template (means --chat): chatml, llama2, llama3,\n"
        "                       mistral, gemma, phi3, plain, or a file\n"
        "      --raw            no conversation, the prompt as it is (the default)\n"
        "  -n, --most N         new tokens at most (default: until the model's context is full)\n"
        "      --count N        so many texts, made at once\n"
        "      --drafts N       guess N tokens ahead from what followed the same words before; "
        "the\n"
        "                       text is the same, and comes sooner when it repeats itself\n"
        "      --drafter MODEL  a smaller model with the same tokens guesses, 4 ahead where "
        "--drafts\n"
        "                       says nothing else\n"
        "      --kv KIND        keys and values in f32, bf16, f16, 8 or 4 bits (default: as the\n"
        "                       model says, else bf16)\n"
        "      --stats          on standard error: tokens a second, for the prompt and after it,\n"
        "                       and memory\n"
        "      --times          and where that time went, operator by operator\n\n" FR_SAMPLING_HELP
        "\nexamples:\n"
        "  frugal run -p \"There are two red circles and a blue star. How many circles are "
        "there?\"\n"
        "  frugal run -p \"What is 23 + 48?\" --stats\n"
        "  frugal run -t 0.8 --count 3 -p \"One morning Ben met Ruth in the field. Ben had brought "
        "his green kite.\"\n"
        "  echo \"Count from 7 to 11:\" | frugal run tales -p - --quiet\n"
        "  frugal run my-model --chat -p \"Where is Ulm?\" --schema place.json\n",
    .run = run,
};
