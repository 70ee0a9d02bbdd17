/* fuzz_vecs.c: any bytes as .fvecs, .ivecs and .bvecs: refused, or every value read. */
#include "store_touch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *const names[] = {"fuzz.fvecs", "fuzz.ivecs", "fuzz.bvecs"};
    for (size_t i = 0; i < FR_COUNT(names); i++) {
        fr_store *s;
        fr_message_clear();
        if (fr_vecs_parse(data, bytes, names[i], &s) == FR_OK)
            touch_store(s);
        else if (s || !fr_message()[0])
            abort();
        fr_store_close(s);
    }
    return 0;
}
