/* grammar_state.c: a text is read byte by byte; where it may stand in the grammar, and in which calls, is a state.
 *
 * A place is a node and the calls it is in, which are a list with shared ends: the same list has the same number. A
 * state is a set of places, and the same set has the same number, too. So what follows a state by a byte is found
 * once, and then it is one look into a table (a deterministic automaton that is made as it is needed). A call whose
 * return would return at once is not remembered, so that rules which call themselves at their end stay flat. */
#include <stdlib.h>
#include <string.h>

#include "text/grammar_parts.h"

enum {
    MOST_PLACES = 1 << 22, /* of all states together */
    MOST_AT_ONCE = 1 << 14,
    MANY_PLACES = 1 << 20, /* from here on it is worth to forget */
    MANY_ROWS = 1 << 14,
};

static uint32_t mix(uint32_t h, int32_t v) {
    h = (h ^ (uint32_t)v) * 0x9E3779B1u;
    return h ^ h >> 15;
}

/* ---- lists of calls ---- */

static fr_status grow_slots(uint32_t **slots, size_t *mask) {
    size_t n = *slots ? 2 * (*mask + 1) : 256;
    uint32_t *fresh = fr_alloc(FR_MEM_OTHER, n * sizeof *fresh);
    if (!fresh) return FR_NOMEM; /* the old ones stay */
    fr_free(*slots);
    *slots = fresh;
    *mask = n - 1;
    return FR_OK;
}

static uint32_t hash_call(fr_place c) {
    return mix(mix(7, c.node), c.calls);
}

static fr_status add_call(fr_states *s, fr_place c, int32_t *out) {
    if (!s->call_slots || 2 * s->call_count >= s->call_mask) {
        FR_TRY(grow_slots(&s->call_slots, &s->call_mask));
        for (size_t i = 1; i < s->call_count; i++) {
            size_t at = hash_call(s->calls[i]) & s->call_mask;
            while (s->call_slots[at]) at = (at + 1) & s->call_mask;
            s->call_slots[at] = (uint32_t)i + 1;
        }
    }
    size_t at = hash_call(c) & s->call_mask;
    for (; s->call_slots[at]; at = (at + 1) & s->call_mask) {
        fr_place *known = &s->calls[s->call_slots[at] - 1];
        *out = (int32_t)s->call_slots[at] - 1;
        if (known->node == c.node && known->calls == c.calls) return FR_OK;
    }
    if (s->call_count >= MOST_PLACES)
        return fr_fail(FR_UNSUPPORTED, "%s: the text is nested too deep.", s->g->name);
    FR_TRY(fr_grow((void **)&s->calls, &s->call_cap, s->call_count + 1, sizeof *s->calls));
    *out = (int32_t)s->call_count;
    s->calls[s->call_count++] = c;
    s->call_slots[at] = (uint32_t)s->call_count;
    return FR_OK;
}

/* ---- sets of places ---- */

/* Adds a place to the set that is made, once. */
static fr_status reach(fr_states *s, fr_place p) {
    if (!s->seen || 2 * s->work_count >= s->seen_mask) {
        FR_TRY(grow_slots(&s->seen, &s->seen_mask));
        for (size_t i = 0; i < s->work_count; i++) {
            size_t at = hash_call(s->work[i]) & s->seen_mask;
            while (s->seen[at]) at = (at + 1) & s->seen_mask;
            s->seen[at] = (uint32_t)i + 1;
        }
    }
    size_t at = hash_call(p) & s->seen_mask;
    for (; s->seen[at]; at = (at + 1) & s->seen_mask) {
        const fr_place *known = &s->work[s->seen[at] - 1];
        if (known->node == p.node && known->calls == p.calls) return FR_OK;
    }
    if (s->work_count >= MOST_AT_ONCE)
        return fr_fail(FR_UNSUPPORTED,
                       "%s is too ambiguous: a text can be read in more than %d "
                       "ways at once.",
                       s->g->name, MOST_AT_ONCE);
    FR_TRY(fr_grow((void **)&s->work, &s->work_cap, s->work_count + 1, sizeof *s->work));
    s->work[s->work_count++] = p;
    s->seen[at] = (uint32_t)s->work_count;
    return FR_OK;
}

static void clear_work(fr_states *s) {
    if (s->seen) memset(s->seen, 0, (s->seen_mask + 1) * sizeof *s->seen);
    s->work_count = 0;
}

/* Goes on without a byte, from all places that are there. */
static fr_status spread(fr_states *s, bool *whole) {
    const fr_grammar *g = s->g;
    *whole = false;
    for (size_t i = 0; i < s->work_count; i++) {
        fr_place p = s->work[i];
        const fr_net_node *n = &g->nodes[p.node];
        if (n->kind == FR_NET_SPLIT)
            for (int32_t k = 0; k < n->count; k++)
                FR_TRY(reach(s, (fr_place){g->edges[n->first + k].to, p.calls}));
        if (n->kind == FR_NET_CALL) {
            fr_place to = {g->rules[n->rule].start, p.calls};
            int32_t back = g->edges[n->first].to;
            if (g->nodes[back].kind != FR_NET_END)
                FR_TRY(add_call(s, (fr_place){back, p.calls}, &to.calls));
            FR_TRY(reach(s, to));
        }
        if (n->kind == FR_NET_END && p.calls) FR_TRY(reach(s, s->calls[p.calls]));
        *whole |= n->kind == FR_NET_END && !p.calls;
    }
    return FR_OK;
}

static int by_place(const void *a, const void *b) {
    const fr_place *l = a, *r = b;
    if (l->node != r->node) return l->node < r->node ? -1 : 1;
    return (l->calls > r->calls) - (l->calls < r->calls);
}

/* ---- states ---- */

static uint32_t hash_places(const fr_place *p, size_t n, bool whole) {
    uint32_t h = whole;
    for (size_t i = 0; i < n; i++) h = mix(mix(h, p[i].node), p[i].calls);
    return h;
}

static uint32_t hash_state(const fr_states *s, const fr_reading *t) {
    return hash_places(s->places + t->first, t->count, t->whole);
}

static fr_status room_for_state(fr_states *s, size_t places) {
    if (s->place_count + places > MOST_PLACES)
        return fr_fail(FR_UNSUPPORTED, "%s is too ambiguous: its states do not fit into memory.",
                       s->g->name);
    FR_TRY(fr_grow((void **)&s->places, &s->place_cap, s->place_count + places, sizeof *s->places));
    FR_TRY(fr_grow((void **)&s->items, &s->cap, s->count + 1, sizeof *s->items));
    if (s->state_slots && 2 * s->count < s->state_mask) return FR_OK;
    FR_TRY(grow_slots(&s->state_slots, &s->state_mask));
    for (size_t i = 0; i < s->count; i++) {
        size_t at = hash_state(s, &s->items[i]) & s->state_mask;
        while (s->state_slots[at]) at = (at + 1) & s->state_mask;
        s->state_slots[at] = (uint32_t)i + 1;
    }
    return FR_OK;
}

/* The state of the set that was made; only places that wait for a byte tell one from another. */
static fr_status settle(fr_states *s, bool whole, int32_t *out) {
    size_t n = 0;
    for (size_t i = 0; i < s->work_count; i++)
        if (s->g->nodes[s->work[i].node].kind == FR_NET_BYTES) s->work[n++] = s->work[i];
    *out = FR_STATE_DEAD;
    if (!n && !whole) return FR_OK;
    if (n > 1) qsort(s->work, n, sizeof *s->work, by_place);
    FR_TRY(room_for_state(s, n));
    size_t at = hash_places(s->work, n, whole) & s->state_mask;
    for (; s->state_slots[at]; at = (at + 1) & s->state_mask) {
        *out = (int32_t)s->state_slots[at] - 1;
        const fr_reading *t = &s->items[*out];
        if (t->count == n && t->whole == whole &&
            (!n || !memcmp(s->places + t->first, s->work, n * sizeof *s->work)))
            return FR_OK;
    }
    *out = (int32_t)s->count;
    if (n) memcpy(s->places + s->place_count, s->work, n * sizeof *s->work);
    s->items[s->count++] =
        (fr_reading){.first = (uint32_t)s->place_count, .count = (uint32_t)n, .whole = whole};
    s->place_count += n;
    s->state_slots[at] = (uint32_t)s->count;
    return FR_OK;
}

/* What was put into the work becomes a state. */
static fr_status finish(fr_states *s, fr_status st, int32_t *out) {
    bool whole;
    if (!st) st = spread(s, &whole);
    if (!st) st = settle(s, whole, out);
    clear_work(s);
    return st;
}

static fr_status step(fr_states *s, int32_t state, uint8_t byte, int32_t *next) {
    const fr_reading t = s->items[state];
    fr_status st = FR_OK;
    for (uint32_t i = 0; i < t.count && !st; i++) {
        fr_place p = s->places[t.first + i];
        const fr_net_node *n = &s->g->nodes[p.node];
        for (int32_t k = 0; k < n->count && !st; k++) {
            const fr_net_edge *e = &s->g->edges[n->first + k];
            if (byte >= e->low && byte <= e->high) st = reach(s, (fr_place){e->to, p.calls});
        }
    }
    return finish(s, st, next);
}

fr_status fr_states_next(fr_states *s, int32_t state, uint8_t byte, int32_t *next) {
    fr_reading *t = &s->items[state];
    if (!t->next) {
        if (!(t->next = fr_alloc_array(FR_MEM_OTHER, 256, sizeof *t->next))) return FR_NOMEM;
        for (int i = 0; i < 256; i++) t->next[i] = FR_STATE_UNKNOWN;
        s->rows++;
    }
    *next = t->next[byte];
    if (*next != FR_STATE_UNKNOWN) return FR_OK;
    FR_TRY(step(s, state, byte, next));
    s->items[state].next[byte] = *next;
    return FR_OK;
}

bool fr_states_full(const fr_states *s) {
    return s->place_count > MANY_PLACES || s->call_count > MANY_PLACES || s->rows > MANY_ROWS;
}

/* ---- all of them ---- */

fr_status fr_states_new(const fr_grammar *g, fr_states *out) {
    *out = (fr_states){.g = g, .call_count = 1};
    fr_status st = fr_grow((void **)&out->calls, &out->call_cap, 1, sizeof *out->calls);
    if (!st) out->calls[0] = (fr_place){-1, 0};
    if (!st) st = reach(out, (fr_place){g->rules[g->root].start, 0});
    st = finish(out, st, &out->start);
    if (!st && out->start < 0) st = fr_fail(FR_UNSUPPORTED, "%s allows no text.", g->name);
    if (st) fr_states_free(out);
    return st;
}

void fr_states_free(fr_states *s) {
    for (size_t i = 0; i < s->count; i++) fr_free(s->items[i].next);
    fr_free(s->calls);
    fr_free(s->places);
    fr_free(s->items);
    fr_free(s->call_slots);
    fr_free(s->state_slots);
    fr_free(s->seen);
    fr_free(s->work);
    *s = (fr_states){0};
}

/* A list of calls is made again from its far end. */
static fr_status move_calls(const fr_states *from, int32_t calls, fr_states *to, int32_t *out) {
    int32_t *nodes = NULL;
    size_t n = 0, cap = 0;
    fr_status st = FR_OK;
    for (; calls && !st; calls = from->calls[calls].calls) {
        st = fr_grow((void **)&nodes, &cap, n + 1, sizeof *nodes);
        if (!st) nodes[n++] = from->calls[calls].node;
    }
    *out = 0;
    while (n-- > 0 && !st) st = add_call(to, (fr_place){nodes[n], *out}, out);
    fr_free(nodes);
    return st;
}

fr_status fr_states_move(const fr_states *from, int32_t state, fr_states *to, int32_t *out) {
    const fr_reading *t = &from->items[state];
    fr_status st = FR_OK;
    for (uint32_t i = 0; i < t->count && !st; i++) {
        fr_place p = from->places[t->first + i];
        st = move_calls(from, p.calls, to, &p.calls);
        if (!st) st = reach(to, p);
    }
    /* These places wait for bytes, so nothing spreads; that the text may end was known. */
    if (!st) st = settle(to, t->whole, out);
    clear_work(to);
    return st;
}

/* ---- a text at once ---- */

fr_status fr_grammar_fits(const fr_grammar *g, const char *text, size_t bytes, fr_fit *out) {
    fr_states s;
    FR_TRY(fr_states_new(g, &s));
    int32_t at = s.start;
    fr_status st = FR_OK;
    for (size_t i = 0; i < bytes && at >= 0 && !st; i++)
        st = fr_states_next(&s, at, (uint8_t)text[i], &at);
    *out = at < 0 ? FR_FIT_NO : s.items[at].whole ? FR_FIT_WHOLE : FR_FIT_BEGIN;
    fr_states_free(&s);
    return st;
}
