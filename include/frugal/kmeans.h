/* frugal/kmeans.h: k-means, exact. Every point gets the label that comparing it with every centroid gives, however
 * much of that comparing was shown to be needless; the same bits for any number of threads, any cut of a batch and
 * any size of the pieces in which a file is read.
 *
 * Points are a tensor [N, D], or [B, N, D] for B problems of the same size, of f32, bf16 or f16, with any strides;
 * in memory or in a mapped file. */
#ifndef FRUGAL_KMEANS_H
#define FRUGAL_KMEANS_H

#include <frugal/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What "near" means. Cosine: points and centroids have length 1, the largest product wins; a point of zeros is an
 * error that names its row. Dot: the largest product wins. Ties go to the lowest centroid. */
typedef enum fr_metric { FR_EUCLID, FR_COSINE, FR_DOT } fr_metric;

/* Where the first centroids come from. */
typedef enum fr_kmeans_start {
    FR_START_PLUSPLUS, /* k-means++, the best of 2 + ln k candidates at each step (Arthur, Vassilvitskii 2007) */
    FR_START_PARALLEL, /* k-means|| (Bahmani et al. 2012): a few passes over the points, for many of them */
    FR_START_RANDOM, /* k different points */
    FR_START_GIVEN,  /* fr_kmeans_opts.given */
} fr_kmeans_start;

/* What is computed; all but MINIBATCH give the same labels after as many iterations. */
typedef enum fr_kmeans_method {
    FR_KMEANS_AUTO,      /* chosen by size, and by how much bounds save while it runs */
    FR_KMEANS_LLOYD,     /* every distance, every iteration */
    FR_KMEANS_HAMERLY,   /* one lower bound a point (Hamerly 2010) */
    FR_KMEANS_YINYANG,   /* one a point and group of centroids (Ding et al. 2015) */
    FR_KMEANS_MINIBATCH, /* another algorithm: Sculley 2010 */
} fr_kmeans_method;

/* A centroid that no point is nearest to. */
typedef enum fr_kmeans_empty {
    FR_EMPTY_FARTHEST, /* moves to the point that is farthest from its own centroid (scikit-learn) */
    FR_EMPTY_KEEP,     /* stays where it was (the papers' Flash-KMeans) */
    FR_EMPTY_SPLIT,    /* takes half of a large cluster (FAISS) */
    FR_EMPTY_REFUSE,   /* is an error */
} fr_kmeans_empty;

/* How products of points and centroids are computed. Labels are those of FR_PRODUCTS_F32 with every choice. */
typedef enum fr_kmeans_products {
    FR_PRODUCTS_AUTO,
    FR_PRODUCTS_F32,
    FR_PRODUCTS_BF16, /* in bf16 first; again in f32 wherever the gap does not prove the label */
    FR_PRODUCTS_INT8, /* likewise in 8 bits */
} fr_kmeans_products;

typedef struct fr_kmeans_progress {
    int64_t problem, attempt, iteration; /* which of the batch, which of `attempts`, from 1 */
    double inertia;                      /* of the labels of this iteration */
    int64_t moved;                       /* points whose label changed */
    double seconds;                      /* since the call began */
} fr_kmeans_progress;

typedef struct fr_kmeans_opts {
    int64_t k;
    fr_metric metric;
    fr_kmeans_start start;
    fr_kmeans_method method;
    fr_kmeans_empty empty;
    fr_kmeans_products products;
    const fr_tensor *given; /* [K, D] or [B, K, D], f32, bf16 or f16, for FR_START_GIVEN */
    const fr_tensor
        *weights;       /* f32 [N] or [B, N]: how much a point counts, not negative; NULL: 1 each */
    int64_t iterations; /* at most; 300 */
    /* Stop when the squared moves of all centroids together are at most this times the mean variance of a
     * coordinate (scikit-learn's rule), or when no label changes. Negative: neither. 1e-4 */
    double tolerance;
    int64_t attempts; /* from as many starts; the least inertia is kept. 1 */
    int64_t batch;    /* of FR_KMEANS_MINIBATCH, points a step; 1024 */
    uint64_t seed;
    int threads;    /* 0: FRUGAL_THREADS, else all processors */
    int64_t memory; /* bytes of working memory beside points, labels and centroids; 64 MiB */
    bool
        out_of_core; /* points lie in a mapped file larger than memory: read them ahead, forget them behind */
    /* Called after each iteration; false: stop there. May be NULL. */
    bool (*on_iteration)(void *arg, const fr_kmeans_progress *p);
    void *arg;
} fr_kmeans_opts;

/* The defaults above, with k centroids. */
FR_API fr_kmeans_opts fr_kmeans_defaults(int64_t k);

/* Of one problem. */
typedef struct fr_kmeans_stats {
    double
        inertia; /* weighted sum of squared distances (Euclid), of 1 - cosine, or of minus the product */
    int64_t iterations;
    bool converged;
    fr_kmeans_method method; /* that did the last iteration */
    int64_t products;        /* of a point and a centroid, in all iterations */
    int64_t rechecked;       /* points whose label products in few bits did not prove */
    int64_t empty;           /* centroids that were found empty, over all iterations */
    double start_seconds, assign_seconds, update_seconds;
} fr_kmeans_stats;

/* Results, the caller's memory. Labels belong to the centroids: each is the nearest of those returned. */
typedef struct fr_kmeans_out {
    float *centroids;       /* [B, K, D] */
    int32_t *labels;        /* [B, N], or NULL */
    int64_t *sizes;         /* [B, K], or NULL */
    fr_kmeans_stats *stats; /* [B], or NULL */
} fr_kmeans_out;

FR_API fr_status fr_kmeans(const fr_tensor *points, const fr_kmeans_opts *opts,
                           const fr_kmeans_out *out);

/* The nearest of the given centroids (f32 [K, D] or [B, K, D]) for every point. distance: squared distance,
 * 1 - cosine or minus the product, or NULL. Of the options, metric, products, threads, memory and out_of_core count. */
FR_API fr_status fr_kmeans_predict(const fr_tensor *points, const fr_tensor *centroids,
                                   const fr_kmeans_opts *opts, int32_t *labels, float *distance);

/* Points by cluster: order holds the numbers of the points of cluster 0 in rising order, then those of cluster 1 ...;
 * cluster j is order[offset[j]] .. order[offset[j + 1] - 1]. offset holds k + 1. */
FR_API fr_status fr_kmeans_order(const int32_t *labels, int64_t n, int64_t k, int32_t *order,
                                 int64_t *offset);

#ifdef __cplusplus
}
#endif
#endif
