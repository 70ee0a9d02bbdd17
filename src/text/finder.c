/* finder.c: which of many texts another begins with: the longest, found by narrowing the sorted list byte by byte. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_parts.h"

fr_status fr_finder_add(fr_finder *f, const char *text, size_t bytes, int32_t id) {
    if (!bytes) return FR_OK;
    FR_TRY(fr_grow((void **)&f->items, &f->cap, f->count + 1, sizeof *f->items));
    f->items[f->count++] = (fr_find){text, bytes, id};
    f->starts[(uint8_t)text[0]] = true;
    return FR_OK;
}

/* Of one text twice, the lower id comes first and is found. */
static int by_text(const void *a, const void *b) {
    const fr_find *x = a, *y = b;
    int order = memcmp(x->text, y->text, FR_MIN(x->bytes, y->bytes));
    if (order) return order;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

void fr_finder_sort(fr_finder *f) {
    if (f->count) qsort(f->items, f->count, sizeof *f->items, by_text);
}

/* The first of items low .. high - 1, which share n bytes, whose next byte is not below c. */
static size_t first_from(const fr_finder *f, size_t low, size_t high, size_t n, int c) {
    while (low < high) {
        size_t middle = (low + high) / 2;
        const fr_find *item = &f->items[middle];
        int byte = item->bytes > n ? (uint8_t)item->text[n] : -1;
        if (byte < c) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const fr_find *fr_finder_longest(const fr_finder *f, const char *text, size_t bytes) {
    size_t low = 0, high = f->count;
    const fr_find *best = NULL;
    if (!bytes || !f->starts[(uint8_t)text[0]]) return NULL;
    for (size_t n = 0; n < bytes && low < high; n++) {
        int c = (uint8_t)text[n];
        low = first_from(f, low, high, n, c);
        high = first_from(f, low, high, n, c + 1);
        if (low < high && f->items[low].bytes == n + 1) best = &f->items[low];
    }
    return best;
}
