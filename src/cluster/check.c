/* check.c: sentences for what makes no sense. */
#include "cluster/check.h"

#include "cluster/bounds.h"

#include <math.h>

fr_status fr_kmeans_check_points(const char *what, const fr_tensor *t) {
    char text[FR_SHAPE_TEXT];
    if (!t) return fr_fail(FR_INVALID, "there are no %s", what);
    if (t->rank != 2 && t->rank != 3)
        return fr_fail(FR_INVALID, "%s are %s; [N, D] or [B, N, D] is needed", what,
                       fr_shape_text(t, text));
    if (t->dtype != FR_F32 && t->dtype != FR_BF16 && t->dtype != FR_F16)
        return fr_fail(FR_INVALID, "%s are %s; f32, bf16 or f16 are needed", what,
                       fr_shape_text(t, text));
    for (int i = t->rank - 2; i < t->rank; i++)
        if (t->dim[i] < 1)
            return fr_fail(FR_INVALID, "%s are %s: there is nothing to group", what,
                           fr_shape_text(t, text));
    if (!t->data && t->dim[0] > 0) return fr_fail(FR_INVALID, "%s have no data", what);
    return FR_OK;
}

static fr_status check_choices(const fr_kmeans_opts *o) {
    const struct {
        const char *name;
        int value, most;
    } choice[] = {
        {"metric", (int)o->metric, FR_DOT},
        {"start", (int)o->start, FR_START_GIVEN},
        {"method", (int)o->method, FR_KMEANS_MINIBATCH},
        {"empty", (int)o->empty, FR_EMPTY_REFUSE},
        {"products", (int)o->products, FR_PRODUCTS_INT8},
    };
    for (size_t i = 0; i < FR_COUNT(choice); i++)
        if (choice[i].value < 0 || choice[i].value > choice[i].most)
            return fr_fail(FR_INVALID, "the option %s is %d, which stands for nothing",
                           choice[i].name, choice[i].value);
    if (o->metric == FR_DOT && (o->method == FR_KMEANS_HAMERLY || o->method == FR_KMEANS_YINYANG))
        return fr_fail(FR_INVALID,
                       "bounds need distances, and products are none: with the metric dot choose "
                       "lloyd or auto");
    return FR_OK;
}

static fr_status check_numbers(const fr_kmeans_opts *o) {
    if (o->iterations < 0)
        return fr_fail(FR_INVALID, "%lld iterations were asked for", (long long)o->iterations);
    if (isnan(o->tolerance)) return fr_fail(FR_INVALID, "the tolerance is no number");
    if (o->attempts < 1)
        return fr_fail(FR_INVALID, "%lld attempts were asked for; at least one is needed",
                       (long long)o->attempts);
    if (o->memory < (int64_t)1 << 20)
        return fr_fail(FR_INVALID, "%lld bytes of working memory were allowed; 1 MiB is the least",
                       (long long)o->memory);
    if (o->method == FR_KMEANS_MINIBATCH && o->batch < 1)
        return fr_fail(FR_INVALID, "a mini-batch of %lld points was asked for",
                       (long long)o->batch);
    return FR_OK;
}

static fr_status check_weights(const fr_tensor *w, const fr_tensor *points) {
    char text[FR_SHAPE_TEXT], want[FR_SHAPE_TEXT];
    bool same = w->dtype == FR_F32 && w->rank >= 1 && w->rank < points->rank && w->data;
    for (int i = 0; same && i < w->rank; i++)
        same = w->dim[i] == points->dim[points->rank - 1 - w->rank + i];
    if (!same)
        return fr_fail(FR_INVALID, "weights are %s, of points %s; f32, one a point, are needed",
                       fr_shape_text(w, text), fr_shape_text(points, want));
    if (!fr_is_contiguous(w)) return fr_fail(FR_INVALID, "weights must lie side by side");
    return FR_OK;
}

static fr_status check_bounds(int64_t n, int64_t width, const fr_kmeans_opts *o) {
    if (o->method != FR_KMEANS_HAMERLY && o->method != FR_KMEANS_YINYANG) return FR_OK;
    int64_t bytes = fr_bounds_bytes(o->method, n, o->k, width, 1);
    if (bytes <= o->memory) return FR_OK;
    return fr_fail(FR_INVALID,
                   "bounds of %lld points take %lld MiB, and %lld MiB of memory are allowed",
                   (long long)n, (long long)(bytes >> 20), (long long)(o->memory >> 20));
}

fr_status fr_kmeans_check(const fr_tensor *points, const fr_kmeans_opts *o,
                          const fr_kmeans_out *out) {
    FR_TRY(fr_kmeans_check_points("points", points));
    int64_t n = points->dim[points->rank - 2], width = points->dim[points->rank - 1];
    if (!o || !out || !out->centroids)
        return fr_fail(FR_INVALID, "k-means needs options and a place for the centroids");
    if (o->k < 1)
        return fr_fail(FR_INVALID, "%lld clusters were asked for; at least one is needed",
                       (long long)o->k);
    if (o->k > n)
        return fr_fail(FR_INVALID, "%lld clusters of %lld points: there must be a point for each",
                       (long long)o->k, (long long)n);
    if (o->k > INT32_MAX / 2)
        return fr_fail(FR_INVALID, "%lld clusters are more than labels can tell apart",
                       (long long)o->k);
    FR_TRY(check_choices(o));
    FR_TRY(check_numbers(o));
    if (o->weights) FR_TRY(check_weights(o->weights, points));
    return check_bounds(n, width, o);
}
