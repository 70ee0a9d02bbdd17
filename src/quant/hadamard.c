/* hadamard.c: see hadamard.h.
 *
 * Vectors are taken LANES at a time, next to each other in f64, so that every step is a loop over lanes: butterflies
 * over the power of two (the fast Walsh-Hadamard transform, in place), then the small matrix over the rest. */
#include "quant/hadamard.h"

#include <math.h>
#include <string.h>

#include "quant/hadamard_base.h"

#define LANES 8

struct fr_hadamard {
    int64_t n, k, two; /* n = k two, and two a power of two */
    int8_t *base;      /* [k, k] */
};

/* ---- sizes ---- */

static fr_status refuse(int64_t n, int64_t odd) {
    if (n < 1) return fr_fail(FR_INVALID, "No matrix has the size %lld.", (long long)n);
    if (n % 4)
        return fr_fail(
            FR_UNSUPPORTED,
            "There is no Hadamard matrix of size %lld: beyond 2 they are multiples of 4.",
            (long long)n);
    return fr_fail(FR_UNSUPPORTED,
                   "A Hadamard matrix of size %lld needs one of size %lld or that times a power of "
                   "two, and none of those can be constructed here.",
                   (long long)n, (long long)(4 * odd));
}

/* The smallest base that divides n into a power of two. */
static fr_status split(int64_t n, int64_t *k) {
    int64_t odd = FR_MAX_OF(n, 1);
    while (odd % 2 == 0) odd /= 2;
    *k = odd == 1 ? 1 : 4 * odd;
    while (n > 0 && *k <= FR_HADAMARD_BASE && n % *k == 0) {
        if (fr_hadamard_base_is(*k)) return FR_OK;
        *k *= 2;
    }
    return refuse(n, odd);
}

fr_status fr_hadamard_new(int64_t n, fr_hadamard **out) {
    int64_t k;
    *out = NULL;
    FR_TRY(split(n, &k));
    fr_hadamard *h = fr_alloc(FR_MEM_OTHER, sizeof *h + (size_t)(k * k));
    if (!h) return FR_NOMEM;
    *h = (fr_hadamard){.n = n, .k = k, .two = n / k, .base = (int8_t *)(h + 1)};
    fr_status st = fr_hadamard_base(k, h->base);
    if (st)
        fr_free(h);
    else
        *out = h;
    return st;
}

void fr_hadamard_free(fr_hadamard *h) {
    fr_free(h);
}
int64_t fr_hadamard_size(const fr_hadamard *h) {
    return h->n;
}

int fr_hadamard_sign(const fr_hadamard *h, int64_t row, int64_t col) {
    uint64_t both = (uint64_t)(row % h->two) & (uint64_t)(col % h->two);
    int sign = h->base[row / h->two * h->k + col / h->two];
    return __builtin_popcountll(both) % 2 ? -sign : sign;
}

/* ---- LANES vectors: a [n][LANES] becomes a H ---- */

static void butterflies(double *a, int64_t n) {
    for (int64_t half = 1; half < n; half *= 2)
        for (int64_t i = 0; i < n; i += 2 * half)
            for (int64_t j = i * LANES; j < (i + half) * LANES; j++) {
                double x = a[j], y = a[j + half * LANES];
                a[j] = x + y;
                a[j + half * LANES] = x - y;
            }
}

/* Values two apart are the vector that the base turns; room holds two of them. */
static void turn_base(const fr_hadamard *h, bool back, double *a, double *room) {
    const int64_t k = h->k, step = h->two * LANES;
    double *in = room, *out = room + k * LANES;
    for (int64_t c = 0; c < h->two; c++) {
        double *at = a + c * LANES;
        for (int64_t i = 0; i < k; i++) memcpy(in + i * LANES, at + i * step, LANES * sizeof *in);
        memset(out, 0, (size_t)k * LANES * sizeof *out);
        for (int64_t i = 0; i < k; i++)
            for (int64_t j = 0; j < k; j++) {
                const double sign = h->base[back ? j * k + i : i * k + j];
                for (int l = 0; l < LANES; l++) out[j * LANES + l] += sign * in[i * LANES + l];
            }
        for (int64_t i = 0; i < k; i++) memcpy(at + i * step, out + i * LANES, LANES * sizeof *out);
    }
}

static void turn(const fr_hadamard *h, bool back, double *a) {
    const double scale = 1 / sqrt((double)h->n);
    for (int64_t i = 0; i < h->k; i++) butterflies(a + i * h->two * LANES, h->two);
    if (h->k > 1) turn_base(h, back, a, a + h->n * LANES);
    for (int64_t i = 0; i < h->n * LANES; i++) a[i] *= scale;
}

/* ---- rows and columns of a matrix ---- */

typedef struct job {
    const fr_hadamard *h;
    bool back;
    float *x;
    int64_t count;     /* of vectors */
    int64_t next, far; /* from one vector to the next, from one value of it to the next */
    double *room;
    size_t room_each;
} job;

/* Lanes that are left over are 0. */
static void some(void *arg, size_t thread, size_t item) {
    const job *j = arg;
    const int64_t first = (int64_t)item * LANES, lanes = FR_MIN(j->count - first, LANES);
    double *a = j->room + thread * j->room_each;
    float *x = j->x + first * j->next;
    for (int64_t i = 0; i < j->h->n; i++)
        for (int64_t l = 0; l < LANES; l++)
            a[i * LANES + l] = l < lanes ? (double)x[l * j->next + i * j->far] : 0;
    turn(j->h, j->back, a);
    for (int64_t i = 0; i < j->h->n; i++)
        for (int64_t l = 0; l < lanes; l++) x[l * j->next + i * j->far] = (float)a[i * LANES + l];
}

static fr_status go(job *j, fr_pool *pool) {
    const size_t threads = (size_t)fr_pool_threads(pool);
    j->room_each = (size_t)((j->h->n + 2 * j->h->k) * LANES);
    j->room = fr_alloc_array(FR_MEM_OTHER, threads * j->room_each, sizeof *j->room);
    if (!j->room) return FR_NOMEM;
    fr_pool_run_thread(pool, (size_t)((j->count + LANES - 1) / LANES), some, j);
    fr_free(j->room);
    return FR_OK;
}

fr_status fr_hadamard_rows(const fr_hadamard *h, bool back, float *x, int64_t rows, int64_t stride,
                           fr_pool *pool) {
    return go(&(job){.h = h, .back = back, .x = x, .count = rows, .next = stride, .far = 1}, pool);
}

fr_status fr_hadamard_columns(const fr_hadamard *h, bool back, float *x, int64_t cols,
                              int64_t stride, fr_pool *pool) {
    return go(&(job){.h = h, .back = back, .x = x, .count = cols, .next = 1, .far = stride}, pool);
}
