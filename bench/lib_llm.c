/* lib_llm.c: reading and writing texts with a language model, for bench/llm.py. */
#include <string.h>

#include "format/format.h"
#include "model/model.h"
#include "op/peaks.h"
#include "text/engine.h"

enum { MOST = 512, VARIETY = 1000 };

typedef struct bench_llm {
    fr_pool *pool;
    fr_model model;
    fr_engine *e;
    int32_t sequence[MOST], count;
    int32_t *ids;
} bench_llm;

FR_API bench_llm *fr_bench_llm_new(const char *path, int threads, int sequences, int context,
                                   int pages, int half);
FR_API int fr_bench_llm_read(bench_llm *b, int sequences, int tokens); /* prompts of new texts */
FR_API int fr_bench_llm_write(bench_llm *b, int tokens);               /* of each */
FR_API void fr_bench_llm_clear(bench_llm *b);
FR_API double fr_bench_llm_bytes(const bench_llm *b, int kind); /* see there */
FR_API void fr_bench_llm_times(bench_llm *b); /* from now on; where time went so far, on stdout */
FR_API int fr_bench_llm_peaks(int threads, double *read, double *int8, double *bf16);
FR_API int fr_bench_llm_convert(const char *from, const char *to, const char *format,
                                const char *head, int threads);
FR_API void fr_bench_llm_free(bench_llm *b);

static int complain(fr_status st) {
    if (st) fprintf(stderr, "%s\n", fr_message());
    return (int)st;
}

static fr_status make(bench_llm *b, const char *path, int threads, int sequences, int context,
                      int pages, int half) {
    fr_engine_opts o = {.sequences = sequences,
                        .context = context,
                        .cache = (size_t)16 << 30,
                        .pages = (fr_kv_kind)pages,
                        .flow = half ? FR_BF16 : FR_F32};
    FR_TRY(fr_pool_new(threads, &b->pool));
    o.pool = b->pool;
    FR_TRY(fr_model_open(path, &b->model));
    return fr_engine_new(&b->model.decoder, b->model.store, &o, &b->e);
}

bench_llm *fr_bench_llm_new(const char *path, int threads, int sequences, int context, int pages,
                            int half) {
    bench_llm *b = fr_alloc(FR_MEM_OTHER, sizeof *b);
    if (!b || sequences > MOST) return NULL;
    b->ids = fr_alloc_array(FR_MEM_OTHER, (size_t)context, sizeof *b->ids);
    if (b->ids && !complain(make(b, path, threads, sequences, context, pages, half))) return b;
    fr_bench_llm_free(b);
    return NULL;
}

void fr_bench_llm_free(bench_llm *b) {
    fr_engine_free(b->e);
    fr_model_close(&b->model);
    fr_pool_free(b->pool);
    fr_free(b->ids);
    fr_free(b);
}

static int32_t token_of(int64_t i) {
    return (int32_t)(2 + i * 7919 % VARIETY);
}

static fr_status read_all(bench_llm *b, int sequences, int tokens) {
    fr_feed f[MOST];
    for (int i = 0; i < tokens; i++) b->ids[i] = token_of(i);
    for (int i = 0; i < sequences; i++) {
        if (fr_engine_open(b->e, 0, &b->sequence[b->count]))
            return fr_fail(FR_NOMEM, "No more than %d sequences.", b->count);
        f[i] = (fr_feed){.sequence = b->sequence[b->count++], .ids = b->ids, .count = tokens};
        f[i].wanted = 1;
    }
    return fr_engine_step(b->e, f, (size_t)sequences);
}

int fr_bench_llm_read(bench_llm *b, int sequences, int tokens) {
    return complain(read_all(b, sequences, tokens));
}

static fr_status write_all(bench_llm *b, int tokens) {
    fr_feed f[MOST];
    for (int t = 0; t < tokens; t++) {
        for (int32_t i = 0; i < b->count; i++) {
            b->ids[i] = token_of(t + 13 * i);
            f[i] = (fr_feed){.sequence = b->sequence[i], .ids = b->ids + i, .count = 1};
            f[i].wanted = 1;
            f[i].made = true;
        }
        FR_TRY(fr_engine_step(b->e, f, (size_t)b->count));
    }
    return FR_OK;
}

int fr_bench_llm_write(bench_llm *b, int tokens) {
    return complain(write_all(b, tokens));
}

void fr_bench_llm_times(bench_llm *b) {
    for (int made = 0; made < 2; made++) {
        fr_engine_times t = fr_engine_times_of(b->e, made);
        if (t.seconds <= 0) continue;
        printf("%s: %.1f ms\n", made ? "made" : "read", 1e3 * t.seconds);
        for (int i = 0; i < t.op.count; i++)
            printf("  %-16s %9.1f ms %5.1f %%\n", t.op.op[i].name, 1e3 * t.op.op[i].seconds,
                   100 * t.op.op[i].seconds / t.seconds);
    }
    fflush(stdout);
    complain(fr_engine_time(b->e));
}

void fr_bench_llm_clear(bench_llm *b) {
    while (b->count) fr_engine_close(b->e, b->sequence[--b->count]);
}

/* 0: weights that a token reads, 1: pages of a token, 2: all that was allocated, at most. */
double fr_bench_llm_bytes(const bench_llm *b, int kind) {
    fr_engine_stats s = fr_engine_stats_of(b->e);
    if (kind == 0)
        return (double)fr_memory_stat(FR_MEM_PACKED).now +
               (double)fr_memory_stat(FR_MEM_WEIGHTS).now;
    if (kind == 1) return (double)s.page / FR_KV_TOKENS;
    return (double)fr_memory_total().peak;
}

int fr_bench_llm_peaks(int threads, double *read, double *int8, double *bf16) {
    fr_pool *pool;
    fr_peaks p;
    if (complain(fr_pool_new(threads, &pool))) return 1;
    fr_status st = fr_peaks_measure(pool, &p);
    fr_pool_free(pool);
    if (complain(st)) return 1;
    *read = p.read[threads > 1];
    *int8 = p.int8[threads > 1];
    *bf16 = p.bf16[threads > 1];
    return 0;
}

/* ---- a model in few bits, rounded to nearest: speed does not depend on how well it was rounded ---- */

typedef struct conversion {
    const fr_store *store;
    const fr_qformat *format, *head;
    size_t count; /* tensors of the store; one more is the head of a tied model */
    fr_quantized *q;
    fr_arena *arena;
    fr_status *st;
} conversion;

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), k = strlen(end);
    return n >= k && !strcmp(name + n - k, end);
}

static const fr_qformat *format_of(const conversion *c, size_t i) {
    return i == c->count                                           ? c->head
           : ends_with(fr_store_name(c->store, i), "_proj.weight") ? c->format
                                                                   : NULL;
}

static void convert_item(void *arg, size_t i) {
    conversion *c = arg;
    const fr_qformat *f = format_of(c, i);
    if (!f) return;
    const fr_tensor *t = i == c->count ? fr_store_find(c->store, "model.embed_tokens.weight")
                                       : fr_store_tensor(c->store, i);
    float *x = fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(t), sizeof *x);
    c->st[i] = x ? fr_tensor_to_f32(t, x) : FR_NOMEM;
    if (!c->st[i]) c->st[i] = fr_quantize(f, NULL, x, t->dim[0], t->dim[1], &c->q[i]);
    if (c->st[i]) fprintf(stderr, "%s\n", fr_message());
    fr_free(x);
}

static fr_status write_file(conversion *c, const char *path) {
    size_t n = c->count + 1, count = 0, metas = 0;
    fr_named_tensor *list = fr_arena_alloc(c->arena, n * FR_PARTS * sizeof *list);
    fr_meta_pair *meta = fr_arena_alloc(c->arena, (n + 1) * sizeof *meta);
    if (!list || !meta) return FR_NOMEM;
    meta[metas++] = (fr_meta_pair){"format", "pt"};
    for (size_t i = 0; i < n; i++) {
        const char *name = i == c->count ? "lm_head.weight" : fr_store_name(c->store, i);
        if (format_of(c, i))
            FR_TRY(fr_quantized_list(&c->q[i], name, c->arena, list, &count, meta, &metas));
        else if (i < c->count)
            list[count++] = (fr_named_tensor){name, fr_store_tensor(c->store, i)};
    }
    return fr_safetensors_write(path, list, count, meta, metas);
}

static fr_status convert(conversion *c, const char *to, fr_pool *pool) {
    size_t n = c->count + 1;
    c->q = fr_arena_alloc(c->arena, n * sizeof *c->q);
    c->st = fr_arena_alloc(c->arena, n * sizeof *c->st);
    if (!c->q || !c->st) return FR_NOMEM;
    fr_pool_run(pool, n, convert_item, c);
    fr_status st = FR_OK;
    for (size_t i = 0; i < n && !st; i++) st = c->st[i];
    char *path = fr_path_join(to, "model.safetensors");
    if (!st) st = path ? write_file(c, path) : FR_NOMEM;
    for (size_t i = 0; i < n; i++) fr_quantized_free(&c->q[i]);
    fr_free(path);
    return st;
}

/* from: a folder in bf16; to: one that exists. head: the format of the output's weight, "" to leave it. */
int fr_bench_llm_convert(const char *from, const char *to, const char *format, const char *head,
                         int threads) {
    conversion c = {.format = fr_format_find(format), .head = *head ? fr_format_find(head) : NULL};
    fr_model m = {0};
    fr_pool *pool = NULL;
    if (!c.format || (*head && !c.head)) return 1;
    fr_status st = fr_model_open(from, &m);
    if (!st) st = fr_pool_new(threads, &pool);
    if (!st && !(c.arena = fr_arena_new())) st = FR_NOMEM;
    c.store = m.store;
    if (!st) c.count = fr_store_count(m.store);
    if (!st) st = convert(&c, to, pool);
    complain(st);
    fr_arena_free(c.arena);
    fr_pool_free(pool);
    fr_model_close(&m);
    return (int)st;
}
