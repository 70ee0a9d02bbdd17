/* quantize.c: `frugal quantize`: a language model with weights in few bits, made from one in many. */
#include "cli/quantize.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct outcome {
    fr_surprise whole[2], answers[2]; /* before, after */
    fr_quantize_report report;
    double seconds, bytes; /* bytes: of the weights before */
} outcome;

/* ---- what is printed ---- */

void fr_quantize_print_layers(const fr_quantize_report *r, bool keys) {
    fr_table *t =
        fr_table_new(keys ? "layer|>weights, dB|>outputs, dB|>worst, dB|of|keys: alpha, beta"
                          : "layer|>weights, dB|>outputs, dB|>worst, dB|of");
    if (!t) return;
    for (int64_t i = 0; i < r->layers; i++) {
        const fr_layer_report *l = &r->layer[i];
        fr_table_cell(t, "%lld", (long long)i);
        fr_table_cell(t, "%.2f", l->weights);
        fr_table_cell(t, l->outputs > 0 ? "%.2f" : "-", l->outputs);
        fr_table_cell(t, l->outputs > 0 ? "%.2f" : "-", l->worst);
        fr_table_cell(t, "%s", l->outputs > 0 ? l->linear : "-");
        if (!keys) continue;
        if (l->key_alpha > 0 || l->key_beta > 0)
            fr_table_cell(t, "%.2f, %.2f", l->key_alpha, l->key_beta);
        else
            fr_table_cell(t, "-");
    }
    fr_table_print(t, stdout);
    fr_table_free(t);
}

static void print_outcome(const fr_quantize_call *c, const outcome *o) {
    char a[32], b[32];
    const fr_quantize_report *r = &o->report;
    if (o->report.layer) fr_quantize_print_layers(r, true);
    printf("\nlinears: %.2f bits a weight; file: %s, before %s (%.2f times smaller)\n",
           r->linear_bits, fr_show_bytes(a, r->bytes), fr_show_bytes(b, o->bytes),
           r->bytes > 0 ? o->bytes / r->bytes : 0);
    for (int i = 0; i < 2 && o->whole[1].tokens; i++) {
        const fr_surprise *s = i ? o->answers : o->whole;
        if (i && s[0].tokens == o->whole[0].tokens) break;
        double before = fr_surprise_a_token(s[0]), after = fr_surprise_a_token(s[1]);
        printf("perplexity%s: %.4f before, %.4f after (%+.2f%%), %lld tokens\n",
               i ? " of answers alone" : "", before, after, 100 * (after / before - 1),
               (long long)s[1].tokens);
    }
    printf("%s: %s in %s, %s\n", c->out, c->o.recipe.name, c->o.recipe.format,
           fr_show_time(a, o->seconds));
}

static fr_status write_json(const fr_quantize_call *c, const outcome *o) {
    fr_json *j =
        json_pack("{ss ss ss sf sf sf sf sf sf sf}", "model", c->model, "recipe", c->o.recipe.name,
                  "weights", c->o.recipe.format, "bits_a_weight", o->report.linear_bits, "bytes",
                  o->report.bytes, "bytes_before", o->bytes, "perplexity_before",
                  fr_surprise_a_token(o->whole[0]), "perplexity", fr_surprise_a_token(o->whole[1]),
                  "perplexity_of_answers_before", fr_surprise_a_token(o->answers[0]),
                  "perplexity_of_answers", fr_surprise_a_token(o->answers[1]));
    fr_status st = j ? fr_json_save(j, c->json) : fr_fail(FR_NOMEM, "The figures are no JSON.");
    fr_json_free(j);
    return st;
}

/* ---- the work ---- */

static void on_progress(void *arg, double layers) {
    fr_progress_update(arg, layers);
}

/* Fewer texts, until what is needed fits. */
static fr_status fit(fr_quantize_call *c, const fr_model *m) {
    char need[32], have[32];
    size_t before = c->o.texts;
    double bytes = fr_quantize_bytes(&m->decoder, &c->o);
    while (c->memory > 0 && bytes > c->memory && c->o.texts > 8) {
        c->o.texts = c->o.texts * 7 / 8;
        bytes = fr_quantize_bytes(&m->decoder, &c->o);
    }
    fr_show_bytes(need, bytes);
    if (c->memory > 0 && bytes > c->memory)
        return fr_fail(FR_NOMEM, "Quantizing %s takes %s of memory, and %s are allowed.", m->path,
                       need, fr_show_bytes(have, c->memory));
    if (fr_is_quiet()) return FR_OK;
    fprintf(stderr, "memory: at most %s beside the mapped file", need);
    if (c->o.texts < before)
        fprintf(stderr, "; %zu texts for calibration instead of %zu", c->o.texts, before);
    fprintf(stderr, "\n");
    return FR_OK;
}

static fr_status weigh_made(const fr_quantize_call *c, const fr_texts *t, outcome *o) {
    fr_model made;
    FR_TRY(fr_model_open(c->out, &made));
    fr_status st = fr_quantize_weigh(&made, t, c->o.pool, &o->whole[1], &o->answers[1]);
    fr_model_close(&made);
    return st;
}

/* A folder's files went along; a GGUF file holds its tokenizer itself. */
static fr_status keep_tokenizer(const fr_quantize_call *c, const fr_model *m) {
    fr_tokenizer *t;
    if (fr_path_is_dir(m->path) || !fr_path_has_suffix(m->path, ".gguf")) return FR_OK;
    FR_TRY(fr_tokenizer_open(m->path, &t));
    char *path = fr_path_join(c->out, "tokenizer.json");
    fr_status st = path ? fr_tokenizer_save(t, path) : FR_NOMEM;
    fr_tokenizer_free(t);
    fr_free(path);
    return st;
}

static fr_status make(fr_quantize_call *c, const fr_model *m, const fr_texts *measure, outcome *o) {
    double begin = fr_now();
    for (size_t i = 0; i < fr_store_count(m->store); i++)
        o->bytes += (double)fr_bytes(fr_store_shape(m->store, i));
    FR_TRY(fit(c, m));
    if (measure->count)
        FR_TRY(fr_quantize_weigh(m, measure, c->o.pool, &o->whole[0], &o->answers[0]));
    fr_progress bar = fr_progress_start("quantizing", (double)m->decoder.layers, "layers");
    c->o.on_progress = on_progress, c->o.arg = &bar;
    fr_status st = fr_quantize_model(m, c->out, &c->o, &o->report);
    fr_progress_end(&bar);
    o->seconds = fr_now() - begin;
    if (st == FR_INTERRUPTED && !fr_is_quiet())
        fprintf(stderr, "stopped; the same call goes on from the last whole layer\n");
    if (!st) st = keep_tokenizer(c, m);
    FR_TRY(st);
    return measure->count ? weigh_made(c, measure, o) : FR_OK;
}

static fr_status with_model(fr_quantize_call *c, const fr_model *m) {
    fr_texts calibrate = {0}, measure = {0};
    outcome o = {0};
    if (!c->samples) c->samples = 128;
    if (!c->chosen_smooth && !c->chosen_keys) fr_quantize_suit(&c->o.recipe, &m->decoder);
    if (c->evaluate < 0) c->evaluate = fr_decoder_params(&m->decoder) > 200000000 ? 2048 : 16384;
    FR_TRY(fr_cli_pool(&c->o.pool));
    fr_interrupt_watch();
    fr_status st = fr_quantize_texts(c, m, &calibrate, &measure);
    c->o.ids = calibrate.ids.ids, c->o.length = calibrate.length, c->o.texts = calibrate.count;
    if (!st) st = make(c, m, &measure, &o);
    if (!st) print_outcome(c, &o);
    if (!st && c->json) st = write_json(c, &o);
    fr_free(o.report.layer);
    fr_texts_free(&calibrate);
    fr_texts_free(&measure);
    return st;
}

/* ---- GGUF ---- */

static const struct {
    const char *recipe;
    fr_dtype blocks;
} exports[] = {
    {"gguf-q4_0", FR_Q4_0},
    {"gguf-q8_0", FR_Q8_0},
    {"gguf-bf16", FR_BF16},
};

/* FR_NOTYPE: the recipe is none of these. */
static fr_dtype export_of(const char *recipe) {
    for (size_t i = 0; i < FR_COUNT(exports); i++)
        if (!strcmp(exports[i].recipe, recipe)) return exports[i].blocks;
    return FR_NOTYPE;
}

static fr_status export_model(const fr_quantize_call *c, const fr_model *m) {
    char text[32];
    double bytes;
    FR_TRY(fr_gguf_export(m, c->out, c->blocks, &bytes));
    printf("%s: GGUF, %s\n", c->out, fr_show_bytes(text, bytes));
    return FR_OK;
}

/* ---- the call ---- */

enum {
    CALIBRATE = 256,
    SAMPLES,
    TOKENS,
    EVALUATE,
    MEMORY,
    SEED,
    ROTATE,
    REORDER,
    KEYS,
    SMOOTH,
    SEARCH,
    GPTQ,
    FORMAT,
    KV,
    HEAD,
    THROUGH,
    FRESH,
    JSON,
};

static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                        {"recipe", required_argument, NULL, 'r'},
                                        {"calibrate", required_argument, NULL, CALIBRATE},
                                        {"samples", required_argument, NULL, SAMPLES},
                                        {"tokens", required_argument, NULL, TOKENS},
                                        {"evaluate", required_argument, NULL, EVALUATE},
                                        {"memory", required_argument, NULL, MEMORY},
                                        {"seed", required_argument, NULL, SEED},
                                        {"rotate", required_argument, NULL, ROTATE},
                                        {"reorder", required_argument, NULL, REORDER},
                                        {"smooth-attention", required_argument, NULL, KEYS},
                                        {"smooth", required_argument, NULL, SMOOTH},
                                        {"range-search", required_argument, NULL, SEARCH},
                                        {"gptq", required_argument, NULL, GPTQ},
                                        {"format", required_argument, NULL, FORMAT},
                                        {"kv", required_argument, NULL, KV},
                                        {"head", required_argument, NULL, HEAD},
                                        {"through", required_argument, NULL, THROUGH},
                                        {"fresh", no_argument, NULL, FRESH},
                                        {"json", required_argument, NULL, JSON},
                                        {NULL, 0, NULL, 0}};

static bool yes_or_no(const char *word, bool *out) {
    *out = !strcmp(word, "yes");
    return *out || !strcmp(word, "no");
}

static bool one_of(const char *word, const char *a, const char *b, bool *second) {
    *second = !strcmp(word, b);
    return *second || !strcmp(word, a);
}

static bool bits(const char *word, int *out) {
    *out = !strcmp(word, "4") ? 4 : !strcmp(word, "8") ? 8 : !strcmp(word, "16") ? 16 : 0;
    return *out != 0;
}

static bool keys(const char *word, fr_quantize_recipe *r) {
    for (int i = 0; i < 3; i++)
        if (!strcmp(word, fr_keys_names[i])) {
            r->keys = (fr_keys)i;
            return true;
        }
    return false;
}

/* "0.3,0.7" or "no" */
static bool smooth(const char *word, fr_quantize_recipe *r) {
    char *end;
    r->alpha = r->beta = 0;
    if (!strcmp(word, "no")) return true;
    r->alpha = strtod(word, &end);
    if (end == word || *end != ',') return false;
    const char *second = end + 1;
    r->beta = strtod(second, &end);
    return end != second && !*end && r->alpha >= 0 && r->alpha <= 1 && r->beta >= 0 && r->beta <= 1;
}

static bool number(const char *word, double lo, double hi, int64_t *out) {
    double v;
    if (!fr_cli_number(word, lo, hi, &v) || v != floor(v)) return false;
    *out = (int64_t)v;
    return true;
}

/* An option of the recipe, which must be known by then. NULL: it is none, or good; else what it wants. */
static const char *take_step(fr_quantize_recipe *r, int k, const char *word) {
    bool good = true;
    switch (k) {
    case ROTATE: good = yes_or_no(word, &r->rotate); break;
    case REORDER: good = yes_or_no(word, &r->reorder); break;
    case SEARCH: good = yes_or_no(word, &r->search); break;
    case GPTQ: good = yes_or_no(word, &r->gptq); break;
    case KEYS: return keys(word, r) ? NULL : "off, fixed or grid";
    case SMOOTH: return smooth(word, r) ? NULL : "no, or two numbers 0 .. 1 like 0.3,0.7";
    case KV: return bits(word, &r->kv) ? NULL : "4, 8 or 16";
    case HEAD: return bits(word, &r->head) ? NULL : "4, 8 or 16";
    case FORMAT: r->format = word; return NULL;
    default: return NULL;
    }
    return good ? NULL : "yes or no";
}

static const char *take(fr_quantize_call *c, int k, const char *word) {
    int64_t n = 0;
    double v = 0;
    switch (k) {
    case 'o': c->out = word; return NULL;
    case CALIBRATE: c->calibrate = word; return NULL;
    case JSON: c->json = word; return NULL;
    case FRESH: c->o.fresh = true; return NULL;
    case SAMPLES: return number(word, 1, 1e6, &c->samples) ? NULL : "a number from 1 to 10^6";
    case TOKENS: return number(word, 16, 1e6, &c->tokens) ? NULL : "a number from 16 to 10^6";
    case EVALUATE: return number(word, 0, 1e9, &c->evaluate) ? NULL : "a number from 0 to 10^9";
    case SEED:
        if (!number(word, 0, 1e15, &n)) return "a whole number from 0 to 10^15";
        c->seed = (uint64_t)n;
        return NULL;
    case MEMORY:
        if (!fr_cli_number(word, 0.001, 1e6, &v)) return "gigabytes, from 0.001 to 10^6";
        c->memory = v * 1e9;
        return NULL;
    case THROUGH:
        return one_of(word, "quantized", "original", &c->o.through_original)
                   ? NULL
                   : "quantized or original";
    default: return NULL;
    }
}

/* The recipe comes first, whatever the order, since the switches change it. */
static int read_options(int argc, char **argv, fr_quantize_call *c) {
    const char *name = "qoq-w4a8kv4-g128";
    opterr = 0;
    c->recipe = NULL;
    for (int pass = 0; pass < 2; pass++) {
        optind = 0;
        for (int k; (k = getopt_long(argc, argv, ":o:r:", options, NULL)) != -1;) {
            const char *wanted = NULL;
            if (k == ':') return fr_cli_usage("quantize", "%s wants a value", argv[optind - 1]);
            if (k == '?')
                return fr_cli_usage("quantize", "there is no option \"%s\"", argv[optind - 1]);
            if (k == 'r') name = c->recipe = optarg;
            c->of_decoders |= k == KV || k == HEAD || k == THROUGH || (k >= ROTATE && k <= SMOOTH);
            if (pass) wanted = take_step(&c->o.recipe, k, optarg);
            if (pass && !wanted) wanted = take(c, k, optarg);
            if (wanted) return fr_cli_usage("quantize", "\"%s\" is not %s", optarg, wanted);
            c->chosen_keys |= k == KEYS, c->chosen_smooth |= k == SMOOTH;
        }
        const fr_quantize_recipe *r = fr_quantize_recipe_find(name);
        c->for_encoders = !r && (r = fr_encoder_recipe_find(name));
        c->blocks = export_of(name);
        if (!r && !c->blocks)
            return fr_cli_usage("quantize", "there is no recipe \"%s\"; see frugal help quantize",
                                name);
        if (!pass && r) c->o.recipe = *r;
    }
    if (argc - optind != 1)
        return fr_cli_usage("quantize", argc > optind ? "one model at a time" : "which model?");
    if (!c->out) return fr_cli_usage("quantize", "where to? -o FOLDER");
    c->model = argv[optind];
    return FR_EXIT_OK;
}

static int run(int argc, char **argv) {
    fr_quantize_call c = {.tokens = 1024, .evaluate = -1, .seed = 1};
    int code = read_options(argc, argv, &c);
    if (code) return code;
    fr_model m;
    fr_encoder_folder encoder;
    fr_status st = fr_encoder_open(c.model, &encoder);
    if (!st && encoder.path) {
        st = fr_quantize_encoder(&c, &encoder);
        fr_encoder_close(&encoder);
        return st ? fr_cli_failed(st) : FR_EXIT_OK;
    }
    if (!st && c.for_encoders)
        return fr_cli_usage("quantize", "the recipe \"%s\" is for encoders of texts",
                            c.o.recipe.name);
    if (!st) st = fr_model_open(c.model, &m);
    if (!st) {
        st = c.blocks ? export_model(&c, &m) : with_model(&c, &m);
        fr_model_close(&m);
    }
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

const fr_command fr_command_quantize = {
    .name = "quantize",
    .summary = "a language model or an encoder with weights, activations and cache in few bits",
    .help =
        "usage: frugal quantize MODEL -o FOLDER [--recipe NAME] [options]\n\n"
        "Writes a model whose linears have weights in 4 or 8 bits, so that it takes a quarter or\n"
        "half of the memory and runs faster, and shows what that costs: errors of each layer and\n"
        "the perplexity before and after. MODEL is a folder with config.json, tokenizer and\n"
        "weights, or the name of a model that comes with Frugal. What comes out is a folder that\n"
        "all other commands take.\n\n"
        "Weights are chosen by what they do to texts: lines of the world of text, or a file of\n"
        "yours, which should look like what the model is to read. It may be stopped (Ctrl-C); the\n"
        "same call goes on from the last layer that was done.\n\n"
        "recipes:\n"
        "  qoq-w4a8kv4-g128  QoQ (Lin et al. 2024): 4-bit weights in groups of 128, 8-bit\n"
        "                    activations, 4-bit keys and values (default)\n"
        "  qoq-w4a8kv4       the same with one scale for each row of weights\n"
        "  w8a8kv8           8 bits everywhere\n"
        "  w4a16-g128        4-bit weights in groups of 128, all else in 16 bits\n"
        "  rtn-w4a8kv4-g128, rtn-w4a8kv4, rtn-w8a8kv8, rtn-w4a16-g128, rtn-w4a4\n"
        "                    each weight to the nearest, without any of the steps: to compare\n"
        "  gguf-q4_0, gguf-q8_0, gguf-bf16\n"
        "                    a GGUF file for llama.cpp and its like: -o FILE.gguf\n\n"
        "MODEL may be an encoder, too (a folder that frugal embed takes). Its recipes are\n"
        "  w4a8-g128, w4a8-g128-mixed (values and outputs of attention in 8 bits), w4a8, w8a8,\n"
        "  w4a16-g128, rtn-w4a8-g128, rtn-w8a8\n"
        "Each line of --calibrate is a text, and every tenth is kept for measuring; --samples and\n"
        "--evaluate count texts (600, 200). What it cost is then shown as the cosine of vectors\n"
        "before and after. It takes about a minute and does not go on where it was stopped.\n\n"
        "  -o, --output FOLDER    where the model goes\n"
        "  -r, --recipe NAME      one of these\n"
        "      --calibrate FILE   UTF-8 text, or token ids; its last tenth is for the perplexity\n"
        "      --samples N        texts, or as many tokens in lines (128)\n"
        "      --tokens N         of each, at most the model's context (1024)\n"
        "      --evaluate N       tokens for the perplexity, 0: none\n"
        "      --memory GB        take fewer texts, so that so much suffices\n"
        "      --seed N           which lines (1)\n"
        "      --fresh            what a stopped call left is thrown away\n"
        "      --json FILE        the figures, for programs\n\n"
        "switches of the recipe:\n"
        "      --rotate yes|no             Hadamard rotation of the residual stream and of heads\n"
        "      --reorder yes|no            inputs of like size into the same group\n"
        "      --smooth-attention off|fixed|grid   magnitude from keys to queries\n"
        "      --smooth A,B|no             from the inputs of down_proj to its weights\n"
        "      --range-search yes|no       ranges by the error of outputs\n"
        "      --gptq yes|no               rounding that makes up for what went wrong before\n"
        "      --format NAME               of weights: qoq-g128, int8-channel ...\n"
        "      --kv 4|8|16                 bits of keys and values\n"
        "      --head 4|8|16               bits of the weight of the logits\n"
        "      --through quantized|original   layers that a layer's inputs come through\n\n"
        "examples:\n"
        "  frugal quantize tales -o small\n"
        "  frugal quantize ~/models/Llama-3.2-1B -o l1b-w4 --calibrate wiki.txt --memory 8\n",
    .run = run,
};
