/* stand_in.c: until the tokenizers stand: what the linker asks for, and a refusal. Goes away with them. */
#include "text/text.h"

#define WEAK __attribute__((weak))
static fr_status none(void) {
    return fr_fail(FR_UNSUPPORTED, "Tokenizers are not there yet.");
}
WEAK fr_status fr_bpe_train(const fr_bpe_opts *opts, fr_text_source *source, void *arg,
                            fr_tokenizer **out) {
    (void)opts, (void)source, (void)arg, (void)out;
    return none();
}
WEAK fr_status fr_tokenizer_open(const char *path, fr_tokenizer **out) {
    (void)path, (void)out;
    return none();
}
WEAK fr_status fr_tokenizer_save(const fr_tokenizer *t, const char *path) {
    (void)t, (void)path;
    return none();
}
WEAK fr_status fr_tokenizer_encode(const fr_tokenizer *t, const char *text, size_t bytes,
                                   unsigned how, fr_tokens *out) {
    (void)t, (void)text, (void)bytes, (void)how, (void)out;
    return none();
}
WEAK void fr_tokenizer_free(fr_tokenizer *t) {
    (void)t;
}
WEAK int32_t fr_tokenizer_size(const fr_tokenizer *t) {
    (void)t;
    return 0;
}
WEAK int32_t fr_tokenizer_bos(const fr_tokenizer *t) {
    (void)t;
    return -1;
}
WEAK int32_t fr_tokenizer_eos(const fr_tokenizer *t) {
    (void)t;
    return -1;
}
