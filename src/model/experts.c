/* experts.c: the MLP of a layer that has several, of which each token takes some (Jiang et al., Mixtral of experts,
 * 2024). Names are those of MixtralForCausalLM: w1 is the gate, w3 what goes up, w2 what leads back.
 *
 * Over a cache an expert is one operator, which reads its weights only when a token goes there. Without one, where
 * whole texts are learned from or looked at, it is built of linears over all rows, 0 for tokens that go elsewhere:
 * more work, but all of it can be seen, adapted and differentiated. */
#include "model/decoder_build.h"

static const char *const ends[3] = {"w1", "w3", "w2"};

static void name_of(char out[64], int64_t expert, int which) {
    snprintf(out, 64, "block_sparse_moe.experts.%lld.%s", (long long)expert, ends[which]);
}

static bool has_order(const dec_build *b, const char *name) {
    char full[160];
    if (!b->o || !b->o->store) return false;
    snprintf(full, sizeof full, "model.layers.%lld.%s.weight.perm", (long long)b->layer, name);
    return fr_store_find(b->o->store, full) != NULL;
}

/* Linears with columns in an order of their own, or with adapters, are made by dec_project alone. */
static bool in_one_piece(const dec_build *b, int64_t expert) {
    char name[64];
    if (!b->cache || (b->o && b->o->lora_rank > 0)) return false;
    for (int i = 0; i < 3; i++) {
        name_of(name, expert, i);
        if (has_order(b, name)) return false;
    }
    return true;
}

static fr_val one_piece(const dec_build *b, int64_t expert, fr_fn act, fr_val x, fr_val share,
                        fr_val sum) {
    const fr_decoder *m = b->m;
    fr_expert_opts o = {.expert = (int32_t)expert, .chosen = (int32_t)m->chosen, .act = act};
    for (int i = 0; i < 3; i++) {
        const int64_t rows = i == 2 ? m->width : m->hidden, cols = i == 2 ? m->hidden : m->width;
        char name[64];
        name_of(name, expert, i);
        dec_enter(b, "", name);
        if (!dec_few_bits(b, rows, cols, &o.weight[i])) {
            o.weight[i] = (fr_qweight){.n = rows, .k = cols};
            o.weight[i].part[0] = dec_matrix(b, "weight", rows, cols);
        }
        fr_scope_end(b->g);
    }
    dec_enter(b, "", "block_sparse_moe");
    sum = fr_expert(b->g, sum, x, share, &o);
    fr_scope_end(b->g);
    return sum;
}

static fr_val linears(const dec_build *b, int64_t expert, fr_fn act, fr_val x, fr_val share,
                      fr_val sum) {
    const fr_decoder *m = b->m;
    char gate[64], up[64], down[64];
    name_of(gate, expert, 0);
    name_of(up, expert, 1);
    name_of(down, expert, 2);
    dec_enter(b, "", "block_sparse_moe");
    x = fr_expert_rows(b->g, x, share, (int)expert);
    fr_val part = fr_slice(b->g, share, -1, expert, 1);
    fr_scope_end(b->g);
    fr_val y = dec_project(b, gate, m->hidden, m->width, false, x, FR_NONE);
    fr_val other = dec_project(b, up, m->hidden, m->width, false, x, FR_NONE);
    dec_enter(b, "", "block_sparse_moe");
    y = fr_glu(b->g, y, other, act);
    fr_scope_end(b->g);
    y = dec_project(b, down, m->width, m->hidden, false, y, FR_NONE);
    dec_enter(b, "", "block_sparse_moe");
    sum = fr_gated_add(b->g, sum, part, y);
    fr_scope_end(b->g);
    return sum;
}

fr_val dec_experts(const dec_build *b, fr_val x, fr_val residual) {
    const fr_decoder *m = b->m;
    const fr_fn act = m->act ? m->act : FR_FN_SILU;
    fr_val logits =
        dec_project(b, "block_sparse_moe.gate", m->experts, m->width, false, x, FR_NONE);
    dec_enter(b, "", "block_sparse_moe");
    fr_val share = fr_route(b->g, logits, (int)m->chosen);
    fr_scope_end(b->g);
    for (int64_t e = 0; e < m->experts; e++)
        residual = in_one_piece(b, e) ? one_piece(b, e, act, x, share, residual)
                                      : linears(b, e, act, x, share, residual);
    return residual;
}
