/* sample.c: see sample.h. The likeliest tokens are popped from a heap until there are k of them, or their share
 * is p; so the rest is never sorted. */
#include "text/sample.h"

#include <float.h>
#include <math.h>

#include "base/base.h"

static fr_status share(const char *name, float v) {
    if (v >= 0 && v <= 1) return FR_OK;
    return fr_fail(FR_INVALID, "%s must be 0 .. 1, not %g.", name, (double)v);
}

static fr_status number(const char *name, float v, float low) {
    if (v >= low && isfinite(v)) return FR_OK;
    if (low < 0) return fr_fail(FR_INVALID, "%s must be a number, not %g.", name, (double)v);
    return fr_fail(FR_INVALID, "%s must be 0 or more, not %g.", name, (double)v);
}

fr_status fr_sampling_check(const fr_sampling *s) {
    FR_TRY(number("The temperature", s->temperature, 0));
    if (s->top_k < 0) return fr_fail(FR_INVALID, "top_k must be 0 or more, not %d.", s->top_k);
    FR_TRY(share("top_p", s->top_p));
    FR_TRY(share("min_p", s->min_p));
    FR_TRY(share("typical_p", s->typical_p));
    FR_TRY(number("The repetition penalty", s->repetition_penalty, 0));
    FR_TRY(number("The presence penalty", s->presence_penalty, -FLT_MAX));
    FR_TRY(number("The frequency penalty", s->frequency_penalty, -FLT_MAX));
    if (s->biases < 0 || (s->biases && !s->bias))
        return fr_fail(FR_INVALID, "There are %d biases, and no list of them.", s->biases);
    for (int32_t i = 0; i < s->biases; i++)
        if (!(s->bias[i].value < INFINITY))
            return fr_fail(FR_INVALID,
                           "The bias of token %d must be a number or minus infinity, "
                           "not %g.",
                           s->bias[i].token, (double)s->bias[i].value);
    return FR_OK;
}

static int32_t likeliest(const float *x, int32_t n) {
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* ---- a heap of tokens, the likeliest at its top; of equals the lower number ---- */

static bool before(const float *p, int32_t a, int32_t b) {
    return p[a] > p[b] || (p[a] == p[b] && a < b);
}

static void sink(const float *p, int32_t *heap, int32_t n, int32_t at) {
    int32_t item = heap[at];
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(p, heap[child + 1], heap[child])) child++;
        if (!before(p, heap[child], item)) break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

/* Pops up to `most` tokens, or until they have the mass `enough`; they end up at the end of the heap, the
 * likeliest last. */
static int32_t keep_likeliest(const float *p, int32_t n, int32_t most, double enough, int32_t *heap,
                              double *mass) {
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++) heap[i] = i;
    for (int32_t i = n / 2; i-- > 0;) sink(p, heap, n, i);
    *mass = 0;
    while (kept < most && *mass < enough) {
        int32_t top = heap[0], last = n - kept++ - 1;
        *mass += (double)p[top];
        heap[0] = heap[last];
        heap[last] = top;
        sink(p, heap, last, 0);
    }
    return kept;
}

/* Of tokens in falling order: how many together have the share p. */
static int32_t nucleus(const float *p, const int32_t *heap, int32_t n, int32_t kept, float share,
                       double *mass) {
    double want = (double)share * *mass, sum = 0;
    for (int32_t i = 0; i < kept; i++) {
        sum += (double)p[heap[n - 1 - i]];
        if (sum < want) continue;
        *mass = sum;
        return i + 1;
    }
    return kept;
}

static double uniform(const fr_sampling *s, uint64_t stream, uint64_t index) {
    float u;
    fr_random_uniform(s->seed, stream, index, &u, 1);
    return (double)u;
}

int32_t fr_sample(const fr_sampling *s, const float *logits, int32_t n, uint64_t stream,
                  uint64_t index, void *work) {
    int32_t best = likeliest(logits, n), *heap = (int32_t *)work + n;
    if (s->temperature <= 0 || n < 2) return best;
    float *p = work, scale = 1 / s->temperature;
    double mass = 0;
    for (int32_t i = 0; i < n; i++) {
        p[i] = expf((logits[i] - logits[best]) * scale);
        mass += (double)p[i];
    }
    bool cut = s->top_p > 0 && s->top_p<1, few = s->top_k> 0 && s->top_k < n;
    int32_t kept = n;
    if (cut || few) {
        double enough = few ? INFINITY : (double)s->top_p * mass;
        kept = keep_likeliest(p, n, few ? s->top_k : n, enough, heap, &mass);
        if (cut && few) kept = nucleus(p, heap, n, kept, s->top_p, &mass);
    }
    double left = uniform(s, stream, index) * mass;
    for (int32_t i = 0; i < kept; i++) {
        int32_t token = cut || few ? heap[n - 1 - i] : i;
        left -= (double)p[token];
        if (left < 0) return token;
    }
    return best;
}
