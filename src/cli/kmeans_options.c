/* kmeans_options.c: the words of a call of `frugal kmeans`. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/kmeans.h"

enum {
    METRIC = 256,
    START,
    METHOD,
    EMPTY,
    PRODUCTS,
    ITERATIONS,
    TOLERANCE,
    ATTEMPTS,
    BATCH,
    SEED,
    MEMORY,
    WEIGHTS,
    PREDICT,
    LABELS,
    TENSOR,
    PLOT,
    JSON,
};

static const struct option options[] = {{"clusters", required_argument, NULL, 'k'},
                                        {"output", required_argument, NULL, 'o'},
                                        {"metric", required_argument, NULL, METRIC},
                                        {"start", required_argument, NULL, START},
                                        {"method", required_argument, NULL, METHOD},
                                        {"empty", required_argument, NULL, EMPTY},
                                        {"products", required_argument, NULL, PRODUCTS},
                                        {"iterations", required_argument, NULL, ITERATIONS},
                                        {"tolerance", required_argument, NULL, TOLERANCE},
                                        {"attempts", required_argument, NULL, ATTEMPTS},
                                        {"batch", required_argument, NULL, BATCH},
                                        {"seed", required_argument, NULL, SEED},
                                        {"memory", required_argument, NULL, MEMORY},
                                        {"weights", required_argument, NULL, WEIGHTS},
                                        {"predict", required_argument, NULL, PREDICT},
                                        {"labels", required_argument, NULL, LABELS},
                                        {"tensor", required_argument, NULL, TENSOR},
                                        {"plot", required_argument, NULL, PLOT},
                                        {"json", no_argument, NULL, JSON},
                                        {NULL, 0, NULL, 0}};

static int find(const char *word, const char *const *words, int count) {
    for (int i = 0; i < count; i++)
        if (!strcmp(word, words[i])) return i;
    return -1;
}

/* One of some words; its number. */
static int choice(const char *option, const char *word, const char *const *words, int count,
                  int *out) {
    char all[96] = "";
    *out = find(word, words, count);
    if (*out >= 0) return 0;
    for (int i = 0; i < count; i++) {
        const size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s",
                 !i              ? ""
                 : i + 1 < count ? ", "
                                 : " or ",
                 words[i]);
    }
    return fr_cli_usage("kmeans", "--%s is %s, not \"%s\"", option, all, word);
}

static int whole(const char *option, const char *word, double lo, double hi, int64_t *out) {
    double v;
    if (!fr_cli_number(word, lo, hi, &v) || v != floor(v))
        return fr_cli_usage("kmeans", "%s wants a whole number from %.0f to %.0f, not \"%s\"",
                            option, lo, hi, word);
    *out = (int64_t)v;
    return 0;
}

/* "8" and "8G" are GB, "500M" MB. */
static bool size(const char *word, double *out) {
    char *end;
    double v = strtod(word, &end);
    const double unit = *end == 'M' || *end == 'm' ? 1e6 : *end == 'K' || *end == 'k' ? 1e3 : 1e9;
    if (end == word || !(v > 0 && v < 1e9) || (*end && !strchr("GgMmKk", *end))) return false;
    if (*end) end++;
    if (*end == 'B') end++;
    *out = v * unit;
    return !*end;
}

static int take_start(fr_kmeans_call *c, const char *word) {
    static const char *const words[] = {"++", "parallel", "random"};
    const int i = find(word, words, 3);
    c->o.start = i < 0 ? FR_START_GIVEN : (fr_kmeans_start)i;
    c->start = i < 0 ? word : NULL;
    if (i < 0 && !fr_path_exists(word))
        return fr_cli_usage(
            "kmeans", "--start is ++, parallel, random or a file of centroids, and \"%s\" is none",
            word);
    return 0;
}

static int take_choice(fr_kmeans_call *c, int option, const char *word) {
    static const char *const empties[] = {"farthest", "keep", "split", "refuse"};
    static const char *const products[] = {"auto", "f32", "bf16", "int8"};
    int i, code;
    switch (option) {
    case METRIC:
        if ((code = choice("metric", word, fr_kmeans_metrics, 3, &i))) return code;
        c->metric_chosen = true;
        c->o.metric = (fr_metric)i;
        return 0;
    case METHOD:
        if ((code = choice("method", word, fr_kmeans_methods, 5, &i))) return code;
        c->o.method = (fr_kmeans_method)i;
        return 0;
    case EMPTY:
        if ((code = choice("empty", word, empties, 4, &i))) return code;
        c->o.empty = (fr_kmeans_empty)i;
        return 0;
    default:
        if ((code = choice("products", word, products, 4, &i))) return code;
        c->o.products = (fr_kmeans_products)i;
        return 0;
    }
}

static int take(fr_kmeans_call *c, int option, const char *word) {
    int64_t seed;
    int code;
    switch (option) {
    case 'k': return whole("-k", word, 1, 2147483647, &c->o.k);
    case 'o': c->out = word; return 0;
    case START: return take_start(c, word);
    case ITERATIONS: return whole("--iterations", word, 1, 1e9, &c->o.iterations);
    case ATTEMPTS: return whole("--attempts", word, 1, 1e6, &c->o.attempts);
    case BATCH: return whole("--batch", word, 1, 2147483647, &c->o.batch);
    case SEED:
        if (!(code = whole("--seed", word, 0, 9007199254740992, &seed))) c->o.seed = (uint64_t)seed;
        return code;
    case TOLERANCE:
        if (fr_cli_number(word, -1, 1e30, &c->o.tolerance)) return 0;
        return fr_cli_usage("kmeans", "--tolerance wants a number, not \"%s\"", word);
    case MEMORY:
        if (size(word, &c->memory)) return 0;
        return fr_cli_usage("kmeans", "--memory wants a size such as 8G or 500M, not \"%s\"", word);
    case WEIGHTS: c->weights = word; return 0;
    case PREDICT: c->predict = word; return 0;
    case LABELS: c->labels = word; return 0;
    case TENSOR: c->tensor = word; return 0;
    case PLOT: c->plot = word; return 0;
    case JSON: c->json = true; return 0;
    default: return take_choice(c, option, word);
    }
}

static int wrong(const fr_kmeans_call *c) {
    if (!c->o.k && !c->predict && !c->start)
        return fr_cli_usage("kmeans", "how many clusters? -k N says it");
    if (c->predict && c->start)
        return fr_cli_usage("kmeans", "--predict and --start exclude each other");
    if (c->predict && c->weights)
        return fr_cli_usage("kmeans", "weights change nothing for --predict");
    return 0;
}

int fr_kmeans_options(int argc, char **argv, fr_kmeans_call *c) {
    int code;
    opterr = 0;
    for (int o; (o = getopt_long(argc, argv, ":k:o:", options, NULL)) != -1;) {
        if (o == ':') return fr_cli_usage("kmeans", "%s wants a value", argv[optind - 1]);
        if (o == '?') return fr_cli_usage("kmeans", "there is no option \"%s\"", argv[optind - 1]);
        if ((code = take(c, o, optarg))) return code;
    }
    if (optind == argc) return fr_cli_usage("kmeans", "which file of points?");
    if (optind + 1 < argc)
        return fr_cli_usage("kmeans", "one file of points, not also \"%s\"", argv[optind + 1]);
    c->data = argv[optind];
    return wrong(c);
}
