/* gemm_peers.h: OpenBLAS and oneDNN behind one call, for bench_gemm.c. Loaded at run time, so that
 * the bench builds and runs without them.
 *
 *     OpenBLAS of the system         cblas_sgemm
 *     OpenBLAS of the numpy wheel    the same with 64-bit sizes; FRUGAL_NUMPY_BLAS names its file
 *     oneDNN of the system           dnnl_sgemm, and the matmul primitive with its own weight layout
 *
 * All compute c [m, n] = a [m, k] times b, b stored [k, n] or, with tb, [n, k]. */
#ifndef FR_BENCH_GEMM_PEERS_H
#define FR_BENCH_GEMM_PEERS_H

#include <dlfcn.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if __has_include(<oneapi/dnnl/dnnl.h>)
#include <oneapi/dnnl/dnnl.h>
#if DNNL_VERSION_MAJOR == 2
#define FR_BENCH_DNNL 1
#endif
#endif

typedef void sgemm32(int, int, int, int, int, int, float, const float *, int, const float *, int,
                     float, float *, int);
typedef void sgemm64(int, int, int, int64_t, int64_t, int64_t, float, const float *, int64_t,
                     const float *, int64_t, float, float *, int64_t);

typedef struct gemm_peers {
    sgemm32 *blas;
    sgemm64 *numpy;
    void (*blas_threads)(int), (*numpy_threads)(int), (*omp_threads)(int);
    void *dnnl;
} gemm_peers;

static void *peer_open(const char *pattern) {
    glob_t found;
    void *lib = NULL;
    if (strchr(pattern, '*') && !glob(pattern, 0, NULL, &found)) {
        lib = dlopen(found.gl_pathv[0], RTLD_NOW | RTLD_LOCAL);
        globfree(&found);
    } else if (!strchr(pattern, '*')) {
        lib = dlopen(pattern, RTLD_NOW | RTLD_LOCAL);
    }
    return lib;
}

static inline gemm_peers gemm_peers_open(void) {
    gemm_peers p = {0};
    char path[4096] = "";
    /* 0.3.21 does not know newer processors and would fall back to its AVX2 kernels. */
    if (__builtin_cpu_supports("avx512vl")) setenv("OPENBLAS_CORETYPE", "SkylakeX", 0);
    void *lib = peer_open("libopenblas.so.0");
    if (lib) {
        *(void **)&p.blas = dlsym(lib, "cblas_sgemm");
        *(void **)&p.blas_threads = dlsym(lib, "openblas_set_num_threads");
    }
    unsetenv("OPENBLAS_CORETYPE"); /* the newer one knows better */
    const char *named = getenv("FRUGAL_NUMPY_BLAS"), *home = getenv("HOME");
    const char *root = getenv("FRUGAL_PEERS");
    if (named)
        snprintf(path, sizeof path, "%s", named);
    else
        snprintf(path, sizeof path,
                 "%s%s/lib/python3*/site-packages/numpy.libs/libscipy_openblas64_*.so",
                 root   ? root
                 : home ? home
                        : "",
                 root ? "" : "/.cache/frugal-peers");
    lib = peer_open(path);
    if (lib) {
        *(void **)&p.numpy = dlsym(lib, "scipy_cblas_sgemm64_");
        *(void **)&p.numpy_threads = dlsym(lib, "scipy_openblas_set_num_threads64_");
    }
    p.dnnl = peer_open("libdnnl.so.2");
    lib = peer_open("libgomp.so.1");
    if (lib) *(void **)&p.omp_threads = dlsym(lib, "omp_set_num_threads");
    return p;
}

static inline void gemm_peers_threads(const gemm_peers *p, int threads) {
    if (p->blas_threads) p->blas_threads(threads);
    if (p->numpy_threads) p->numpy_threads(threads);
    if (p->omp_threads) p->omp_threads(threads);
}

#ifdef FR_BENCH_DNNL
/* The matmul primitive; weights of a linear (tb) in the layout it likes best (format_tag any), the
 * factor of a square product as it lies, so that packing is in the time as it is for the others. */
typedef struct dnnl_product {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t matmul;
    dnnl_memory_t src, dst, weight[32];
    int weights;
    dnnl_status_t (*execute)(const_dnnl_primitive_t, dnnl_stream_t, int, const dnnl_exec_arg_t *);
    dnnl_status_t (*wait)(dnnl_stream_t);
    dnnl_status_t (*drop)(dnnl_memory_t);
    bool good;
} dnnl_product;

#define DNNL_FN(name)                                                                              \
    __typeof__(&dnnl_##name) name;                                                                 \
    *(void **)&name = dlsym(lib, "dnnl_" #name);                                                   \
    if (!name) return d;

static inline dnnl_product dnnl_product_new(void *lib, int64_t m, int64_t n, int64_t k, bool tb,
                                            float *a, float *const *b, int count, float *c) {
    dnnl_product d = {0};
    if (!lib) return d;
    DNNL_FN(engine_create)
    DNNL_FN(stream_create)
    DNNL_FN(memory_desc_init_by_tag)
    DNNL_FN(matmul_desc_init)
    DNNL_FN(primitive_desc_create)
    DNNL_FN(primitive_desc_query_md)
    DNNL_FN(primitive_create)
    DNNL_FN(memory_create)
    DNNL_FN(memory_destroy)
    DNNL_FN(reorder_primitive_desc_create)
    DNNL_FN(primitive_execute)
    DNNL_FN(stream_wait)
    dnnl_memory_desc_t ma, mb, mb_plain, mc;
    dnnl_matmul_desc_t md;
    dnnl_primitive_desc_t pd, rpd;
    if (engine_create(&d.engine, dnnl_cpu, 0)) return d;
    stream_create(&d.stream, d.engine, dnnl_stream_default_flags);
    memory_desc_init_by_tag(&ma, 2, (dnnl_dims_t){m, k}, dnnl_f32, dnnl_ab);
    memory_desc_init_by_tag(&mb, 2, (dnnl_dims_t){k, n}, dnnl_f32,
                            tb ? dnnl_format_tag_any : dnnl_ab);
    memory_desc_init_by_tag(&mb_plain, 2, (dnnl_dims_t){k, n}, dnnl_f32, tb ? dnnl_ba : dnnl_ab);
    memory_desc_init_by_tag(&mc, 2, (dnnl_dims_t){m, n}, dnnl_f32, dnnl_ab);
    if (matmul_desc_init(&md, &ma, &mb, NULL, &mc)) return d;
    if (primitive_desc_create(&pd, &md, NULL, d.engine, NULL)) return d;
    const dnnl_memory_desc_t *best = primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    if (primitive_create(&d.matmul, pd)) return d;
    memory_create(&d.src, &ma, d.engine, a);
    memory_create(&d.dst, &mc, d.engine, c);
    for (int i = 0; i < count; i++) {
        dnnl_memory_t plain;
        dnnl_primitive_t reorder;
        memory_create(&plain, &mb_plain, d.engine, b[i]);
        memory_create(&d.weight[i], best, d.engine, DNNL_MEMORY_ALLOCATE);
        if (reorder_primitive_desc_create(&rpd, &mb_plain, d.engine, best, d.engine, NULL))
            return d;
        primitive_create(&reorder, rpd);
        dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, plain}, {DNNL_ARG_TO, d.weight[i]}};
        primitive_execute(reorder, d.stream, 2, args);
        stream_wait(d.stream);
        memory_destroy(plain);
    }
    d.weights = count;
    d.execute = primitive_execute;
    d.wait = stream_wait;
    d.drop = memory_destroy;
    d.good = true;
    return d;
}

static inline void dnnl_product_run(dnnl_product *d, int weight) {
    dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, d->src}, {DNNL_ARG_WEIGHTS, d->weight[weight]}, {DNNL_ARG_DST, d->dst}};
    d->execute(d->matmul, d->stream, 3, args);
    d->wait(d->stream);
}

static inline void dnnl_product_free(dnnl_product *d) {
    for (int i = 0; i < d->weights; i++) d->drop(d->weight[i]);
}
#endif

#endif
