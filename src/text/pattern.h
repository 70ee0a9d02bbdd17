/* pattern.h: regular expressions as the `tokenizers` package reads them, over PCRE2.
 *
 * That package uses Oniguruma. What means something else there is rewritten (\s, \w, sets in sets) or refused by
 * name (\h, \b, {2}+ ...), so that a pattern either cuts a text in the same places or is not taken.
 * The two libraries carry Unicode tables of their own age: letters newer than PCRE2's tables (Unicode 14 in version
 * 10.42 of Debian 12; the package's are of Unicode 16) count as neither letter nor digit. */
#ifndef FR_TEXT_PATTERN_H
#define FR_TEXT_PATTERN_H

#include "base/base.h"

typedef struct fr_pattern fr_pattern;
/* What a thread needs to match: one for all patterns. */
typedef struct fr_pattern_scratch fr_pattern_scratch;

/* literal: the source is a text, not an expression. */
fr_status fr_pattern_new(const char *source, bool literal, fr_pattern **out);
void fr_pattern_free(fr_pattern *p);
fr_status fr_pattern_scratch_new(fr_pattern_scratch **out);
void fr_pattern_scratch_free(fr_pattern_scratch *s);

/* The first match that begins at `from` or later and is not empty; *end is 0 when there is none. The text must be
 * valid UTF-8. */
fr_status fr_pattern_find(const fr_pattern *p, fr_pattern_scratch *s, const char *text,
                          size_t bytes, size_t from, size_t *start, size_t *end);

#endif
