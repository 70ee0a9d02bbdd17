/* train.c: `frugal train`: from a recipe to a model in a folder. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "train/train.h"

enum { MOST_SETTINGS = 100 };

typedef struct call {
    const char *out, *resume, *set[MOST_SETTINGS];
    int sets;
    bool plot;
} call;

/* runs/NAME, for the recipe somewhere/NAME.recipe. */
static char *default_folder(const char *recipe) {
    const char *name = strrchr(recipe, '/');
    name = name ? name + 1 : recipe;
    size_t n = strlen(name);
    if (fr_path_has_suffix(name, ".recipe")) n -= strlen(".recipe");
    return fr_format("runs/%.*s", (int)n, name);
}

static fr_status train_in(const call *c, fr_recipe *r, const char *out) {
    fr_run_opts o = {.out = out, .resume = c->resume, .plot = c->plot};
    for (int i = 0; i < c->sets; i++) FR_TRY(fr_recipe_set(r, c->set[i]));
    FR_TRY(fr_cli_pool(&o.pool));
    return fr_train_run(r, &o);
}

static fr_status train(const call *c, const char *name) {
    fr_recipe *r = NULL;
    /* A training that goes on has its recipe with it. */
    char *path = name ? fr_recipe_find(name) : fr_path_join(c->resume, "recipe");
    if (!path) return FR_IO;
    char *out = c->resume ? fr_strdup(c->resume)
                : c->out  ? fr_strdup(c->out)
                          : default_folder(path);
    fr_status st = out ? fr_recipe_open(path, &r) : FR_NOMEM;
    if (!st) st = train_in(c, r, out);
    fr_recipe_free(r);
    fr_free(out);
    fr_free(path);
    return st;
}

static int run(int argc, char **argv) {
    static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                            {"resume", required_argument, NULL, 'r'},
                                            {"set", required_argument, NULL, 's'},
                                            {"plot", no_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};
    call c = {0};
    opterr = 0;
    for (int k; (k = getopt_long(argc, argv, ":o:r:s:p", options, NULL)) != -1;) {
        if (k == 'o')
            c.out = optarg;
        else if (k == 'r')
            c.resume = optarg;
        else if (k == 'p')
            c.plot = true;
        else if (k == ':')
            return fr_cli_usage("train", "%s wants a value", argv[optind - 1]);
        else if (k == '?')
            return fr_cli_usage("train", "there is no option \"%s\"", argv[optind - 1]);
        else if (c.sets == MOST_SETTINGS)
            return fr_cli_usage("train", "more than %d times --set", MOST_SETTINGS);
        else
            c.set[c.sets++] = optarg;
    }
    int recipes = argc - optind;
    if (recipes > 1)
        return fr_cli_usage("train", "one recipe at a time, not \"%s\" too", argv[optind + 1]);
    if (!recipes && !c.resume) return fr_cli_usage("train", "which recipe?");
    if (c.out && c.resume)
        return fr_cli_usage("train", "--resume names the folder already; leave --output out");
    fr_status st = train(&c, recipes ? argv[optind] : NULL);
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

const fr_command fr_command_train = {
    .name = "train",
    .summary = "a recipe becomes a tokenizer or a language model",
    .help =
        "usage: frugal train RECIPE [options]\n"
        "       frugal train --resume FOLDER [options]\n\n"
        "Trains what the recipe says, on text that is made as it goes. A recipe is a small file "
        "of\n"
        "\"key = value\" lines: a path, or the name of one that comes with Frugal (tales, tiny).\n"
        "docs/training.md lists the keys.\n\n"
        "The folder gets the recipe as it was in force, tokenizer.json, checkpoint.safetensors,\n"
        "metrics.jsonl and at the end model/, in the layout of Hugging Face. Ctrl-C saves a\n"
        "checkpoint and stops; --resume goes on, to the same bits as without the stop.\n\n"
        "  -o, --output FOLDER  where everything goes (runs/NAME)\n"
        "  -r, --resume FOLDER  go on with the training that this folder holds\n"
        "  -s, --set KEY=VALUE  another value for a key of the recipe; may stand several times\n"
        "  -p, --plot           draw curves.svg at every look and at the end: losses and speed\n",
    .run = run,
};
