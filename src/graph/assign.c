/* assign.c: when is each block of memory in use, which may be written over, and where in the arena
 * do they lie.
 *
 * Blocks are placed from the largest to the smallest, each in the tightest gap that is free during
 * its whole life ("greedy by size", Pisarchyk and Lee, Efficient memory management for deep neural
 * net inference, 2020). */
#include "graph/plan.h"

#include <stdlib.h>
#include <string.h>

#include "graph/infer.h"

/* ---- lifetimes ---- */

static void use(fr_plan *p, int32_t place, int32_t step) {
    if (place < 0) return;
    fr_place *at = &p->places[place];
    if (at->first < 0) at->first = step;
    at->last = FR_MAX_OF(at->last, step);
}

static void find_lifetimes(fr_plan *p) {
    for (size_t i = 0; i < p->step_count; i++) {
        const fr_step *s = &p->steps[i];
        for (int k = 0; k < s->nin; k++) use(p, s->in[k].place, (int32_t)i);
        for (int k = 0; k < s->nout; k++) use(p, s->out[k].place, (int32_t)i);
        use(p, s->scratch, (int32_t)i);
    }
    for (size_t i = 0; i < p->graph->output_count; i++)
        use(p, p->outputs[i].place, (int32_t)p->step_count);
}

/* ---- in place ---- */

/* May out[0] of step i lie over input k, which nobody reads afterwards? */
static bool can_overwrite(const fr_plan *p, const fr_step *s, int32_t i, int k) {
    const fr_operand *in = &s->in[k], *out = &s->out[0];
    if (k >= s->nin || in->place < 0 || out->place < 0) return false;
    const fr_place *from = fr_place_root(p, in->place), *to = fr_place_root(p, out->place);
    if (from->value != FR_NONE || to->value != FR_NONE || from == to) return false;
    if (from->last != i || to->first != i) return false;
    if (in->offset || out->offset || from->bytes != to->bytes) return false;
    /* Equal bytes of another type may be fewer values, each read again after a write. */
    if (fr_values(&in->desc) != fr_values(&out->desc)) return false;
    if (!fr_is_contiguous(&in->desc) || fr_bytes(&in->desc) != from->bytes) return false;
    for (int j = 0; j < s->nin; j++)
        if (j != k && s->in[j].place >= 0 && fr_place_root(p, s->in[j].place) == from) return false;
    return true;
}

static void overwrite(fr_plan *p, int32_t out, int32_t in) {
    fr_place *from = fr_place_root(p, in), *to = fr_place_root(p, out);
    to->same = (int32_t)(from - p->places);
    from->last = FR_MAX_OF(from->last, to->last);
}

static void share_places(fr_plan *p) {
    for (size_t i = 0; i < p->step_count; i++) {
        const fr_step *s = &p->steps[i];
        if ((s->op->flags & FR_OP_INPLACE0) && can_overwrite(p, s, (int32_t)i, 0))
            overwrite(p, s->out[0].place, s->in[0].place);
        else if ((s->op->flags & FR_OP_INPLACE1) && can_overwrite(p, s, (int32_t)i, 1))
            overwrite(p, s->out[0].place, s->in[1].place);
    }
}

/* ---- offsets ---- */

static int by_size(const void *pa, const void *pb) {
    const fr_place *a = *(fr_place *const *)pa, *b = *(fr_place *const *)pb;
    if (a->bytes != b->bytes) return a->bytes < b->bytes ? 1 : -1;
    if (a->first != b->first) return a->first < b->first ? -1 : 1;
    return a < b ? -1 : a > b;
}

static bool meet(const fr_place *a, const fr_place *b) {
    return a->first <= b->last && b->first <= a->last;
}

/* The tightest gap between blocks of the same time; `placed` is sorted by offset. */
static size_t best_offset(fr_place *const *placed, size_t count, const fr_place *x, size_t need) {
    size_t end = 0, best = SIZE_MAX, best_gap = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!meet(placed[i], x)) continue;
        size_t start = placed[i]->offset;
        if (start >= end + need && start - end < best_gap) {
            best_gap = start - end;
            best = end;
        }
        end = FR_MAX_OF(end, start + fr_round_up(placed[i]->bytes, FR_ALIGN));
    }
    return best == SIZE_MAX ? end : best;
}

static fr_status place_all(fr_plan *p, fr_place **order, fr_place **placed, size_t count) {
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        fr_place *x = order[i];
        size_t need = fr_round_up(x->bytes, FR_ALIGN), end, at = done;
        x->offset = p->opts->no_reuse ? p->arena_bytes : best_offset(placed, done, x, need);
        if (!fr_size_add(x->offset, need, &end) || end > SIZE_MAX / 2)
            return fr_fail(FR_NOMEM, "The values of the graph need more memory than can be named.");
        p->arena_bytes = FR_MAX_OF(p->arena_bytes, end);
        while (at > 0 && placed[at - 1]->offset > x->offset) at--;
        memmove(placed + at + 1, placed + at, (done - at) * sizeof *placed);
        placed[at] = x;
        done++;
    }
    return FR_OK;
}

fr_status fr_plan_assign(fr_plan *p) {
    size_t count = 0;
    find_lifetimes(p);
    if (!p->opts->no_inplace) share_places(p);
    fr_place **order = fr_alloc_array(FR_MEM_OTHER, p->place_count + 1, 2 * sizeof *order);
    if (!order) return FR_NOMEM;
    for (size_t i = 0; i < p->place_count; i++) {
        fr_place *x = &p->places[i];
        if (x->value == FR_NONE && x->same < 0 && x->first >= 0 && x->bytes) order[count++] = x;
    }
    qsort(order, count, sizeof *order, by_size);
    p->arena_bytes = 0;
    fr_status st = place_all(p, order, order + count, count);
    fr_free(order);
    return st;
}
