/* arena.c: many small things that die together: a chain of chunks, filled from the front. */
#include "base/base.h"

#include <string.h>

#define CHUNK_BYTES ((size_t)16 << 10)
#define CELL        ((size_t)16)

typedef struct chunk {
    struct chunk *next;
    size_t used, size; /* of the bytes behind this header */
} chunk;

struct fr_arena {
    chunk *first; /* the one being filled */
};

fr_arena *fr_arena_new(void) {
    return fr_alloc(FR_MEM_OTHER, sizeof(fr_arena));
}

void fr_arena_free(fr_arena *a) {
    if (!a) return;
    for (chunk *c = a->first; c;) {
        chunk *next = c->next;
        fr_free(c);
        c = next;
    }
    fr_free(a);
}

static size_t head_bytes(void) {
    return fr_round_up(sizeof(chunk), CELL);
}

static chunk *add_chunk(fr_arena *a, size_t size) {
    chunk *c = fr_alloc(FR_MEM_OTHER, head_bytes() + size);
    if (!c) return NULL;
    c->size = size;
    /* A block with a chunk of its own leaves the one being filled in its place. */
    if (a->first && size > CHUNK_BYTES) {
        c->next = a->first->next;
        a->first->next = c;
    } else {
        c->next = a->first;
        a->first = c;
    }
    return c;
}

void *fr_arena_alloc(fr_arena *a, size_t bytes) {
    if (bytes > SIZE_MAX / 2) {
        fr_fail(FR_NOMEM, "an arena cannot hold %zu bytes", bytes);
        return NULL;
    }
    size_t need = fr_round_up(bytes ? bytes : 1, CELL);
    chunk *c = a->first;
    if (!c || c->size - c->used < need) {
        c = add_chunk(a,
                      need > CHUNK_BYTES / 4 ? FR_MAX_OF(need, CHUNK_BYTES + CELL) : CHUNK_BYTES);
    }
    if (!c) return NULL;
    uint8_t *p = (uint8_t *)c + head_bytes() + c->used;
    c->used += need;
    return p;
}

char *fr_arena_strdup(fr_arena *a, const char *s) {
    size_t bytes = strlen(s) + 1;
    char *copy = fr_arena_alloc(a, bytes);
    if (copy) memcpy(copy, s, bytes);
    return copy;
}
