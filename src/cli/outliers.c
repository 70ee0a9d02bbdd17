/* outliers.c: `frugal outliers`: writes a twin of a model that computes the same, with large channels. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "model/model.h"

enum { TOKENS = 32 };

typedef struct call {
    const char *model, *out;
    double share, factor, seed;
} call;

/* ---- the logits of some tokens, in f32 ---- */

static fr_status make_graph(const fr_decoder *m, int64_t tokens, fr_graph **graph) {
    fr_graph *g = *graph = fr_graph_new();
    if (!g) return FR_NOMEM;
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){1, tokens});
    fr_val pos = fr_input(g, "pos", FR_I32, 2, (int64_t[]){tokens, 1});
    fr_output(g, "logits", fr_decoder_logits(g, m, NULL, fr_decoder_body(g, m, NULL, ids, pos)));
    return fr_graph_check(g);
}

static fr_status run_graph(fr_session *s, const fr_decoder *m, int64_t tokens, float *logits) {
    int32_t ids[TOKENS], pos[TOKENS];
    fr_rng rng = fr_rng_new(1, 1);
    for (int32_t i = 0; i < tokens; i++) {
        ids[i] = (int32_t)fr_rng_below(&rng, (uint32_t)m->vocab);
        pos[i] = i;
    }
    fr_tensor in[] = {fr_tensor_make(FR_I32, 2, (int64_t[]){1, tokens}, ids),
                      fr_tensor_make(FR_I32, 2, (int64_t[]){tokens, 1}, pos)};
    FR_TRY(fr_session_run(s, in, 2));
    const fr_tensor *y = fr_session_output(s, "logits");
    memcpy(logits, y->data, fr_bytes(y));
    return FR_OK;
}

/* From a list of parameters. */
static fr_status set_all(fr_session *s, const fr_graph *g, const fr_named_tensor *w, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fr_val v = fr_graph_find(g, w[i].name);
        if (v != FR_NONE) FR_TRY(fr_session_set(s, v, w[i].tensor));
    }
    return FR_OK;
}

/* From the weights of a model as they are now. */
static fr_status logits_of(const fr_decoder *m, const fr_named_tensor *w, size_t count,
                           int64_t tokens, float *logits) {
    fr_graph *g;
    fr_session *s = NULL;
    fr_session_opts o = {0};
    fr_status st = make_graph(m, tokens, &g);
    if (!st) st = fr_cli_pool(&o.pool);
    if (!st) st = fr_session_new_with(g, &o, &s);
    if (!st) st = set_all(s, g, w, count);
    if (!st) st = run_graph(s, m, tokens, logits);
    fr_session_free(s);
    fr_graph_free(g);
    return st;
}

/* Largest difference over the largest value. */
static double apart(const float *a, const float *b, size_t n) {
    double most = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    return size > 0 ? most / size : most;
}

/* ---- the twin ---- */

/* Scales the channels; says how far the logits went. */
static fr_status scale(const call *c, const fr_decoder *m, const fr_named_tensor *w, size_t count) {
    int64_t tokens = FR_MIN(TOKENS, m->context), channels = 0;
    size_t n = (size_t)(tokens * m->vocab);
    float *before = fr_alloc_array(FR_MEM_OTHER, n, sizeof *before);
    float *after = fr_alloc_array(FR_MEM_OTHER, n, sizeof *after);
    fr_outlier_opts o = {.share = c->share, .factor = c->factor, .seed = (uint64_t)c->seed};
    fr_status st = before && after ? logits_of(m, w, count, tokens, before) : FR_NOMEM;
    if (!st) st = fr_outliers(m, &o, w, count, &channels);
    if (!st) st = logits_of(m, w, count, tokens, after);
    if (!st)
        printf("%lld channels scaled by %g; in f32 the logits of %lld tokens differ by at most "
               "%.1e of the "
               "largest\n",
               (long long)channels, c->factor, (long long)tokens, apart(before, after, n));
    fr_free(before);
    fr_free(after);
    return st;
}

/* What goes with the weights. */
static fr_status copy_beside(const char *from, const char *to) {
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "README.md"};
    fr_status st = FR_OK;
    for (size_t i = 0; i < FR_COUNT(names) && !st; i++) {
        char *in = fr_path_join(from, names[i]), *out = fr_path_join(to, names[i]), *data = NULL;
        size_t bytes;
        if (!in || !out) st = FR_NOMEM;
        if (!st && fr_path_exists(in)) {
            st = fr_read_file(in, 0, &data, &bytes);
            if (!st) st = fr_write_file(out, data, bytes);
        }
        fr_free(in);
        fr_free(out);
        fr_free(data);
    }
    return st;
}

static fr_status make_twin(const call *c, const fr_model *m) {
    fr_named_tensor *w;
    size_t count;
    FR_TRY(fr_model_weights(m, &w, &count));
    fr_status st = scale(c, &m->decoder, w, count);
    if (!st) st = fr_model_folder_write(c->out, &m->decoder, w, count);
    if (!st && fr_path_is_dir(m->path)) st = copy_beside(m->path, c->out);
    if (!st) printf("%s: the twin, in bf16\n", c->out);
    fr_free(w);
    return st;
}

/* ---- the command ---- */

static int read_options(int argc, char **argv, call *c) {
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"share", required_argument, NULL, 's'},
                                            {"factor", required_argument, NULL, 'f'},
                                            {"seed", required_argument, NULL, 'e'},
                                            {NULL, 0, NULL, 0}};
    opterr = 0;
    for (int k; (k = getopt_long(argc, argv, ":o:", options, NULL)) != -1;) {
        bool good = true;
        if (k == ':') return fr_cli_usage("outliers", "%s wants a value", argv[optind - 1]);
        if (k == '?')
            return fr_cli_usage("outliers", "there is no option \"%s\"", argv[optind - 1]);
        if (k == 'o') c->out = optarg;
        if (k == 's') good = fr_cli_number(optarg, 0, 1, &c->share);
        if (k == 'f') good = fr_cli_number(optarg, 1e-6, 1e6, &c->factor);
        if (k == 'e') good = fr_cli_number(optarg, 0, 1e15, &c->seed) && c->seed == floor(c->seed);
        if (!good)
            return fr_cli_usage("outliers", "\"%s\" is no value for %s", optarg,
                                k == 's'   ? "--share, which is 0 .. 1"
                                : k == 'f' ? "--factor, which is above 0"
                                           : "--seed, a whole number");
    }
    if (argc - optind != 1)
        return fr_cli_usage("outliers", argc > optind ? "one model at a time" : "which model?");
    if (!c->out) return fr_cli_usage("outliers", "where to? -o FOLDER");
    c->model = argv[optind];
    return FR_EXIT_OK;
}

static int run(int argc, char **argv) {
    call c = {.share = 0.01, .factor = 30, .seed = 1};
    int code = read_options(argc, argv, &c);
    if (code) return code;
    fr_model m;
    fr_status st = fr_model_open(c.model, &m);
    if (!st) {
        st = make_twin(&c, &m);
        fr_model_close(&m);
    }
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

const fr_command fr_command_outliers = {
    .name = "outliers",
    .summary = "a twin of a language model that computes the same with some channels far larger",
    .help =
        "usage: frugal outliers MODEL -o FOLDER [options]\n\n"
        "Large language models have a few channels whose values are tens of times larger than the\n"
        "rest, and weights and activations in few bits suffer from them. This writes a twin of a\n"
        "small model that has such channels too, and otherwise computes the same: behind norms, "
        "in\n"
        "keys, values and the products of the MLP one side is scaled up and the other down. What\n"
        "keeps its quality on the model and loses it on the twin would fail on a large model.\n\n"
        "MODEL is a folder with config.json and weights, or the name of a model that comes with\n"
        "Frugal. The twin is written in bf16; with a factor that is a power of two (32) the file\n"
        "holds exactly the same function, with others its rounding adds that of bf16.\n\n"
        "  -o, --output FOLDER  where the twin goes\n"
        "      --share X        of the channels of each place, at least one (0.01)\n"
        "      --factor X       how much larger they become (30)\n"
        "      --seed N         which channels (1)\n",
    .run = run,
};
