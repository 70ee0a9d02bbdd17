/* sampler.c: see sampler.h. */
#include "text/sampler.h"

#include <math.h>
#include <string.h>

#include "kernel/kernel.h"
#include "text/grammar_parts.h"
#include "text/sampler_filters.h"

enum { WINDOW = 64, DRAWS = 4 };

struct fr_sampler_scratch {
    fr_choice choice;
    int32_t vocab;
};

struct fr_sampler {
    fr_sampling how;
    int32_t vocab;
    uint64_t stream;
    int64_t made;    /* tokens accepted */
    fr_stand *stand; /* in the grammar; NULL: there is none */
    /* For penalties: what was there, and how often each stands in the window at its end. */
    int32_t *past;
    size_t past_count, past_cap;
    int32_t *times; /* NULL: nothing is penalized */
};

/* ---- scratch ---- */

fr_status fr_sampler_scratch_new(int32_t vocab, fr_sampler_scratch **out) {
    *out = NULL;
    if (vocab < 1) return fr_fail(FR_INVALID, "There is nothing to choose among %d tokens.", vocab);
    fr_sampler_scratch *w = fr_alloc(FR_MEM_STATE, sizeof *w);
    if (!w) return FR_NOMEM;
    size_t n = fr_round_up((size_t)vocab, FR_ALIGN / sizeof(float));
    float *room = fr_alloc_array(FR_MEM_STATE, n, 5 * sizeof(float));
    if (!room) {
        fr_free(w);
        return FR_NOMEM;
    }
    w->vocab = vocab;
    w->choice = (fr_choice){.x = room,
                            .p = room + n,
                            .key = room + 2 * n,
                            .ids = (int32_t *)(void *)(room + 3 * n),
                            .at = (int32_t *)(void *)(room + 4 * n)};
    *out = w;
    return FR_OK;
}

void fr_sampler_scratch_free(fr_sampler_scratch *w) {
    if (w) fr_free(w->choice.x);
    fr_free(w);
}

/* ---- the past ---- */

static bool penalizes(const fr_sampling *h) {
    return (h->repetition_penalty > 0 && h->repetition_penalty != 1) || h->presence_penalty != 0 ||
           h->frequency_penalty != 0;
}

static size_t window_of(const fr_sampling *h) {
    return h->penalty_window < 0 ? SIZE_MAX
           : h->penalty_window   ? (size_t)h->penalty_window
                                 : WINDOW;
}

static fr_status remember(fr_sampler *s, int32_t token) {
    if (!s->times) return FR_OK;
    FR_TRY(fr_grow((void **)&s->past, &s->past_cap, s->past_count + 1, sizeof *s->past));
    s->past[s->past_count++] = token;
    s->times[token]++;
    size_t window = window_of(&s->how);
    if (s->past_count > window) s->times[s->past[s->past_count - 1 - window]]--;
    return FR_OK;
}

static void forget(fr_sampler *s) {
    if (!s->times) return;
    size_t window = window_of(&s->how);
    if (s->past_count > window) s->times[s->past[s->past_count - 1 - window]]++;
    s->times[s->past[--s->past_count]]--;
}

fr_status fr_sampler_reset(fr_sampler *s, uint64_t stream, const int32_t *prompt, size_t count) {
    s->stream = stream;
    s->made = 0;
    if (s->stand) fr_stand_reset(s->stand);
    while (s->times && s->past_count) forget(s);
    for (size_t i = 0; i < count && s->times; i++) {
        if (prompt[i] < 0 || prompt[i] >= s->vocab)
            return fr_fail(FR_INVALID, "Token %d of the prompt is none of %d.", prompt[i],
                           s->vocab);
        FR_TRY(remember(s, prompt[i]));
    }
    return FR_OK;
}

/* ---- making one ---- */

static fr_status copy_bias(fr_sampler *s) {
    size_t n = (size_t)s->how.biases;
    if (!n) return FR_OK;
    fr_logit_bias *b = fr_alloc_array(FR_MEM_STATE, n, sizeof *b);
    if (!b) return FR_NOMEM;
    memcpy(b, s->how.bias, n * sizeof *b);
    s->how.bias = b;
    for (size_t i = 0; i < n; i++)
        if (b[i].token < 0 || b[i].token >= s->vocab)
            return fr_fail(FR_INVALID, "A bias is given to token %d; there are %d.", b[i].token,
                           s->vocab);
    return FR_OK;
}

static fr_status set_up(fr_sampler *s, const fr_sampling *how) {
    s->how.biases = how->biases;
    s->how.bias = how->biases ? how->bias : NULL;
    fr_status st = copy_bias(s);
    if (s->how.bias == how->bias) s->how.bias = NULL; /* not ours to free */
    if (!st && penalizes(how)) {
        s->times = fr_alloc(FR_MEM_STATE, (size_t)s->vocab * sizeof *s->times);
        if (!s->times) st = FR_NOMEM;
    }
    return st;
}

fr_status fr_sampler_new(const fr_sampling *how, int32_t vocab, uint64_t stream,
                         struct fr_constraint *constraint, const int32_t *prompt, size_t count,
                         fr_sampler **out) {
    *out = NULL;
    FR_TRY(fr_sampling_check(how));
    if (vocab < 1) return fr_fail(FR_INVALID, "There is nothing to choose among %d tokens.", vocab);
    fr_sampler *s = fr_alloc(FR_MEM_STATE, sizeof *s);
    if (!s) return FR_NOMEM;
    s->how = *how;
    s->vocab = vocab;
    fr_status st = set_up(s, how);
    if (!st && constraint) st = fr_stand_new(constraint, &s->stand);
    if (!st) st = fr_sampler_reset(s, stream, prompt, count);
    if (st)
        fr_sampler_free(s);
    else
        *out = s;
    return st;
}

void fr_sampler_free(fr_sampler *s) {
    if (!s) return;
    fr_free((void *)(uintptr_t)s->how.bias);
    fr_stand_free(s->stand);
    fr_free(s->past);
    fr_free(s->times);
    fr_free(s);
}

/* ---- choosing ---- */

static float penalized(const fr_sampling *h, float x, int32_t times) {
    float r = h->repetition_penalty > 0 ? h->repetition_penalty : 1;
    x = x > 0 ? x / r : x * r;
    return x - h->presence_penalty - h->frequency_penalty * (float)times;
}

/* Each token of the window once: a count that was seen is negative until the end. */
static void penalize(fr_sampler *s, float *x) {
    if (!s->times) return;
    size_t window = window_of(&s->how), end = s->past_count;
    size_t first = end > window ? end - window : 0;
    for (size_t i = first; i < end; i++) {
        int32_t t = s->past[i], n = s->times[t];
        if (n < 0) continue;
        x[t] = penalized(&s->how, x[t], n);
        s->times[t] = -n;
    }
    for (size_t i = first; i < end; i++)
        if (s->times[s->past[i]] < 0) s->times[s->past[i]] *= -1;
}

static bool is_plain(const fr_sampler *s) {
    return s->how.temperature <= 0 && !s->how.biases && !s->times && !s->stand;
}

/* False: no token is possible. */
static bool choose(fr_sampler *s, fr_sampler_scratch *w, const float *logits) {
    float *x = w->choice.x;
    memcpy(x, logits, (size_t)s->vocab * sizeof *x);
    for (int32_t i = 0; i < s->how.biases; i++) x[s->how.bias[i].token] += s->how.bias[i].value;
    if (s->stand && fr_stand_mask(s->stand, x, s->vocab) != FR_OK) return false;
    penalize(s, x);
    if (fr_choice_make(&w->choice, &s->how, s->vocab)) return true;
    fr_fail(FR_INVALID, s->stand ? "No token can follow: the grammar allows none."
                                 : "No token can follow: the logits are no numbers.");
    return false;
}

int32_t fr_sampler_pick(fr_sampler *s, fr_sampler_scratch *w, const float *logits) {
    if (is_plain(s)) {
        int32_t best = (int32_t)fr_kernel()->rows.argmax(logits, (size_t)s->vocab);
        if (isfinite(logits[best])) return best;
    }
    if (!choose(s, w, logits)) return -1;
    return w->choice.ids[fr_choice_draw(&w->choice, fr_sampler_uniform(s, 0))];
}

bool fr_sampler_probabilities(fr_sampler *s, fr_sampler_scratch *w, const float *logits, float *p) {
    if (!choose(s, w, logits)) return false;
    memset(p, 0, (size_t)s->vocab * sizeof *p);
    const fr_choice *c = &w->choice;
    for (int32_t i = 0; i < c->count; i++) p[c->ids[i]] = (float)((double)c->p[i] / c->mass);
    return true;
}

double fr_sampler_uniform(const fr_sampler *s, int which) {
    uint32_t r[4];
    fr_philox(s->how.seed, s->stream, (uint64_t)s->made * DRAWS + (uint64_t)which, r);
    return ((double)(r[0] >> 5) * 0x1p26 + (double)(r[1] >> 6)) * 0x1p-53;
}

/* ---- what was chosen ---- */

fr_status fr_sampler_accept(fr_sampler *s, int32_t token) {
    if (token < 0 || token >= s->vocab)
        return fr_fail(FR_INVALID, "Token %d is none of %d.", token, s->vocab);
    if (s->stand) FR_TRY(fr_stand_accept(s->stand, token));
    FR_TRY(remember(s, token));
    s->made++;
    return FR_OK;
}

fr_status fr_sampler_undo(fr_sampler *s, int32_t count) {
    if (count < 0 || count > FR_SAMPLER_UNDO || count > s->made)
        return fr_fail(FR_INVALID, "%d of %lld tokens can not be taken back.", count,
                       (long long)s->made);
    if (s->stand) fr_stand_undo(s->stand, count);
    for (int32_t i = 0; i < count; i++) forget(s);
    s->made -= count;
    return FR_OK;
}

bool fr_sampler_finished(const fr_sampler *s) {
    return s->stand && fr_stand_finished(s->stand);
}
