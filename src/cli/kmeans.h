/* kmeans.h: what the files of `frugal kmeans` share. */
#ifndef FR_CLI_KMEANS_H
#define FR_CLI_KMEANS_H

#include "cli/cli.h"
#include "tensor/tensor.h"

typedef struct fr_kmeans_call {
    const char *data, *tensor; /* the file of points, and which of its tensors */
    const char *out, *labels, *plot;
    const char *start, *weights, *predict; /* files, or NULL */
    bool json, metric_chosen;
    double memory; /* bytes, with the points; 0: what is free */
    fr_kmeans_opts o;
} fr_kmeans_call;

/* A tensor of a file: where the file is mapped, or a copy as floats. */
typedef struct fr_kmeans_data {
    const char *path;
    fr_store *store;
    fr_tensor view;
    float *copy;
} fr_kmeans_data;

/* What a call makes; with --predict labels and distances alone. */
typedef struct fr_kmeans_made {
    bool batched; /* the file has a dimension of problems */
    int64_t problems, rows, width, k;
    float *centroids; /* [problems, k, width] */
    int32_t *labels;
    float *distances;
    int64_t *sizes;
    fr_kmeans_stats *stats;
    double inertia, seconds; /* of all problems */
    int64_t iterations;      /* the most of any problem */
    bool converged, stopped; /* stopped: by Ctrl-C */
} fr_kmeans_made;

/* 0, or what a wrong call exits with. */
int fr_kmeans_options(int argc, char **argv, fr_kmeans_call *c);

/* The tensor that was named, or the only one, or the one that is called as `what`; of least to most dimensions. */
fr_status fr_kmeans_open(const char *path, const char *tensor, const char *what, int least,
                         int most, fr_kmeans_data *out);
bool fr_kmeans_takes(fr_dtype t); /* as points, as it is */
/* Makes floats of other numbers, when they take no more than `allowed` bytes, and says so. */
fr_status fr_kmeans_floats(fr_kmeans_data *d, double allowed);
/* The same in silence, for small things; also of floats that are not dense. */
fr_status fr_kmeans_dense_floats(fr_kmeans_data *d);
void fr_kmeans_close(fr_kmeans_data *d);
/* Whether results can have such names: said before the work, not after it. */
fr_status fr_kmeans_can_write(const fr_kmeans_call *c, bool batched);
fr_status fr_kmeans_write(const fr_kmeans_call *c, const fr_kmeans_made *m);

fr_status fr_kmeans_print(const fr_kmeans_call *c, const fr_kmeans_made *m);
fr_status fr_kmeans_print_predicted(const fr_kmeans_call *c, const fr_kmeans_made *m);
extern const char *const fr_kmeans_metrics[3];
extern const char *const fr_kmeans_methods[5];

/* A picture of points [N, D] with their clusters and centroids [k, D]. */
typedef struct fr_kmeans_picture {
    const fr_tensor *points;
    const int32_t *labels;
    const float *centroids;
    int64_t k;
    bool unit; /* points are brought to length 1 first */
    uint64_t seed;
    const char *title;
} fr_kmeans_picture;
fr_status fr_kmeans_plot(const fr_kmeans_picture *p, const char *path);

#endif
