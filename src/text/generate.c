/* generate.c: see generate.h.
 *
 * One graph serves prompts and single tokens: rows of ids with where they begin, and for each row the one place
 * whose logits are wanted. Rows of a batch are as long as the longest; what stands behind a shorter one is written
 * into its pages too, and overwritten by the tokens that come, before anyone reads it. */
#include "text/generate.h"

#include <string.h>

#include "text/pages.h"

enum {
    BATCH = 32,
    CHUNK = 256, /* tokens of a prompt that go through at once */
    ROOM = 2048, /* tokens of all rows together: bounds the memory of a run */
};

enum { IDS, POS, TABLE, START, LENGTH, PICK, INPUTS };

/* A sequence at work. */
typedef struct slot {
    const fr_tokens *prompt;
    size_t which;
    int64_t done;  /* tokens in the pages */
    int64_t made;  /* new tokens */
    int32_t token; /* the last one, not yet in the pages */
    bool busy;
} slot;

/* One row of a run: tokens of a slot that come next. */
typedef struct row {
    int32_t slot;
    const int32_t *ids;
    int64_t count;
} row;

struct fr_generator {
    fr_decoder m;
    fr_pool *pool;
    fr_graph *graph;
    fr_session *session;
    fr_pages pages;
    int32_t batch;
    int64_t context;
    slot *slots;
    row *rows;
    int32_t *ids, *pos, *table, *start, *length, *pick; /* inputs */
    char *work;                                         /* of sampling, a part for each row */
    int32_t *sampled;
};

/* ---- making one ---- */

static fr_status build(fr_generator *g, const fr_store *store, const fr_generator_opts *o) {
    fr_graph *graph = g->graph = fr_graph_new();
    if (!graph) return FR_NOMEM;
    int64_t most = g->pages.most, rows = 2;
    fr_decoder_cache cache = {.kind = o->pages, .pages = g->pages.count};
    fr_val ids = fr_input(graph, "ids", FR_I32, 2, (int64_t[]){rows, 1});
    fr_val pos = fr_input(graph, "pos", FR_I32, 3, (int64_t[]){rows, 1, 1});
    cache.table = fr_input(graph, "table", FR_I32, 2, (int64_t[]){rows, most});
    cache.start = fr_input(graph, "start", FR_I32, 1, (int64_t[]){rows});
    cache.length = fr_input(graph, "length", FR_I32, 1, (int64_t[]){rows});
    fr_val pick = fr_input(graph, "pick", FR_I32, 1, (int64_t[]){rows});
    fr_decoder_opts lo = {.weights = o->weights ? o->weights : FR_BF16, .store = store};
    lo.flow = o->flow ? o->flow : FR_F32;
    fr_val x = fr_decoder_cached(graph, &g->m, &lo, ids, pos, &cache);
    x = fr_gather(graph, fr_reshape(graph, x, 2, (int64_t[]){-1, g->m.width}), pick, 0);
    x = fr_decoder_logits(graph, &g->m, &lo, x);
    fr_output(graph, "logits", lo.flow == FR_F32 ? x : fr_cast(graph, x, FR_F32));
    return fr_fuse(graph, FR_FUSE_ALL, NULL);
}

static int32_t *numbers(int64_t n) {
    return fr_alloc(FR_MEM_STATE, (size_t)n * sizeof(int32_t));
}

static fr_status make_inputs(fr_generator *g) {
    int64_t rows = g->batch, tokens = FR_MAX_OF(ROOM, rows);
    g->slots = fr_alloc(FR_MEM_STATE, (size_t)rows * sizeof *g->slots);
    g->rows = fr_alloc(FR_MEM_STATE, (size_t)rows * sizeof *g->rows);
    g->ids = numbers(tokens);
    g->pos = numbers(tokens);
    g->table = numbers(rows * g->pages.most);
    g->start = numbers(rows);
    g->length = numbers(rows);
    g->pick = numbers(rows);
    g->sampled = numbers(rows);
    size_t one;
    if (!fr_size_mul((size_t)g->m.vocab * 8, (size_t)rows, &one)) return FR_NOMEM;
    g->work = fr_alloc(FR_MEM_STATE, one);
    bool good = g->slots && g->rows && g->ids && g->pos && g->table && g->start && g->length;
    return good && g->pick && g->sampled && g->work ? FR_OK : FR_NOMEM;
}

/* Pages for all sequences, or as many as the memory for them holds. */
static fr_status make_pages(fr_generator *g, const fr_generator_opts *o) {
    const fr_decoder *m = &g->m;
    int64_t most = fr_pages_of(g->context), count = most * g->batch;
    size_t page = 2 * (size_t)m->layers *
                  fr_kv_page_bytes(o->pages, (int32_t)m->kv_heads, (int32_t)m->head_dim);
    if (!page)
        return fr_fail(FR_UNSUPPORTED, "No page of a cache holds heads of %lld values.",
                       (long long)m->head_dim);
    size_t room = (o->cache ? o->cache : (size_t)2 << 30) / page;
    if (!o->cache && room < (size_t)most) room = (size_t)most;
    if (room < (size_t)most)
        return fr_fail(
            FR_INVALID,
            "A cache of %zu bytes does not hold one sequence of %lld tokens, which takes "
            "%zu.",
            o->cache, (long long)g->context, (size_t)most * page);
    if ((size_t)count > room) count = (int64_t)room;
    return fr_pages_new(g->batch, (int32_t)most, (int32_t)count, &g->pages);
}

static fr_status set_up(fr_generator *g, const fr_store *weights, const fr_generator_opts *o) {
    if (g->batch < 1 || g->batch > 4096 || g->context < 2 || g->context > 1 << 24)
        return fr_fail(FR_INVALID, "%d sequences of %lld tokens at once make no sense.", g->batch,
                       (long long)g->context);
    FR_TRY(make_pages(g, o));
    FR_TRY(make_inputs(g));
    FR_TRY(build(g, weights, o));
    FR_TRY(fr_session_new_with(g->graph, &(fr_session_opts){.pool = o->pool}, &g->session));
    return fr_session_load(g->session, weights);
}

fr_status fr_generator_new(const fr_decoder *m, const fr_store *weights,
                           const fr_generator_opts *opts, fr_generator **out) {
    *out = NULL;
    fr_generator *g = fr_alloc(FR_MEM_OTHER, sizeof *g);
    if (!g) return FR_NOMEM;
    g->m = *m;
    g->pool = opts->pool;
    g->batch = opts->batch ? opts->batch : BATCH;
    g->context = opts->context ? opts->context : m->context;
    fr_status st = set_up(g, weights, opts);
    if (st) {
        fr_generator_free(g);
        return st;
    }
    *out = g;
    return FR_OK;
}

void fr_generator_free(fr_generator *g) {
    if (!g) return;
    void *blocks[] = {g->slots, g->rows,   g->ids,  g->pos,     g->table,
                      g->start, g->length, g->pick, g->sampled, g->work};
    fr_session_free(g->session);
    fr_graph_free(g->graph);
    fr_pages_free(&g->pages);
    for (size_t i = 0; i < FR_COUNT(blocks); i++) fr_free(blocks[i]);
    fr_free(g);
}

/* ---- a run over some rows ---- */

/* So that few plans serve prompts of all lengths. */
static int64_t round_tokens(int64_t n) {
    return n == 1 ? 1 : (n + 7) / 8 * 8;
}

/* Row r of the inputs. */
static void fill_row(fr_generator *g, int64_t r, const row *x, int64_t tokens) {
    int64_t most = g->pages.most, start = g->slots[x->slot].done;
    for (int64_t t = 0; t < tokens; t++) {
        g->ids[r * tokens + t] = t < x->count ? x->ids[t] : 0;
        g->pos[r * tokens + t] = (int32_t)(start + t);
    }
    memcpy(g->table + r * most, g->pages.table + x->slot * most, (size_t)most * sizeof *g->table);
    g->start[r] = (int32_t)start;
    g->length[r] = (int32_t)(start + tokens);
    g->pick[r] = (int32_t)(r * tokens + x->count - 1);
}

/* What lies behind a row's tokens must stay inside of the table. */
static int64_t tokens_of(const fr_generator *g, const row *rows, int64_t count) {
    int64_t longest = 1, room = (int64_t)g->pages.most * FR_KV_TOKENS;
    for (int64_t r = 0; r < count; r++) longest = FR_MAX_OF(longest, rows[r].count);
    int64_t tokens = round_tokens(longest);
    for (int64_t r = 0; r < count; r++)
        if (g->slots[rows[r].slot].done + tokens > room) return longest;
    return tokens;
}

static fr_status run_rows(fr_generator *g, const row *rows, int64_t count, const float **logits) {
    int64_t tokens = tokens_of(g, rows, count), most = g->pages.most;
    for (int64_t r = 0; r < count; r++) fill_row(g, r, &rows[r], tokens);
    fr_tensor in[INPUTS] = {
        [IDS] = fr_tensor_make(FR_I32, 2, (int64_t[]){count, tokens}, g->ids),
        [POS] = fr_tensor_make(FR_I32, 3, (int64_t[]){count, tokens, 1}, g->pos),
        [TABLE] = fr_tensor_make(FR_I32, 2, (int64_t[]){count, most}, g->table),
        [START] = fr_tensor_make(FR_I32, 1, (int64_t[]){count}, g->start),
        [LENGTH] = fr_tensor_make(FR_I32, 1, (int64_t[]){count}, g->length),
        [PICK] = fr_tensor_make(FR_I32, 1, (int64_t[]){count}, g->pick),
    };
    FR_TRY(fr_session_run(g->session, in, INPUTS));
    for (int64_t r = 0; r < count; r++) g->slots[rows[r].slot].done += rows[r].count;
    *logits = fr_session_output(g->session, "logits")->data;
    return FR_OK;
}

/* ---- the work of one call ---- */

typedef struct work {
    fr_generator *g;
    const fr_generate_opts *o;
    const fr_tokens *prompts;
    size_t count, next; /* prompts; the first that has not begun */
    fr_tokens *out;
    fr_ended *why;
    const float *logits;
    const row *rows;
} work;

static void sample_row(void *arg, size_t r) {
    const work *w = arg;
    fr_generator *g = w->g;
    const slot *s = &g->slots[w->rows[r].slot];
    size_t vocab = (size_t)g->m.vocab;
    g->sampled[r] = fr_sample(&w->o->sampling, w->logits + r * vocab, (int32_t)vocab, s->which,
                              (uint64_t)s->made, g->work + r * vocab * 8);
}

static void finish(work *w, slot *s, fr_ended why) {
    if (w->why) w->why[s->which] = why;
    s->busy = false;
    fr_pages_drop(&w->g->pages, (int32_t)(s - w->g->slots));
}

static bool is_stop(const work *w, int32_t token) {
    const fr_decoder *m = &w->g->m;
    for (int32_t i = 0; i < m->eos_count && !w->o->past_end; i++)
        if (token == m->eos[i]) return true;
    for (int32_t i = 0; i < w->o->stops; i++)
        if (token == w->o->stop[i]) return true;
    return false;
}

static fr_status take(work *w, slot *s, int32_t token) {
    if (is_stop(w, token)) {
        finish(w, s, FR_ENDED_STOP);
        return FR_OK;
    }
    FR_TRY(fr_tokens_add(&w->out[s->which], token));
    s->token = token;
    s->made++;
    bool on = !w->o->on_token || w->o->on_token(w->o->arg, s->which, token);
    if (!on)
        finish(w, s, FR_ENDED_CALLER);
    else if (s->made >= w->o->most)
        finish(w, s, FR_ENDED_MOST);
    else if (s->done >= w->g->context)
        finish(w, s, FR_ENDED_FULL);
    return FR_OK;
}

/* The rows that have just run get their next tokens. */
static fr_status sample_rows(work *w, const row *rows, int64_t count) {
    w->rows = rows;
    fr_pool_run(count * w->g->m.vocab < 8192 ? NULL : w->g->pool, (size_t)count, sample_row, w);
    for (int64_t r = 0; r < count; r++)
        FR_TRY(take(w, &w->g->slots[rows[r].slot], w->g->sampled[r]));
    return FR_OK;
}

/* What a sequence may write: its prompt with what is made, or with what stands behind a piece of it. */
static int64_t tokens_at_most(const work *w, const fr_tokens *prompt) {
    int64_t n = (int64_t)prompt->count + FR_MAX_OF(FR_MIN(w->o->most, w->g->context), CHUNK);
    return FR_MIN(n, (int64_t)w->g->pages.most * FR_KV_TOKENS);
}

/* Prompts in line take the free places. */
static void admit(work *w) {
    fr_generator *g = w->g;
    for (int32_t i = 0; i < g->batch && w->next < w->count; i++) {
        const fr_tokens *p = &w->prompts[w->next];
        if (g->slots[i].busy) continue;
        if (!fr_pages_promise(&g->pages, i, tokens_at_most(w, p))) return;
        g->slots[i] = (slot){.prompt = p, .which = w->next++, .busy = true};
    }
}

/* Whether a slot has tokens of its prompt that are not yet in the pages. */
static int64_t prompt_left(const slot *s) {
    return s->busy ? FR_MAX_OF((int64_t)s->prompt->count - s->done, 0) : 0;
}

/* One piece of as many prompts as there is room for. The rows whose prompt is through come first. */
static int64_t choose_prompts(fr_generator *g, int64_t *through) {
    int64_t count = 0, longest = 1;
    *through = 0;
    for (int32_t i = 0; i < g->batch; i++) {
        const slot *s = &g->slots[i];
        int64_t n = FR_MIN(prompt_left(s), CHUNK);
        if (!n) continue;
        if (count && (count + 1) * round_tokens(FR_MAX_OF(longest, n)) > ROOM) break;
        longest = FR_MAX_OF(longest, n);
        row x = {i, s->prompt->ids + s->done, n};
        g->rows[count++] = x;
        if (n < prompt_left(s)) continue;
        g->rows[count - 1] = g->rows[*through];
        g->rows[(*through)++] = x;
    }
    return count;
}

static int64_t choose_tokens(fr_generator *g) {
    int64_t count = 0;
    for (int32_t i = 0; i < g->batch; i++)
        if (g->slots[i].busy) g->rows[count++] = (row){i, &g->slots[i].token, 1};
    return count;
}

/* Pages for what a run will write: also for what only fills up behind a row. */
static fr_status grow(fr_generator *g, int64_t count) {
    int64_t tokens = tokens_of(g, g->rows, count);
    for (int64_t r = 0; r < count; r++)
        FR_TRY(fr_pages_grow(&g->pages, g->rows[r].slot, g->slots[g->rows[r].slot].done + tokens));
    return FR_OK;
}

/* One run: of prompts while there are any, else a token of each sequence. False: nothing is left. */
static fr_status advance(work *w, bool *more) {
    fr_generator *g = w->g;
    FR_TRY(fr_interrupt_check());
    admit(w);
    int64_t through, count = choose_prompts(g, &through);
    if (!count) count = through = choose_tokens(g);
    *more = count > 0;
    if (!count) return FR_OK;
    FR_TRY(grow(g, count));
    FR_TRY(run_rows(g, g->rows, count, &w->logits));
    return sample_rows(w, g->rows, through);
}

static fr_status check(const fr_generator *g, const fr_tokens *prompts, size_t count,
                       const fr_generate_opts *o) {
    FR_TRY(fr_sampling_check(&o->sampling));
    if (o->most < 1)
        return fr_fail(FR_INVALID, "%lld new tokens make no text.", (long long)o->most);
    for (size_t i = 0; i < count; i++)
        if (!prompts[i].count || prompts[i].count > (size_t)g->context)
            return fr_fail(FR_INVALID, "Prompt %zu has %zu tokens; it must have 1 .. %lld.", i,
                           prompts[i].count, (long long)g->context);
    return FR_OK;
}

fr_status fr_generate(fr_generator *g, const fr_tokens *prompts, size_t count,
                      const fr_generate_opts *opts, fr_tokens *out, fr_ended *why) {
    FR_TRY(check(g, prompts, count, opts));
    work w = {.g = g, .o = opts, .prompts = prompts, .count = count, .out = out, .why = why};
    fr_status st = FR_OK;
    for (bool more = true; more && !st;) st = advance(&w, &more);
    for (int32_t i = 0; i < g->batch; i++) {
        if (g->slots[i].busy) fr_pages_drop(&g->pages, i);
        g->slots[i].busy = false;
    }
    return st;
}
