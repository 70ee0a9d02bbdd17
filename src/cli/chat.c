/* chat.c: `frugal chat`: a conversation with a language model, line by line.
 *
 * The whole conversation is written down by the model's template at each turn; the generator keeps its pages, so that
 * only what is new is read. Ctrl-C ends an answer, not the program. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/line_edit.h"
#include "cli/sampling_options.h"
#include "cli/saying.h"
#include "model/model.h"

typedef struct call {
    const char *model, *system, *template;
    fr_sampling_call sampling;
    int64_t most;
    bool stats;
} call;

typedef struct talk {
    const call *c;
    fr_model model;
    fr_tokenizer *tokenizer;
    fr_chat *chat;
    fr_generator *generator;
    fr_form form;
    fr_saying saying;
    fr_lines *lines;
    fr_json *messages;
    bool done;
    /* of the last answer */
    int64_t prompt, made;
    double begin, first, end;
    fr_status st;
} talk;

/* ---- the conversation ---- */

static fr_status add(talk *t, const char *role, const char *text, size_t bytes) {
    fr_json *m = json_pack("{s:s,s:o}", "role", role, "content", json_stringn(text, bytes));
    if (m && !json_array_append_new(t->messages, m)) return FR_OK;
    return fr_fail(FR_INVALID, "This line is no valid UTF-8.");
}

static void drop_last(talk *t) {
    json_array_remove(t->messages, json_array_size(t->messages) - 1);
}

static bool has_system(const talk *t) {
    const char *role = json_string_value(json_object_get(json_array_get(t->messages, 0), "role"));
    return role && !strcmp(role, "system");
}

/* The first message says how the model is to answer; an empty text takes it away. */
static fr_status set_system(talk *t, const char *text) {
    if (has_system(t)) json_array_remove(t->messages, 0);
    if (!text || !*text) return FR_OK;
    fr_json *m = json_pack("{s:s,s:s}", "role", "system", "content", text);
    if (m && !json_array_insert_new(t->messages, 0, m)) return FR_OK;
    return fr_fail(FR_INVALID, "The words of the system are no valid UTF-8.");
}

static fr_status clear(talk *t) {
    const fr_json *first = has_system(t) ? json_array_get(t->messages, 0) : NULL;
    fr_json *fresh = json_array();
    if (!fresh) return FR_NOMEM;
    if (first) json_array_append(fresh, (fr_json *)(uintptr_t)first);
    fr_json_free(t->messages);
    t->messages = fresh;
    return FR_OK;
}

/* ---- an answer ---- */

static bool on_token(void *arg, size_t which, int32_t token) {
    talk *t = arg;
    (void)which;
    if (!t->made++) t->first = fr_now();
    if (!t->st) t->st = fr_saying_token(&t->saying, token);
    return fflush(stdout) == 0 && !t->st && !t->saying.stops.hit && !fr_interrupted();
}

static void print_stats(const talk *t) {
    double wait = t->first - t->begin, rest = t->end - t->first;
    if (!t->made) return;
    fprintf(stderr, "(%lld tokens", (long long)t->made);
    if (t->made > 1) fprintf(stderr, ", %.1f tokens/s", (double)(t->made - 1) / rest);
    fprintf(stderr, ", the first after %.2f s)\n", wait);
}

static fr_status check_length(const talk *t, const fr_tokens *prompt) {
    int64_t context = t->model.decoder.context;
    if ((int64_t)prompt->count < context) return FR_OK;
    return fr_fail(FR_INVALID,
                   "The conversation has %zu tokens with this line, and %s was made for %lld; "
                   "/clear begins anew.",
                   prompt->count, t->model.path, (long long)context);
}

static fr_status generate(talk *t, const fr_tokens *prompt) {
    fr_tokens text = {0};
    fr_generate_opts o = {.sampling = t->c->sampling.how,
                          .constraint = t->form.constraint,
                          .most = t->c->most ? t->c->most : t->model.decoder.context,
                          .keep = true,
                          .on_token = on_token,
                          .arg = t};
    o.stop = fr_chat_ends(t->chat, &o.stops);
    fr_saying_begin(&t->saying);
    t->made = 0;
    t->prompt = (int64_t)prompt->count;
    t->begin = t->first = fr_now();
    fr_status st = fr_generate(t->generator, prompt, 1, &o, &text, NULL);
    t->end = fr_now();
    fr_free(text.ids);
    if (st == FR_INTERRUPTED) st = FR_OK;
    if (!st) st = t->st;
    t->st = FR_OK;
    fr_status ended = fr_saying_end(&t->saying);
    printf("\n");
    fr_interrupt_clear();
    return st ? st : ended;
}

/* What was said goes into the conversation as it was shown: in valid UTF-8. */
static fr_status add_answer(talk *t) {
    fr_text_stream stream = {0};
    size_t bytes = t->saying.bytes;
    char *clean = fr_alloc_array(FR_MEM_OTHER, FR_TEXT_STREAM_ROOM(bytes + 4), 1);
    if (!clean) return FR_NOMEM;
    size_t n = fr_text_stream_add(&stream, t->saying.text, bytes, clean);
    n += fr_text_stream_end(&stream, clean + n);
    fr_status st = add(t, "assistant", clean, n);
    fr_free(clean);
    return st;
}

static fr_status answer(talk *t, const char *line) {
    fr_tokens prompt = {0};
    FR_TRY(add(t, "user", line, strlen(line)));
    fr_status st = fr_chat_tokens(t->chat, t->messages, NULL, true, &prompt);
    if (!st) st = check_length(t, &prompt);
    if (!st) st = generate(t, &prompt);
    fr_free(prompt.ids);
    if (st) {
        drop_last(t);
        return st;
    }
    if (t->c->stats || (fr_lines_terminal(t->lines) && !fr_is_quiet())) print_stats(t);
    return add_answer(t);
}

/* ---- commands ---- */

static const char commands_help[] =
    "  /help          this\n"
    "  /clear         forget what was said\n"
    "  /system TEXT   how the model is to answer, from now on; without TEXT as it likes\n"
    "  /stats         tokens so far, speed, memory\n"
    "  /save FILE     the conversation as JSON\n"
    "  /exit          the end; Ctrl-D, too\n"
    "A line that ends with \\ goes on in the next one. Ctrl-C ends an answer.\n";

static fr_status print_all_stats(const talk *t) {
    char text[32];
    fr_generate_stats s = fr_generator_stats(t->generator);
    printf("template: %s\n", fr_chat_source(t->chat));
    printf("the conversation: %lld tokens of %lld\n", (long long)(t->prompt + t->made),
           (long long)t->model.decoder.context);
    printf("all: %lld tokens asked for, %lld of them read, %lld said\n", (long long)s.prompt,
           (long long)s.read, (long long)s.made);
    printf("memory: resident at most %s\n", fr_show_bytes(text, (double)fr_resident_peak_bytes()));
    return FR_OK;
}

static fr_status save(const talk *t, const char *path) {
    if (!*path) return fr_fail(FR_INVALID, "/save wants the name of a file.");
    return fr_json_save(t->messages, path);
}

static fr_status command(talk *t, const char *line) {
    size_t n = strcspn(line, " ");
    const char *rest = line + n;
    while (*rest == ' ') rest++;
#define IS(word) (n == strlen(word) && !strncmp(line, word, n))
    if (IS("/help")) {
        fputs(commands_help, stdout);
        return FR_OK;
    }
    if (IS("/clear")) return clear(t);
    if (IS("/system")) return set_system(t, rest);
    if (IS("/stats")) return print_all_stats(t);
    if (IS("/save")) return save(t, rest);
    if (IS("/exit") || IS("/quit")) {
        t->done = true;
        return FR_OK;
    }
#undef IS
    return fr_fail(FR_INVALID, "There is no command %.*s; /help lists them.", (int)n, line);
}

/* ---- the loop ---- */

/* Lines that end with a backslash are joined. fr_free it; NULL: there is no more. */
static fr_status read_all(talk *t, char **out) {
    const char *line;
    fr_line_end end;
    size_t bytes = 0, cap = 0;
    bool more = true;
    *out = NULL;
    while (more) {
        FR_TRY(fr_lines_read(t->lines, bytes ? ". " : "> ", &line, &end));
        if (end == FR_LINE_BREAK || (end == FR_LINE_NO_MORE && !bytes)) {
            fr_free(*out);
            *out = end == FR_LINE_BREAK ? fr_strdup("") : NULL;
            return FR_OK;
        }
        size_t n = end == FR_LINE_NO_MORE ? 0 : strlen(line);
        more = n && line[n - 1] == '\\';
        FR_TRY(fr_grow((void **)out, &cap, bytes + n + 2, 1));
        memcpy(*out + bytes, line, n);
        bytes += n;
        if (more) (*out)[bytes - 1] = '\n';
        (*out)[bytes] = 0;
    }
    return FR_OK;
}

static fr_status turn(talk *t) {
    char *line;
    FR_TRY(read_all(t, &line));
    t->done = !line;
    if (!line || !line[strspn(line, " \t\n")]) {
        fr_free(line);
        return FR_OK;
    }
    fr_status st = *line == '/' ? command(t, line) : answer(t, line);
    fr_free(line);
    if (!st || st == FR_NOMEM || !fr_lines_terminal(t->lines)) return st;
    /* What is wrong with one line is said, and the next one may be better. */
    fflush(stdout);
    fprintf(stderr, "frugal: %s\n", fr_message());
    fr_message_clear();
    return FR_OK;
}

static fr_status open_all(talk *t, const call *c) {
    FR_TRY(fr_model_open(c->model, &t->model));
    FR_TRY(fr_tokenizer_open(t->model.path, &t->tokenizer));
    FR_TRY(fr_chat_new(t->model.store, t->tokenizer, c->template, &t->chat));
    fr_generator_opts o = {.batch = 1, .pages = t->model.pages};
    FR_TRY(fr_cli_pool(&o.pool));
    FR_TRY(fr_generator_new(&t->model.decoder, t->model.store, &o, &t->generator));
    int32_t count;
    const int32_t *ends = fr_chat_ends(t->chat, &count);
    FR_TRY(fr_form_new(&c->sampling, t->tokenizer, ends, count, &t->form));
    FR_TRY(fr_saying_new(t->tokenizer, c->sampling.stops, c->sampling.stop_count, &t->saying));
    t->saying.trim = true;
    if (!(t->messages = json_array())) return FR_NOMEM;
    FR_TRY(set_system(t, c->system));
    char *history = fr_state_file("chat_history");
    fr_status st = fr_lines_new(history, &t->lines);
    fr_free(history);
    return st;
}

static fr_status talk_all(talk *t, const call *c) {
    FR_TRY(open_all(t, c));
    bool terminal = fr_lines_terminal(t->lines) && !fr_is_quiet();
    if (terminal)
        printf("%s, template %s. /help lists what else can be said; Ctrl-D ends.\n", t->model.path,
               fr_chat_source(t->chat));
    if (terminal && fr_chat_is_plain(t->chat))
        printf("This model was not made for conversations: it goes on with what is said.\n");
    while (!t->done) FR_TRY(turn(t));
    return FR_OK;
}

static fr_status run_talk(const call *c) {
    talk t = {.c = c};
    fr_status st = talk_all(&t, c);
    fr_lines_free(t.lines);
    fr_json_free(t.messages);
    fr_saying_free(&t.saying);
    fr_generator_free(t.generator);
    fr_form_free(&t.form);
    fr_chat_free(t.chat);
    fr_tokenizer_free(t.tokenizer);
    fr_model_close(&t.model);
    return st;
}

/* ---- the call ---- */

static const struct option own_options[] = {{"system", required_argument, NULL, 'y'},
                                            {"template", required_argument, NULL, 'T'},
                                            {"most", required_argument, NULL, 'n'},
                                            {"stats", no_argument, NULL, 'S'}};

/* One option; else the exit code for it. */
static int take(call *c, int option, const char *word) {
    double v;
    int code = fr_sampling_take(&c->sampling, "chat", option, word);
    if (code >= 0) return code;
    switch (option) {
    case 'y': c->system = word; return 0;
    case 'T': c->template = word; return 0;
    case 'n':
        if (!fr_cli_number(word, 1, 1e7, &v) || v != floor(v))
            return fr_cli_usage("chat", "\"%s\" is not a number of tokens from 1 to 10^7", word);
        c->most = (int64_t)v;
        return 0;
    default: c->stats = true; return 0;
    }
}

static int run(int argc, char **argv) {
    struct option options[FR_COUNT(own_options) + FR_SAMPLING_OPTIONS];
    call c = {.model = "tales", .sampling.how.seed = 1};
    fr_sampling_options(own_options, FR_COUNT(own_options), options);
    opterr = 0;
    for (int k; (k = getopt_long(argc, argv, ":n:t:s:", options, NULL)) != -1;) {
        if (k == ':') return fr_cli_usage("chat", "%s wants a value", argv[optind - 1]);
        if (k == '?') return fr_cli_usage("chat", "there is no option \"%s\"", argv[optind - 1]);
        int code = take(&c, k, optarg);
        if (code) return code;
    }
    if (optind + 1 < argc)
        return fr_cli_usage("chat", "one model at a time, not \"%s\" too", argv[optind + 1]);
    if (optind < argc) c.model = argv[optind];
    fr_status st = run_talk(&c);
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

const fr_command fr_command_chat = {
    .name = "chat",
    .summary = "a conversation with a language model",
    .help =
        "usage: frugal chat [MODEL] [options]\n\n"
        "What you say is put to the model in the form in which it learned conversations, and its\n"
        "answer is shown as it comes, with its speed at the end. Ctrl-C ends an answer, Ctrl-D\n"
        "the conversation. From a pipe, each line is something that is said.\n\n"
        "MODEL is a folder with config.json, tokenizer.json and weights, a GGUF file, or the name\n"
        "of a shipped model; tales when not given. Its form is, in this order: --template,\n"
        "chat_template.jinja, that of tokenizer_config.json or of the GGUF file, the one of its\n"
        "family; else plain: what was said, line by line.\n\n"
        "      --system TEXT    how the model is to answer\n"
        "      --template WHAT  chatml, llama2, llama3, mistral, gemma, phi3, plain, or a file\n"
        "  -n, --most N         tokens of an answer at most (default: until the context is full)\n"
        "      --stats          the speed of each answer, also when this is no terminal\n\n"
        "in the conversation:\n"
        "  /help          lists these\n"
        "  /clear         forget what was said\n"
        "  /system TEXT   how the model is to answer, from now on\n"
        "  /stats         tokens, speed, memory\n"
        "  /save FILE     the conversation as JSON\n"
        "  /exit          the end\n"
        "A line that ends with \\ goes on in the next one. Arrows, Home, End, Ctrl-A E K U W "
        "edit;\n"
        "up and down go through what was said before, which is kept in\n"
        "$XDG_STATE_HOME/frugal/chat_history (or under ~/.local/state).\n\n" FR_SAMPLING_HELP
        "\nexamples:\n"
        "  frugal chat my-model --system \"Answer in one sentence.\" -t 0.7 --top-p 0.9\n"
        "  echo \"What is 23 + 48?\" | frugal chat tales --quiet\n",
    .run = run,
};
