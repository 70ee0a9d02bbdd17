/* weigher.c: see weigher.h. One graph: ids over pages, two losses of the same logits. */
#include "eval/weigher.h"

#include <math.h>
#include <string.h>

#include "base/base.h"

enum { IDS, POS, TABLE, START, LENGTH, TARGET, INPUTS = TARGET + FR_WEIGHER_SETS };
#define MOST_LOGITS (1 << 24) /* of a piece: 64 MiB in f32 */

struct fr_weigher {
    fr_graph *graph;
    fr_session *session;
    int64_t vocab, most; /* pages of a row at most */
    int64_t pages, room;
    int32_t *ids, *target[FR_WEIGHER_SETS], *pos, *table, *start, *length;
};

static const char *const loss_names[FR_WEIGHER_SETS] = {"loss", "other_loss"};

static fr_status build(fr_weigher *w, const fr_model *m, fr_kv_kind kind, fr_pool *pool) {
    static const char *const target_names[FR_WEIGHER_SETS] = {"target", "other_target"};
    fr_graph *g = w->graph = fr_graph_new();
    if (!g) return FR_NOMEM;
    int64_t rows = 2, tokens = 8;
    fr_decoder_opts o = {.weights = FR_BF16, .flow = FR_F32, .store = m->store};
    fr_decoder_cache cache = {.kind = kind, .pages = w->pages};
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){rows, tokens});
    fr_val pos = fr_input(g, "pos", FR_I32, 3, (int64_t[]){rows, tokens, 1});
    cache.table = fr_input(g, "table", FR_I32, 2, (int64_t[]){rows, w->most});
    cache.start = fr_input(g, "start", FR_I32, 1, (int64_t[]){rows});
    cache.length = fr_input(g, "length", FR_I32, 1, (int64_t[]){rows});
    fr_val target[FR_WEIGHER_SETS];
    for (int i = 0; i < FR_WEIGHER_SETS; i++)
        target[i] = fr_input(g, target_names[i], FR_I32, 2, (int64_t[]){rows, tokens});
    fr_val x = fr_decoder_cached(g, &m->decoder, &o, ids, pos, &cache);
    x = fr_decoder_logits(g, &m->decoder, &o, x);
    for (int i = 0; i < FR_WEIGHER_SETS; i++)
        fr_output(g, loss_names[i], fr_cross_entropy(g, x, target[i]));
    FR_TRY(fr_fuse(g, FR_FUSE_ALL, NULL));
    FR_TRY(fr_session_new_with(g, &(fr_session_opts){.pool = pool}, &w->session));
    return fr_session_load(w->session, m->store);
}

static int32_t *numbers(int64_t n) {
    return fr_alloc_array(FR_MEM_OTHER, (size_t)n, sizeof(int32_t));
}

static fr_status make_inputs(fr_weigher *w) {
    w->ids = numbers(w->room);
    w->pos = numbers(w->room);
    w->table = numbers(w->pages + w->most);
    w->start = numbers(w->room);
    w->length = numbers(w->room);
    bool good = w->ids && w->pos && w->table && w->start && w->length;
    for (int i = 0; i < FR_WEIGHER_SETS; i++) good &= (w->target[i] = numbers(w->room)) != NULL;
    return good ? FR_OK : FR_NOMEM;
}

fr_status fr_weigher_new(const fr_model *m, fr_kv_kind pages, int64_t context, int64_t room,
                         fr_pool *pool, fr_weigher **out) {
    *out = NULL;
    if (context < 2 || room < context || room > 1 << 24)
        return fr_fail(FR_INVALID, "Rows of %lld tokens in a room for %lld make no sense.",
                       (long long)context, (long long)room);
    fr_weigher *w = fr_alloc(FR_MEM_OTHER, sizeof *w);
    if (!w) return FR_NOMEM;
    *w = (fr_weigher){.vocab = m->decoder.vocab, .room = room};
    w->most = (context + FR_KV_TOKENS - 1) / FR_KV_TOKENS;
    /* Short rows waste most of a page each: a row of 16 tokens takes one of 64. */
    w->pages = FR_MAX_OF(w->most, room / 16);
    fr_status st = make_inputs(w);
    if (!st) st = build(w, m, pages, pool);
    if (st) {
        fr_weigher_free(w);
        return st;
    }
    *out = w;
    return FR_OK;
}

void fr_weigher_free(fr_weigher *w) {
    if (!w) return;
    void *blocks[] = {w->ids, w->target[0], w->target[1], w->pos, w->table, w->start, w->length};
    fr_session_free(w->session);
    fr_graph_free(w->graph);
    for (size_t i = 0; i < FR_COUNT(blocks); i++) fr_free(blocks[i]);
    fr_free(w);
}

/* ---- a piece: tokens from .. from + n - 1 of every row ---- */

static void copy_piece(int64_t rows, int64_t width, int64_t from, int64_t n, const int32_t *x,
                       int32_t *out) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) out[r * n + i] = x ? x[r * width + from + i] : -1;
}

static void place_rows(fr_weigher *w, int64_t rows, int64_t from, int64_t n) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < n; i++) w->pos[r * n + i] = (int32_t)(from + i);
        w->start[r] = (int32_t)from;
        w->length[r] = (int32_t)(from + n);
    }
}

/* Row r has pages r x each and on, for as many tokens as a row is wide. */
static fr_status give_pages(fr_weigher *w, int64_t rows, int64_t width, int64_t *columns) {
    int64_t each = *columns = (width + FR_KV_TOKENS - 1) / FR_KV_TOKENS;
    if (rows * each > w->pages || each > w->most || rows * width > w->room)
        return fr_fail(FR_INVALID, "%lld rows of %lld tokens are more than there is room for.",
                       (long long)rows, (long long)width);
    for (int64_t i = 0; i < rows * each; i++) w->table[i] = (int32_t)i;
    return FR_OK;
}

static int64_t counted(const int32_t *target, int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) count += target[i] >= 0;
    return count;
}

static fr_status run_piece(fr_weigher *w, int64_t rows, int64_t n, int64_t columns,
                           fr_surprise *const sum[FR_WEIGHER_SETS]) {
    int64_t shape[] = {rows, n};
    fr_tensor in[INPUTS] = {
        [IDS] = fr_tensor_make(FR_I32, 2, shape, w->ids),
        [POS] = fr_tensor_make(FR_I32, 3, (int64_t[]){rows, n, 1}, w->pos),
        [TABLE] = fr_tensor_make(FR_I32, 2, (int64_t[]){rows, columns}, w->table),
        [START] = fr_tensor_make(FR_I32, 1, (int64_t[]){rows}, w->start),
        [LENGTH] = fr_tensor_make(FR_I32, 1, (int64_t[]){rows}, w->length),
    };
    for (int i = 0; i < FR_WEIGHER_SETS; i++)
        in[TARGET + i] = fr_tensor_make(FR_I32, 2, shape, w->target[i]);
    FR_TRY(fr_session_run(w->session, in, INPUTS));
    for (int i = 0; i < FR_WEIGHER_SETS; i++) {
        int64_t count = counted(w->target[i], rows * n);
        if (!count || !sum[i]) continue; /* a mean over nothing is no number */
        float mean = *(const float *)fr_session_output(w->session, loss_names[i])->data;
        sum[i]->nats += (double)count * (double)mean;
        sum[i]->tokens += count;
    }
    return FR_OK;
}

fr_status fr_weigher_add(fr_weigher *w, int64_t rows, int64_t width, const int32_t *ids,
                         const int32_t *const target[FR_WEIGHER_SETS],
                         fr_surprise *const sum[FR_WEIGHER_SETS]) {
    int64_t columns, piece = FR_MAX_OF(MOST_LOGITS / (w->vocab * rows) / 8 * 8, 8);
    FR_TRY(give_pages(w, rows, width, &columns));
    for (int64_t from = 0, n; from < width; from += n) {
        FR_TRY(fr_interrupt_check());
        n = FR_MIN(piece, width - from);
        copy_piece(rows, width, from, n, ids, w->ids);
        for (int i = 0; i < FR_WEIGHER_SETS; i++)
            copy_piece(rows, width, from, n, target[i], w->target[i]);
        place_rows(w, rows, from, n);
        FR_TRY(run_piece(w, rows, n, columns, sum));
    }
    return FR_OK;
}

int64_t fr_weigher_room(const fr_weigher *w) {
    return w->room;
}

double fr_surprise_a_token(fr_surprise s) {
    return s.tokens ? exp(s.nats / (double)s.tokens) : 0;
}
double fr_surprise_a_byte(fr_surprise s) {
    return s.bytes ? exp(s.nats / (double)s.bytes) : 0;
}
