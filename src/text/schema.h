/* schema.h: JSON schemas as grammars. What a schema may say:
 *
 *     type      one or a list of: object array string integer number boolean null; none: any value
 *     object    properties, required, additionalProperties (a schema or not; where properties are named and this is
 *               not, there are no others). Keys come in the order of the schema.
 *     array     items, prefixItems, minItems, maxItems
 *     string    minLength, maxLength, pattern (classes, groups, repetitions), format date, time, date-time, uuid
 *     integer   minimum, maximum, exclusiveMinimum, exclusiveMaximum
 *     number    minimum, maximum, where these are whole
 *     any       enum, const, anyOf, oneOf (taken as anyOf), allOf of one, $ref within the schema
 *
 * Titles, descriptions, defaults, other formats say nothing about the text. Everything else is refused by name. */
#ifndef FR_TEXT_SCHEMA_H
#define FR_TEXT_SCHEMA_H

#include "text/grammar.h"

typedef struct fr_growing {
    char *text;
    size_t bytes, cap;
    fr_status st; /* the first failure stays, and nothing is added behind it */
} fr_growing;
void fr_growing_add(fr_growing *g, const char *fmt, ...) FR_PRINTF(2, 3);
void fr_growing_free(fr_growing *g);

/* The grammar of a schema as text. */
fr_status fr_schema_write(const fr_json *schema, const char *name, fr_growing *out);
/* Whole numbers from low to high, as an expression (schema_number.c); fraction: all numbers between them. */
void fr_schema_whole(fr_growing *out, int64_t low, int64_t high);
void fr_schema_number(fr_growing *out, int64_t low, int64_t high);
/* A regular expression as an expression over the characters of a JSON string (schema_pattern.c). */
fr_status fr_schema_pattern(fr_growing *out, const char *pattern, const char *where);

#define FR_SCHEMA_MOST                                                                             \
    9999999999999999 /* sixteen digits: more are no number that all programs keep */

#endif
