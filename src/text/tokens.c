/* tokens.c: a growing list of ids. */
#include <string.h>

#include "text/tokenizer.h"

fr_status fr_tokens_add(fr_tokens *t, int32_t id) {
    if (t->count == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 64;
        int32_t *ids = fr_alloc_array(FR_MEM_OTHER, cap, sizeof *ids);
        if (!ids) return FR_NOMEM;
        if (t->count) memcpy(ids, t->ids, t->count * sizeof *ids);
        fr_free(t->ids);
        t->ids = ids;
        t->cap = cap;
    }
    t->ids[t->count++] = id;
    return FR_OK;
}
