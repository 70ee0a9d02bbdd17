/* fuzz_npy.c: any bytes as a .npy: refused, or every value of it read. */
#include "store_touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fr_store *s;
    fr_message_clear();
    if (fr_npy_parse(data, bytes, "fuzz.npy", &s) == FR_OK)
        touch_store(s);
    else if (s || !fr_message()[0])
        abort();
    fr_store_close(s);
    return 0;
}
