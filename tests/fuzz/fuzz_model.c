/* fuzz_model.c: any bytes as a GGUF model: refused with a sentence, or numbers and tensors that go together well enough
 * to build a graph and to look for its weights. */
#include "model/layouts.h"
#include "model/model.h"
#include "store_touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Small enough for a graph, which costs memory by its layers. */
static void build(const fr_decoder *m, const fr_store *s) {
    if (m->layers > 4 || m->experts > 16) return;
    fr_graph *g = fr_graph_new();
    fr_decoder_opts o = {.weights = FR_BF16, .store = s};
    fr_session *session = NULL;
    fr_val ids = fr_input(g, "ids", FR_I32, 2, (int64_t[]){1, 4});
    fr_val pos = fr_input(g, "pos", FR_I32, 2, (int64_t[]){4, 1});
    fr_output(g, "y", fr_decoder_logits(g, m, &o, fr_decoder_body(g, m, &o, ids, pos)));
    if (fr_session_new_with(g, &(fr_session_opts){0}, &session) == FR_OK)
        (void)fr_session_load(session, s);
    fr_session_free(session);
    fr_graph_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fr_store *s;
    fr_decoder m;
    fr_json *config = NULL;
    if (fr_gguf_parse(data, bytes, "fuzz.gguf", &s) != FR_OK) return 0;
    fr_message_clear();
    fr_status st = fr_gguf_is_model(s) ? fr_gguf_config(s, &config) : FR_INVALID;
    if (!st) st = fr_decoder_read(config, &m);
    if (!st) st = fr_gguf_model(&s, config);
    if (!st) {
        touch_store(s);
        build(&m, s);
    } else if (st != FR_INVALID && !fr_message()[0]) {
        abort();
    }
    fr_json_free(config);
    fr_store_close(s);
    return 0;
}
