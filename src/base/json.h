/* json.h: reading JSON, as a face over Jansson. Errors name the file and the line.
 *
 * The typed getters take a default for what is absent, and fail on a wrong type. */
#ifndef FR_BASE_JSON_H
#define FR_BASE_JSON_H

#include <jansson.h>

#include <frugal/types.h>

typedef json_t fr_json;

/* Duplicate keys are an error; depth is bounded. `name` is what messages call the text. */
fr_status fr_json_parse(const char *text, size_t bytes, const char *name, fr_json **out);
fr_status fr_json_load(const char *path, fr_json **out); /* at most 512 MB */
void fr_json_free(fr_json *j);
fr_status fr_json_save(const fr_json *j, const char *path); /* indented, atomic */

/* NULL-safe: a member of an object, or NULL. */
const fr_json *fr_json_get(const fr_json *j, const char *key);
fr_status fr_json_i64(const fr_json *j, const char *key, int64_t fallback, int64_t *out);
fr_status fr_json_f64(const fr_json *j, const char *key, double fallback, double *out);
fr_status fr_json_bool(const fr_json *j, const char *key, bool fallback, bool *out);
/* Borrowed from j. */
fr_status fr_json_string(const fr_json *j, const char *key, const char *fallback, const char **out);

#endif
