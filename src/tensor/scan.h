/* scan.h: reading JSON from a mapping piece by piece, with no tree built: a safetensors header may
 * name a hundred thousand tensors. Strict: RFC 8259, valid UTF-8, nothing more. */
#ifndef FR_TENSOR_SCAN_H
#define FR_TENSOR_SCAN_H

#include "base/base.h"

typedef struct fr_scan {
    const uint8_t *start, *at, *end;
    const char *error; /* the first one: what stands at `at` and should not */
    char *text;        /* the last string that had escapes */
    size_t text_cap;
} fr_scan;

/* All return false once there is an error. White space before a token is skipped. */
bool fr_scan_fail(fr_scan *s, const char *error);
bool fr_scan_is(fr_scan *s, char c); /* is c next? nothing is taken */
bool fr_scan_take(fr_scan *s, char c);
/* In an object or array: true while there is another item; takes the comma, or the closing one. */
bool fr_scan_more(fr_scan *s, char close, bool *first);
/* Not ended by a zero; good until the next string is read. */
bool fr_scan_string(fr_scan *s, const char **text, size_t *bytes);
/* A whole number, not negative, below 2^63. */
bool fr_scan_count(fr_scan *s, int64_t *out);
/* Any value, at most `depth` deep. */
bool fr_scan_skip(fr_scan *s, int depth);
bool fr_scan_end(fr_scan *s); /* only white space is left */
void fr_scan_free(fr_scan *s);

/* Bytes of the UTF-8 character at p, 0 when there is no valid one. */
int fr_utf8_length(const uint8_t *p, const uint8_t *end);
/* A name as messages show it: at most 80 bytes and an ellipsis. Returns buf. */
#define FR_NAME_TEXT 96
char *fr_name_text(const char *name, char buf[FR_NAME_TEXT]);

#endif
