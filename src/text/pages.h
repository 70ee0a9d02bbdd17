/* pages.h: which pages of a cache hold which tokens of which sequence (PagedAttention, Kwon et al., 2023).
 *
 * A sequence grows page by page; when it ends, its pages are free for others. One that has promised itself its
 * pages before it begins never waits for them. */
#ifndef FR_TEXT_PAGES_H
#define FR_TEXT_PAGES_H

#include <frugal/ops.h>

#include "base/base.h"

typedef struct fr_pages {
    int32_t count;
    int32_t sequences, most;  /* places for sequences; pages that each may have */
    int32_t *table;           /* [sequences][most]; 0 where there is none yet */
    int32_t *held, *promised; /* pages of each; promised is at least held */
    int32_t *spare, spares;   /* free pages, the last is taken next */
    int32_t open;             /* pages that nobody was promised */
} fr_pages;

fr_status fr_pages_new(int32_t sequences, int32_t most, int32_t count, fr_pages *out);
void fr_pages_free(fr_pages *p);
static inline int64_t fr_pages_of(int64_t tokens) {
    return (tokens + FR_KV_TOKENS - 1) / FR_KV_TOKENS;
}
/* Promises a sequence that holds nothing pages for so many tokens; false when there are not as many. */
bool fr_pages_promise(fr_pages *p, int32_t sequence, int64_t tokens);
/* So many tokens of a sequence have pages from now on. */
fr_status fr_pages_grow(fr_pages *p, int32_t sequence, int64_t tokens);
void fr_pages_drop(fr_pages *p, int32_t sequence);

#endif
