/* describe.c: what a model is, in a line a format, for who asks to be told (--verbose). */
#include <string.h>

#include "model/layouts.h"
#include "op/op.h"

#define META "frugal.format."

/* "q8_0 2048 2048": the format, and whether qlinear multiplies with such a matrix. */
static bool read_value(const fr_json *value, char format[32], bool *runs) {
    const char *text = json_string_value(value);
    long long rows, cols;
    if (!text || sscanf(text, "%31s %lld %lld", format, &rows, &cols) != 3) return false;
    char straight[32];
    memcpy(straight, format, sizeof straight);
    char *order = strstr(straight, "-perm"); /* inputs are brought into it */
    if (order) *order = 0;
    *runs = fr_qlinear_takes(straight, rows, cols);
    return true;
}

void fr_model_describe(const fr_store *s) {
    struct {
        char format[32];
        bool runs;
        size_t count;
    } found[16];
    size_t kinds = 0;
    const char *key;
    json_t *value;
    if (fr_log_get_level() < FR_LOG_INFO) return;
    json_object_foreach((json_t *)(uintptr_t)fr_store_metadata(s), key, value) {
        char format[32];
        bool runs;
        size_t i = 0;
        if (strncmp(key, META, strlen(META)) || !read_value(value, format, &runs)) continue;
        while (i < kinds && (strcmp(found[i].format, format) || found[i].runs != runs)) i++;
        if (i == FR_COUNT(found)) continue;
        if (i == kinds) {
            memcpy(found[kinds].format, format, sizeof format);
            found[kinds].runs = runs;
            found[kinds++].count = 0;
        }
        found[i].count++;
    }
    for (size_t i = 0; i < kinds; i++)
        fr_log(FR_LOG_INFO, "%s: %zu matrices in %s, which %s", fr_store_path(s), found[i].count,
               found[i].format,
               found[i].runs ? "are multiplied as they are"
                             : "have no product here: they are decoded when they are packed");
}
