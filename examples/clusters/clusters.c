/* clusters.c: points from standard input, a line each, put into K clusters:
 *
 *     clusters 3 <points.txt
 *
 * prints for each cluster how many points it has and where its middle lies. */
#include <stdio.h>
#include <stdlib.h>

#include <frugal/frugal.h>

enum { WIDTH = 2, MOST = 10000 };

static int64_t read_points(float *x) {
    int64_t n = 0;
    while (n < MOST && scanf("%f %f", &x[n * WIDTH], &x[n * WIDTH + 1]) == WIDTH) n++;
    return n;
}

static fr_status run(float *x, int64_t n, int64_t k, float *centroids, int64_t *sizes) {
    const fr_tensor points = {
        .dtype = FR_F32, .rank = 2, .dim = {n, WIDTH}, .stride = {WIDTH, 1}, .data = x};
    fr_kmeans_opts o = fr_kmeans_defaults(k);
    fr_kmeans_stats stats;
    const fr_kmeans_out out = {.centroids = centroids, .sizes = sizes, .stats = &stats};
    o.attempts = 5; /* the best of five starts */
    fr_status st = fr_kmeans(&points, &o, &out);
    if (st != FR_OK) return st;
    printf("%lld points, inertia %.2f\n", (long long)n, stats.inertia);
    for (int64_t j = 0; j < k; j++)
        printf("%lld points near %.2f %.2f\n", (long long)sizes[j], (double)centroids[j * WIDTH],
               (double)centroids[j * WIDTH + 1]);
    return FR_OK;
}

int main(int argc, char **argv) {
    static float x[MOST * WIDTH], centroids[MOST * WIDTH];
    static int64_t sizes[MOST];
    const long k = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (k < 1 || k > MOST) {
        fprintf(stderr, "usage: clusters K <POINTS\n");
        return 2;
    }
    if (run(x, read_points(x), k, centroids, sizes) == FR_OK) return 0;
    fprintf(stderr, "clusters: %s\n", fr_message());
    return 1;
}
