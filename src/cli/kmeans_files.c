/* kmeans_files.c: the files of `frugal kmeans`: points, weights and centroids in, results out. */
#include <stdio.h>
#include <string.h>

#include "cli/kmeans.h"

/* ---- in ---- */

/* The one that was named, the only one, or the one called `what`: results of this command read again. */
static fr_status choose(const fr_store *s, const char *path, const char *name, const char *what,
                        const fr_tensor **out) {
    char list[256] = "";
    const size_t n = fr_store_count(s);
    *out = name ? fr_store_find(s, name) : n == 1 ? fr_store_tensor(s, 0) : fr_store_find(s, what);
    if (*out) return FR_OK;
    if (name) return fr_fail(FR_INVALID, "%s holds no tensor \"%s\".", path, name);
    if (!n) return fr_fail(FR_FORMAT, "%s holds no tensor.", path);
    for (size_t i = 0, used = 0; i < n && i < 4 && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.60s", i ? ", " : "",
                                 fr_store_name(s, i));
    return fr_fail(
        FR_INVALID,
        "%s holds %zu tensors (%s%s), and none is called \"%s\": --tensor says which holds the %s.",
        path, n, list, n > 4 ? ", ..." : "", what, what);
}

/* Floats, where the numbers are others or do not lie one behind the other. */
static fr_status make_floats(fr_kmeans_data *d) {
    const size_t n = (size_t)fr_values(&d->view);
    d->copy = fr_alloc_array(FR_MEM_OTHER, n, sizeof *d->copy);
    if (!d->copy) return FR_NOMEM;
    FR_TRY(fr_tensor_to_f32(&d->view, d->copy));
    d->view.dtype = FR_F32;
    d->view.data = d->copy;
    fr_set_contiguous(&d->view);
    return FR_OK;
}

bool fr_kmeans_takes(fr_dtype t) {
    return t == FR_F32 || t == FR_BF16 || t == FR_F16;
}

fr_status fr_kmeans_open(const char *path, const char *tensor, const char *what, int least,
                         int most, fr_kmeans_data *out) {
    char shape[FR_SHAPE_TEXT];
    const fr_tensor *t;
    *out = (fr_kmeans_data){.path = path};
    FR_TRY(fr_store_open(path, &out->store));
    FR_TRY(choose(out->store, path, tensor, what, &t));
    out->view = *t;
    /* A plain list is points of one coordinate. */
    if (t->rank == 1 && least == 2) {
        out->view.rank = 2;
        out->view.dim[1] = out->view.stride[1] = 1;
    }
    if (out->view.rank < least || out->view.rank > most)
        return fr_fail(FR_INVALID, "%s: the %s are %s, and want %d or %d dimensions.", path, what,
                       fr_shape_text(t, shape), least, most);
    for (int i = 0; i < out->view.rank; i++)
        if (out->view.dim[i] < 1)
            return fr_fail(FR_INVALID, "%s: the %s are %s, so there are none.", path, what,
                           fr_shape_text(t, shape));
    return FR_OK;
}

fr_status fr_kmeans_floats(fr_kmeans_data *d, double allowed) {
    char a[32], b[32];
    const double bytes = 4.0 * (double)fr_values(&d->view);
    if (bytes > allowed)
        return fr_fail(
            FR_NOMEM,
            "%s holds %s, which take %s of memory as f32, and %s are allowed; as f32, bf16 or f16 "
            "in the file they would be read piece by piece.",
            d->path, fr_dtype_name(d->view.dtype), fr_show_bytes(a, bytes),
            fr_show_bytes(b, allowed));
    if (!fr_is_quiet())
        fprintf(stderr, "%s: %s are made f32 in memory (%s)\n", d->path,
                fr_dtype_name(d->view.dtype), fr_show_bytes(a, bytes));
    return make_floats(d);
}

fr_status fr_kmeans_dense_floats(fr_kmeans_data *d) {
    return d->view.dtype == FR_F32 && fr_is_contiguous(&d->view) ? FR_OK : make_floats(d);
}

void fr_kmeans_close(fr_kmeans_data *d) {
    fr_free(d->copy);
    fr_store_close(d->store);
    *d = (fr_kmeans_data){0};
}

/* ---- out ---- */

static bool is(const char *path, const char *suffix) {
    return path && fr_path_has_suffix(path, suffix);
}

static fr_status has_folder(const char *path) {
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (!slash || slash == path) return FR_OK;
    char *folder = fr_format("%.*s", (int)(slash - path), path);
    if (!folder) return FR_NOMEM;
    const bool there = fr_path_is_dir(folder);
    fr_free(folder);
    return there ? FR_OK : fr_fail(FR_IO, "%s: there is no such folder to write to.", path);
}

fr_status fr_kmeans_can_write(const fr_kmeans_call *c, bool batched) {
    const bool only_labels = c->predict != NULL;
    FR_TRY(has_folder(c->out));
    FR_TRY(has_folder(c->labels));
    FR_TRY(has_folder(c->plot));
    if (c->out && !is(c->out, ".safetensors") && !is(c->out, ".npy") &&
        !is(c->out, only_labels ? ".ivecs" : ".fvecs"))
        return fr_fail(FR_INVALID,
                       "%s: the name of what is written ends in .safetensors, .npy or %s.", c->out,
                       only_labels ? ".ivecs" : ".fvecs");
    if (c->labels && !is(c->labels, ".npy") && !is(c->labels, ".ivecs"))
        return fr_fail(FR_INVALID, "%s: the name of a file of labels ends in .npy or .ivecs.",
                       c->labels);
    if (batched && (is(c->out, "vecs") || is(c->labels, "vecs")))
        return fr_fail(
            FR_INVALID,
            "%s has one list of vectors, and these are several problems: .npy and .safetensors "
            "hold them.",
            is(c->out, "vecs") ? c->out : c->labels);
    return FR_OK;
}

/* Without the number of problems where there is but one and the file did not have it. */
static fr_tensor shaped(const fr_kmeans_made *m, fr_dtype type, int64_t a, int64_t b, void *data) {
    const int64_t dim[3] = {m->problems, a, b};
    const int rank = b ? 3 : 2;
    return m->batched ? fr_tensor_make(type, rank, dim, data)
                      : fr_tensor_make(type, rank - 1, dim + 1, data);
}

static fr_status write_safetensors(const fr_kmeans_call *c, const fr_kmeans_made *m) {
    char inertia[40], iterations[24];
    const fr_tensor centroids = shaped(m, FR_F32, m->k, m->width, m->centroids);
    const fr_tensor labels = shaped(m, FR_I32, m->rows, 0, m->labels);
    const fr_tensor sizes = shaped(m, FR_I64, m->k, 0, m->sizes);
    const fr_tensor distances = shaped(m, FR_F32, m->rows, 0, m->distances);
    const fr_named_tensor all[] = {
        {"centroids", &centroids}, {"sizes", &sizes}, {"labels", &labels}};
    const fr_named_tensor found[] = {{"labels", &labels}, {"distances", &distances}};
    snprintf(inertia, sizeof inertia, "%.17g", m->inertia);
    snprintf(iterations, sizeof iterations, "%lld", (long long)m->iterations);
    const fr_meta_pair meta[] = {{"metric", fr_kmeans_metrics[c->o.metric]},
                                 {"inertia", inertia},
                                 {"iterations", iterations},
                                 {"converged", m->converged ? "true" : "false"}};
    return c->predict ? fr_safetensors_write(c->out, found, FR_COUNT(found), meta, 2)
                      : fr_safetensors_write(c->out, all, FR_COUNT(all), meta, FR_COUNT(meta));
}

static fr_status write_labels(const char *path, const fr_kmeans_made *m) {
    fr_tensor t = shaped(m, FR_I32, m->rows, 0, m->labels);
    if (is(path, ".npy")) return fr_npy_write(path, &t);
    t.rank = 2, t.dim[1] = t.stride[1] = 1;
    return fr_vecs_write(path, &t);
}

fr_status fr_kmeans_write(const fr_kmeans_call *c, const fr_kmeans_made *m) {
    if (c->labels) FR_TRY(write_labels(c->labels, m));
    if (!c->out) return FR_OK;
    if (is(c->out, ".safetensors")) return write_safetensors(c, m);
    if (c->predict) return write_labels(c->out, m);
    const fr_tensor t = shaped(m, FR_F32, m->k, m->width, m->centroids);
    return is(c->out, ".npy") ? fr_npy_write(c->out, &t) : fr_vecs_write(c->out, &t);
}
