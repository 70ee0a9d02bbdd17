/* assign.h: which centroid is nearest to each point, without ever writing an N x K matrix.
 *
 * Of Euclid, the score of centroid j for point x is |c_j|^2 - 2 x.c_j; of cosine and dot, - x.c_j. The least score
 * wins, the lowest j among equals. In f32 a product is one chain of fused multiply-adds in the order of the
 * coordinates, begun at zero, the score one fused multiply-add more: so it is the same number in every tile, table of
 * kernels and path. That number defines the labels. int8 proves many of them at a quarter of the cost, bf16 more at half. */
#ifndef FR_CLUSTER_ASSIGN_H
#define FR_CLUSTER_ASSIGN_H

#include "cluster/cluster.h"

/* Centroids as the kernels want them; remade when they move. */
typedef struct fr_centroids fr_centroids;
fr_status fr_centroids_new(int64_t k, int64_t width, fr_metric metric, fr_kmeans_products products,
                           fr_centroids **out);
void fr_centroids_set(fr_centroids *c, const float *rows, fr_pool *pool); /* [k, width] */
/* The next rows have nothing to do with those before. */
void fr_centroids_forget(fr_centroids *c);
/* Chooses how labels are found by how it goes with a few of the points; after a pass, by how it went with all: of
 * `refused` of `count` rows the way that was chosen was not worth it. The labels are the same. */
void fr_centroids_try(fr_centroids *c, const fr_points *p, fr_reader *reader, void *scratch,
                      fr_pool *pool);
void fr_centroids_learn(fr_centroids *c, int64_t count, int64_t refused);
const float *fr_centroids_rows(const fr_centroids *c);
void fr_centroids_free(fr_centroids *c);

/* Bytes that one thread needs to assign blocks of FR_POINTS_BLOCK rows. */
size_t fr_assign_scratch(const fr_centroids *c, const fr_points *p);

typedef struct fr_assigned {
    int32_t *label; /* [count] */
    /* [count] f32 scores of the nearest and the next; or both NULL: then few bits may prove labels. */
    float *best, *second;
    int64_t products, rechecked, refused; /* added to; refused: see fr_centroids_learn */
    /* Of a block that begins with these rows: fr_assign_codes_bytes that began with zeros, and are used for no other
     * rows, nor for other centroids but by fr_centroids_set; or NULL. */
    void *codes;
} fr_assigned;

/* What a block's points take in few bits, to be kept from one pass to the next; 0 where they are not wanted. */
size_t fr_assign_codes_bytes(const fr_centroids *c);

/* One block or part of one, dense float rows (fr_points_rows), by the calling thread. */
void fr_assign_rows(const fr_centroids *c, int64_t count, const float *rows, void *scratch,
                    fr_assigned *out);
/* Scores of one row against centroids from .. to - 1, the same numbers as above: for bounds. */
void fr_assign_scores(const fr_centroids *c, const float *row, int64_t from, int64_t to,
                      float *score);

#endif
