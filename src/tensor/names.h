/* names.h: a set of names that finds each by its number: names are numbered as they come. */
#ifndef FR_TENSOR_NAMES_H
#define FR_TENSOR_NAMES_H

#include "base/base.h"

typedef struct fr_names {
    const char **name; /* borrowed */
    size_t count, cap;
    uint32_t *slot; /* number + 1, 0: free */
    size_t slots;   /* a power of two, at least twice the count */
    uint64_t key[2];
} fr_names;

#define FR_NO_NAME ((size_t)-1)

void fr_names_free(fr_names *n);
size_t fr_names_find(const fr_names *n, const char *name); /* FR_NO_NAME when there is none */
/* Gives the number of the name, and whether it was there before. */
fr_status fr_names_add(fr_names *n, const char *name, size_t *number, bool *was_there);

#endif
