/* draft.h (text): guesses what comes next, for generate.c. */
#ifndef FR_TEXT_DRAFT_H
#define FR_TEXT_DRAFT_H

#include "text/engine.h"
#include "text/tokenizer.h"

/* What followed the last tokens of a text where they stood before: the longest match of up to 4 tokens, the last one
 * of those. Returns how many tokens are in out: 0 .. most. */
int32_t fr_draft_lookup(const int32_t *ids, size_t count, int32_t most, int32_t *out);

#endif
