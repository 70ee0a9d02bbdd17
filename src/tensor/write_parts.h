/* write_parts.h: what the writers of this room share. */
#ifndef FR_TENSOR_WRITE_PARTS_H
#define FR_TENSOR_WRITE_PARTS_H

#include "tensor/store.h"
#include "tensor/tensor.h"

/* Names are UTF-8 and none stands twice, shapes hold, values are there. */
fr_status fr_write_check(const char *path, const fr_named_tensor *tensors, size_t count);
/* The values, contiguous. */
fr_status fr_write_values(fr_writer *w, const fr_tensor *t);
fr_status fr_write_zeros(fr_writer *w, size_t bytes);

/* A text that grows; failed once, it stays so. */
typedef struct fr_text {
    char *data;
    size_t bytes, cap;
    bool failed;
} fr_text;
void fr_text_put(fr_text *t, const void *data, size_t bytes);
void fr_text_add(fr_text *t, const char *fmt, ...) FR_PRINTF(2, 3); /* at most 511 bytes */
void fr_text_quote(fr_text *t, const char *text);                   /* as a JSON string */

#endif
