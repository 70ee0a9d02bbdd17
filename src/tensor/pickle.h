/* pickle.h: the few things that a pickle of tensors holds, read without running anything. */
#ifndef FR_TENSOR_PICKLE_H
#define FR_TENSOR_PICKLE_H

#include "tensor/tensor.h"

typedef enum fr_pickled {
    FR_PICKLED_NONE,   /* also what is of no interest */
    FR_PICKLED_NUMBER, /* booleans too */
    FR_PICKLED_TEXT,
    FR_PICKLED_LIST, /* tuples and lists: items in a chain */
    FR_PICKLED_DICT, /* keys and values in turns in a chain */
    FR_PICKLED_GLOBAL,
    FR_PICKLED_STORAGE, /* number: values in it; text: its key */
    FR_PICKLED_TENSOR,  /* number: values of the storage before it */
    FR_PICKLED_MARK
} fr_pickled;

typedef struct fr_pickle fr_pickle;
typedef struct fr_pickle_cell {
    const fr_pickle *value;
    struct fr_pickle_cell *next;
} fr_pickle_cell;

/* Small, since a file may ask for one of these with each byte. */
struct fr_pickle {
    uint8_t kind, what, rank; /* what: which global */
    bool seen;                /* for those who walk */
    uint8_t dtype;            /* of a storage, its type or a tensor */
    int64_t number;
    union {
        struct {
            const char *text; /* not ended by a zero */
            size_t bytes;
        };
        struct {
            fr_pickle_cell *first, *last;
            size_t count;
        };
        struct {
            const fr_pickle *storage;
            const int64_t *dim; /* rank dimensions, then as many strides */
        };
    };
};

/* What the pickle says; all of it lives in the arena. path: for messages. */
fr_status fr_pickle_read(const char *path, const uint8_t *data, size_t bytes, fr_arena *arena,
                         fr_pickle **out);

#endif
