/* names.c: open addressing over FNV-1a, at most half full. Nothing is ever taken out. */
#include "graph/names.h"

#include <string.h>

struct fr_name_slot {
    const char *name;
    int32_t number;
};

static size_t hash(const char *s) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++) h = (h ^ (uint8_t)*s) * 0x100000001b3u;
    return (size_t)(h ^ (h >> 32));
}

/* The slot that holds the name, or the free one where it belongs. */
static struct fr_name_slot *find(const fr_names *m, const char *name) {
    size_t i = hash(name) & (m->cap - 1);
    while (m->slots[i].name && strcmp(m->slots[i].name, name)) i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

int32_t *fr_names_get(const fr_names *m, const char *name) {
    if (!m->cap) return NULL;
    struct fr_name_slot *s = find(m, name);
    return s->name ? &s->number : NULL;
}

static fr_status grow(fr_names *m) {
    fr_names wide = {.cap = m->cap ? 2 * m->cap : 64, .count = m->count};
    wide.slots = fr_alloc(FR_MEM_OTHER, wide.cap * sizeof *wide.slots);
    if (!wide.slots) return FR_NOMEM;
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].name) *find(&wide, m->slots[i].name) = m->slots[i];
    fr_free(m->slots);
    *m = wide;
    return FR_OK;
}

fr_status fr_names_put(fr_names *m, const char *name, int32_t number) {
    if (2 * (m->count + 1) > m->cap) FR_TRY(grow(m));
    struct fr_name_slot *s = find(m, name);
    if (!s->name) m->count++;
    *s = (struct fr_name_slot){name, number};
    return FR_OK;
}

void fr_names_free(fr_names *m) {
    fr_free(m->slots);
    *m = (fr_names){0};
}
