/* fuzz_config.c: any bytes as the config.json of a model of the Llama kind: refused with a sentence, or a model whose
 * numbers can be counted and whose own config.json says the same. */
#include <stdlib.h>
#include <string.h>

#include "model/decoder.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool good) {
    if (!good) abort();
}

static void check(const fr_decoder *m) {
    int64_t values = fr_decoder_params(m);
    must(m->heads % m->kv_heads == 0 && m->head_dim % 2 == 0 && m->bos < m->vocab &&
         m->eos_count <= (int32_t)FR_COUNT(m->eos));
    must(values > m->vocab && values > m->layers && m->layers <= 5000);
    must(fr_decoder_train_flops(m, m->context) > (double)values);
}

static void write_and_read(const fr_decoder *m) {
    fr_json *c;
    fr_decoder again;
    must(fr_decoder_write(m, FR_BF16, &c) == FR_OK);
    must(fr_decoder_read(c, &again) == FR_OK);
    must(again.vocab == m->vocab && again.width == m->width && again.hidden == m->hidden &&
         again.layers == m->layers && again.heads == m->heads && again.kv_heads == m->kv_heads &&
         again.head_dim == m->head_dim && again.context == m->context && again.eps == m->eps &&
         again.rope.theta == m->rope.theta && again.tied == m->tied && again.bos == m->bos &&
         again.eos_count == m->eos_count);
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
    }
    fr_json_free(c);
    return 0;
}
