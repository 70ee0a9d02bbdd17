/* taps.h: what flows into the linears and the attention of a graph.
 *
 * A reader of the graph: fr_taps_add goes through the nodes and makes an output of every value that a linear with a
 * parameter as its weight reads, and of the queries, keys and values of every attention (keys after they turned).
 * Then, after a run:
 *
 *     fr_taps taps;
 *     FR_TRY(fr_taps_add(g, &taps));              before fr_session_new, and before fr_fuse if at all
 *     ...
 *     for (size_t i = 0; i < taps.count; i++)
 *         look(taps.tap[i].name, fr_taps_read(&taps, i, session));
 *     fr_taps_free(&taps);
 *
 * Linears that read the same value (q, k and v) share its `slot`: whoever sums products of activations does it once a
 * slot. */
#ifndef FR_QUANT_TAPS_H
#define FR_QUANT_TAPS_H

#include "graph/graph.h"

typedef enum fr_tap_kind {
    FR_TAP_LINEAR, /* x [..., k] of a linear; name: of its weight, "model.layers.3.mlp.down_proj.weight" */
    FR_TAP_QUERY, /* [batch, tokens, heads, dim], turned; name: the scope, "model.layers.3.self_attn" */
    FR_TAP_KEY,   /* [batch, tokens, kv_heads, dim], turned */
    FR_TAP_VALUE, /* the same, not turned */
} fr_tap_kind;

typedef struct fr_tap {
    fr_tap_kind kind;
    const char *name; /* belongs to the list */
    fr_val value;
    size_t slot; /* of this value: 0 .. slots - 1, in the order of the graph */
} fr_tap;

typedef struct fr_taps {
    fr_tap *tap;
    size_t count, slots;
    fr_arena *arena;
} fr_taps;

fr_status fr_taps_add(fr_graph *g, fr_taps *out);
void fr_taps_free(fr_taps *t);
/* NULL when there is none. */
const fr_tap *fr_taps_find(const fr_taps *t, fr_tap_kind kind, const char *name);
/* What the last run left there; good until the next. */
const fr_tensor *fr_taps_read(const fr_taps *t, size_t tap, const fr_session *s);

/* most[c] = max(most[c], |x|) over all rows of x, f32 or bf16, whose last axes make `channels` values (dim, or heads
 * dim). NaN counts as nothing. */
fr_status fr_channel_most(const fr_tensor *x, int64_t channels, float *most, fr_pool *pool);

#endif
