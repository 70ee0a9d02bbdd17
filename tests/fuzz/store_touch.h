/* store_touch.h: reads everything that a store offers, as a careless user would. */
#ifndef FR_TESTS_FUZZ_STORE_TOUCH_H
#define FR_TESTS_FUZZ_STORE_TOUCH_H

#include <stdlib.h>

#include "tensor/tensor.h"

static void touch_string(void *user, size_t i, const char *text, size_t bytes) {
    uint64_t *sum = user;
    for (size_t k = 0; k < bytes; k++) *sum += (uint8_t)text[k] ^ i;
}

static void touch_tensor(const fr_store *s, size_t i) {
    char text[FR_SHAPE_TEXT];
    const fr_tensor *t = fr_store_tensor(s, i);
    size_t n = (size_t)fr_values(t);
    fr_shape_text(t, text);
    if (fr_store_find(s, fr_store_name(s, i)) != t) abort();
    if (n > 1 << 22) return;
    float *out = fr_alloc_array(FR_MEM_OTHER, n, sizeof *out);
    if (out && fr_tensor_to_f32(t, out) != FR_OK) abort();
    fr_free(out);
}

static void touch_array(const fr_meta_array *a) {
    uint64_t sum = 0;
    float value;
    fr_meta_strings(a, touch_string, &sum);
    size_t bytes = (size_t)fr_dtype_get(a->dtype)->bytes;
    for (size_t i = 0; !a->is_string && i < a->count; i++)
        fr_decode(a->dtype, a->data + i * bytes, 1, &value);
}

static void touch_store(const fr_store *s) {
    for (size_t i = 0; i < fr_store_count(s); i++) touch_tensor(s, i);
    for (size_t i = 0; i < fr_store_array_count(s); i++) touch_array(fr_store_array(s, i));
    char *text = json_dumps(fr_store_metadata(s), 0);
    if (!text) abort();
    free(text);
}

#endif
