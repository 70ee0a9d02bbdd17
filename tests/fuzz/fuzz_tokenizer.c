/* fuzz_tokenizer.c: any bytes as a tokenizer.json, a tokenizer.model, or a GGUF file: refused, or it encodes any text and
 * decodes what came out. The text behind the first zero byte of a JSON file is encoded, if there is one. */
#include <stdlib.h>
#include <string.h>

#include "tensor/tensor.h"
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
        for (size_t i = 0; i < ids.count; i++) fr_tokenizer_bytes(t, ids.ids[i], &back_bytes);
        fr_free(ids.ids);
    }
}

static fr_status open_any(const uint8_t *data, size_t bytes, size_t json, fr_tokenizer **t) {
    *t = NULL;
    if (bytes >= 4 && !memcmp(data, "GGUF", 4)) {
        fr_store *s;
        FR_TRY(fr_gguf_parse(data, bytes, "fuzz.gguf", &s));
        fr_status status = fr_tokenizer_from_store(s, t);
        fr_store_close(s);
        return status;
    }
    bool model = bytes && data[0] == '\n';
    return fr_tokenizer_parse((const char *)data, model ? bytes : json,
                              model ? "fuzz.model" : "fuzz.json", t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char plain[] = " It's 1 <s>na\xC3\xAFve te\xCC\x81xt,\r\n\xFF  of words</s> "
                                "\xE2\x96\x81\xEF\xAC\x81[CLS] ";
    const uint8_t *zero = bytes ? memchr(data, 0, bytes) : NULL;
    size_t json = zero ? (size_t)(zero - data) : bytes;
    fr_tokenizer *t;
    fr_message_clear();
    if (open_any(data, bytes, json, &t) == FR_OK) {
        use(t, plain, sizeof plain - 1);
        if (zero) use(t, (const char *)zero + 1, bytes - json - 1);
    } else if (t || !fr_message()[0]) {
        abort();
    }
    fr_tokenizer_free(t);
    return 0;
}
