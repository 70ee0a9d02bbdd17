/* bench_kernels.h: what the files of `frugal bench kernels` share.
 *
 *     bench_kernels.c        options, the loop over groups
 *     bench_kernels_list.c   the groups: which products of which sizes, and their targets
 *     bench_kernels_cache.c  those of attention over pages of keys and values
 *     bench_kernels_model.c  small graphs with a weight, and timing
 *     bench_kernels_print.c  the table and the JSON
 *
 * Everything is timed as a user gets it: through a session with a graph of one node or a few, which costs some
 * nanoseconds a node. */
#ifndef FR_CLI_BENCH_KERNELS_H
#define FR_CLI_BENCH_KERNELS_H

#include "cli/cli.h"
#include "format/format.h"
#include "graph/graph.h"

enum {
    KB_MODELS = 12,
    KB_RUNS = 12,
    KB_COPIES = 32,
    KB_SAMPLES = 200,
    KB_INPUTS = 5,
    KB_MEMORY = 32
};

/* What a rate is a share of. */
typedef enum kb_peak { KB_INT8, KB_BF16, KB_F32, KB_READ, KB_PEAKS } kb_peak;

typedef enum kb_goal {
    KB_NO_GOAL,
    KB_SHARE,    /* at least this share of the peak */
    KB_AT_MOST,  /* at most this many times the time of the run `beside` */
    KB_AT_LEAST, /* at least */
    KB_KNOWN,    /* a figure published for other hardware: no verdict */
} kb_goal;

/* A graph whose weight lies in memory some times, so that the next run finds it out of the caches. */
typedef struct kb_model {
    fr_graph *g;
    int copies, at;
    fr_session *session[KB_COPIES];
    double weight_bytes; /* packed as in files */
} kb_model;

typedef struct kb_run {
    char what[40];
    int64_t m, n, k;
    kb_model *model;
    fr_tensor in[KB_INPUTS];
    int ins;
    /* Inputs that lie in memory some times, so many bytes apart; turns 0: once. */
    int turns, turn;
    size_t step[KB_INPUTS];
    double work; /* operations, or bytes, of one run */
    kb_peak peak;
    kb_goal goal;
    double target;
    int beside; /* the run of the group that the time is compared with; -1: none */
    double sample[KB_SAMPLES];
    int samples;
    double seconds; /* the median */
} kb_run;

/* Runs that are measured in turn. */
typedef struct kb_group {
    char title[64];
    fr_pool *pool;
    bool quick;
    kb_model model[KB_MODELS];
    int models;
    kb_run run[KB_RUNS];
    int runs;
    void *memory[KB_MEMORY]; /* of inputs */
    int memories;
} kb_group;

typedef struct kb_entry {
    const char *name;
    fr_status (*fill)(kb_group *g, const struct kb_entry *e);
    int64_t m, n, k;
    bool quick; /* also with --quick */
} kb_entry;

/* Ended by a name of NULL. */
extern const kb_entry kb_entries[];
/* "W4A8 products, 4096 x 4096" */
void kb_title(const kb_entry *e, char *out, size_t size);

fr_status kb_fill_cache(kb_group *g, const kb_entry *e);

/* ---- models ---- */

typedef struct kb_product {
    const char *format; /* of docs/formats.md; NULL: floats */
    fr_dtype type;      /* of x and of what comes out; of a weight in floats too */
    int64_t n, k, rank; /* rank: of a low-rank branch; 0: none */
    bool apart; /* quantizing, both halves of the branch and the sum as nodes of their own */
    int copies;
} kb_product;

/* Memory that the group frees; NULL, with a message, when there is none. */
void *kb_memory(kb_group *g, size_t bytes);
/* Random numbers as f32 or bf16. */
fr_status kb_random(kb_group *g, fr_dtype type, int rank, const int64_t *dim, fr_tensor *out);
fr_status kb_model_of(kb_group *g, fr_graph *graph, int copies, kb_model **out);
fr_status kb_model_product(kb_group *g, const kb_product *p, kb_model **out);
/* The next run of the group, with room for its name. */
kb_run *kb_run_add(kb_group *g, kb_model *model, int64_t m, int64_t n, int64_t k, const char *fmt,
                   ...) FR_PRINTF(6, 7);
fr_status kb_measure(kb_group *g);
void kb_group_free(kb_group *g);

/* ---- printing ---- */

typedef struct kb_row {
    char title[64], beside[40];
    int64_t beside_m;
    double ratio; /* to `beside`; 0: there is none */
    kb_run run;
} kb_row;

/* Rows are judged in the end, by the larger of the peaks measured before and after. */
typedef struct kb_report {
    fr_peaks peaks;
    kb_row *rows;
    size_t count, room;
} kb_report;

fr_status kb_report_peaks(kb_report *r, fr_pool *pool);
fr_status kb_report_add(kb_report *r, const kb_group *g);
void kb_report_print(const kb_report *r, bool json, bool whole);
void kb_report_free(kb_report *r);

#endif
