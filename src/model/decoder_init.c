/* decoder_init.c: the numbers that a decoder starts from before it has learned any. */
#include "model/decoder.h"

#include <math.h>
#include <string.h>

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), k = strlen(end);
    return n >= k && !strcmp(name + n - k, end);
}

/* What goes in with deviation 1 comes out so, whatever the width; GPT-2's 0.02 suits widths of 2500, and at 256
 * leaves attention nearly blind for the first thousands of steps. */
/* For vectors the value itself: a norm begins as if it were not there, and so does a bias. */
static float deviation(const fr_decoder *m, const char *name, const fr_tensor *shape) {
    if (ends_with(name, ".bias")) return 0;
    if (shape->rank == 1) return m->norm_plus_one ? 0 : 1;
    if (ends_with(name, "lora_A.weight")) return 1 / sqrtf((float)shape->dim[1]);
    if (ends_with(name, "lora_B.weight")) return 0;
    if (ends_with(name, "embed_tokens.weight")) return 0.05f;
    float even = 1 / sqrtf((float)shape->dim[1]);
    bool back = ends_with(name, "o_proj.weight") || ends_with(name, "down_proj.weight");
    return back ? even / sqrtf(2 * (float)m->layers) : even;
}

static fr_status start(fr_session *s, const fr_graph *g, const fr_decoder *m, uint64_t seed,
                       fr_val v) {
    const fr_value *value = fr_value_of(g, v);
    fr_tensor t = fr_tensor_make(FR_F32, value->desc.rank, value->desc.dim, NULL);
    size_t n = (size_t)fr_values(&t);
    float *x = t.data = fr_alloc_array(FR_MEM_OTHER, n, sizeof *x);
    if (!x) return FR_NOMEM;
    float scale = deviation(m, value->name, &t);
    if (t.rank > 1) fr_random_normal(seed, fr_random_stream(value->name), 0, x, n);
    for (size_t i = 0; i < n; i++) x[i] = t.rank == 1 ? scale : scale * x[i];
    fr_status st = fr_session_set(s, v, &t);
    fr_free(x);
    return st;
}

fr_status fr_decoder_init(fr_session *s, const fr_graph *g, const fr_decoder *m, uint64_t seed) {
    for (fr_val v = 1; (size_t)v < g->value_count; v++) {
        const fr_value *value = fr_value_of(g, v);
        if (value->kind == FR_VALUE_PARAM && !value->parts && !fr_session_tensor(s, v))
            FR_TRY(start(s, g, m, seed, v));
    }
    return FR_OK;
}
