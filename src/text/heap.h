/* heap.h: a heap of (first, second): the smallest comes out first. */
#ifndef FR_TEXT_HEAP_H
#define FR_TEXT_HEAP_H

#include "base/base.h"

typedef struct fr_heap_item {
    int64_t first;
    uint64_t second;
} fr_heap_item;

typedef struct fr_heap {
    fr_heap_item *items;
    size_t count, cap;
} fr_heap;

fr_status fr_heap_push(fr_heap *h, fr_heap_item item);
fr_heap_item fr_heap_pop(fr_heap *h); /* of one that is not empty */
void fr_heap_free(fr_heap *h);

#endif
