/* perplexity.c: the perplexity of a text in chunks, as the papers on quantized models count it. */
#include <math.h>

#include "base/base.h"
#include "eval/weigher.h"

#define USUAL_CONTEXT 2048

static int64_t context_of(const fr_model *m, const fr_perplexity_opts *o) {
    return o->context ? o->context : FR_MIN(m->decoder.context, (int64_t)USUAL_CONTEXT);
}

/* Each id but the first is the target of the one before it. */
static fr_status weigh_chunk(fr_weigher *w, const int32_t *ids, int64_t n, int32_t *target,
                             fr_surprise *sum) {
    for (int64_t i = 0; i < n; i++) target[i] = i + 1 < n ? ids[i + 1] : -1;
    return fr_weigher_add(w, 1, n, ids, (const int32_t *const[]){target, NULL},
                          (fr_surprise *const[]){sum, NULL});
}

static fr_status weigh_all(fr_weigher *w, const int32_t *ids, int64_t n, int64_t chunks,
                           int32_t *target, const fr_perplexity_opts *o, fr_perplexity *out,
                           double *nats) {
    double mean = 0, square = 0; /* of chunks: running mean, sum of squared differences from it */
    for (int64_t i = 0; i < chunks; i++) {
        fr_surprise sum = {0};
        FR_TRY(weigh_chunk(w, ids + i * n, n, target, &sum));
        double x = sum.nats / (double)sum.tokens, before = x - mean;
        mean += before / (double)(i + 1);
        square += before * (x - mean);
        *nats += sum.nats;
        out->tokens += sum.tokens;
        if (o->on_chunk) o->on_chunk(o->arg, i + 1, chunks);
    }
    out->value = exp(mean);
    if (chunks > 1) out->error = out->value * sqrt(square / (double)(chunks - 1) / (double)chunks);
    return FR_OK;
}

fr_status fr_perplexity_of(const fr_model *m, fr_kv_kind pages, fr_pool *pool, const int32_t *ids,
                           int64_t count, int64_t bytes, const fr_perplexity_opts *o,
                           fr_perplexity *out) {
    int64_t n = context_of(m, o), chunks = n > 1 ? count / n : 0;
    double nats = 0, begin = fr_now();
    *out = (fr_perplexity){0};
    if (o->chunks && chunks > o->chunks) chunks = o->chunks;
    if (n < 2 || n > m->decoder.context)
        return fr_fail(FR_INVALID, "Chunks of %lld tokens: the model's context is 2 .. %lld.",
                       (long long)n, (long long)m->decoder.context);
    if (!chunks)
        return fr_fail(FR_INVALID,
                       "The text has %lld tokens, less than one chunk of %lld; give a longer text "
                       "or a smaller --context.",
                       (long long)count, (long long)n);
    fr_weigher *w;
    FR_TRY(fr_weigher_new(m, pages, n, n, pool, &w));
    int32_t *target = fr_alloc_array(FR_MEM_OTHER, (size_t)n, sizeof *target);
    fr_status st = target ? weigh_all(w, ids, n, chunks, target, o, out, &nats) : FR_NOMEM;
    fr_free(target);
    fr_weigher_free(w);
    double share = (double)(chunks * n) / (double)count; /* of the text, by tokens */
    out->chunks = chunks;
    out->bits_a_byte = bytes ? nats / log(2) / ((double)bytes * share) : 0;
    out->seconds = fr_now() - begin;
    return st;
}
