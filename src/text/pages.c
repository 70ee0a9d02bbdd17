/* pages.c: see pages.h. */
#include "text/pages.h"

#include <string.h>

#include <frugal/ops.h>

fr_status fr_pages_new(int32_t sequences, int32_t most, int32_t count, fr_pages *out) {
    *out = (fr_pages){.count = count, .sequences = sequences, .most = most};
    size_t places = (size_t)sequences * (size_t)most;
    out->table = fr_alloc(FR_MEM_STATE, (places + 1) * sizeof *out->table);
    out->held = fr_alloc(FR_MEM_STATE, ((size_t)sequences + 1) * sizeof *out->held);
    out->spare = fr_alloc_array(FR_MEM_STATE, (size_t)count + 1, sizeof *out->spare);
    if (!out->table || !out->held || !out->spare) {
        fr_pages_free(out);
        return FR_NOMEM;
    }
    for (int32_t page = count - 1; page > 0; page--) out->spare[out->spares++] = page;
    return FR_OK;
}

void fr_pages_free(fr_pages *p) {
    fr_free(p->table);
    fr_free(p->held);
    fr_free(p->spare);
    *p = (fr_pages){0};
}

fr_status fr_pages_grow(fr_pages *p, int32_t sequence, int64_t tokens) {
    int64_t need = (tokens + FR_KV_TOKENS - 1) / FR_KV_TOKENS;
    int32_t *held = &p->held[sequence];
    if (need > p->most)
        return fr_fail(FR_INVALID, "A sequence of %lld tokens does not fit into %d pages of %d.",
                       (long long)tokens, p->most, FR_KV_TOKENS);
    if (!fr_pages_room(p, need - *held))
        return fr_fail(FR_NOMEM, "All %d pages of the cache are in use.", p->count - 1);
    while (*held < need) p->table[(int64_t)sequence * p->most + (*held)++] = p->spare[--p->spares];
    return FR_OK;
}

void fr_pages_drop(fr_pages *p, int32_t sequence) {
    int32_t *row = p->table + (int64_t)sequence * p->most;
    for (int32_t i = p->held[sequence]; i-- > 0;) p->spare[p->spares++] = row[i];
    memset(row, 0, (size_t)p->most * sizeof *row);
    p->held[sequence] = 0;
}
