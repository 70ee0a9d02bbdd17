/* grammar_mask.c: a grammar over tokens: which can come next, and where sequences stand.
 *
 * Which tokens can follow a state is found by one walk through the tree of tokens, which leaves out what hangs below a
 * byte that can not come; the bits are kept for states that were asked last. States are shared by all sequences; when
 * there are too many, those that no sequence stands on are forgotten. */
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "text/grammar_parts.h"
#include "text/grammar_trie.h"
#include "text/sampler.h"

enum { MASKS = 256, ENDED = -2 };

struct fr_stand {
    fr_constraint *c;
    int32_t states[FR_SAMPLER_UNDO + 1]; /* the last ones; of token number n at n % their count */
    uint64_t at;
    fr_stand *next, *before;
};

struct fr_constraint {
    const fr_grammar *g;
    const fr_token_trie *trie;
    int32_t *ends;
    int32_t end_count;
    pthread_mutex_t lock;
    fr_states states;
    fr_stand *stands;
    uint64_t *bits[MASKS]; /* of the state in the same place of `of` */
    int32_t of[MASKS];
    int32_t *path; /* states by depth */
};

/* ---- a constraint ---- */

static size_t words(const fr_constraint *c) {
    return ((size_t)c->trie->vocab + 63) / 64;
}

static void forget_masks(fr_constraint *c) {
    for (int i = 0; i < MASKS; i++) c->of[i] = FR_STATE_DEAD;
}

fr_status fr_constraint_new(const fr_grammar *g, const fr_token_trie *t, const int32_t *ends,
                            int32_t count, fr_constraint **out) {
    *out = NULL;
    fr_constraint *c = fr_alloc(FR_MEM_STATE, sizeof *c);
    if (!c) return FR_NOMEM;
    pthread_mutex_init(&c->lock, NULL);
    c->g = g;
    c->trie = t;
    c->end_count = count;
    forget_masks(c);
    c->ends = fr_alloc(FR_MEM_STATE, (size_t)count * sizeof *ends);
    c->path = fr_alloc(FR_MEM_STATE, (t->deepest + 1) * sizeof *c->path);
    fr_status st = c->ends && c->path ? fr_states_new(g, &c->states) : FR_NOMEM;
    if (!st && count) memcpy(c->ends, ends, (size_t)count * sizeof *ends);
    if (st)
        fr_constraint_free(c);
    else
        *out = c;
    return st;
}

void fr_constraint_free(fr_constraint *c) {
    if (!c) return;
    fr_states_free(&c->states);
    for (int i = 0; i < MASKS; i++) fr_free(c->bits[i]);
    pthread_mutex_destroy(&c->lock);
    fr_free(c->ends);
    fr_free(c->path);
    fr_free(c);
}

/* ---- forgetting ---- */

static fr_status move_all(fr_constraint *c, fr_states *to) {
    for (fr_stand *s = c->stands; s; s = s->next)
        for (int i = 0; i <= FR_SAMPLER_UNDO; i++) {
            int32_t state;
            if (s->states[i] < 0) continue;
            FR_TRY(fr_states_move(&c->states, s->states[i], to, &state));
        }
    return FR_OK;
}

/* All states are made first, so that a failure leaves everything as it was; a second time finds the same. */
static fr_status forget_states(fr_constraint *c) {
    if (!fr_states_full(&c->states)) return FR_OK;
    fr_states fresh;
    FR_TRY(fr_states_new(c->g, &fresh));
    fr_status st = move_all(c, &fresh);
    for (fr_stand *s = c->stands; s && !st; s = s->next)
        for (int i = 0; i <= FR_SAMPLER_UNDO && !st; i++)
            if (s->states[i] >= 0)
                st = fr_states_move(&c->states, s->states[i], &fresh, &s->states[i]);
    if (st) {
        fr_states_free(&fresh);
        return st;
    }
    fr_states_free(&c->states);
    c->states = fresh;
    forget_masks(c);
    return FR_OK;
}

/* ---- what can come next ---- */

static fr_status walk(fr_constraint *c, int32_t state, uint64_t *bits) {
    const fr_token_trie *t = c->trie;
    c->path[0] = state;
    for (size_t i = 0; i < t->count;) {
        const fr_trie_node *n = &t->nodes[i];
        int32_t next;
        FR_TRY(fr_states_next(&c->states, c->path[n->depth], n->byte, &next));
        if (next < 0) {
            i = n->end;
            continue;
        }
        c->path[n->depth + 1] = next;
        for (uint32_t k = 0; k < n->tokens; k++) {
            int32_t id = t->ids[n->first + k];
            bits[id / 64] |= (uint64_t)1 << id % 64;
        }
        i++;
    }
    return FR_OK;
}

static fr_status mask_of(fr_constraint *c, int32_t state, const uint64_t **out) {
    int slot = state % MASKS;
    size_t bytes = words(c) * sizeof **c->bits;
    *out = c->bits[slot];
    if (c->of[slot] == state) return FR_OK;
    if (!c->bits[slot] && !(c->bits[slot] = fr_alloc(FR_MEM_STATE, bytes))) return FR_NOMEM;
    c->of[slot] = FR_STATE_DEAD;
    memset(c->bits[slot], 0, bytes);
    *out = c->bits[slot];
    FR_TRY(walk(c, state, c->bits[slot]));
    c->of[slot] = state;
    return FR_OK;
}

static bool is_end(const fr_constraint *c, int32_t token) {
    for (int32_t i = 0; i < c->end_count; i++)
        if (c->ends[i] == token) return true;
    return false;
}

/* ---- stands ---- */

static int32_t *state_of(fr_stand *s, uint64_t at) {
    return &s->states[at % (FR_SAMPLER_UNDO + 1)];
}

static void reset(fr_stand *s) {
    s->at = 0;
    for (int i = 0; i <= FR_SAMPLER_UNDO; i++) s->states[i] = FR_STATE_DEAD;
    s->states[0] = s->c->states.start;
}

fr_status fr_stand_new(fr_constraint *c, fr_stand **out) {
    fr_stand *s = *out = fr_alloc(FR_MEM_STATE, sizeof *s);
    if (!s) return FR_NOMEM;
    s->c = c;
    pthread_mutex_lock(&c->lock);
    reset(s);
    s->next = c->stands;
    if (s->next) s->next->before = s;
    c->stands = s;
    pthread_mutex_unlock(&c->lock);
    return FR_OK;
}

void fr_stand_free(fr_stand *s) {
    if (!s) return;
    pthread_mutex_lock(&s->c->lock);
    if (s->next) s->next->before = s->before;
    if (s->before)
        s->before->next = s->next;
    else
        s->c->stands = s->next;
    pthread_mutex_unlock(&s->c->lock);
    fr_free(s);
}

void fr_stand_reset(fr_stand *s) {
    pthread_mutex_lock(&s->c->lock);
    reset(s);
    pthread_mutex_unlock(&s->c->lock);
}

static fr_status mask(fr_stand *s, float *logits, int32_t count) {
    fr_constraint *c = s->c;
    FR_TRY(forget_states(c));
    int32_t state = *state_of(s, s->at);
    const uint64_t *bits = NULL;
    if (state >= 0) FR_TRY(mask_of(c, state, &bits));
    bool may_end = state == ENDED || (state >= 0 && c->states.items[state].whole);
    for (int32_t i = 0; i < count; i++) {
        bool good = bits && i < c->trie->vocab && (bits[i / 64] >> i % 64 & 1);
        if (!good && !(may_end && is_end(c, i))) logits[i] = -INFINITY;
    }
    return FR_OK;
}

fr_status fr_stand_mask(fr_stand *s, float *logits, int32_t count) {
    pthread_mutex_lock(&s->c->lock);
    fr_status st = mask(s, logits, count);
    pthread_mutex_unlock(&s->c->lock);
    return st;
}

static fr_status accept(fr_stand *s, int32_t token) {
    fr_constraint *c = s->c;
    FR_TRY(forget_states(c));
    int32_t state = *state_of(s, s->at);
    const fr_token_trie *t = c->trie;
    const char *text = token < t->vocab ? t->texts[token] : NULL;
    if (is_end(c, token)) {
        if (state >= 0 && !c->states.items[state].whole) state = FR_STATE_DEAD;
        if (state >= 0) state = ENDED;
    } else if (!text) {
        state = FR_STATE_DEAD;
    } else {
        for (uint32_t i = 0; i < t->bytes[token] && state >= 0; i++)
            FR_TRY(fr_states_next(&c->states, state, (uint8_t)text[i], &state));
        if (state < 0) state = FR_STATE_DEAD;
    }
    if (state == FR_STATE_DEAD)
        return fr_fail(FR_INVALID, "%s does not allow token %d here.", c->g->name, token);
    *state_of(s, ++s->at) = state;
    return FR_OK;
}

fr_status fr_stand_accept(fr_stand *s, int32_t token) {
    pthread_mutex_lock(&s->c->lock);
    fr_status st = accept(s, token);
    pthread_mutex_unlock(&s->c->lock);
    return st;
}

void fr_stand_undo(fr_stand *s, int32_t count) {
    s->at -= FR_MIN((uint64_t)count, s->at);
}

bool fr_stand_finished(const fr_stand *s) {
    int32_t state = s->states[s->at % (FR_SAMPLER_UNDO + 1)];
    if (state == ENDED) return true;
    pthread_mutex_lock(&s->c->lock);
    const fr_reading *t = &s->c->states.items[state];
    bool done = t->whole && !t->count;
    pthread_mutex_unlock(&s->c->lock);
    return done;
}
