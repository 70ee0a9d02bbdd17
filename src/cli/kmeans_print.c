/* kmeans_print.c: what `frugal kmeans` found, as a table and as JSON. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/kmeans.h"

const char *const fr_kmeans_metrics[3] = {"euclid", "cosine", "dot"};
const char *const fr_kmeans_methods[5] = {"auto", "lloyd", "hamerly", "yinyang", "minibatch"};

typedef struct summary {
    int64_t least, median, most; /* points of a cluster */
    double pairs, products, rechecked, labels, empty, start, assign, update;
} summary;

static int by_size(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static fr_status sum_up(const fr_kmeans_made *m, summary *s) {
    const size_t n = (size_t)(m->problems * m->k);
    int64_t *sorted = fr_alloc_array(FR_MEM_OTHER, n, sizeof *sorted);
    if (!sorted) return FR_NOMEM;
    memcpy(sorted, m->sizes, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_size);
    *s = (summary){.least = sorted[0], .median = sorted[n / 2], .most = sorted[n - 1]};
    fr_free(sorted);
    for (int64_t b = 0; b < m->problems; b++) {
        const fr_kmeans_stats *t = &m->stats[b];
        s->products += (double)t->products;
        s->pairs += (double)m->rows * (double)m->k * (double)FR_MAX_OF(t->iterations, 1);
        s->rechecked += (double)t->rechecked;
        s->labels += (double)m->rows * (double)FR_MAX_OF(t->iterations, 1);
        s->empty += (double)t->empty;
        s->start += t->start_seconds;
        s->assign += t->assign_seconds;
        s->update += t->update_seconds;
    }
    return FR_OK;
}

static fr_status say_json(fr_json *j) {
    char *text = j ? json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(12)) : NULL;
    if (text) puts(text);
    free(text);
    fr_json_free(j);
    return text ? FR_OK : fr_fail(FR_NOMEM, "The figures can not be written as JSON.");
}

static void print_figures(const fr_kmeans_call *c, const fr_kmeans_made *m, const summary *s) {
    char a[32], b[32], d[32], e[32];
    if (m->batched) printf("problems      %lld\n", (long long)m->problems);
    printf("points        %lld in %lld dimensions\n", (long long)m->rows, (long long)m->width);
    printf("clusters      %lld of %lld to %lld points, median %lld\n", (long long)m->k,
           (long long)s->least, (long long)s->most, (long long)s->median);
    if (s->empty > 0) printf("found empty   %.0f times\n", s->empty);
    printf("iterations    %lld of %s, %s\n", (long long)m->iterations,
           fr_kmeans_methods[m->stats[0].method],
           m->converged ? "settled"
           : m->stopped ? "stopped"
                        : "not settled yet");
    printf("inertia       %.9g\n", m->inertia);
    printf("time          %s: start %s, assignment %s, centroids %s\n", fr_show_time(a, m->seconds),
           fr_show_time(b, s->start), fr_show_time(d, s->assign), fr_show_time(e, s->update));
    printf("pairs         %s of points and centroids settled", fr_show_count(a, s->pairs));
    if (s->assign > 0) printf(", %s a second", fr_show_count(b, s->pairs / s->assign));
    if (s->products < s->pairs) printf("; %.3g%% compared", 100 * s->products / s->pairs);
    if (s->rechecked > 0) printf("; %.3g%% of labels again in f32", 100 * s->rechecked / s->labels);
    printf("\n");
    if (c->out)
        printf("%s: centroids%s\n", c->out,
               fr_path_has_suffix(c->out, ".safetensors") ? ", labels, sizes" : "");
    if (c->labels) printf("%s: labels\n", c->labels);
    if (c->plot) printf("%s: a picture\n", c->plot);
}

static fr_status print_json(const fr_kmeans_made *m, const summary *s) {
    fr_json *j = json_pack(
        "{sI sI sI sI sI sb ss sf s[III] sI sf sf sf sf sf sf sf}", "problems",
        (json_int_t)m->problems, "points", (json_int_t)m->rows, "width", (json_int_t)m->width,
        "clusters", (json_int_t)m->k, "iterations", (json_int_t)m->iterations, "converged",
        (int)m->converged, "method", fr_kmeans_methods[m->stats[0].method], "inertia", m->inertia,
        "sizes", (json_int_t)s->least, (json_int_t)s->median, (json_int_t)s->most, "empty",
        (json_int_t)s->empty, "pairs", s->pairs, "products", s->products, "rechecked",
        s->rechecked / s->labels, "seconds", m->seconds, "start_seconds", s->start,
        "assign_seconds", s->assign, "update_seconds", s->update);
    return say_json(j);
}

fr_status fr_kmeans_print(const fr_kmeans_call *c, const fr_kmeans_made *m) {
    summary s;
    FR_TRY(sum_up(m, &s));
    if (c->json) return print_json(m, &s);
    print_figures(c, m, &s);
    return FR_OK;
}

fr_status fr_kmeans_print_predicted(const fr_kmeans_call *c, const fr_kmeans_made *m) {
    char a[32], b[32];
    if (c->json)
        return say_json(json_pack("{sI sI sI sI sf sf}", "problems", (json_int_t)m->problems,
                                  "points", (json_int_t)m->rows, "width", (json_int_t)m->width,
                                  "clusters", (json_int_t)m->k, "inertia", m->inertia, "seconds",
                                  m->seconds));
    printf("%s points, the nearest of %lld centroids for each: inertia %.9g, %s\n",
           fr_show_count(a, (double)(m->problems * m->rows)), (long long)m->k, m->inertia,
           fr_show_time(b, m->seconds));
    if (c->out)
        printf("%s: labels%s\n", c->out,
               fr_path_has_suffix(c->out, ".safetensors") ? ", distances" : "");
    if (c->labels) printf("%s: labels\n", c->labels);
    if (c->plot) printf("%s: a picture\n", c->plot);
    return FR_OK;
}
