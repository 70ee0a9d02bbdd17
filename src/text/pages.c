/* pages.c: see pages.h. */
#include "text/pages.h"

#include <string.h>

fr_status fr_pages_new(int32_t sequences, int32_t most, int32_t count, fr_pages *out) {
    *out = (fr_pages){.count = count, .sequences = sequences, .most = most};
    size_t places = (size_t)sequences * (size_t)most, each = ((size_t)sequences + 1) * 4;
    out->table = fr_alloc(FR_MEM_STATE, (places + 1) * sizeof *out->table);
    out->held = fr_alloc(FR_MEM_STATE, each);
    out->promised = fr_alloc(FR_MEM_STATE, each);
    out->spare = fr_alloc_array(FR_MEM_STATE, (size_t)count + 1, sizeof *out->spare);
    if (!out->table || !out->held || !out->promised || !out->spare) {
        fr_pages_free(out);
        return FR_NOMEM;
    }
    while (out->spares < count) {
        out->spare[out->spares] = count - 1 - out->spares;
        out->spares++;
    }
    out->open = count;
    return FR_OK;
}

void fr_pages_free(fr_pages *p) {
    fr_free(p->table);
    fr_free(p->held);
    fr_free(p->promised);
    fr_free(p->spare);
    *p = (fr_pages){0};
}

bool fr_pages_promise(fr_pages *p, int32_t sequence, int64_t tokens) {
    int64_t need = fr_pages_of(tokens);
    if (need > p->most || need > p->open) return false;
    p->promised[sequence] = (int32_t)need;
    p->open -= (int32_t)need;
    return true;
}

fr_status fr_pages_grow(fr_pages *p, int32_t sequence, int64_t tokens) {
    int64_t need = fr_pages_of(tokens);
    int32_t *held = &p->held[sequence], *promised = &p->promised[sequence];
    if (need > p->most)
        return fr_fail(FR_INVALID, "A sequence of %lld tokens does not fit into %d pages of %d.",
                       (long long)tokens, p->most, FR_KV_TOKENS);
    if (need > *promised + p->open)
        return fr_fail(FR_NOMEM, "All %d pages of the cache are in use.", p->count);
    if (need > *promised) {
        p->open -= (int32_t)need - *promised;
        *promised = (int32_t)need;
    }
    while (*held < need) p->table[(int64_t)sequence * p->most + (*held)++] = p->spare[--p->spares];
    return FR_OK;
}

void fr_pages_drop(fr_pages *p, int32_t sequence) {
    int32_t *row = p->table + (int64_t)sequence * p->most;
    for (int32_t i = p->held[sequence]; i-- > 0;) p->spare[p->spares++] = row[i];
    memset(row, 0, (size_t)p->most * sizeof *row);
    p->open += p->promised[sequence];
    p->held[sequence] = p->promised[sequence] = 0;
}
