/* check_kvattn.c: attention over pages. Ways keep queries and sums in layouts of their own, so a way is taken
 * through two pages (query, score, softmax, add, result) and held against plain sums in double over what `read`
 * gives; reading, writing and the softmax against their reference. */
#include "check.h"

enum { ROWS = FR_KVATTN_ROWS, TOKENS = FR_KV_TOKENS };

static const char *const names[FR_KV_KINDS] = {"bf16", "f16", "f32", "8", "4", "8-qoq", "4-qoq"};

static void *aligned(size_t bytes) {
    char *p = check_alloc(bytes + 64);
    p += -(uintptr_t)p & 63;
    memset(p, 0, bytes);
    return p;
}

/* How values are spread: normal, one channel of 30 times, all far from zero; all tokens the same. */
typedef enum values { NORMAL, OUTLIER, FAR, SAME, VALUES } values;

static float draw(values how, int64_t d) {
    if (how == SAME) return (float)(d % 7 + 1);
    return check_normal() * (how == OUTLIER && d == 3 ? 30.0f : 1.0f) + (how == FAR ? 5.0f : 0.0f);
}

/* A head whose tokens outside lo .. hi are nonsense. */
static fr_kvattn_head make_head(const fr_kernels *ref, fr_kv_kind kind, int64_t dim, values how,
                                int lo, int hi) {
    const size_t row = fr_kvattn_row(kind, dim);
    uint8_t *codes = check_alloc(TOKENS * row);
    uint16_t *scale = check_alloc(TOKENS * 2), *offset = check_alloc(TOKENS * 2);
    float *x = check_alloc((size_t)dim * 4);
    memset(codes, 0xff, TOKENS * row);
    memset(scale, 0xff, TOKENS * 2);
    memset(offset, 0xff, TOKENS * 2);
    for (int t = lo; t < hi; t++) {
        for (int64_t d = 0; d < dim; d++) x[d] = draw(how, d);
        ref->kvattn.write(kind, x, dim, codes + (size_t)t * row, scale + t, offset + t);
    }
    return (fr_kvattn_head){
        .kind = kind, .dim = dim, .codes = codes, .scale = scale, .offset = offset};
}

/* ---- a way through two pages ---- */

typedef struct through {
    const float *q;
    fr_kvattn_head k[2], v[2];
    int32_t lo[2][ROWS], hi[2][ROWS];
    int rows;
    int64_t dim;
    float c;
    bool outlier; /* scores, and what is wrong with them, are larger */
    bool same;    /* all values */
} through;

/* y: the sums; size: the largest sum of weights times sizes of values. */
static void expect(const through *w, const fr_kernels *ref, int r, double *y, double *sum,
                   double *size) {
    double s[2][TOKENS], most = -INFINITY;
    float *x = malloc((size_t)w->dim * sizeof *x);
    double *sizes = calloc((size_t)w->dim, sizeof *sizes);
    for (int page = 0; page < 2; page++)
        for (int t = w->lo[page][r]; t < w->hi[page][r]; t++) {
            ref->kvattn.read(&w->k[page], t, 1, false, x);
            s[page][t] = 0;
            for (int64_t d = 0; d < w->dim; d++)
                s[page][t] += (double)w->q[r * w->dim + d] * (double)x[d];
            if (s[page][t] > most) most = s[page][t];
        }
    *sum = 0;
    for (int64_t d = 0; d < w->dim; d++) y[d] = 0;
    for (int page = 0; page < 2; page++)
        for (int t = w->lo[page][r]; t < w->hi[page][r]; t++) {
            ref->kvattn.read(&w->v[page], t, 1, false, x);
            double p = exp2((s[page][t] - most) * (double)w->c);
            *sum += p;
            for (int64_t d = 0; d < w->dim; d++) {
                y[d] += p * (double)x[d];
                sizes[d] += p * fabs((double)x[d]);
            }
        }
    *size = 0;
    for (int64_t d = 0; d < w->dim; d++) *size = fmax(*size, sizes[d]);
    free(x);
    free(sizes);
}

/* Relative to the size of values; what rounding q and p to few bits costs. */
static double tolerance(const fr_kernels *k, const fr_kvattn_way *way, fr_kv_kind kind) {
    const bool rounds = memcmp(way, &k->kvattn.any[kind], sizeof *way) != 0;
    if (!rounds) return 2e-5;
    return kind == FR_KV_4 || kind == FR_KV_4_QOQ ? 2e-2 : kind == FR_KV_BF16 ? 4e-3 : 5e-4;
}

static void whole_way(const fr_kernels *k, const fr_kernels *ref, const fr_kvattn_way *way,
                      const through *w) {
    const fr_kv_kind kind = w->k[0].kind;
    const int64_t ld = fr_kvattn_ld(w->dim);
    void *record = aligned(fr_kvattn_query_bytes(w->dim)),
         *sums = aligned(fr_kvattn_sums_bytes(w->dim));
    float *s = aligned(TOKENS * ROWS * 4), *out = aligned((size_t)(ROWS * ld) * 4);
    float top[ROWS], sum[ROWS] = {0}, fade[ROWS];
    for (int r = 0; r < ROWS; r++) top[r] = -INFINITY;
    way->query(w->q, w->dim, w->rows, w->dim, record);
    for (int page = 0; page < 2; page++) {
        int lo = TOKENS, hi = 0;
        for (int r = 0; r < ROWS; r++) {
            if (w->lo[page][r] >= w->hi[page][r]) continue;
            if (w->lo[page][r] < lo) lo = w->lo[page][r];
            if (w->hi[page][r] > hi) hi = w->hi[page][r];
        }
        if (lo >= hi) continue;
        way->score(record, &w->k[page], s);
        k->kvattn.softmax(s, w->lo[page], w->hi[page], w->c, top, sum, fade);
        way->add(s, &w->v[page], lo, hi, fade, sums);
    }
    way->result(sums, w->dim, out);
    double *y = malloc((size_t)w->dim * sizeof *y), total, most;
    for (int r = 0; r < w->rows; r++) {
        expect(w, ref, r, y, &total, &most);
        double tol = tolerance(k, way, kind) * (w->outlier ? 5 : 1);
        check_value((double)sum[r], total, 5 * tol, 0);
        if (w->same && kind == FR_KV_BF16) tol = 1e-5; /* rounded weights add up to the same */
        for (int64_t d = 0; d < w->dim && total > 0; d++)
            check_value((double)(out[r * ld + d] / sum[r]), y[d] / total, 0, tol * most / total);
    }
    free(y);
}

static void try_way(const fr_kernels *k, const fr_kernels *ref, const fr_kvattn_way *way,
                    fr_kv_kind kind, int64_t dim, int cut, values how) {
    static const int32_t spans[4][2][2] = {
        {{0, 64}, {0, 64}}, {{0, 64}, {0, 1}}, {{63, 64}, {0, 33}}, {{5, 59}, {0, 0}}};
    const int32_t(*span)[2] = spans[cut];
    through w = {.rows = 1 + (int)(check_random() % ROWS),
                 .dim = dim,
                 .c = (how == OUTLIER ? 0.1f : 1.4427f) / sqrtf((float)dim),
                 .outlier = how == OUTLIER,
                 .same = how == SAME};
    w.q = check_f32((size_t)(w.rows * dim), CHECK_NORMAL);
    for (int page = 0; page < 2; page++) {
        w.k[page] =
            make_head(ref, kind, dim, how == SAME ? NORMAL : how, span[page][0], span[page][1]);
        w.v[page] = make_head(ref, kind, dim, how, span[page][0], span[page][1]);
        for (int r = 0; r < ROWS; r++) {
            w.lo[page][r] = span[page][0];
            w.hi[page][r] = r < w.rows ? span[page][1] : 0;
        }
    }
    if (span[1][1] > 3)
        for (int r = 0; r < w.rows; r++) w.hi[1][r] -= r, w.lo[0][r] += w.lo[0][r] < 60 ? r : 0;
    w.k[0].next = &w.v[0];
    w.v[0].next = &w.k[1];
    whole_way(k, ref, way, &w);
}

static void ways(const fr_kernels *k, const fr_kernels *ref) {
    static const int64_t dims[] = {1, 2, 6, 16, 24, 32, 64, 72, 80, 96, 128, 160, 256, 320};
    for (int kind = 0; kind < FR_KV_KINDS; kind++)
        for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
            for (int cut = 0; cut < 4; cut++)
                for (int how = 0; how < VALUES; how++) {
                    const bool four = kind == FR_KV_4 || kind == FR_KV_4_QOQ;
                    if (four && dims[i] % 2) continue;
                    if (how == OUTLIER && dims[i] < 16) continue;
                    if (!check_begin("kvattn.%s dim=%d cut=%d values=%d", names[kind], (int)dims[i],
                                     cut, how))
                        continue;
                    try_way(k, ref, fr_kvattn_way_of(&k->kvattn, (fr_kv_kind)kind, dims[i]),
                            (fr_kv_kind)kind, dims[i], cut, (values)how);
                    if (dims[i] % k->kvattn.way[kind].step == 0 && k->kvattn.way[kind].step > 1)
                        try_way(k, ref, &k->kvattn.any[kind], (fr_kv_kind)kind, dims[i], cut,
                                (values)how);
                    check_end();
                }
}

/* ---- bytes ---- */

static void pages(const fr_kernels *k, const fr_kernels *ref) {
    for (int kind = 0; kind < FR_KV_KINDS; kind++)
        for (int64_t dim = 2; dim < 150; dim += dim < 40 ? 2 : 22)
            for (int how = 0; how < CHECK_KIND_COUNT + 2; how++) {
                if (!check_begin("kvattn.write %s dim=%d how=%d", names[kind], (int)dim, how))
                    continue;
                const size_t row = fr_kvattn_row((fr_kv_kind)kind, dim);
                float *x =
                    check_f32((size_t)dim, how < CHECK_KIND_COUNT ? (check_kind)how : CHECK_NORMAL);
                if (how >= CHECK_KIND_COUNT) /* narrow around a value; all one value */
                    for (int64_t d = 0; d < dim; d++)
                        x[d] = how == CHECK_KIND_COUNT ? 1000.0f + x[d] * 1e-3f : -2.75f;
                uint8_t *got = check_alloc(row), *want = check_alloc(row);
                uint16_t a[2] = {0}, b[2] = {0};
                k->kvattn.write((fr_kv_kind)kind, x, dim, got, &a[0], &a[1]);
                ref->kvattn.write((fr_kv_kind)kind, x, dim, want, &b[0], &b[1]);
                check_same(got, want, row, 1);
                check_same(a, b, 2, 2);
                check_end();
            }
    for (int kind = 0; kind < FR_KV_KINDS; kind++)
        for (int64_t dim = 2; dim < 300; dim += dim < 20 ? 2 : 46)
            for (int half = 0; half < 2; half++) {
                if (!check_begin("kvattn.read %s dim=%d half=%d", names[kind], (int)dim, half))
                    continue;
                const int from = (int)(check_random() % 64),
                          count = 1 + (int)(check_random() % (uint64_t)(64 - from));
                fr_kvattn_head h =
                    make_head(ref, (fr_kv_kind)kind, dim, NORMAL, from, from + count);
                const size_t n = (size_t)(count * dim);
                void *got = check_alloc(n * 4), *want = check_alloc(n * 4);
                k->kvattn.read(&h, from, count, half, got);
                ref->kvattn.read(&h, from, count, half, want);
                check_same(got, want, n, half ? 2 : 4);
                check_end();
            }
}

static void softmaxes(const fr_kernels *k, const fr_kernels *ref) {
    for (int i = 0; i < 60; i++) {
        if (!check_begin("kvattn.softmax %d", i)) continue;
        float *s = check_f32(TOKENS * ROWS, CHECK_UNIFORM), *s2 = check_copy(s, TOKENS * ROWS * 4);
        int32_t lo[ROWS], hi[ROWS];
        float top[2][ROWS], sum[2][ROWS], fade[2][ROWS];
        for (int r = 0; r < ROWS; r++) {
            lo[r] = i < 20 ? 0 : (int32_t)(check_random() % 65);
            hi[r] = i < 20 ? 64 : (int32_t)(check_random() % 65);
            top[0][r] = top[1][r] = i % 2 ? -INFINITY : check_normal() * 5;
            sum[0][r] = sum[1][r] = i % 2 ? 0 : 3;
        }
        k->kvattn.softmax(s, lo, hi, 0.7f, top[0], sum[0], fade[0]);
        ref->kvattn.softmax(s2, lo, hi, 0.7f, top[1], sum[1], fade[1]);
        check_close(s, s2, TOKENS * ROWS, 1e-5, 1e-30);
        check_close(top[0], top[1], ROWS, 0, 0);
        check_close(sum[0], sum[1], ROWS, 1e-5, 1e-30);
        check_close(fade[0], fade[1], ROWS, 1e-5, 1e-30);
        check_end();
    }
}

static void run(const fr_kernels *k, const fr_kernels *ref) {
    ways(k, ref);
    pages(k, ref);
    softmaxes(k, ref);
}

/* ---- times ---- */

enum { BENCH_DIM = 128, BENCH_BYTES = 96 << 20 }; /* beyond the last cache */
typedef struct bench_arg {
    const fr_kernels *k;
    const fr_kvattn_way *way;
    fr_kvattn_head *head; /* keys and values in turn */
    void *record, *sums;
    float *s, top[ROWS], sum[ROWS], fade[ROWS];
    int pages, which; /* which: 1 scores, 2 softmax, 4 values */
} bench_arg;

static void once(void *arg) {
    bench_arg *b = arg;
    static const int32_t lo[ROWS] = {0}, hi[ROWS] = {TOKENS, TOKENS, TOKENS, TOKENS};
    for (int i = 0; i < b->pages; i++) {
        const fr_kvattn_head *h = &b->head[2 * i];
        if (b->which & 1) b->way->score(b->record, h, b->s);
        if (b->which & 2) b->k->kvattn.softmax(b->s, lo, hi, 0.1f, b->top, b->sum, b->fade);
        if (b->which & 4) b->way->add(b->s, h + 1, 0, TOKENS, b->fade, b->sums);
    }
}

static void bench_kind(const fr_kernels *k, fr_kv_kind kind) {
    const size_t row = fr_kvattn_row(kind, BENCH_DIM),
                 page = TOKENS * (row + (kind > FR_KV_F32 ? 4 : 0));
    const int pages = (int)(BENCH_BYTES / (2 * page));
    uint8_t *memory = aligned(2 * (size_t)pages * page);
    bench_arg b = {.k = k,
                   .way = fr_kvattn_way_of(&k->kvattn, kind, BENCH_DIM),
                   .head = check_alloc(2 * (size_t)pages * sizeof(fr_kvattn_head)),
                   .record = aligned(fr_kvattn_query_bytes(BENCH_DIM)),
                   .sums = aligned(fr_kvattn_sums_bytes(BENCH_DIM)),
                   .s = aligned(TOKENS * ROWS * 4)};
    float *q = check_f32(ROWS * BENCH_DIM, CHECK_NORMAL);
    for (int i = 0; i < ROWS * BENCH_DIM; i++) q[i] = rintf(q[i] * 32) / 32; /* bf16 can hold it */
    float *x = check_f32(BENCH_DIM, CHECK_NORMAL);
    b.way->query(q, BENCH_DIM, ROWS, BENCH_DIM, b.record);
    for (int i = 0; i < 2 * pages; i++) {
        uint16_t *scale = (uint16_t *)(void *)(memory + (size_t)i * page + TOKENS * row);
        b.head[i] = (fr_kvattn_head){.kind = kind,
                                     .dim = BENCH_DIM,
                                     .codes = memory + (size_t)i * page,
                                     .scale = scale,
                                     .offset = scale + TOKENS,
                                     .next = i + 1 < 2 * pages ? &b.head[i + 1] : NULL};
        for (int t = 0; t < TOKENS && i < 1; t++)
            k->kvattn.write(kind, x, BENCH_DIM, memory + (size_t)i * page + (size_t)t * row,
                            scale + t, scale + TOKENS + t);
    }
    for (size_t at = page; at < 2 * (size_t)pages * page; at += page)
        memcpy(memory + at, memory, page);
    const struct {
        const char *name;
        int pages, which;
        double heads;
    } rows[] = {{"scores, cached", 1, 1, 1},
                {"softmax", 1, 2, 0},
                {"values, cached", 1, 4, 1},
                {"cached", 1, 7, 2},
                {"from memory", pages, 7, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[64];
        b.pages = rows[i].pages;
        b.which = rows[i].which;
        memset(b.sums, 0, fr_kvattn_sums_bytes(BENCH_DIM));
        for (int r = 0; r < ROWS; r++) b.top[r] = -INFINITY, b.sum[r] = 0, b.fade[r] = 1;
        once(&b);
        snprintf(name, sizeof name, "kvattn.%s %s", names[kind], rows[i].name);
        check_bench(name, CHECK_NO_PEAK, 0, rows[i].heads * b.pages * (double)page, once, &b);
    }
}

static void bench(const fr_kernels *k) {
    for (int kind = 0; kind <= FR_KV_4; kind++) bench_kind(k, (fr_kv_kind)kind);
}

CHECK_FAMILY("kvattn", run, bench)
