/* taps.c: see taps.h. An output of a graph lives until the next run, so a tap is an output and costs no copy. */
#include "quant/taps.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct finder {
    fr_graph *g;
    fr_taps *taps;
    size_t cap;
} finder;

/* "a.b.weight" for "a.b.weight.codes", a part of a weight in few bits; "a.b" for the node "a.b.attention". */
static char *until(fr_arena *arena, const char *name, const char *last) {
    char *copy = fr_arena_strdup(arena, name);
    if (!copy) return NULL;
    char *end = NULL;
    for (char *at = strstr(copy, last); at; at = strstr(at + 1, last)) end = at;
    if (end && strcmp(last, ".") != 0) end += strlen(last);
    if (end && (!*end || *end == '.')) *end = 0;
    return copy;
}

static size_t slot_of(const fr_taps *t, fr_val v) {
    for (size_t i = 0; i < t->count; i++)
        if (t->tap[i].value == v) return t->tap[i].slot;
    return t->slots;
}

static fr_status add(finder *f, fr_tap_kind kind, const char *name, const char *last, fr_val v) {
    fr_taps *t = f->taps;
    FR_TRY(fr_grow((void **)&t->tap, &f->cap, t->count + 1, sizeof *t->tap));
    fr_tap tap = {kind, until(t->arena, name, last), v, slot_of(t, v)};
    if (!tap.name) return FR_NOMEM;
    if (tap.slot == t->slots) {
        char output[32];
        snprintf(output, sizeof output, "tap.%zu", t->slots++);
        fr_output(f->g, output, v);
    }
    t->tap[t->count++] = tap;
    return FR_OK;
}

static fr_status look(finder *f, const fr_node *n) {
    const fr_val weight = n->nin > 1 ? n->in[1] : FR_NONE;
    if (n->op == &fr_op_linear || n->op == &fr_op_qlinear) {
        const fr_value *w = fr_value_of(f->g, weight);
        if (w->kind == FR_VALUE_PARAM) return add(f, FR_TAP_LINEAR, w->name, ".weight", n->in[0]);
    } else if (n->op == &fr_op_attention) {
        FR_TRY(add(f, FR_TAP_QUERY, n->name, ".", n->in[0]));
        FR_TRY(add(f, FR_TAP_KEY, n->name, ".", n->in[1]));
        return add(f, FR_TAP_VALUE, n->name, ".", n->in[2]);
    }
    return FR_OK;
}

fr_status fr_taps_add(fr_graph *g, fr_taps *out) {
    *out = (fr_taps){.arena = fr_arena_new()};
    finder f = {.g = g, .taps = out};
    fr_status st = out->arena ? fr_graph_check(g) : FR_NOMEM;
    for (size_t i = 0; !st && i < g->node_count; i++)
        if (!g->nodes[i]->dead && !g->nodes[i]->backward) st = look(&f, g->nodes[i]);
    if (!st) st = fr_graph_check(g);
    if (st) fr_taps_free(out);
    return st;
}

void fr_taps_free(fr_taps *t) {
    fr_free(t->tap);
    fr_arena_free(t->arena);
    *t = (fr_taps){0};
}

const fr_tap *fr_taps_find(const fr_taps *t, fr_tap_kind kind, const char *name) {
    for (size_t i = 0; i < t->count; i++)
        if (t->tap[i].kind == kind && !strcmp(t->tap[i].name, name)) return &t->tap[i];
    return NULL;
}

const fr_tensor *fr_taps_read(const fr_taps *t, size_t tap, const fr_session *s) {
    char output[32];
    snprintf(output, sizeof output, "tap.%zu", t->tap[tap].slot);
    return fr_session_output(s, output);
}

/* ---- the largest of each channel ---- */

#define TILE 512

typedef struct most_job {
    const fr_tensor *x;
    int64_t rows, channels;
    float *most;
} most_job;

static void most_tile(void *arg, size_t start, size_t end) {
    const most_job *j = arg;
    const int64_t first = (int64_t)start, n = (int64_t)(end - start);
    float room[TILE];
    for (int64_t r = 0; r < j->rows; r++) {
        const float *x = (const float *)j->x->data + r * j->channels + first;
        if (j->x->dtype == FR_BF16) {
            const uint16_t *from = (const uint16_t *)j->x->data + r * j->channels + first;
            fr_kernel()->convert.bf16_to_f32(from, (size_t)n, room);
            x = room;
        }
        for (int64_t c = 0; c < n; c++) {
            float size = fabsf(x[c]);
            if (size > j->most[first + c]) j->most[first + c] = size;
        }
    }
}

fr_status fr_channel_most(const fr_tensor *x, int64_t channels, float *most, fr_pool *pool) {
    const int64_t values = fr_values(x);
    if ((x->dtype != FR_F32 && x->dtype != FR_BF16) || !fr_is_contiguous(x) || channels < 1 ||
        values % channels)
        return fr_fail(FR_INVALID, "Channels are counted in contiguous rows of f32 or bf16.");
    most_job j = {x, values / channels, channels, most};
    fr_pool_range(pool, (size_t)channels, TILE, most_tile, &j);
    return FR_OK;
}
