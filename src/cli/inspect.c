/* inspect.c: `frugal inspect`: what is in a file or folder of tensors. Only the header of a file is
 * read, unless --stats asks for the values, so a large file is seen as fast as a small one. */
#include "cli/inspect.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"

/* ---- what is asked for ---- */

/* FR_EXIT_OK, or the exit code of a wrong call. */
static int read_options(int argc, char **argv, fr_inspect *in) {
    bool plain = false;
    *in = (fr_inspect){.limit = (size_t)-1};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        bool last = i + 1 == argc;
        double n;
        if (plain || arg[0] != '-') {
            if (in->path)
                return fr_cli_usage("inspect", "one file or folder at a time, not also \"%s\"",
                                    arg);
            in->path = arg;
        } else if (!strcmp(arg, "--")) {
            plain = true;
        } else if (!strcmp(arg, "--json")) {
            in->json = true;
        } else if (!strcmp(arg, "--stats")) {
            in->stats = true;
        } else if (!strcmp(arg, "--offsets")) {
            in->offsets = true;
        } else if (!strcmp(arg, "--graph") || !strcmp(arg, "--dot")) {
            in->graph = arg + 2;
        } else if (!strcmp(arg, "--fused")) {
            in->fused = true;
        } else if (!strcmp(arg, "--names")) {
            if (last) return fr_cli_usage("inspect", "--names wants a pattern, like '*.attn.*'");
            in->names = argv[++i];
        } else if (!strcmp(arg, "--limit")) {
            if (last || !fr_cli_number(argv[i + 1], 0, 1e15, &n) || n != (double)(size_t)n)
                return fr_cli_usage("inspect", "--limit wants a whole number of tensors");
            in->limit = (size_t)n;
            i++;
        } else {
            return fr_cli_usage("inspect", "there is no option \"%s\"", arg);
        }
    }
    if (in->fused && !in->graph)
        return fr_cli_usage("inspect", "--fused goes with --graph or --dot");
    if (in->graph && (in->json || in->stats || in->offsets || in->names || in->limit != (size_t)-1))
        return fr_cli_usage("inspect", "--%s shows the graph instead of the tensors", in->graph);
    return in->path ? FR_EXIT_OK : fr_cli_usage("inspect", "which file or folder?");
}

static fr_status choose(fr_inspect *in) {
    size_t all = fr_store_count(in->store);
    in->chosen = fr_alloc_array(FR_MEM_OTHER, all, sizeof *in->chosen);
    if (!in->chosen) return FR_NOMEM;
    for (size_t i = 0; i < all; i++)
        if (!in->names || fnmatch(in->names, fr_store_name(in->store, i), 0) == 0)
            in->chosen[in->count++] = i;
    if (in->names && in->count == 0)
        return fr_fail(FR_INVALID, "%s: none of its %zu tensors has a name like '%s'.", in->path,
                       all, in->names);
    return FR_OK;
}

/* ---- what is found ---- */

void fr_inspect_totals(const fr_inspect *in, fr_inspect_total total[FR_DTYPE_COUNT]) {
    memset(total, 0, FR_DTYPE_COUNT * sizeof *total);
    for (size_t i = 0; i < in->count; i++) {
        const fr_tensor *t = fr_store_shape(in->store, in->chosen[i]);
        total[t->dtype].tensors++;
        total[t->dtype].values += (double)fr_values(t);
        total[t->dtype].bytes += (double)fr_bytes(t);
    }
}

typedef struct visit {
    void (*fn)(void *user, const char *name);
    void *user;
} visit;

static void visit_folder(const char *folder, const char *prefix, const visit *v, int depth) {
    char **names;
    size_t count;
    if (fr_list_dir(folder, &names, &count) != FR_OK) return;
    for (size_t i = 0; i < count; i++) {
        char *path = fr_path_join(folder, names[i]), *name = fr_format("%s%s", prefix, names[i]);
        if (path && name && depth > 0 && names[i][0] != '.' && fr_path_is_dir(path)) {
            char *inner = fr_format("%s/", name);
            if (inner) visit_folder(path, inner, v, depth - 1);
            fr_free(inner);
        } else if (path && name && fr_path_has_suffix(name, ".json")) {
            v->fn(v->user, name);
        }
        fr_free(path);
        fr_free(name);
    }
    fr_list_free(names, count);
}

void fr_inspect_configs(const fr_inspect *in, void (*fn)(void *user, const char *name),
                        void *user) {
    const char *path = fr_store_path(in->store);
    visit v = {fn, user};
    if (fr_path_is_dir(path)) visit_folder(path, "", &v, 1);
}

/* ---- the command ---- */

/* The graph that computes with these tensors: as the file carries it. */
static fr_status show_graph(const fr_inspect *in) {
    fr_graph *g;
    FR_TRY(fr_graph_open(in->store, &g));
    fr_status st = in->fused ? fr_fuse(g, FR_FUSE_ALL, NULL) : FR_OK;
    if (st == FR_OK)
        st = !strcmp(in->graph, "dot") ? fr_graph_dot(g, stdout) : fr_graph_print(g, stdout);
    fr_graph_free(g);
    return st;
}

static fr_status inspect(fr_inspect *in) {
    fr_tensor_stats *stats = NULL;
    FR_TRY(fr_store_open(in->path, &in->store));
    if (in->graph) return show_graph(in);
    FR_TRY(choose(in));
    if (in->stats) FR_TRY(fr_inspect_all_stats(in, &stats));
    fr_status st = in->json ? fr_inspect_print_json(in, stats) : fr_inspect_print(in, stats);
    fr_free(stats);
    return st;
}

static int run(int argc, char **argv) {
    fr_inspect in;
    int code = read_options(argc, argv, &in);
    if (code != FR_EXIT_OK) return code;
    fr_status st = inspect(&in);
    fr_free(in.chosen);
    fr_store_close(in.store);
    return st == FR_OK ? FR_EXIT_OK : fr_cli_failed(st);
}

const fr_command fr_command_inspect = {
    .name = "inspect",
    .summary = "show what is in a file or folder of tensors",
    .help =
        "usage: frugal inspect FILE|FOLDER [options]\n\n"
        "Shows the tensors of a .safetensors, .gguf or PyTorch's .bin file, of shards (a "
        ".safetensors.index.json),\n"
        "or of a folder in Hugging Face or diffusers layout; then totals, metadata and configs.\n\n"
        "  --names PATTERN  only tensors whose name fits: '*.attn.*', 'blk.[0-3].*'\n"
        "  --limit N        show the first N; all of them count in the totals\n"
        "  --offsets        also the file that holds each tensor, and the byte where it begins\n"
        "  --stats          also least, largest and mean value, standard deviation, NaN and\n"
        "                   infinity counts; reads every value\n"
        "  --json           all of it as one JSON object\n"
        "  --graph          instead: how it is computed, node by node, with its cost (for files "
        "that\n"
        "                   carry their graph, as `frugal demo --save` writes them)\n"
        "  --dot            the same as a drawing for Graphviz\n"
        "  --fused          the graph as it runs, after the fusion pass\n",
    .run = run,
};
