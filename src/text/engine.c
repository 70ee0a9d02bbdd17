/* engine.c: see engine.h.
 *
 * One graph serves all: rows of ids with where they begin, and a list of the places whose logits are wanted. The rows
 * of a run are as long as the longest. What stands behind a shorter one is written nowhere, or behind the end of its
 * sequence, where it is overwritten before anyone reads it. */
#include "text/engine.h"

#include <string.h>

#include "text/pages.h"

enum {
    SEQUENCES = 32,
    CHUNK = 512,
    ROOM = 2048, /* tokens of all rows together: bounds the memory of a run */
    FEW =
        32, /* rows of a key head that paged attention works on from the codes (op/paged_decode.c) */
    LOGITS = 8 << 20, /* values of a run at most, but for few rows */
};

enum { IDS, POS, TABLE, START, LENGTH, MOST, PICK, INPUTS };

/* A piece of a feed that goes through in one run. */
typedef struct piece {
    fr_feed *f;
    int64_t count, wanted;
} piece;

struct fr_engine {
    fr_decoder m;
    fr_graph *graph;
    fr_session *session;
    fr_pages pages;
    fr_kv_kind kind;
    int64_t context, chunk;
    int64_t few;     /* tokens that go together as `made` */
    int64_t most;    /* pages of a row of the table: also of what only fills up */
    int64_t longest; /* row */
    int64_t *length; /* of each sequence */
    int32_t *limit;  /* tokens that each may come to have */
    int64_t *left;   /* of the feed of each sequence; -1: it is not in this step */
    piece *rows;
    int32_t *ids, *pos, *table, *start, *count, *limits, *pick; /* inputs */
    float *logits;                                              /* of a step of several runs */
    size_t logits_cap;
    fr_val *state; /* all pages of a layer, keys or values */
    size_t states, page;
    fr_engine_stats stats;
    bool timed;
    fr_engine_times times[2]; /* of prompts, of tokens that were made */
};

/* ---- making one ---- */

static fr_status build(fr_engine *e, const fr_store *store, const fr_engine_opts *o) {
    fr_graph *graph = e->graph = fr_graph_new();
    if (!graph) return FR_NOMEM;
    int64_t rows = 2;
    fr_decoder_cache cache = {.kind = o->pages, .pages = e->pages.count};
    fr_val ids = fr_input(graph, "ids", FR_I32, 2, (int64_t[]){rows, 1});
    fr_val pos = fr_input(graph, "pos", FR_I32, 3, (int64_t[]){rows, 1, 1});
    cache.table = fr_input(graph, "table", FR_I32, 2, (int64_t[]){rows, e->most});
    cache.start = fr_input(graph, "start", FR_I32, 1, (int64_t[]){rows});
    cache.length = fr_input(graph, "length", FR_I32, 1, (int64_t[]){rows});
    cache.most = fr_input(graph, "most", FR_I32, 1, (int64_t[]){rows});
    fr_val pick = fr_input(graph, "pick", FR_I32, 1, (int64_t[]){rows});
    fr_decoder_opts lo = {.weights = o->weights ? o->weights : FR_BF16, .store = store};
    lo.flow = o->flow ? o->flow : FR_F32;
    fr_val x = fr_decoder_cached(graph, &e->m, &lo, ids, pos, &cache);
    x = fr_gather(graph, fr_reshape(graph, x, 2, (int64_t[]){-1, e->m.width}), pick, 0);
    x = fr_decoder_logits(graph, &e->m, &lo, x);
    bool floats = fr_desc(graph, x)->dtype == FR_F32;
    fr_output(graph, "logits", floats ? x : fr_cast(graph, x, FR_F32));
    return fr_fuse(graph, FR_FUSE_ALL, NULL);
}

static fr_status find_states(fr_engine *e) {
    e->state = fr_alloc(FR_MEM_OTHER, e->graph->value_count * sizeof *e->state);
    if (!e->state) return FR_NOMEM;
    for (fr_val v = 1; (size_t)v < e->graph->value_count; v++)
        if (fr_value_of(e->graph, v)->kind == FR_VALUE_STATE) e->state[e->states++] = v;
    return FR_OK;
}

static int32_t *numbers(int64_t n) {
    return fr_alloc(FR_MEM_STATE, (size_t)n * sizeof(int32_t));
}

static fr_status make_inputs(fr_engine *e) {
    int64_t rows = e->pages.sequences;
    int64_t tokens = FR_MAX_OF(FR_MAX_OF(ROOM, e->longest), rows * e->few);
    e->length = fr_alloc(FR_MEM_STATE, (size_t)rows * sizeof *e->length);
    e->left = fr_alloc(FR_MEM_STATE, (size_t)rows * sizeof *e->left);
    e->rows = fr_alloc(FR_MEM_STATE, (size_t)rows * sizeof *e->rows);
    e->ids = numbers(tokens);
    e->pos = numbers(tokens);
    e->pick = numbers(tokens);
    e->table = numbers(rows * e->most);
    e->start = numbers(rows);
    e->count = numbers(rows);
    e->limit = numbers(rows);
    e->limits = numbers(rows);
    bool good = e->length && e->left && e->rows && e->ids && e->pos && e->pick && e->table;
    return good && e->start && e->count && e->limit && e->limits ? FR_OK : FR_NOMEM;
}

/* Pages for all sequences, or as many as the memory for them holds. */
static fr_status make_pages(fr_engine *e, const fr_engine_opts *o, int32_t sequences) {
    const fr_decoder *m = &e->m;
    int64_t most = fr_pages_of(e->context), count = most * sequences;
    e->page = 2 * (size_t)m->layers *
              fr_kv_page_bytes(o->pages, (int32_t)m->kv_heads, (int32_t)m->head_dim);
    if (!e->page)
        return fr_fail(FR_UNSUPPORTED, "No page of a cache holds heads of %lld values.",
                       (long long)m->head_dim);
    size_t room = (o->cache ? o->cache : (size_t)2 << 30) / e->page;
    if (!o->cache && room < (size_t)most) room = (size_t)most;
    if (room < (size_t)most)
        return fr_fail(
            FR_INVALID,
            "A cache of %zu bytes does not hold one sequence of %lld tokens, which takes "
            "%zu.",
            o->cache, (long long)e->context, (size_t)most * e->page);
    if ((size_t)count > room) count = (int64_t)room;
    e->most = most + fr_pages_of(e->longest);
    return fr_pages_new(sequences, (int32_t)most, (int32_t)count, &e->pages);
}

static fr_status set_up(fr_engine *e, const fr_store *weights, const fr_engine_opts *o) {
    int32_t sequences = o->sequences ? o->sequences : SEQUENCES;
    if (sequences < 1 || sequences > 4096 || e->context < 2 || e->context > 1 << 24)
        return fr_fail(FR_INVALID, "%d sequences of %lld tokens at once make no sense.", sequences,
                       (long long)e->context);
    if (e->chunk < 1 || e->chunk > 1 << 16)
        return fr_fail(FR_INVALID, "Pieces of %lld tokens make no sense.", (long long)e->chunk);
    FR_TRY(make_pages(e, o, sequences));
    FR_TRY(make_inputs(e));
    FR_TRY(build(e, weights, o));
    FR_TRY(find_states(e));
    fr_session_opts so = {.pool = o->pool, .states = FR_MEM_PAGES};
    FR_TRY(fr_session_new_with(e->graph, &so, &e->session));
    return fr_session_load(e->session, weights);
}

fr_status fr_engine_new(const fr_decoder *m, const fr_store *weights, const fr_engine_opts *opts,
                        fr_engine **out) {
    *out = NULL;
    fr_engine *e = fr_alloc(FR_MEM_OTHER, sizeof *e);
    if (!e) return FR_NOMEM;
    e->m = *m;
    e->context = opts->context ? opts->context : m->context;
    e->chunk = opts->chunk ? opts->chunk : CHUNK;
    e->few = FR_MAX_OF(FEW * m->kv_heads / m->heads, 1);
    e->longest = FR_MAX_OF(e->chunk, e->few + 1) + 8;
    fr_status st = set_up(e, weights, opts);
    if (st) {
        fr_engine_free(e);
        return st;
    }
    *out = e;
    return FR_OK;
}

void fr_engine_free(fr_engine *e) {
    if (!e) return;
    void *blocks[] = {e->length, e->left,  e->rows,   e->ids,  e->pos,    e->table, e->start,
                      e->count,  e->limit, e->limits, e->pick, e->logits, e->state};
    fr_session_free(e->session);
    fr_graph_free(e->graph);
    fr_pages_free(&e->pages);
    for (size_t i = 0; i < FR_COUNT(blocks); i++) fr_free(blocks[i]);
    fr_free(e);
}

const fr_decoder *fr_engine_model(const fr_engine *e) {
    return &e->m;
}

int64_t fr_engine_context(const fr_engine *e) {
    return e->context;
}

/* ---- sequences ---- */

static fr_status begin(fr_engine *e, int32_t at, int64_t length, int64_t limit, int32_t *sequence) {
    *sequence = at;
    if (at < 0) return FR_NOMEM;
    e->length[at] = length;
    e->limit[at] = (int32_t)limit;
    return FR_OK;
}

fr_status fr_engine_open(fr_engine *e, int64_t promise, int32_t *sequence) {
    int64_t most = FR_MIN(promise, e->context);
    return begin(e, fr_pages_open(&e->pages, most), 0, most ? most : e->context, sequence);
}

fr_status fr_engine_fork(fr_engine *e, int32_t from, int64_t tokens, int64_t promise,
                         int32_t *sequence) {
    tokens = FR_MIN(tokens, e->length[from]);
    int64_t most = promise ? FR_MIN(FR_MAX_OF(promise, tokens), e->context) : 0;
    int32_t at = fr_pages_fork(&e->pages, from, tokens, most);
    return begin(e, at, tokens, e->limit[from], sequence);
}

void fr_engine_limit(fr_engine *e, int32_t sequence, int64_t tokens) {
    e->limit[sequence] = (int32_t)FR_MIN(tokens, e->context);
}

int64_t fr_engine_length(const fr_engine *e, int32_t sequence) {
    return e->length[sequence];
}

void fr_engine_cut(fr_engine *e, int32_t sequence, int64_t tokens) {
    if (tokens >= e->length[sequence]) return;
    e->length[sequence] = tokens;
    fr_pages_cut(&e->pages, sequence, tokens);
}

void fr_engine_close(fr_engine *e, int32_t sequence) {
    e->length[sequence] = 0;
    fr_pages_close(&e->pages, sequence);
}

/* ---- a run over some rows ---- */

/* The tokens of each row. Rows of prompts are made long enough for attention in tiles; few plans serve all lengths. */
static int64_t width_of(const fr_engine *e, const piece *rows, int64_t count, bool made) {
    int64_t longest = made ? 1 : e->few + 1;
    for (int64_t r = 0; r < count; r++) longest = FR_MAX_OF(longest, rows[r].count);
    return made ? longest : (longest + 7) / 8 * 8;
}

static void copy_page(fr_engine *e, fr_page_copy c) {
    if (c.from < 0) return;
    for (size_t i = 0; i < e->states; i++) {
        const fr_tensor *t = fr_session_tensor(e->session, e->state[i]);
        size_t bytes = (size_t)t->dim[1];
        uint8_t *data = t->data;
        memcpy(data + (size_t)c.to * bytes, data + (size_t)c.from * bytes, bytes);
    }
}

static fr_status fill_row(fr_engine *e, int64_t r, const piece *p, int64_t width) {
    int32_t s = p->f->sequence;
    int64_t start = e->length[s], from = p->f->count - e->left[s];
    fr_page_copy copy;
    FR_TRY(fr_pages_write(&e->pages, s, start, start + p->count, &copy));
    copy_page(e, copy);
    for (int64_t t = 0; t < width; t++) {
        e->ids[r * width + t] = t < p->count ? p->f->ids[from + t] : 0;
        e->pos[r * width + t] = (int32_t)(start + t);
    }
    int32_t *table = e->table + r * e->most;
    const int32_t *pages = e->pages.table + (int64_t)s * e->pages.most;
    for (int64_t i = 0; i < e->most; i++) table[i] = i < e->pages.most ? pages[i] : FR_NOWHERE;
    e->start[r] = (int32_t)start;
    e->count[r] = (int32_t)(start + width);
    e->limits[r] = e->limit[s];
    return FR_OK;
}

/* What stands where logits are wanted; of made tokens all, so that few plans serve all. */
static int64_t fill_picks(fr_engine *e, const piece *rows, int64_t count, int64_t width,
                          bool made) {
    int64_t n = 0;
    for (int64_t r = 0; r < count; r++) {
        int64_t from = made ? 0 : rows[r].count - rows[r].wanted, to = made ? width : rows[r].count;
        for (int64_t t = from; t < to; t++) e->pick[n++] = (int32_t)(r * width + t);
    }
    return n;
}

/* Hands the logits of a run to its feeds: pointers where the step is done with it, else copies. */
static void hand_out(fr_engine *e, const piece *rows, int64_t count, int64_t width, bool made,
                     bool point) {
    size_t vocab = (size_t)e->m.vocab;
    const float *x = fr_session_output(e->session, "logits")->data;
    for (int64_t r = 0; r < count; r++) {
        fr_feed *f = rows[r].f;
        int64_t here = rows[r].wanted, skipped = made ? rows[r].count - here : 0;
        const float *from = x + (size_t)skipped * vocab;
        int64_t done = f->wanted - FR_MIN(e->left[f->sequence], f->wanted);
        if (point)
            f->logits = from;
        else if (here)
            memcpy((float *)(uintptr_t)f->logits + (size_t)done * vocab, from,
                   (size_t)here * vocab * sizeof *x);
        x += (size_t)(made ? width : here) * vocab;
    }
}

static fr_status run_rows(fr_engine *e, const piece *rows, int64_t count, bool made, bool point) {
    int64_t width = width_of(e, rows, count, made), most = e->most;
    for (int64_t r = 0; r < count; r++) FR_TRY(fill_row(e, r, &rows[r], width));
    int64_t picks = fill_picks(e, rows, count, width, made);
    fr_tensor in[INPUTS] = {
        [IDS] = fr_tensor_make(FR_I32, 2, (int64_t[]){count, width}, e->ids),
        [POS] = fr_tensor_make(FR_I32, 3, (int64_t[]){count, width, 1}, e->pos),
        [TABLE] = fr_tensor_make(FR_I32, 2, (int64_t[]){count, most}, e->table),
        [START] = fr_tensor_make(FR_I32, 1, (int64_t[]){count}, e->start),
        [LENGTH] = fr_tensor_make(FR_I32, 1, (int64_t[]){count}, e->count),
        [MOST] = fr_tensor_make(FR_I32, 1, (int64_t[]){count}, e->limits),
        [PICK] = fr_tensor_make(FR_I32, 1, (int64_t[]){picks}, e->pick),
    };
    double begin = fr_now();
    FR_TRY(fr_session_run(e->session, in, INPUTS));
    if (e->timed) {
        e->times[made].seconds += fr_now() - begin;
        fr_session_add_times(e->session, &e->times[made].op);
    }
    hand_out(e, rows, count, width, made, point);
    for (int64_t r = 0; r < count; r++) {
        int32_t s = rows[r].f->sequence;
        e->length[s] += rows[r].count;
        e->left[s] -= rows[r].count;
        *(made ? &e->stats.made : &e->stats.prompt) += rows[r].count;
    }
    e->stats.runs++;
    return FR_OK;
}

/* ---- a step ---- */

/* The next piece of a feed: no more than goes together, and no more logits than a run should hold. */
static piece next_piece(const fr_engine *e, fr_feed *f) {
    int64_t left = e->left[f->sequence], count = FR_MIN(left, f->made ? e->few : e->chunk);
    int64_t most = FR_MAX_OF(LOGITS / e->m.vocab, e->few), before = left - FR_MIN(left, f->wanted);
    if (!f->made && count > before + most) count = before + most;
    int64_t wanted = FR_MAX_OF(count - before, 0);
    return (piece){f, count, wanted};
}

/* Pieces of feeds of one kind, as many as there is room for. */
static int64_t choose(fr_engine *e, fr_feed *feeds, size_t count, bool made) {
    int64_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        if (feeds[i].made != made || e->left[feeds[i].sequence] <= 0) continue;
        e->rows[rows] = next_piece(e, &feeds[i]);
        if (rows && !made && (rows + 1) * width_of(e, e->rows, rows + 1, made) > ROOM) break;
        rows++;
    }
    return rows;
}

static fr_status check_feed(fr_engine *e, const fr_feed *f) {
    if (f->sequence < 0 || f->sequence >= e->pages.sequences || e->pages.held[f->sequence] < 0)
        return fr_fail(FR_INVALID, "There is no sequence %d.", f->sequence);
    if (e->left[f->sequence] >= 0)
        return fr_fail(FR_INVALID, "Sequence %d stands twice in a step.", f->sequence);
    int64_t length = e->length[f->sequence];
    if (f->count < 1 || f->wanted < 0 || f->wanted > f->count)
        return fr_fail(FR_INVALID, "A step of %lld tokens with the logits of %lld makes no sense.",
                       (long long)f->count, (long long)f->wanted);
    if (f->count > e->context - length)
        return fr_fail(FR_INVALID,
                       "%lld tokens and %lld more do not fit into a context of %lld tokens.",
                       (long long)length, (long long)f->count, (long long)e->context);
    for (int64_t i = 0; i < f->count; i++)
        if (f->ids[i] < 0 || f->ids[i] >= e->m.vocab)
            return fr_fail(FR_INVALID, "There is no token %d: the model has %lld.", f->ids[i],
                           (long long)e->m.vocab);
    e->left[f->sequence] = f->count;
    return FR_OK;
}

/* Where the logits of each feed go when it takes several runs. */
static fr_status make_room(fr_engine *e, fr_feed *feeds, size_t count) {
    size_t values = 0, vocab = (size_t)e->m.vocab;
    for (size_t i = 0; i < count; i++) {
        size_t one;
        if (!fr_size_mul((size_t)feeds[i].wanted, vocab, &one) ||
            !fr_size_add(values, one, &values))
            return FR_NOMEM;
    }
    if (values > e->logits_cap) {
        fr_free(e->logits);
        e->logits_cap = 0;
        e->logits = fr_alloc_array(FR_MEM_STATE, values, sizeof *e->logits);
        if (!e->logits) return FR_NOMEM;
        e->logits_cap = values;
    }
    for (size_t i = 0, at = 0; i < count; i++) {
        feeds[i].logits = e->logits + at;
        at += (size_t)feeds[i].wanted * vocab;
    }
    return FR_OK;
}

static bool is_all(const fr_engine *e, int64_t rows, size_t count) {
    bool all = (size_t)rows == count;
    for (int64_t r = 0; r < rows; r++) all &= e->rows[r].count == e->left[e->rows[r].f->sequence];
    return all;
}

static fr_status run_all(fr_engine *e, fr_feed *feeds, size_t count) {
    bool point = false, begun = false;
    for (int made = 1; made >= 0; made--)
        for (int64_t rows; (rows = choose(e, feeds, count, made)) > 0;) {
            FR_TRY(fr_interrupt_check());
            if (!begun) {
                point = is_all(e, rows, count);
                if (!point) FR_TRY(make_room(e, feeds, count));
                begun = true;
            }
            FR_TRY(run_rows(e, e->rows, rows, made, point));
        }
    return FR_OK;
}

fr_status fr_engine_step(fr_engine *e, fr_feed *feeds, size_t count) {
    memset(e->left, 0xff, (size_t)e->pages.sequences * sizeof *e->left);
    for (size_t i = 0; i < count; i++) {
        feeds[i].logits = NULL;
        FR_TRY(check_feed(e, &feeds[i]));
    }
    return run_all(e, feeds, count);
}

fr_engine_stats fr_engine_stats_of(const fr_engine *e) {
    fr_engine_stats s = e->stats;
    s.pages = e->pages.count;
    s.held = e->pages.count - e->pages.spares;
    s.peak = e->pages.peak;
    s.page = e->page;
    s.arena = fr_session_arena_bytes(e->session);
    return s;
}

fr_status fr_engine_time(fr_engine *e) {
    FR_TRY(fr_session_time_nodes(e->session));
    e->timed = true;
    return FR_OK;
}

fr_engine_times fr_engine_times_of(const fr_engine *e, bool made) {
    return e->times[made];
}
