/* generate.c: see generate.h. Places at which prompts are worked on, over the sequences of an engine; a round feeds all
 * of them once, draws what comes next and tells the caller. */
#include "text/generate.h"

#include <string.h>

#include "text/draft.h"

enum {
    BATCH = 32,
    ROOM = 2048, /* tokens of prompts that are read in a round */
    DRAFTS = 32, /* tokens that are guessed at a time, at most */
};

/* A prompt at work. */
typedef struct slot {
    size_t which;
    int32_t sequence, draft; /* in the engines; draft -1: none yet */
    fr_tokens text;          /* the prompt with what was made */
    size_t prompt;           /* tokens of it */
    int64_t made;
    fr_sampler *sampler, *drafter;
    bool busy;
    int32_t guess[DRAFTS], guesses; /* that are being weighed */
    const float *logits; /* behind the last token and the guesses, NULL: nothing to draw */
    int32_t chosen[DRAFTS + 1], choices;
    bool stuck, refused, stopped; /* in choosing: no token, a token that cannot be, the end */
} slot;

/* What prompts that are the same share. */
typedef struct root {
    const fr_tokens *prompt; /* NULL: none */
    int32_t sequence;
    bool ready;
    float *logits;
} root;

struct fr_generator {
    fr_pool *pool;
    fr_engine *engine, *drafter;
    int32_t batch;
    int64_t vocab;
    slot *slots;
    fr_feed *feeds;
    slot **fed; /* whose feed it is; NULL: the root's */
    fr_sampler_scratch **scratch;
    int threads;
    root root;
    int32_t kept; /* a sequence, -1: none */
    fr_tokens kept_text;
    fr_generate_stats stats;
};

/* ---- making one ---- */

static fr_status make_engines(fr_generator *g, const fr_decoder *m, const fr_store *weights,
                              const fr_generator_opts *o) {
    fr_engine_opts eo = {.pool = o->pool,
                         .sequences = g->batch + 1, /* and the root, or what is kept */
                         .context = o->context,
                         .chunk = o->chunk,
                         .cache = o->cache,
                         .pages = o->pages,
                         .weights = o->weights,
                         .flow = o->flow};
    FR_TRY(fr_engine_new(m, weights, &eo, &g->engine));
    if (!o->draft) return FR_OK;
    if (o->draft->vocab != m->vocab)
        return fr_fail(FR_INVALID,
                       "The model that drafts has %lld tokens, and the one it drafts for %lld.",
                       (long long)o->draft->vocab, (long long)m->vocab);
    eo.context = fr_engine_context(g->engine);
    eo.cache = 0;
    return fr_engine_new(o->draft, o->draft_store, &eo, &g->drafter);
}

static fr_status make_room(fr_generator *g) {
    size_t n = (size_t)g->batch;
    g->threads = fr_pool_threads(g->pool);
    g->slots = fr_alloc(FR_MEM_STATE, n * sizeof *g->slots);
    g->feeds = fr_alloc(FR_MEM_STATE, (n + 1) * sizeof *g->feeds);
    g->fed = fr_alloc(FR_MEM_STATE, (n + 1) * sizeof *g->fed);
    g->scratch = fr_alloc(FR_MEM_STATE, (size_t)g->threads * sizeof *g->scratch);
    g->root.logits = fr_alloc(FR_MEM_STATE, (size_t)g->vocab * sizeof *g->root.logits);
    if (!g->slots || !g->feeds || !g->fed || !g->scratch || !g->root.logits) return FR_NOMEM;
    for (int i = 0; i < g->threads; i++)
        FR_TRY(fr_sampler_scratch_new((int32_t)g->vocab, &g->scratch[i]));
    return FR_OK;
}

fr_status fr_generator_new(const fr_decoder *m, const fr_store *weights,
                           const fr_generator_opts *opts, fr_generator **out) {
    *out = NULL;
    fr_generator *g = fr_alloc(FR_MEM_OTHER, sizeof *g);
    if (!g) return FR_NOMEM;
    g->pool = opts->pool;
    g->batch = opts->batch ? opts->batch : BATCH;
    g->vocab = m->vocab;
    g->kept = -1;
    fr_status st = FR_OK;
    if (g->batch < 1 || g->batch > 4000)
        st = fr_fail(FR_INVALID, "%d prompts at once make no sense.", g->batch);
    if (!st) st = make_engines(g, m, weights, opts);
    if (!st) st = make_room(g);
    if (st) {
        fr_generator_free(g);
        return st;
    }
    *out = g;
    return FR_OK;
}

void fr_generator_free(fr_generator *g) {
    if (!g) return;
    for (int i = 0; g->scratch && i < g->threads; i++) fr_sampler_scratch_free(g->scratch[i]);
    for (int32_t i = 0; g->slots && i < g->batch; i++) fr_free(g->slots[i].text.ids);
    fr_engine_free(g->engine);
    fr_engine_free(g->drafter);
    fr_free(g->slots);
    fr_free(g->feeds);
    fr_free(g->fed);
    fr_free(g->scratch);
    fr_free(g->root.logits);
    fr_free(g->kept_text.ids);
    fr_free(g);
}

fr_engine *fr_generator_engine(fr_generator *g) {
    return g->engine;
}

fr_generate_stats fr_generator_stats(const fr_generator *g) {
    return g->stats;
}

/* ---- the work of one call ---- */

typedef struct work {
    fr_generator *g;
    const fr_generate_opts *o;
    const fr_tokens *prompts;
    size_t count, next; /* prompts; the first that has not begun */
    fr_tokens *out;
    fr_ended *why;
    size_t feeds;
    bool unshared; /* the cache is too small to hold what prompts share */
} work;

static bool same(const fr_tokens *a, const fr_tokens *b) {
    return a->count == b->count && !memcmp(a->ids, b->ids, a->count * sizeof *a->ids);
}

/* What a sequence may come to hold. */
static int64_t tokens_at_most(const work *w, const fr_tokens *prompt) {
    int64_t context = fr_engine_context(w->g->engine);
    return FR_MIN((int64_t)prompt->count + FR_MIN(w->o->most, context), context);
}

static void drop_kept(fr_generator *g) {
    if (g->kept >= 0) fr_engine_close(g->engine, g->kept);
    g->kept = -1;
}

static void drop_root(fr_generator *g) {
    if (g->root.prompt) fr_engine_close(g->engine, g->root.sequence);
    g->root.prompt = NULL;
    g->root.ready = false;
}

/* A slot without its text, which is used again. */
static void release(fr_generator *g, slot *s) {
    if (!s->busy) return;
    if (s->sequence >= 0) fr_engine_close(g->engine, s->sequence);
    if (s->draft >= 0) fr_engine_close(g->drafter, s->draft);
    fr_sampler_free(s->sampler);
    fr_sampler_free(s->drafter);
    fr_tokens text = s->text;
    *s = (slot){.text = text};
}

static void finish(work *w, slot *s, fr_ended why) {
    fr_generator *g = w->g;
    if (w->why) w->why[s->which] = why;
    if (w->o->keep) {
        fr_tokens text = g->kept_text;
        fr_engine_cut(g->engine, s->sequence, (int64_t)s->text.count - 1);
        g->kept_text = s->text;
        s->text = text;
        g->kept = s->sequence;
        s->sequence = -1;
    }
    release(g, s);
}

/* ---- beginning ---- */

static fr_status begin(work *w, slot *s, int32_t sequence) {
    const fr_tokens *p = &w->prompts[w->next];
    *s = (slot){.which = w->next++, .sequence = sequence, .draft = -1, .text = s->text};
    s->busy = true;
    s->text.count = 0;
    for (size_t i = 0; i < p->count; i++) FR_TRY(fr_tokens_add(&s->text, p->ids[i]));
    s->prompt = p->count;
    w->g->stats.prompt += (int64_t)p->count;
    int32_t vocab = (int32_t)w->g->vocab;
    FR_TRY(fr_sampler_new(&w->o->sampling, vocab, s->which, w->o->constraint, p->ids, p->count,
                          &s->sampler));
    if (!w->g->drafter || !w->o->drafts) return FR_OK;
    return fr_sampler_new(&w->o->sampling, vocab, s->which, NULL, p->ids, p->count, &s->drafter);
}

/* The first of some that are the same; false when there is no room for it now. */
static bool begin_root(work *w) {
    fr_generator *g = w->g;
    const fr_tokens *p = &w->prompts[w->next];
    drop_root(g);
    if (fr_engine_open(g->engine, (int64_t)p->count, &g->root.sequence)) return false;
    fr_engine_limit(g->engine, g->root.sequence, tokens_at_most(w, p));
    g->root.prompt = p;
    return true;
}

/* A sequence for the next prompt; -1: it must wait. Where there is nobody to wait for, what is shared makes room. */
static int32_t place(work *w, bool *forked) {
    fr_generator *g = w->g;
    const fr_tokens *p = &w->prompts[w->next];
    int64_t most = w->o->keep ? 0 : tokens_at_most(w, p); /* a chat may go on to the end */
    int32_t sequence = -1;
    bool alone = true;
    for (int32_t i = 0; i < g->batch; i++) alone &= !g->slots[i].busy;
    *forked = g->root.prompt && same(g->root.prompt, p);
    if (!*forked && !w->unshared && w->next + 1 < w->count && same(p, p + 1) && begin_root(w))
        return -1;
    if (*forked) {
        if (!g->root.ready) return -1;
        fr_engine_fork(g->engine, g->root.sequence, (int64_t)p->count, most, &sequence);
        if (sequence >= 0 || !alone) return sequence;
        *forked = false;
        w->unshared = true;
        drop_root(g);
    }
    fr_engine_open(g->engine, most, &sequence);
    return sequence;
}

/* The sequence that was kept, as far as it begins like the prompt. */
static int32_t take_kept(work *w) {
    fr_generator *g = w->g;
    const fr_tokens *p = &w->prompts[0], *t = &g->kept_text;
    int32_t sequence = g->kept;
    size_t n = 0, most = (size_t)fr_engine_length(g->engine, sequence);
    while (n + 1 < p->count && n < most && n < t->count && p->ids[n] == t->ids[n]) n++;
    fr_engine_cut(g->engine, sequence, (int64_t)n);
    g->kept = -1;
    return sequence;
}

/* Prompts in line take the free places. */
static fr_status admit(work *w) {
    fr_generator *g = w->g;
    for (int32_t i = 0; i < g->batch && w->next < w->count; i++) {
        slot *s = &g->slots[i];
        bool forked = false;
        if (s->busy) continue;
        int32_t sequence = w->o->keep && g->kept >= 0 ? take_kept(w) : place(w, &forked);
        if (sequence < 0) break;
        fr_status st = begin(w, s, sequence);
        if (st) return st;
        if (forked) s->logits = g->root.logits;
    }
    if (w->next == w->count && g->root.ready) drop_root(g);
    return FR_OK;
}

/* ---- choosing ---- */

static bool is_stop(const work *w, int32_t token) {
    const fr_decoder *m = fr_engine_model(w->g->engine);
    for (int32_t i = 0; i < m->eos_count && !w->o->past_end; i++)
        if (token == m->eos[i]) return true;
    for (int32_t i = 0; i < w->o->stops; i++)
        if (token == w->o->stop[i]) return true;
    return false;
}

/* Draws at each place while what is drawn is what was guessed. */
static void choose_item(void *arg, size_t thread, size_t i) {
    const work *w = arg;
    slot *s = &w->g->slots[i];
    if (!s->logits) return;
    fr_sampler_scratch *scratch = w->g->scratch[thread];
    for (s->choices = 0; s->choices <= s->guesses;) {
        int32_t at = s->choices;
        int32_t t =
            fr_sampler_pick(s->sampler, scratch, s->logits + (size_t)at * (size_t)w->g->vocab);
        s->stuck = t < 0;
        if (s->stuck) return;
        s->chosen[s->choices++] = t;
        s->stopped = is_stop(w, t);
        if (s->stopped) return;
        s->refused = fr_sampler_accept(s->sampler, t) != FR_OK;
        if (s->refused || at == s->guesses || t != s->guess[at]) return;
    }
}

static fr_status take(work *w, slot *s, int32_t token) {
    FR_TRY(fr_tokens_add(&w->out[s->which], token));
    FR_TRY(fr_tokens_add(&s->text, token));
    if (s->drafter) FR_TRY(fr_sampler_accept(s->drafter, token));
    s->made++;
    w->g->stats.made++;
    bool on = !w->o->on_token || w->o->on_token(w->o->arg, s->which, token);
    if (!on)
        finish(w, s, FR_ENDED_CALLER);
    else if (s->made >= w->o->most)
        finish(w, s, FR_ENDED_MOST);
    else if ((int64_t)s->text.count > fr_engine_context(w->g->engine))
        finish(w, s, FR_ENDED_FULL);
    return FR_OK;
}

/* Once more, on the thread whose message is heard. */
static fr_status say_why(fr_generator *g, slot *s) {
    if (s->refused) return fr_sampler_accept(s->sampler, s->chosen[s->choices - 1]);
    const float *logits = s->logits + (size_t)s->choices * (size_t)g->vocab;
    return fr_sampler_pick(s->sampler, g->scratch[0], logits) < 0 ? FR_INVALID : FR_OK;
}

/* What was chosen becomes text; guesses that were not are taken back. */
static fr_status take_all(work *w, slot *s) {
    fr_generator *g = w->g;
    int32_t count = s->choices - s->stopped;
    if (s->stuck || s->refused) return say_why(g, s);
    s->logits = NULL;
    g->stats.guessed += s->guesses;
    g->stats.kept += FR_MAX_OF(s->choices - 1, 0);
    for (int32_t i = 0; i < count; i++) {
        bool last = i == s->choices - 1;
        FR_TRY(take(w, s, s->chosen[i]));
        if (!s->busy) return FR_OK;
        if (last && fr_sampler_finished(s->sampler)) finish(w, s, FR_ENDED_GRAMMAR);
    }
    if (!s->busy) return FR_OK;
    if (s->stopped) {
        finish(w, s, FR_ENDED_STOP);
        return FR_OK;
    }
    fr_engine_cut(g->engine, s->sequence, (int64_t)s->text.count - 1);
    if (s->draft >= 0) fr_engine_cut(g->drafter, s->draft, (int64_t)s->text.count - 1);
    return FR_OK;
}

static fr_status choose(work *w) {
    fr_generator *g = w->g;
    int64_t rows = 0;
    for (int32_t i = 0; i < g->batch; i++) rows += g->slots[i].logits != NULL;
    fr_pool_run_thread(rows * g->vocab < 8192 ? NULL : g->pool, (size_t)g->batch, choose_item, w);
    for (int32_t i = 0; i < g->batch; i++)
        if (g->slots[i].logits) FR_TRY(take_all(w, &g->slots[i]));
    return FR_OK;
}

/* ---- guessing ---- */

/* How many tokens may be guessed for a slot now. */
static int32_t guesses_at_most(const work *w, const slot *s) {
    int64_t room = fr_engine_context(w->g->engine) - (int64_t)s->text.count;
    int64_t n = FR_MIN(FR_MIN(room, w->o->most - s->made - 1), FR_MIN(w->o->drafts, DRAFTS));
    return (int32_t)FR_MAX_OF(n, 0);
}

static bool guesses(const work *w, const slot *s) {
    return s->busy && s->sequence >= 0 && s->made > 0 && guesses_at_most(w, s) > 0;
}

/* What the model that drafts has not yet seen of a slot: first of its prompt, then of what was made. */
static size_t feed_draft(work *w, bool made) {
    fr_generator *g = w->g;
    size_t n = 0;
    for (int32_t i = 0; i < g->batch; i++) {
        slot *s = &g->slots[i];
        if (!guesses(w, s) || s->draft < 0) continue;
        int64_t seen = fr_engine_length(g->drafter, s->draft);
        int64_t end = (int64_t)(made ? s->text.count : s->prompt);
        if (seen >= end || (made && s->guesses >= guesses_at_most(w, s))) continue;
        g->feeds[n] = (fr_feed){.sequence = s->draft, .ids = s->text.ids + seen, .made = made};
        g->feeds[n].count = end - seen;
        g->feeds[n].wanted = made;
        g->fed[n++] = s;
    }
    return n;
}

/* Guesses stand behind the text while they are made. */
static fr_status guess_once(work *w, size_t n) {
    fr_generator *g = w->g;
    FR_TRY(fr_engine_step(g->drafter, g->feeds, n));
    for (size_t i = 0; i < n; i++) {
        slot *s = g->fed[i];
        int32_t t = fr_sampler_pick(s->drafter, g->scratch[0], g->feeds[i].logits);
        if (t < 0) return FR_INVALID;
        FR_TRY(fr_sampler_accept(s->drafter, t));
        FR_TRY(fr_tokens_add(&s->text, t));
        s->guess[s->guesses++] = t;
    }
    return FR_OK;
}

static fr_status guess_by_model(work *w) {
    fr_generator *g = w->g;
    size_t n = 0;
    for (int32_t i = 0; i < g->batch; i++) {
        slot *s = &g->slots[i];
        if (guesses(w, s) && s->draft < 0) fr_engine_open(g->drafter, 0, &s->draft);
    }
    n = feed_draft(w, false);
    fr_status st = n ? fr_engine_step(g->drafter, g->feeds, n) : FR_OK;
    while (!st && (n = feed_draft(w, true)) > 0) st = guess_once(w, n);
    for (int32_t i = 0; i < g->batch; i++) {
        slot *s = &g->slots[i];
        if (!s->busy || !s->guesses) continue;
        s->text.count -= (size_t)s->guesses;
        if (fr_sampler_undo(s->drafter, s->guesses) && !st) st = FR_INVALID;
    }
    return st;
}

static fr_status guess(work *w) {
    fr_generator *g = w->g;
    for (int32_t i = 0; i < g->batch; i++) g->slots[i].guesses = 0;
    if (w->o->drafts < 1) return FR_OK;
    if (g->drafter) return guess_by_model(w);
    for (int32_t i = 0; i < g->batch; i++) {
        slot *s = &g->slots[i];
        if (guesses(w, s))
            s->guesses =
                fr_draft_lookup(s->text.ids, s->text.count, guesses_at_most(w, s), s->guess);
    }
    return FR_OK;
}

/* ---- rounds ---- */

static void feed(work *w, slot *s, fr_feed f) {
    w->g->fed[w->feeds] = s;
    w->g->feeds[w->feeds++] = f;
}

/* Prompts that are not yet read, as many as there is room for. */
static void feed_prompts(work *w) {
    fr_generator *g = w->g;
    int64_t sum = 0;
    w->feeds = 0;
    if (g->root.prompt && !g->root.ready) {
        const fr_tokens *p = g->root.prompt;
        feed(w, NULL, (fr_feed){.sequence = g->root.sequence, .ids = p->ids, .wanted = 1});
        sum = g->feeds[0].count = (int64_t)p->count;
    }
    for (int32_t i = 0; i < g->batch; i++) {
        slot *s = &g->slots[i];
        if (!s->busy) continue;
        int64_t seen = fr_engine_length(g->engine, s->sequence), left = (int64_t)s->prompt - seen;
        if (left <= 0 || (w->feeds && sum + left > ROOM)) continue;
        feed(w, s, (fr_feed){.sequence = s->sequence, .ids = s->text.ids + seen, .wanted = 1});
        g->feeds[w->feeds - 1].count = left;
        sum += left;
    }
}

/* The last token of each text, with what is guessed to follow. */
static fr_status feed_tokens(work *w) {
    fr_generator *g = w->g;
    FR_TRY(guess(w));
    w->feeds = 0;
    for (int32_t i = 0; i < g->batch; i++) {
        slot *s = &g->slots[i];
        if (!s->busy) continue;
        for (int32_t k = 0; k < s->guesses; k++) FR_TRY(fr_tokens_add(&s->text, s->guess[k]));
        s->text.count -= (size_t)s->guesses;
        int64_t n = 1 + s->guesses;
        feed(w, s,
             (fr_feed){.sequence = s->sequence,
                       .ids = s->text.ids + s->text.count - 1,
                       .count = n,
                       .wanted = n,
                       .made = true});
    }
    return FR_OK;
}

/* One round: of prompts while there are any, else a token of each sequence. False: nothing is left. */
static fr_status advance(work *w, bool *more) {
    fr_generator *g = w->g;
    FR_TRY(fr_interrupt_check());
    FR_TRY(admit(w));
    FR_TRY(choose(w)); /* first tokens of forks */
    feed_prompts(w);
    if (!w->feeds) FR_TRY(feed_tokens(w));
    *more = w->feeds > 0 || w->next < w->count;
    if (!w->feeds) return FR_OK;
    FR_TRY(fr_engine_step(g->engine, g->feeds, w->feeds));
    for (size_t i = 0; i < w->feeds; i++) {
        slot *s = g->fed[i];
        const fr_feed *f = &g->feeds[i];
        if (!f->made) g->stats.read += f->count;
        if (s) {
            s->logits = f->logits;
        } else {
            memcpy(g->root.logits, f->logits, (size_t)g->vocab * sizeof *f->logits);
            g->root.ready = true;
        }
    }
    return choose(w);
}

static fr_status check(const fr_generator *g, const fr_tokens *prompts, size_t count,
                       const fr_generate_opts *o) {
    FR_TRY(fr_sampling_check(&o->sampling));
    if (o->most < 1)
        return fr_fail(FR_INVALID, "%lld new tokens make no text.", (long long)o->most);
    if (o->drafts < 0 || o->drafts > DRAFTS)
        return fr_fail(FR_INVALID, "%d tokens cannot be guessed at a time, only 0 .. %d.",
                       o->drafts, DRAFTS);
    if (o->keep && count != 1)
        return fr_fail(FR_INVALID, "Pages are kept for one text, not for %zu.", count);
    int64_t context = fr_engine_context(g->engine);
    for (size_t i = 0; i < count; i++)
        if (!prompts[i].count || prompts[i].count > (size_t)context)
            return fr_fail(FR_INVALID, "Prompt %zu has %zu tokens; it must have 1 .. %lld.", i,
                           prompts[i].count, (long long)context);
    return FR_OK;
}

fr_status fr_generate(fr_generator *g, const fr_tokens *prompts, size_t count,
                      const fr_generate_opts *opts, fr_tokens *out, fr_ended *why) {
    FR_TRY(check(g, prompts, count, opts));
    work w = {.g = g, .o = opts, .prompts = prompts, .count = count, .out = out, .why = why};
    if (!opts->keep) drop_kept(g);
    fr_status st = FR_OK;
    for (bool more = true; more && !st;) st = advance(&w, &more);
    for (int32_t i = 0; i < g->batch; i++) release(g, &g->slots[i]);
    drop_root(g);
    return st;
}
