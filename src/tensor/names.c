/* names.c: an open hash table. The names come from files that may be hostile, so the hash is keyed
 * with random bits (SipHash-2-4, Aumasson and Bernstein 2012): nobody can prepare names that all
 * fall on one slot and make a small file take hours. The key changes nothing that can be seen. */
#include "tensor/names.h"

#include <string.h>
#include <sys/random.h>

static uint64_t rotate(uint64_t x, int by) {
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

static uint64_t hash(const uint64_t key[2], const char *text) {
    size_t bytes = strlen(text), at = 0;
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
                     key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u};
    for (;; at += 8) {
        uint64_t word = 0;
        bool last = bytes - at < 8;
        memcpy(&word, text + at, last ? bytes - at : 8);
        if (last) word |= (uint64_t)bytes << 56;
        v[3] ^= word;
        sip_round(v), sip_round(v);
        v[0] ^= word;
        if (last) break;
    }
    v[2] ^= 0xff;
    sip_round(v), sip_round(v), sip_round(v), sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The slot that holds the name, or the free one where it belongs. */
static uint32_t *slot_of(const fr_names *n, const char *name) {
    size_t mask = n->slots - 1, at = (size_t)hash(n->key, name) & mask;
    while (n->slot[at] && strcmp(n->name[n->slot[at] - 1], name) != 0) at = (at + 1) & mask;
    return &n->slot[at];
}

static fr_status widen(fr_names *n) {
    fr_names next = *n;
    if (n->slots == 0 && getrandom(next.key, sizeof next.key, GRND_NONBLOCK) < 0)
        next.key[0] = (uint64_t)(uintptr_t)&next, next.key[1] = (uint64_t)(fr_now() * 1e9);
    next.slots = n->slots ? n->slots * 2 : 64;
    next.slot = fr_alloc(FR_MEM_OTHER, next.slots * sizeof *next.slot);
    if (!next.slot) return FR_NOMEM;
    for (size_t i = 0; i < n->count; i++) *slot_of(&next, n->name[i]) = (uint32_t)i + 1;
    fr_free(n->slot);
    *n = next;
    return FR_OK;
}

void fr_names_free(fr_names *n) {
    fr_free(n->slot);
    fr_free(n->name);
    *n = (fr_names){0};
}

size_t fr_names_find(const fr_names *n, const char *name) {
    if (n->slots == 0) return FR_NO_NAME;
    uint32_t slot = *slot_of(n, name);
    return slot ? slot - 1 : FR_NO_NAME;
}

fr_status fr_names_add(fr_names *n, const char *name, size_t *number, bool *was_there) {
    if (n->count + 1 >= UINT32_MAX) return fr_fail(FR_NOMEM, "There are too many names.");
    if ((n->count + 1) * 2 > n->slots) FR_TRY(widen(n));
    FR_TRY(fr_grow((void **)&n->name, &n->cap, n->count + 1, sizeof *n->name));
    uint32_t *slot = slot_of(n, name);
    *was_there = *slot != 0;
    if (!*was_there) {
        n->name[n->count] = name;
        *slot = (uint32_t)++n->count;
    }
    *number = *slot - 1;
    return FR_OK;
}
