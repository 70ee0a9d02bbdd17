/* embed.c: `frugal embed`: texts as vectors, and which of them are near to a question. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "text/text.h"

typedef struct lines {
    char *memory; /* of texts that were read */
    const char **text;
    size_t count, cap;
} lines;

typedef struct call {
    const char *model, *file, *similar;
    bool json;
    int64_t top;
} call;

/* ---- texts ---- */

static fr_status add(lines *l, const char *text) {
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        const char **more = fr_alloc_array(FR_MEM_OTHER, cap, sizeof *more);
        if (!more) return FR_NOMEM;
        if (l->count) memcpy(more, l->text, l->count * sizeof *more);
        fr_free(l->text);
        l->text = more;
        l->cap = cap;
    }
    l->text[l->count++] = text;
    return FR_OK;
}

static fr_status read_lines(const char *path, lines *l) {
    size_t bytes;
    FR_TRY(fr_read_file(path, (size_t)1 << 30, &l->memory, &bytes));
    if (memchr(l->memory, 0, bytes))
        return fr_fail(FR_FORMAT, "%s holds zero bytes, so it is no text.", path);
    for (char *at = l->memory, *end = at + bytes; at < end;) {
        char *stop = at + strcspn(at, "\n"), *next = stop + 1;
        *stop = 0;
        if (stop > at && stop[-1] == '\r') stop[-1] = 0;
        FR_TRY(add(l, at));
        at = next;
    }
    return FR_OK;
}

/* ---- printing ---- */

static void print_numbers(const float *x, int64_t width) {
    for (int64_t j = 0; j < width; j++) printf(j ? " %.8g" : "%.8g", (double)x[j]);
    printf("\n");
}

static fr_status print_json(fr_json *j) {
    char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    if (text) puts(text);
    free(text);
    fr_json_free(j);
    return text ? FR_OK : fr_fail(FR_NOMEM, "The vectors can not be written as JSON.");
}

static fr_json *vector_json(const char *text, const float *x, int64_t width) {
    fr_json *all = json_array();
    for (int64_t j = 0; j < width; j++) json_array_append_new(all, json_real((double)x[j]));
    return json_pack("{s:o?, s:o}", "text", json_string(text), "vector", all);
}

static fr_status print_vectors(const call *c, const lines *l, const float *x, int64_t width) {
    fr_status st = FR_OK;
    for (size_t i = 0; !st && i < l->count; i++) {
        const float *row = x + i * (size_t)width;
        if (c->json)
            st = print_json(vector_json(l->text[i], row, width));
        else
            print_numbers(row, width);
    }
    return st;
}

/* ---- neighbours ---- */

typedef struct near {
    double cosine;
    size_t line;
} near;

static double cosine(const float *a, const float *b, int64_t n) {
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static int by_cosine(const void *a, const void *b) {
    const near *x = a, *y = b;
    if (x->cosine != y->cosine) return x->cosine > y->cosine ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

/* The question's vector stands behind those of the lines. */
static fr_status print_near(const call *c, const lines *l, const float *x, int64_t width) {
    fr_status st = FR_OK;
    near *all = fr_alloc_array(FR_MEM_OTHER, l->count + 1, sizeof *all);
    if (!all) return FR_NOMEM;
    for (size_t i = 0; i < l->count; i++)
        all[i] = (near){cosine(x + i * (size_t)width, x + l->count * (size_t)width, width), i};
    qsort(all, l->count, sizeof *all, by_cosine);
    for (size_t i = 0; !st && i < l->count && (int64_t)i < c->top; i++) {
        const char *text = l->text[all[i].line];
        if (c->json)
            st = print_json(json_pack("{s:f, s:I, s:o?}", "cosine", all[i].cosine, "line",
                                      (json_int_t)all[i].line + 1, "text", json_string(text)));
        else
            printf("%.4f  %s\n", all[i].cosine, text);
    }
    fr_free(all);
    return st;
}

/* ---- the call ---- */

static fr_status embed(const call *c, fr_embedder *e, lines *l) {
    const int64_t width = fr_embedder_width(e);
    const size_t texts = l->count + (c->similar != NULL);
    size_t cut;
    if (c->similar) {
        FR_TRY(add(l, c->similar));
        l->count--;
    }
    float *x = fr_alloc_array(FR_MEM_OTHER, (texts + 1) * (size_t)width, sizeof *x);
    fr_status st = x ? fr_embed(e, l->text, texts, x, &cut) : FR_NOMEM;
    if (!st && cut)
        fr_log(FR_LOG_WARN, "%zu of %zu texts are longer than %lld tokens; their rest was cut off.",
               cut, texts, (long long)fr_embedder_most(e));
    if (!st) st = c->similar ? print_near(c, l, x, width) : print_vectors(c, l, x, width);
    fr_free(x);
    return st;
}

static fr_status open_and_embed(const call *c, lines *l) {
    fr_pool *pool;
    fr_embedder *e;
    FR_TRY(fr_cli_pool(&pool));
    FR_TRY(fr_embedder_open(c->model, pool, &e));
    fr_status st = FR_OK;
    if (!l->count || c->file) st = read_lines(c->file ? c->file : "/dev/stdin", l);
    if (!st) st = embed(c, e, l);
    fr_embedder_free(e);
    return st;
}

static const struct option options[] = {{"file", required_argument, NULL, 'f'},
                                        {"json", no_argument, NULL, 'j'},
                                        {"similar", required_argument, NULL, 's'},
                                        {"top", required_argument, NULL, 'n'},
                                        {NULL, 0, NULL, 0}};

static int take(call *c, int option, const char *word) {
    double v;
    switch (option) {
    case 'f': c->file = word; return 0;
    case 'j': c->json = true; return 0;
    case 's': c->similar = word; return 0;
    default:
        if (!fr_cli_number(word, 1, 1e9, &v) || v != floor(v))
            return fr_cli_usage("embed", "\"%s\" is no number of lines from 1 to 10^9", word);
        c->top = (int64_t)v;
        return 0;
    }
}

static int run(int argc, char **argv) {
    call c = {.top = 5};
    lines l = {0};
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, ":f:n:s:", options, NULL)) != -1;) {
        if (o == ':') return fr_cli_usage("embed", "%s wants a value", argv[optind - 1]);
        if (o == '?') return fr_cli_usage("embed", "there is no option \"%s\"", argv[optind - 1]);
        int code = take(&c, o, optarg);
        if (code) return code;
    }
    if (optind == argc) return fr_cli_usage("embed", "which model?");
    c.model = argv[optind++];
    if (c.file && optind < argc)
        return fr_cli_usage("embed", "texts come from a file or from the call, not from both");
    fr_status st = FR_OK;
    while (!st && optind < argc) st = add(&l, argv[optind++]);
    if (!st) st = open_and_embed(&c, &l);
    fr_free(l.memory);
    fr_free(l.text);
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

const fr_command fr_command_embed = {
    .name = "embed",
    .summary = "texts as vectors by an encoder, and which of them are alike",
    .help =
        "usage: frugal embed MODEL [TEXT... | -f FILE] [--json]\n"
        "       frugal embed MODEL [TEXT... | -f FILE] --similar QUERY [--top N]\n\n"
        "Prints for each text the vector that an encoder makes of it, a line of numbers each.\n"
        "Texts are the words of the call, the lines of a file, or those of standard input.\n\n"
        "MODEL is a folder with config.json (model_type bert), tokenizer.json and weights. Where\n"
        "it is one of sentence-transformers, modules.json and what it names say how the states\n"
        "of all tokens become one vector; else it is their mean. Texts that are longer than the\n"
        "encoder takes are cut off, and a warning says so.\n\n"
        "  -f, --file FILE      the lines of this file\n"
        "  -s, --similar QUERY  instead print the lines nearest to this text, with the cosine\n"
        "  -n, --top N          so many of them (default: 5)\n"
        "  --json               an object a line: text and vector, or cosine, line and text\n",
    .run = run,
};
