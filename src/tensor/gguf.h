/* gguf.h: the numbers of the GGUF format, for its reader and its writer. */
#ifndef FR_TENSOR_GGUF_H
#define FR_TENSOR_GGUF_H

#include "tensor/dtype.h"

enum { GGUF_VERSION = 3, GGUF_ALIGNMENT = 32 };

typedef enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
} gguf_type;

#endif
