/* fuzz_tokenizer.c: any bytes as a tokenizer.json: refused, or it encodes any text and decodes what came out. The
 * text behind a zero byte is encoded, if there is one. */
#include <stdlib.h>
#include <string.h>

#include "text/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void use(const fr_tokenizer *t, const char *text, size_t bytes) {
    for (unsigned how = 0; how < 4; how++) {
        fr_tokens ids = {0};
        char *back;
        size_t back_bytes;
        fr_message_clear();
        if (fr_tokenizer_encode(t, text, bytes, how, &ids) == FR_OK) {
            if (fr_tokenizer_decode(t, ids.ids, ids.count, true, &back, &back_bytes)) abort();
            fr_free(back);
        } else if (!fr_message()[0]) {
            abort();
        }
        fr_free(ids.ids);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char plain[] = " It's 1 <s>na\xC3\xAFve te\xCC\x81xt,\r\n\xFF  of words</s> ";
    const uint8_t *zero = memchr(data, 0, bytes);
    size_t json = zero ? (size_t)(zero - data) : bytes;
    fr_tokenizer *t;
    fr_message_clear();
    if (fr_tokenizer_parse((const char *)data, json, "fuzz.json", &t) == FR_OK) {
        use(t, plain, sizeof plain - 1);
        if (zero) use(t, (const char *)zero + 1, bytes - json - 1);
    } else if (t || !fr_message()[0]) {
        abort();
    }
    fr_tokenizer_free(t);
    return 0;
}
