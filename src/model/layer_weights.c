/* layer_weights.c: see layer_weights.h. */
#include "model/layer_weights.h"

#include <math.h>
#include <string.h>

const char *const fr_place_names[FR_PLACES] = {"qkv", "out", "up", "down"};

int64_t fr_place_inputs(const fr_decoder *m, fr_place place) {
    if (place == FR_PLACE_OUT) return m->heads * m->head_dim;
    if (place == FR_PLACE_DOWN) return fr_weights_mlps(m) * m->hidden;
    return m->width;
}

/* ---- finding ---- */

fr_status fr_weights_find(const fr_weights *w, const char *name, int64_t rows, int64_t cols,
                          fr_matrix *out) {
    char have[FR_SHAPE_TEXT];
    for (size_t i = 0; i < w->count; i++) {
        const fr_tensor *x = w->list[i].tensor;
        if (strcmp(w->list[i].name, name) != 0) continue;
        bool fits = x->dtype == FR_F32 && fr_is_contiguous(x) && fr_values(x) == rows * cols &&
                    fr_dim(x, -1) == cols && x->rank == (rows == 1 ? 1 : 2);
        *out = (fr_matrix){x->data, NULL, rows, cols};
        if (fits) return FR_OK;
        return fr_fail(FR_INVALID, "The parameter '%s' is %s, and should be f32 [%lld, %lld].",
                       name, fr_shape_text(x, have), (long long)rows, (long long)cols);
    }
    return fr_fail(FR_INVALID, "The model has no parameter '%s'.", name);
}

static fr_status in_layer(const fr_weights *w, const char *what, int64_t rows, int64_t cols,
                          fr_matrix *out) {
    char name[160];
    snprintf(name, sizeof name, "model.layers.%lld.%s", (long long)w->layer, what);
    return fr_weights_find(w, name, rows, cols, out);
}

static fr_status norm(const fr_weights *w, const char *what, int64_t width, fr_matrix *out) {
    char name[96];
    snprintf(name, sizeof name, "%s.weight", what);
    return in_layer(w, name, 1, width, out);
}

static fr_status linear(const fr_weights *w, const char *what, int64_t rows, int64_t cols,
                        bool bias, fr_matrix *out) {
    char name[96];
    fr_matrix b;
    snprintf(name, sizeof name, "%s.weight", what);
    FR_TRY(in_layer(w, name, rows, cols, out));
    if (!bias) return FR_OK;
    snprintf(name, sizeof name, "%s.bias", what);
    FR_TRY(in_layer(w, name, 1, rows, &b));
    out->bias = b.data;
    return FR_OK;
}

/* Some rows of a matrix. */
static fr_matrix rows_of(const fr_matrix *a, int64_t first, int64_t rows) {
    return (fr_matrix){a->data + first * a->cols, a->bias ? a->bias + first : NULL, rows, a->cols};
}

static fr_status queries_keys_values(const fr_weights *w, fr_attention_weights *out) {
    const fr_decoder *m = w->m;
    const int64_t q = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim;
    if (m->fused) {
        fr_matrix all;
        FR_TRY(linear(w, "self_attn.qkv_proj", q + 2 * kv, m->width, m->bias, &all));
        out->q = rows_of(&all, 0, q);
        out->k = rows_of(&all, q, kv);
        out->v = rows_of(&all, q + kv, kv);
        return FR_OK;
    }
    FR_TRY(linear(w, "self_attn.q_proj", q, m->width, m->bias, &out->q));
    FR_TRY(linear(w, "self_attn.k_proj", kv, m->width, m->bias, &out->k));
    return linear(w, "self_attn.v_proj", kv, m->width, m->bias, &out->v);
}

fr_status fr_weights_attention(const fr_weights *w, fr_attention_weights *out) {
    const fr_decoder *m = w->m;
    *out = (fr_attention_weights){0};
    FR_TRY(norm(w, "input_layernorm", m->width, &out->norm));
    FR_TRY(queries_keys_values(w, out));
    if (m->head_norm) {
        FR_TRY(norm(w, "self_attn.q_norm", m->head_dim, &out->q_norm));
        FR_TRY(norm(w, "self_attn.k_norm", m->head_dim, &out->k_norm));
    }
    return linear(w, "self_attn.o_proj", m->width, m->heads * m->head_dim, m->bias_out, &out->o);
}

fr_status fr_weights_mlp_front(const fr_weights *w, fr_matrix *before, fr_matrix *router) {
    const fr_decoder *m = w->m;
    *router = (fr_matrix){0};
    FR_TRY(norm(w, m->around ? "pre_feedforward_layernorm" : "post_attention_layernorm", m->width,
                before));
    if (!m->experts) return FR_OK;
    return linear(w, "block_sparse_moe.gate", m->experts, m->width, false, router);
}

fr_status fr_weights_mlp(const fr_weights *w, int64_t expert, fr_mlp_weights *out) {
    const fr_decoder *m = w->m;
    char gate[64] = "mlp.gate_proj", up[64] = "mlp.up_proj", down[64] = "mlp.down_proj";
    if (m->fused) {
        fr_matrix both;
        FR_TRY(linear(w, "mlp.gate_up_proj", 2 * m->hidden, m->width, false, &both));
        out->gate = rows_of(&both, 0, m->hidden);
        out->up = rows_of(&both, m->hidden, m->hidden);
        return linear(w, down, m->width, m->hidden, false, &out->down);
    }
    if (m->experts) {
        long long e = (long long)expert;
        snprintf(gate, sizeof gate, "block_sparse_moe.experts.%lld.w1", e);
        snprintf(up, sizeof up, "block_sparse_moe.experts.%lld.w3", e);
        snprintf(down, sizeof down, "block_sparse_moe.experts.%lld.w2", e);
    }
    FR_TRY(linear(w, gate, m->hidden, m->width, false, &out->gate));
    FR_TRY(linear(w, up, m->hidden, m->width, false, &out->up));
    return linear(w, down, m->width, m->hidden, false, &out->down);
}

/* ---- changes ---- */

void fr_matrix_scale_rows(const fr_matrix *a, const float *by) {
    for (int64_t r = 0; r < a->rows; r++) {
        for (int64_t c = 0; c < a->cols; c++) a->data[r * a->cols + c] *= by[r];
        if (a->bias) a->bias[r] *= by[r];
    }
}

void fr_matrix_scale_columns(const fr_matrix *a, const float *by) {
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->cols; c++) a->data[r * a->cols + c] *= by[c];
}

void fr_matrix_column_most(const fr_matrix *a, float *most) {
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->cols; c++)
            most[c] = fmaxf(most[c], fabsf(a->data[r * a->cols + c]));
}
