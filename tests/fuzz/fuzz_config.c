/* fuzz_config.c: any bytes as the config.json of a model of the Llama kind: refused with a sentence, or a model whose
 * numbers can be counted and whose own config.json says the same. */
#include <stdlib.h>
#include <string.h>

#include "model/llama.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool good) {
    if (!good) abort();
}

static void check(const fr_llama *m) {
    int64_t values = fr_llama_params(m);
    must(m->heads % m->kv_heads == 0 && m->head_dim % 2 == 0 && m->bos < m->vocab &&
         m->eos < m->vocab);
    must(values > m->vocab && values > m->layers && m->layers <= 5000);
    must(fr_llama_train_flops(m, m->context) > (double)values);
}

static void write_and_read(const fr_llama *m) {
    fr_json *c;
    fr_llama again;
    must(fr_llama_write(m, FR_BF16, &c) == FR_OK);
    must(fr_llama_read(c, &again) == FR_OK);
    must(again.vocab == m->vocab && again.width == m->width && again.hidden == m->hidden &&
         again.layers == m->layers && again.heads == m->heads && again.kv_heads == m->kv_heads &&
         again.head_dim == m->head_dim && again.context == m->context && again.eps == m->eps &&
         again.theta == m->theta && again.tied == m->tied && again.bos == m->bos &&
         again.eos == m->eos);
    fr_json_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fr_json *c;
    fr_llama m;
    fr_message_clear();
    if (fr_json_parse((const char *)data, bytes, "config.json", &c)) {
        must(!c && fr_message()[0]);
        return 0;
    }
    if (fr_llama_read(c, &m) == FR_OK) {
        check(&m);
        write_and_read(&m);
    } else {
        must(fr_message()[0] && !m.layers);
    }
    fr_json_free(c);
    return 0;
}
