/* frugal/types.h: status codes, number types and the tensor that every other header speaks of.
 *
 * A fallible function returns fr_status. Zero is good; anything else left one full sentence for a
 * person in fr_message(), which belongs to the calling thread. */
#ifndef FRUGAL_TYPES_H
#define FRUGAL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FR_API               __attribute__((visibility("default")))
#define FR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define FR_API
#define FR_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fr_status {
    FR_OK = 0,
    FR_INVALID,     /* the caller asked for something that makes no sense */
    FR_IO,          /* the system refused: no such file, no space, no permission */
    FR_FORMAT,      /* a file does not hold what its format promises */
    FR_NOMEM,       /* memory ran out, or a size overflowed */
    FR_UNSUPPORTED, /* sensible, but Frugal cannot do it */
    FR_INTERRUPTED, /* Ctrl-C */
} fr_status;

/* The sentence that the last failing call of this thread left; "" when none failed. */
FR_API const char *fr_message(void);
/* "0.1.0" */
FR_API const char *fr_version(void);

/* How one value, or one block of values, is stored. The block types are those of GGUF. */
typedef enum fr_dtype {
    FR_NOTYPE = 0, /* an absent optional tensor */
    FR_F32,
    FR_F16,
    FR_BF16,
    FR_F8E4M3,
    FR_F8E5M2,
    FR_I64,
    FR_I32,
    FR_I8,
    FR_U8,
    FR_BOOL,
    FR_F64, /* this one and the next four: files may hold them; nothing computes in them */
    FR_I16,
    FR_U16,
    FR_U32,
    FR_U64,
    FR_Q4_0,
    FR_Q4_1,
    FR_Q5_0,
    FR_Q5_1,
    FR_Q8_0,
    FR_Q4_K,
    FR_Q5_K,
    FR_Q6_K,
    FR_DTYPE_COUNT
} fr_dtype;

FR_API const char *fr_dtype_name(fr_dtype t);

#define FR_MAX_DIMS 5

/* A view of values that somebody else owns. dim[rank-1] is the fastest; stride counts values.
 * Block types are always contiguous. With data NULL it is only a description. */
typedef struct fr_tensor {
    fr_dtype dtype;
    int rank;
    int64_t dim[FR_MAX_DIMS];
    int64_t stride[FR_MAX_DIMS];
    void *data;
} fr_tensor;

#ifdef __cplusplus
}
#endif
#endif
