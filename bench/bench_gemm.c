/* bench_gemm.c: f32 products, ours beside OpenBLAS and oneDNN, in one process, in turn.
 *
 *     bench_gemm [--threads N] [--seconds S] [--shapes linear|square|all] [m n k]
 *
 * A linear (m tokens, weight [n, k]) has its weight packed ahead, as a session does it; oneDNN's
 * matmul primitive gets the same favour. Weights are taken in turn from a set larger than the last
 * cache, as in a model. A square product packs within the measured time.
 *
 * With one thread the clock is processor time, so that other programs do not count; with more it is
 * the wall. Every figure is from the shortest of the runs; "ratio" is the best peer's time over ours,
 * so above 1 we are faster. "peak" is the share of the measured peak of f32 multiply-adds, "read"
 * the bytes of the weight a second over the measured read bandwidth. */
#include <math.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "gemm_peers.h"
#include "op/gemm.h"
#include "op/peaks.h"

#define MAX_COPIES 24
#define SET_BYTES  ((size_t)96 << 20)

typedef enum who { OURS, OURS_UNPACKED, BLAS, NUMPY, DNNL_SGEMM, DNNL, WHO_COUNT } who;

typedef struct bench {
    int64_t m, n, k;
    bool tb; /* a linear */
    int copies, turn, threads;
    float *a, *c, *b[MAX_COPIES];
    void *packed[MAX_COPIES], *scratch;
    fr_pool *pool;
    gemm_peers peers;
    int (*sgemm)(char, char, int64_t, int64_t, int64_t, float, const float *, int64_t,
                 const float *, int64_t, float, float *, int64_t);
#ifdef FR_BENCH_DNNL
    dnnl_product dnnl;
#endif
} bench;

static void *memory(size_t bytes) {
    void *p = fr_alloc_array(FR_MEM_OTHER, bytes, 1);
    if (!p) exit(1);
    return p;
}

static double clock_of(const bench *b) {
    return b->threads == 1 ? fr_thread_cpu() : fr_now();
}

static bool has(const bench *b, who w) {
    switch (w) {
    case BLAS: return b->peers.blas;
    case NUMPY: return b->peers.numpy;
    case DNNL_SGEMM: return b->sgemm;
#ifdef FR_BENCH_DNNL
    case DNNL: return b->dnnl.good;
#endif
    case OURS: return b->tb;
    case OURS_UNPACKED: return true;
    default: return false;
    }
}

static void run(bench *b, who w) {
    int i = b->turn++ % b->copies;
    int64_t ldb = b->tb ? b->k : b->n;
    fr_gemm g = {.m = b->m,
                 .n = b->n,
                 .k = b->k,
                 .a = b->a,
                 .lda = b->k,
                 .a_type = FR_F32,
                 .b = b->b[i],
                 .ldb = ldb,
                 .tb = b->tb,
                 .b_type = FR_F32,
                 .c = b->c,
                 .ldc = b->n,
                 .c_type = FR_F32};
    switch (w) {
    case OURS: g.b_packed = b->packed[i]; /* fall through */
    case OURS_UNPACKED: fr_gemm_run(&g, b->scratch, b->pool); break;
    case BLAS:
        b->peers.blas(101, 111, b->tb ? 112 : 111, (int)b->m, (int)b->n, (int)b->k, 1, b->a,
                      (int)b->k, b->b[i], (int)ldb, 0, b->c, (int)b->n);
        break;
    case NUMPY:
        b->peers.numpy(101, 111, b->tb ? 112 : 111, b->m, b->n, b->k, 1, b->a, b->k, b->b[i], ldb,
                       0, b->c, b->n);
        break;
    case DNNL_SGEMM:
        b->sgemm('N', b->tb ? 'T' : 'N', b->m, b->n, b->k, 1, b->a, b->k, b->b[i], ldb, 0, b->c,
                 b->n);
        break;
#ifdef FR_BENCH_DNNL
    case DNNL: dnnl_product_run(&b->dnnl, i); break;
#endif
    default: break;
    }
}

static void set_up(bench *b) {
    size_t values = (size_t)(b->n * b->k);
    b->copies = b->tb ? (int)FR_MIN(MAX_COPIES, SET_BYTES / (values * 4) + 1) : 1;
    b->a = memory((size_t)(b->m * b->k) * 4);
    b->c = memory((size_t)(b->m * b->n) * 4);
    fr_random_uniform(1, 1, 0, b->a, (size_t)(b->m * b->k));
    fr_gemm g = {.m = b->m,
                 .n = b->n,
                 .k = b->k,
                 .a_type = FR_F32,
                 .b_type = FR_F32,
                 .c_type = FR_F32,
                 .ldb = b->tb ? b->k : b->n,
                 .tb = b->tb};
    for (int i = 0; i < b->copies; i++) {
        b->b[i] = memory(values * 4);
        fr_random_uniform(1, 2, (uint64_t)i, b->b[i], values);
        if (!b->tb) continue;
        g.b = b->b[i];
        b->packed[i] = memory(fr_gemm_pack_bytes(&g));
        fr_gemm_pack_b(&g, b->packed[i], b->pool);
    }
    size_t unpacked = fr_gemm_scratch(&g, b->pool);
    g.b_packed = b->a;
    size_t packed = fr_gemm_scratch(&g, b->pool);
    b->scratch = memory(FR_MAX_OF(packed, unpacked));
#ifdef FR_BENCH_DNNL
    b->dnnl = dnnl_product_new(b->peers.dnnl, b->m, b->n, b->k, b->tb, b->a, b->b, b->copies, b->c);
#endif
}

static void tear_down(bench *b) {
    fr_free(b->a), fr_free(b->c), fr_free(b->scratch);
    for (int i = 0; i < b->copies; i++) fr_free(b->b[i]), fr_free(b->packed[i]);
    memset(b->packed, 0, sizeof b->packed);
#ifdef FR_BENCH_DNNL
    dnnl_product_free(&b->dnnl);
#endif
}

/* The largest difference from OpenBLAS, or from whatever peer there is. */
static double check(bench *b) {
    size_t count = (size_t)(b->m * b->n);
    float *want = memory(count * 4);
    double worst = 0;
    who peer = has(b, BLAS) ? BLAS : has(b, DNNL_SGEMM) ? DNNL_SGEMM : OURS_UNPACKED;
    b->turn = 0;
    run(b, peer);
    memcpy(want, b->c, count * 4);
    for (int w = 0; w < WHO_COUNT; w++) {
        if (!has(b, (who)w)) continue;
        memset(b->c, 0xff, count * 4);
        b->turn = 0;
        run(b, (who)w);
        for (size_t i = 0; i < count; i++)
            worst = fmax(worst, fabs((double)b->c[i] - want[i]) / (fabs(want[i]) + 1));
    }
    fr_free(want);
    return worst;
}

/* Waits until the threads of a library have stopped to spin. */
static void settle(const bench *b) {
    if (b->threads > 1) usleep(25000);
}

static void measure(bench *b, double seconds, const fr_peaks *peaks) {
    double best[WHO_COUNT], start = fr_now();
    for (int w = 0; w < WHO_COUNT; w++) best[w] = INFINITY;
    double error = check(b);
    double guess = 2.0 * (double)b->m * (double)b->n * (double)b->k / (peaks->f32[0] * b->threads) +
                   (double)(b->n * b->k) * 4 / 10e9;
    int repeats = (int)FR_MAX_OF(1, 0.01 / guess);
    for (int round = 0; round < 3 || fr_now() - start < seconds; round++) {
        for (int w = 0; w < WHO_COUNT; w++) {
            if (!has(b, (who)w)) continue;
            settle(b);
            run(b, (who)w);
            for (int r = 0; r < repeats; r++) {
                double t = clock_of(b);
                run(b, (who)w);
                best[w] = fmin(best[w], clock_of(b) - t);
            }
        }
    }
    double ours = b->tb ? best[OURS] : best[OURS_UNPACKED], peer = INFINITY;
    for (int w = BLAS; w < WHO_COUNT; w++) peer = fmin(peer, best[w]);
    double flops = 2.0 * (double)b->m * (double)b->n * (double)b->k;
    int all = b->threads > 1;
    printf("%-6s %5ld %5ld %5ld %2d", b->tb ? "linear" : "square", (long)b->m, (long)b->n,
           (long)b->k, b->threads);
    for (int w = 0; w < WHO_COUNT; w++) {
        if (isfinite(best[w])) {
            printf(" %9.1f", flops / best[w] * 1e-9);
        } else {
            printf(" %9s", "-");
        }
    }
    printf("  %5.2f  %4.0f%% %4.0f%%  %.0e\n", peer / ours, 100 * flops / ours / peaks->f32[all],
           100 * (double)(b->n * b->k) * 4 / ours / peaks->read[all], error);
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const int64_t ms[] = {1, 16, 128, 1024};
    static const int64_t nk[][2] = {
        {1024, 1024}, {4096, 1024}, {1024, 4096}, {4096, 4096}, {8192, 8192}};
    static const int64_t squares[] = {512, 1024, 2048, 4096};
    int threads = 0;
    double seconds = 1.5;
    bool linear = true, square = true;
    int64_t own[3], given = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--threads") && i + 1 < argc) {
            threads = atoi(argv[++i]);
        } else if (!strcmp(argv[i], "--seconds") && i + 1 < argc) {
            seconds = atof(argv[++i]);
        } else if (!strcmp(argv[i], "--shapes") && i + 1 < argc) {
            i++;
            linear = strcmp(argv[i], "square"), square = strcmp(argv[i], "linear");
        } else if (given < 3) {
            own[given++] = atol(argv[i]);
        }
    }
    gemm_peers peers = gemm_peers_open();
    void *lib = peers.dnnl;
    for (int t = threads ? threads : 1; t <= (threads ? threads : 2); t++) {
        bench b = {.threads = t, .peers = peers};
        fr_peaks peaks;
        if (fr_pool_new(t, &b.pool) || fr_peaks_measure(b.pool, &peaks)) return 1;
        gemm_peers_threads(&peers, t);
        if (lib) *(void **)&b.sgemm = dlsym(lib, "dnnl_sgemm");
        printf("%s, %d thread(s): peak %.1f GFLOP/s f32, %.1f GB/s read\n", peaks.table, t,
               peaks.f32[t > 1] * 1e-9, peaks.read[t > 1] * 1e-9);
        printf("%-6s %5s %5s %5s %2s %9s %9s %9s %9s %9s %9s  %5s  %5s %5s  %s\n", "", "m", "n",
               "k", "t", "ours", "unpacked", "openblas", "numpy's", "dnn sgemm", "dnn prim",
               "ratio", "peak", "read", "error");
        if (given == 3) {
            b.m = own[0], b.n = own[1], b.k = own[2], b.tb = linear;
            set_up(&b), measure(&b, seconds, &peaks), tear_down(&b);
            continue;
        }
        for (size_t s = 0; linear && s < FR_COUNT(nk); s++) {
            for (size_t i = 0; i < FR_COUNT(ms); i++) {
                b.m = ms[i], b.n = nk[s][0], b.k = nk[s][1], b.tb = true;
                set_up(&b), measure(&b, seconds, &peaks), tear_down(&b);
            }
        }
        for (size_t s = 0; square && s < FR_COUNT(squares); s++) {
            b.m = b.n = b.k = squares[s], b.tb = false;
            set_up(&b), measure(&b, seconds, &peaks), tear_down(&b);
        }
        fr_pool_free(b.pool);
    }
    return 0;
}
