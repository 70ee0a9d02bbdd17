/* fuzz_config.c: any bytes as the config.json of a decoder of any family: refused with a sentence, or a model whose
 * numbers can be counted and whose own config.json says the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/decoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool good) {
    if (!good) abort();
}

static void check_angles(const fr_decoder *m) {
    float f[2 * FR_ROPE_PAIRS];
    must(fr_rotation_pairs(m) <= FR_ROPE_PAIRS);
    fr_rotation_frequencies(m, f);
    for (int64_t i = 0; i < fr_rotation_pairs(m); i++) must(isfinite(f[i]));
}

static void check(const fr_decoder *m) {
    int64_t values = fr_decoder_params(m);
    must(m->heads % m->kv_heads == 0 && m->head_dim % 2 == 0 && m->bos < m->vocab &&
         m->eos_count <= (int32_t)FR_COUNT(m->eos) && m->chosen <= m->experts && m->window >= 0 &&
         m->window <= INT32_MAX && m->rope.original >= 0);
    must(values > m->vocab && values > m->layers && m->layers <= 5000);
    must(m->experts || fr_decoder_train_flops(m, m->context) > (double)values);
    must(fr_decoder_train_flops(m, m->context) > 0 && fr_rotation_attention(m) > 0);
    must(m->rope.turned >= 0 && m->rope.turned <= m->head_dim && m->rope.turned % 2 == 0);
    if (m->rope.stretch) check_angles(m);
}

static bool same_rotation(const fr_rotation *a, const fr_rotation *b) {
    return a->stretch == b->stretch && a->theta == b->theta && a->factor == b->factor &&
           a->low == b->low && a->high == b->high && a->attention == b->attention &&
           a->mscale == b->mscale && a->mscale_all == b->mscale_all && a->truncate == b->truncate &&
           a->original == b->original && a->turned == b->turned &&
           !memcmp(a->short_factor, b->short_factor, sizeof a->short_factor) &&
           !memcmp(a->long_factor, b->long_factor, sizeof a->long_factor);
}

static bool same_switches(const fr_decoder *a, const fr_decoder *b) {
    return a->family == b->family && a->act == b->act && a->bias == b->bias &&
           a->bias_out == b->bias_out && a->head_norm == b->head_norm && a->around == b->around &&
           a->norm_plus_one == b->norm_plus_one && a->fused == b->fused && a->window == b->window &&
           a->window_even == b->window_even && a->window_from == b->window_from &&
           a->score_scale == b->score_scale && a->score_cap == b->score_cap &&
           a->logit_cap == b->logit_cap && a->embed_scale == b->embed_scale &&
           a->experts == b->experts && a->chosen == b->chosen;
}

static void write_and_read(const fr_decoder *m) {
    fr_json *c;
    fr_decoder again;
    must(fr_decoder_write(m, FR_BF16, &c) == FR_OK);
    must(fr_decoder_read(c, &again) == FR_OK);
    must(again.vocab == m->vocab && again.width == m->width && again.hidden == m->hidden &&
         again.layers == m->layers && again.heads == m->heads && again.kv_heads == m->kv_heads &&
         again.head_dim == m->head_dim && again.context == m->context && again.eps == m->eps &&
         again.tied == m->tied && again.bos == m->bos && again.eos_count == m->eos_count);
    must(same_rotation(&m->rope, &again.rope) && same_switches(m, &again));
    fr_json_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fr_json *c;
    fr_decoder m;
    fr_message_clear();
    if (fr_json_parse((const char *)data, bytes, "config.json", &c)) {
        must(!c && fr_message()[0]);
        return 0;
    }
    if (fr_decoder_read(c, &m) == FR_OK) {
        check(&m);
        write_and_read(&m);
    } else {
        must(fr_message()[0] && !m.layers);
        m = (fr_decoder){.vocab = 100};
    }
    fr_decoder_read_ends(c, &m); /* the same bytes as a generation_config.json */
    fr_json_free(c);
    return 0;
}
