/* bench_kernels.c: `frugal bench kernels`: products with weights in few bits, and what stands around them,
 * against the peaks of this machine and against each other. */
#include "cli/bench_kernels.h"

#include <ctype.h>
#include <string.h>

#include "cli/bench.h"

typedef struct options {
    bool json, quick;
    const char *only;
} options;

/* Does the title hold the word, whatever the case of its letters? */
static bool holds(const char *title, const char *word) {
    size_t n = strlen(word);
    for (; *title; title++) {
        size_t i = 0;
        while (i < n && title[i] &&
               tolower((unsigned char)title[i]) == tolower((unsigned char)word[i]))
            i++;
        if (i == n) return true;
    }
    return n == 0;
}

static bool wanted(const kb_entry *e, const options *o) {
    char title[64];
    kb_title(e, title, sizeof title);
    return (e->quick || !o->quick) && (!o->only || holds(title, o->only));
}

static fr_status one_group(kb_group *g, const kb_entry *e, kb_report *report) {
    kb_title(e, g->title, sizeof g->title);
    FR_TRY(e->fill(g, e));
    FR_TRY(kb_measure(g));
    return kb_report_add(report, g);
}

static fr_status run(const options *o, int count, kb_report *report) {
    fr_pool *pool;
    FR_TRY(fr_cli_pool(&pool));
    fr_progress p = fr_progress_start("bench kernels", count + 1, "groups");
    fr_progress_note(&p, "peaks of this machine");
    fr_progress_update(&p, 0);
    FR_TRY(kb_report_peaks(report, pool));
    kb_group *g = fr_alloc(FR_MEM_OTHER, sizeof *g);
    fr_status st = g ? FR_OK : fr_fail(FR_NOMEM, "There is no memory for a group of cases.");
    double done = 1;
    for (const kb_entry *e = kb_entries; e->name && !st; e++) {
        if (!wanted(e, o)) continue;
        g->pool = pool;
        g->quick = o->quick;
        fr_progress_note(&p, "%s", e->name);
        fr_progress_update(&p, done++);
        st = one_group(g, e, report);
        kb_group_free(g);
    }
    if (!st && !o->quick) st = kb_report_peaks(report, pool);
    fr_progress_end(&p);
    fr_free(g);
    return st;
}

/* What was measured before a failure, or before Ctrl-C, is printed all the same. */
static int measure(const options *o, int count) {
    kb_report report = {0};
    fr_status st = run(o, count, &report);
    if (report.count) kb_report_print(&report, o->json, !st);
    kb_report_free(&report);
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

int fr_cli_bench_kernels(int argc, char **argv) {
    options o = {0};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json"))
            o.json = true;
        else if (!strcmp(argv[i], "--quick"))
            o.quick = true;
        else if (!strcmp(argv[i], "--only") && i + 1 < argc)
            o.only = argv[++i];
        else if (!strcmp(argv[i], "--only"))
            return fr_cli_usage("bench", "--only wants a word, such as branch");
        else
            return fr_cli_usage("bench", "kernels takes --json, --quick and --only and not \"%s\"",
                                argv[i]);
    }
    int count = 0;
    for (const kb_entry *e = kb_entries; e->name; e++) count += wanted(e, &o);
    if (count) return measure(&o, count);
    fprintf(stderr, "frugal bench: no group of cases has \"%s\" in its name; there are%s:\n",
            o.only, o.quick ? ", with --quick" : "");
    const char *before = "";
    for (const kb_entry *e = kb_entries; e->name; e++) {
        if (!(e->quick || !o.quick) || !strcmp(e->name, before)) continue;
        fprintf(stderr, "  %s\n", before = e->name);
    }
    fprintf(stderr, "Sizes, such as 8192x8192, are part of the names. Try: frugal help bench\n");
    return FR_EXIT_USAGE;
}
