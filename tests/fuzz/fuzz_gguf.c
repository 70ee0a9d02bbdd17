/* fuzz_gguf.c: any bytes as a GGUF file: refused, or every value of it read. */
#include "store_touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fr_store *s;
    fr_message_clear();
    if (fr_gguf_parse(data, bytes, "fuzz.gguf", &s) == FR_OK)
        touch_store(s);
    else if (s || !fr_message()[0])
        abort();
    fr_store_close(s);
    return 0;
}
