/* fuzz_quantized.c: any bytes as a file with the quantized matrix "w": refused, or every value decoded. */
#include <stdlib.h>

#include "format/format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void decode_all(const fr_quantized *q) {
    if (q->cols > 1 << 16) return;
    float *row = malloc((size_t)q->cols * sizeof *row);
    if (!row) abort();
    for (int64_t r = 0; r < q->rows && r < 1 << 12; r++) q->format->decode(q, r, 1, row);
    free(row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fr_store *s;
    fr_quantized q;
    fr_message_clear();
    if (fr_safetensors_parse(data, bytes, "fuzz.safetensors", &s) == FR_OK) {
        fr_message_clear();
        if (fr_quantized_open(s, "w", &q) == FR_OK)
            decode_all(&q);
        else if (!fr_message()[0])
            abort();
    }
    fr_store_close(s);
    return 0;
}
