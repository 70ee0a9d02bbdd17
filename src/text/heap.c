/* heap.c: see heap.h. */
#include "text/heap.h"

static bool before(const fr_heap_item *a, const fr_heap_item *b) {
    return a->first != b->first ? a->first < b->first : a->second < b->second;
}

fr_status fr_heap_push(fr_heap *h, fr_heap_item item) {
    FR_TRY(fr_grow((void **)&h->items, &h->cap, h->count + 1, sizeof *h->items));
    size_t i = h->count++;
    for (; i && before(&item, &h->items[(i - 1) / 2]); i = (i - 1) / 2) {
        h->items[i] = h->items[(i - 1) / 2];
    }
    h->items[i] = item;
    return FR_OK;
}

fr_heap_item fr_heap_pop(fr_heap *h) {
    fr_heap_item *items = h->items, top = items[0], last = items[--h->count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
        child += child + 1 < h->count && before(&items[child + 1], &items[child]);
        if (!before(&items[child], &last)) break;
        items[i] = items[child];
    }
    items[i] = last;
    return top;
}

void fr_heap_free(fr_heap *h) {
    fr_free(h->items);
    *h = (fr_heap){0};
}
