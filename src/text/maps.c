/* maps.c: see maps.h. */
#include <string.h>

#include "text/maps.h"

static uint32_t hash_of(const char *text, size_t bytes) {
    uint64_t h = bytes * 0x9E3779B97F4A7C15u;
    while (bytes) {
        uint64_t word = 0;
        size_t n = FR_MIN(bytes, sizeof word);
        memcpy(&word, text, n);
        h = (h ^ word) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
        text += n;
        bytes -= n;
    }
    return (uint32_t)h;
}

/* The slot of a string, or the free one where it would stand. */
static uint32_t *string_slot(const fr_strings *s, const char *text, size_t bytes, uint32_t hash) {
    size_t mask = s->slot_count - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &s->slots[i];
        if (!*slot) return slot;
        const fr_string *item = &s->items[*slot - 1];
        if (item->hash == hash && item->bytes == bytes && memcmp(item->text, text, bytes) == 0) {
            return slot;
        }
    }
}

fr_string *fr_strings_find(const fr_strings *s, const char *text, size_t bytes) {
    if (!s->slot_count) return NULL;
    uint32_t slot = *string_slot(s, text, bytes, hash_of(text, bytes));
    return slot ? &s->items[slot - 1] : NULL;
}

static fr_status spread_strings(fr_strings *s) {
    size_t slot_count = s->slot_count ? 2 * s->slot_count : 64;
    uint32_t *slots = fr_alloc(FR_MEM_OTHER, slot_count * sizeof *slots);
    if (!slots) return FR_NOMEM;
    fr_free(s->slots);
    s->slots = slots;
    s->slot_count = slot_count;
    for (size_t i = 0; i < s->count; i++) {
        const fr_string *item = &s->items[i];
        *string_slot(s, item->text, item->bytes, item->hash) = (uint32_t)i + 1;
    }
    return FR_OK;
}

fr_status fr_strings_add(fr_strings *s, const char *text, size_t bytes, int32_t value) {
    if (bytes > UINT32_MAX / 2 || s->count > UINT32_MAX / 2) {
        return fr_fail(FR_UNSUPPORTED, "a table of texts cannot take a piece of %zu bytes", bytes);
    }
    if (2 * (s->count + 1) > s->slot_count) FR_TRY(spread_strings(s));
    uint32_t hash = hash_of(text, bytes);
    uint32_t *slot = string_slot(s, text, bytes, hash);
    if (*slot) return FR_OK;
    FR_TRY(fr_grow((void **)&s->items, &s->cap, s->count + 1, sizeof *s->items));
    s->items[s->count++] = (fr_string){text, (uint32_t)bytes, hash, value};
    *slot = (uint32_t)s->count;
    return FR_OK;
}

void fr_strings_free(fr_strings *s) {
    fr_free(s->items);
    fr_free(s->slots);
    *s = (fr_strings){0};
}

static fr_pair *pair_slot(const fr_pairs *p, uint64_t key) {
    size_t i = fr_pair_hash(key) & p->mask;
    while (p->slots[i].key != key && p->slots[i].key != FR_PAIR_NONE) i = (i + 1) & p->mask;
    return &p->slots[i];
}

static fr_status spread_pairs(fr_pairs *p) {
    size_t count = p->slots ? 2 * (p->mask + 1) : 64;
    fr_pairs old = *p;
    p->slots = fr_alloc_array(FR_MEM_OTHER, count, sizeof *p->slots);
    if (!p->slots) {
        *p = old;
        return FR_NOMEM;
    }
    p->mask = count - 1;
    for (size_t i = 0; i < count; i++) p->slots[i].key = FR_PAIR_NONE;
    for (size_t i = 0; old.slots && i <= old.mask; i++) {
        if (old.slots[i].key != FR_PAIR_NONE) *pair_slot(p, old.slots[i].key) = old.slots[i];
    }
    fr_free(old.slots);
    return FR_OK;
}

fr_status fr_pairs_put(fr_pairs *p, int32_t left, int32_t right, int32_t rank, int32_t id) {
    if (!p->slots || 2 * (p->count + 1) > p->mask + 1) FR_TRY(spread_pairs(p));
    uint64_t key = fr_pair_key(left, right);
    fr_pair *slot = pair_slot(p, key);
    p->count += slot->key == FR_PAIR_NONE;
    *slot = (fr_pair){key, rank, id};
    return FR_OK;
}

void fr_pairs_free(fr_pairs *p) {
    fr_free(p->slots);
    *p = (fr_pairs){0};
}
