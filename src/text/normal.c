/* normal.c: see normal.h. Nothing below U+0300 can change by itself or join what stands before it, so that most texts
 * cost one look at each byte. */
#include <string.h>

#include <utf8proc.h>

#include "text/normal.h"
#include "text/tokenizer_parts.h"

#define FORM_C (UTF8PROC_STABLE | UTF8PROC_COMPOSE)

/* Valid UTF-8 into out->text, which has `count` bytes. */
typedef struct growing {
    char *text;
    size_t count, cap;
} growing;

static fr_status append(growing *g, const void *text, size_t bytes) {
    FR_TRY(fr_grow((void **)&g->text, &g->cap, g->count + bytes, 1));
    memcpy(g->text + g->count, text, bytes);
    g->count += bytes;
    return FR_OK;
}

static fr_status append_normal(growing *g, const char *text, size_t bytes) {
    const utf8proc_uint8_t *s = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t most = utf8proc_decompose(s, (utf8proc_ssize_t)bytes, NULL, 0, FORM_C);
    if (most < 0) return fr_fail(FR_FORMAT, "normal form C: %s", utf8proc_errmsg(most));
    /* One more, as the characters become UTF-8 and a zero in the same place. */
    utf8proc_int32_t *chars = fr_alloc_array(FR_MEM_OTHER, (size_t)most + 1, sizeof *chars);
    if (!chars) return FR_NOMEM;
    utf8proc_ssize_t n = utf8proc_decompose(s, (utf8proc_ssize_t)bytes, chars, most, FORM_C);
    if (n >= 0) n = utf8proc_reencode(chars, n, FORM_C);
    fr_status status = n < 0 ? fr_fail(FR_FORMAT, "normal form C: %s", utf8proc_errmsg(n))
                             : append(g, chars, (size_t)n);
    fr_free(chars);
    return status;
}

static fr_status normalize(growing *g, const char *text, size_t bytes) {
    while (bytes) {
        size_t broken, valid = fr_utf8_valid(text, bytes, &broken);
        if (valid) FR_TRY(append_normal(g, text, valid));
        if (broken) FR_TRY(append(g, text + valid, broken));
        text += valid + broken;
        bytes -= valid + broken;
    }
    return FR_OK;
}

fr_status fr_nfc(const char *text, size_t bytes, char **out, size_t *out_bytes) {
    *out = NULL;
    *out_bytes = bytes;
    size_t plain = 0;
    while (plain < bytes && (uint8_t)text[plain] < 0xCC) plain++; /* CC begins U+0300 */
    if (plain == bytes) return FR_OK;
    growing g = {0};
    fr_status status = normalize(&g, text, bytes);
    if (status != FR_OK) {
        fr_free(g.text);
        return status;
    }
    *out = g.text;
    *out_bytes = g.count;
    return FR_OK;
}
