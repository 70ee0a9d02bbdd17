/* pages.h: which pages of a cache hold which tokens of which sequence (PagedAttention, Kwon et al., 2023).
 *
 * A sequence is a row of a table: page i of it holds its tokens 64 i .. 64 i + 63. A page counts who holds it. A fork
 * holds the same pages as what it came from; whoever writes into a page that others hold too gets a copy first, so
 * that nobody sees what another wrote. This file keeps the books only; bytes are the engine's.
 *
 * A sequence may promise itself pages before it begins: it then never waits for them. What is promised is what it
 * may still take, so that pages it shares are promised to nobody twice. */
#ifndef FR_TEXT_PAGES_H
#define FR_TEXT_PAGES_H

#include <frugal/ops.h>

#include "base/base.h"

typedef struct fr_pages {
    int32_t count;
    int32_t sequences, most; /* places for sequences; pages that each may have */
    int32_t *table;          /* [sequences][most]; -1 where there is none */
    int32_t *held;           /* pages of each sequence; -1: the place is free */
    int32_t *total, *owed;   /* pages promised in all, and those of them not yet taken */
    int32_t *refs;           /* of each page: by how many sequences it is held */
    int32_t *spare, spares;  /* free pages, the last is taken next */
    int32_t open;            /* of these, nobody was promised */
    int32_t peak;            /* the most pages that were ever held */
} fr_pages;

/* What must be copied before a sequence is written; from -1: nothing. */
typedef struct fr_page_copy {
    int32_t from, to;
} fr_page_copy;

fr_status fr_pages_new(int32_t sequences, int32_t most, int32_t count, fr_pages *out);
void fr_pages_free(fr_pages *p);
static inline int64_t fr_pages_of(int64_t tokens) {
    return (tokens + FR_KV_TOKENS - 1) / FR_KV_TOKENS;
}

/* A free place with pages promised for so many tokens (0: none); -1 when there is no place, or not as many pages. */
int32_t fr_pages_open(fr_pages *p, int64_t promise);
/* The same with the first `tokens` tokens of a sequence, which must be there. */
int32_t fr_pages_fork(fr_pages *p, int32_t from, int64_t tokens, int64_t promise);
/* The tokens first .. end - 1 of a sequence are about to be written: gives pages for them and tells what to copy.
 * Everything before `first` must be there. */
fr_status fr_pages_write(fr_pages *p, int32_t sequence, int64_t first, int64_t end,
                         fr_page_copy *copy);
/* Only the first `tokens` tokens stay. */
void fr_pages_cut(fr_pages *p, int32_t sequence, int64_t tokens);
void fr_pages_close(fr_pages *p, int32_t sequence);

#endif
