/* texts.c: many texts through a weigher: those of about the same length share a run, and widths are rounded, so that
 * few plans serve all. What fills up a row counts nowhere. */
#include <stdlib.h>

#include "base/base.h"
#include "eval/weigher.h"

enum { STEP = 16 }; /* widths are multiples of it */

void fr_texts_free(fr_texts *t) {
    fr_free(t->ids.ids);
    fr_free(t->length);
    fr_free(t->given);
    *t = (fr_texts){0};
}

fr_status fr_texts_end(fr_texts *t, size_t given) {
    if (t->ids.count == t->ended) return FR_OK;
    FR_TRY(fr_grow((void **)&t->length, &t->cap, t->count + 1, sizeof *t->length));
    FR_TRY(fr_grow((void **)&t->given, &t->given_cap, t->count + 1, sizeof *t->given));
    t->length[t->count] = (int32_t)(t->ids.count - t->ended);
    t->given[t->count++] = (int32_t)given;
    t->ended = t->ids.count;
    return FR_OK;
}

static int64_t width_of(int32_t length) {
    return (int64_t)fr_round_up((size_t)length, STEP);
}

int64_t fr_texts_width(const fr_texts *t) {
    int64_t widest = STEP;
    for (size_t i = 0; i < t->count; i++) widest = FR_MAX_OF(widest, width_of(t->length[i]));
    return widest;
}

typedef struct place {
    int32_t length, given;
    int64_t at;
} place;

static int by_length(const void *a, const void *b) {
    const place *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

typedef struct weighing {
    fr_weigher *w;
    const int32_t *from; /* all ids */
    int64_t room;
    place *place;
    int32_t *ids, *target[FR_WEIGHER_SETS];
} weighing;

static void fill_row(const weighing *w, const place *p, int64_t to, int64_t width) {
    const int32_t *ids = w->from + p->at;
    for (int64_t i = 0; i < width; i++, to++) {
        const int64_t next = i + 1;
        w->ids[to] = ids[FR_MIN(i, (int64_t)p->length - 1)];
        w->target[0][to] = w->target[1][to] = -1;
        if (next < p->length) w->target[next < p->given ? 0 : 1][to] = ids[next];
    }
}

static fr_status weigh_rows(const weighing *w, const place *p, int64_t rows, int64_t width,
                            fr_surprise *const sum[FR_WEIGHER_SETS]) {
    const int32_t *const target[FR_WEIGHER_SETS] = {w->target[0], w->target[1]};
    for (int64_t r = 0; r < rows; r++) fill_row(w, &p[r], r * width, width);
    return fr_weigher_add(w->w, rows, width, w->ids, target, sum);
}

static fr_status weigh_all(const weighing *w, size_t count,
                           fr_surprise *const sum[FR_WEIGHER_SETS]) {
    for (size_t i = 0, end; i < count; i = end) {
        int64_t width = 0;
        for (end = i; end < count; end++) {
            const int64_t wide = width_of(w->place[end].length);
            if (width && wide * (int64_t)(end - i + 1) > w->room) break;
            width = wide;
        }
        if (width > w->room)
            return fr_fail(FR_INVALID, "A text of %d tokens is too long: there is room for %lld.",
                           w->place[i].length, (long long)w->room);
        FR_TRY(weigh_rows(w, w->place + i, (int64_t)(end - i), width, sum));
    }
    return FR_OK;
}

static void sort(const fr_texts *t, place *out) {
    size_t count = 0;
    int64_t at = 0;
    for (size_t i = 0; i < t->count; at += t->length[i++])
        out[count++] = (place){t->length[i], t->given[i], at};
    qsort(out, count, sizeof *out, by_length);
}

fr_status fr_weigher_texts(fr_weigher *w, const fr_texts *t,
                           fr_surprise *const sum[FR_WEIGHER_SETS]) {
    const int64_t room = fr_weigher_room(w);
    weighing all = {.w = w, .from = t->ids.ids, .room = room};
    all.place = fr_alloc_array(FR_MEM_OTHER, t->count + 1, sizeof *all.place);
    all.ids = fr_alloc_array(FR_MEM_OTHER, 3 * (size_t)room, sizeof *all.ids);
    fr_status st = all.place && all.ids ? FR_OK : FR_NOMEM;
    if (!st) {
        all.target[0] = all.ids + room, all.target[1] = all.ids + 2 * room;
        sort(t, all.place);
        st = weigh_all(&all, t->count, sum);
    }
    fr_free(all.place);
    fr_free(all.ids);
    return st;
}
