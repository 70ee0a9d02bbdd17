/* pages.c: see pages.h.
 *
 * open = spares - the sum of owed, and is never below 0. */
#include "text/pages.h"

#include <string.h>

fr_status fr_pages_new(int32_t sequences, int32_t most, int32_t count, fr_pages *out) {
    *out = (fr_pages){.count = count, .sequences = sequences, .most = most};
    size_t places = (size_t)sequences * (size_t)most + 1, each = (size_t)sequences + 1;
    out->table = fr_alloc_array(FR_MEM_STATE, places, sizeof *out->table);
    out->held = fr_alloc_array(FR_MEM_STATE, each, sizeof *out->held);
    out->total = fr_alloc(FR_MEM_STATE, each * sizeof *out->total);
    out->owed = fr_alloc(FR_MEM_STATE, each * sizeof *out->owed);
    out->refs = fr_alloc(FR_MEM_STATE, ((size_t)count + 1) * sizeof *out->refs);
    out->spare = fr_alloc_array(FR_MEM_STATE, (size_t)count + 1, sizeof *out->spare);
    if (!out->table || !out->held || !out->total || !out->owed || !out->refs || !out->spare) {
        fr_pages_free(out);
        return FR_NOMEM;
    }
    memset(out->table, 0xff, places * sizeof *out->table);
    memset(out->held, 0xff, each * sizeof *out->held);
    while (out->spares < count) {
        out->spare[out->spares] = count - 1 - out->spares;
        out->spares++;
    }
    out->open = count;
    return FR_OK;
}

void fr_pages_free(fr_pages *p) {
    fr_free(p->table);
    fr_free(p->held);
    fr_free(p->total);
    fr_free(p->owed);
    fr_free(p->refs);
    fr_free(p->spare);
    *p = (fr_pages){0};
}

static int32_t *row_of(const fr_pages *p, int32_t sequence) {
    return p->table + (int64_t)sequence * p->most;
}

/* ---- beginning ---- */

static int32_t open_with(fr_pages *p, int32_t held, int64_t promise) {
    int64_t need = fr_pages_of(promise);
    int64_t owed = need > held ? need - held : 0;
    if (need > p->most || owed > p->open) return -1;
    for (int32_t i = 0; i < p->sequences; i++) {
        if (p->held[i] >= 0) continue;
        p->held[i] = held;
        p->total[i] = (int32_t)need;
        p->owed[i] = (int32_t)owed;
        p->open -= (int32_t)owed;
        return i;
    }
    return -1;
}

int32_t fr_pages_open(fr_pages *p, int64_t promise) {
    return open_with(p, 0, promise);
}

/* Of a page that is not full the fork, or whoever writes first, will want a copy: it is promised to both. */
int32_t fr_pages_fork(fr_pages *p, int32_t from, int64_t tokens, int64_t promise) {
    int32_t shared = (int32_t)fr_pages_of(tokens), parts = tokens % FR_KV_TOKENS != 0;
    bool first = parts && p->refs[row_of(p, from)[shared - 1]] == 1 && p->owed[from] > 0;
    if (p->open < first) return -1;
    int32_t to = open_with(p, promise ? shared - parts : shared, promise);
    if (to < 0) return -1;
    if (p->open < first) {
        p->held[to] = 0;
        fr_pages_close(p, to);
        return -1;
    }
    p->open -= first;
    p->owed[from] += first;
    p->held[to] = shared;
    for (int32_t i = 0; i < shared; i++) {
        int32_t page = row_of(p, to)[i] = row_of(p, from)[i];
        p->refs[page]++;
    }
    return to;
}

/* ---- writing ---- */

/* Pages of its own that a write needs: new ones, and a copy of the first one where others hold it. */
static fr_status has_room(const fr_pages *p, int32_t sequence, int64_t pages, bool copies) {
    int64_t need = pages - p->held[sequence] + copies;
    if (need <= p->owed[sequence] + p->open) return FR_OK;
    return fr_fail(FR_NOMEM, "All %d pages of the cache are in use, or promised to others.",
                   p->count);
}

static int32_t take(fr_pages *p, int32_t sequence) {
    int32_t page = p->spare[--p->spares];
    if (p->owed[sequence] > 0)
        p->owed[sequence]--;
    else
        p->open--;
    p->refs[page] = 1;
    p->peak = FR_MAX_OF(p->peak, p->count - p->spares);
    return page;
}

fr_status fr_pages_write(fr_pages *p, int32_t sequence, int64_t first, int64_t end,
                         fr_page_copy *copy) {
    int32_t *row = row_of(p, sequence);
    int64_t pages = FR_MAX_OF(fr_pages_of(end), (int64_t)p->held[sequence]);
    int64_t at = first / FR_KV_TOKENS;
    *copy = (fr_page_copy){-1, -1};
    if (pages > p->most)
        return fr_fail(FR_INVALID, "A sequence of %lld tokens does not fit into %d pages of %d.",
                       (long long)end, p->most, FR_KV_TOKENS);
    /* Full pages are never written again, so at most one is shared and written. */
    bool copies = end > first && at < p->held[sequence] && p->refs[row[at]] > 1;
    FR_TRY(has_room(p, sequence, pages, copies));
    if (copies) {
        *copy = (fr_page_copy){row[at], take(p, sequence)};
        p->refs[row[at]]--;
        row[at] = copy->to;
    }
    while (p->held[sequence] < pages) row[p->held[sequence]++] = take(p, sequence);
    return FR_OK;
}

/* ---- ending ---- */

/* What a sequence gives back was promised to it, as far as it was promised anything. */
static void drop(fr_pages *p, int32_t sequence, int32_t pages) {
    int32_t *row = row_of(p, sequence), *held = &p->held[sequence];
    while (*held > pages) {
        int32_t page = row[--*held];
        row[*held] = -1;
        if (--p->refs[page]) continue;
        p->spare[p->spares++] = page;
        if (p->owed[sequence] < p->total[sequence] - *held)
            p->owed[sequence]++;
        else
            p->open++;
    }
}

void fr_pages_cut(fr_pages *p, int32_t sequence, int64_t tokens) {
    drop(p, sequence, (int32_t)fr_pages_of(tokens));
}

void fr_pages_close(fr_pages *p, int32_t sequence) {
    p->total[sequence] = 0;
    drop(p, sequence, 0);
    p->open += p->owed[sequence];
    p->owed[sequence] = 0;
    p->held[sequence] = -1;
}
