/* maps.h: two tables of open addressing: byte strings -> number, and pairs of ids -> rank and id.
 *
 * Both grow at half full, are never emptied, and go by the order of what was put in nowhere: whoever
 * walks them walks `items` in the order of adding. */
#ifndef FR_TEXT_MAPS_H
#define FR_TEXT_MAPS_H

#include "base/base.h"

typedef struct fr_string {
    const char *text; /* not owned */
    uint32_t bytes, hash;
    int32_t value;
} fr_string;

typedef struct fr_strings {
    fr_string *items;
    size_t count, cap;
    uint32_t *slots; /* index of an item + 1; 0: free */
    size_t slot_count;
} fr_strings;

/* The item, or NULL. */
fr_string *fr_strings_find(const fr_strings *s, const char *text, size_t bytes);
/* Adds what is not there yet. */
fr_status fr_strings_add(fr_strings *s, const char *text, size_t bytes, int32_t value);
void fr_strings_free(fr_strings *s);

typedef struct fr_pair {
    uint64_t key; /* FR_PAIR_NONE: free */
    int32_t rank, id;
} fr_pair;
#define FR_PAIR_NONE UINT64_MAX

typedef struct fr_pairs {
    fr_pair *slots;
    size_t count, mask; /* mask: slots - 1; slots NULL: none yet */
} fr_pairs;

static inline uint64_t fr_pair_key(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static inline size_t fr_pair_hash(uint64_t key) {
    key *= 0x9E3779B97F4A7C15u; /* 2^64 over the golden ratio */
    return (size_t)(key ^ key >> 29);
}

/* NULL: not there. The address holds until the next fr_pairs_put. */
static inline fr_pair *fr_pairs_find(const fr_pairs *p, int32_t left, int32_t right) {
    uint64_t key = fr_pair_key(left, right);
    if (!p->slots) return NULL;
    for (size_t i = fr_pair_hash(key) & p->mask;; i = (i + 1) & p->mask) {
        if (p->slots[i].key == key) return &p->slots[i];
        if (p->slots[i].key == FR_PAIR_NONE) return NULL;
    }
}

/* Adds or replaces. */
fr_status fr_pairs_put(fr_pairs *p, int32_t left, int32_t right, int32_t rank, int32_t id);
void fr_pairs_free(fr_pairs *p);

#endif
