/* pages.h: which pages of a cache hold which tokens of which sequence (PagedAttention, Kwon et al., 2023).
 *
 * A sequence grows page by page; when it ends, its pages are free for others. Page 0 belongs to nobody: rows that
 * only fill up a batch write there. */
#ifndef FR_TEXT_PAGES_H
#define FR_TEXT_PAGES_H

#include "base/base.h"

typedef struct fr_pages {
    int32_t count;           /* with page 0 */
    int32_t sequences, most; /* places for sequences; pages that each may have */
    int32_t *table;          /* [sequences][most]; 0 where there is none yet */
    int32_t *held;           /* pages of each */
    int32_t *spare, spares;  /* free pages, the last is taken next */
} fr_pages;

fr_status fr_pages_new(int32_t sequences, int32_t most, int32_t count, fr_pages *out);
void fr_pages_free(fr_pages *p);
/* Whether `more` pages are free. */
static inline bool fr_pages_room(const fr_pages *p, int64_t more) {
    return more <= p->spares;
}
/* So many tokens of a sequence have pages from now on. */
fr_status fr_pages_grow(fr_pages *p, int32_t sequence, int64_t tokens);
void fr_pages_drop(fr_pages *p, int32_t sequence);

#endif
