/* scan.c: a pull scanner for JSON. Strings without escapes are handed out in place. */
#include "tensor/scan.h"

#include <string.h>

bool fr_scan_fail(fr_scan *s, const char *error) {
    if (!s->error) s->error = error;
    return false;
}

static bool next(fr_scan *s) {
    if (s->error) return false;
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
        s->at++;
    return s->at < s->end || fr_scan_fail(s, "the text ends too early");
}

bool fr_scan_is(fr_scan *s, char c) {
    return next(s) && *s->at == (uint8_t)c;
}

bool fr_scan_take(fr_scan *s, char c) {
    if (!next(s)) return false;
    if (*s->at == (uint8_t)c) {
        s->at++;
        return true;
    }
    switch (c) {
    case '{': return fr_scan_fail(s, "an object should begin here");
    case '[': return fr_scan_fail(s, "a list should begin here");
    case '"': return fr_scan_fail(s, "a string should begin here");
    case ':': return fr_scan_fail(s, "a colon should stand here");
    default: return fr_scan_fail(s, "a comma or a closing bracket should stand here");
    }
}

bool fr_scan_more(fr_scan *s, char close, bool *first) {
    if (fr_scan_is(s, close)) {
        s->at++;
        return false;
    }
    bool good = *first ? next(s) : fr_scan_take(s, ',');
    *first = false;
    return good;
}

bool fr_scan_end(fr_scan *s) {
    if (s->error) return false;
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
        s->at++;
    return s->at == s->end || fr_scan_fail(s, "nothing should follow the closing bracket");
}

void fr_scan_free(fr_scan *s) {
    fr_free(s->text);
    s->text = NULL;
}

/* ---- strings ---- */

int fr_utf8_length(const uint8_t *p, const uint8_t *end) {
    if (p >= end) return 0;
    if (*p < 0x80) return 1;
    int bytes = *p >= 0xc2 && *p <= 0xdf   ? 2
                : *p >= 0xe0 && *p <= 0xef ? 3
                : *p >= 0xf0 && *p <= 0xf4 ? 4
                                           : 0;
    if (bytes == 0 || end - p < bytes) return 0;
    for (int i = 1; i < bytes; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    /* Too long for what they say, surrogates, above U+10FFFF. */
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f)) return 0;
    if ((*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)) return 0;
    return bytes;
}

static size_t utf8_put(uint32_t c, char *out) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* Four hexadecimal digits. */
static bool hex4(fr_scan *s, uint32_t *out) {
    if (s->end - s->at < 4) return fr_scan_fail(s, "the text ends too early");
    *out = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        uint8_t c = *s->at, low = c | 0x20;
        uint32_t digit = c >= '0' && c <= '9'       ? c - '0'
                         : low >= 'a' && low <= 'f' ? low - 'a' + 10
                                                    : 16;
        if (digit == 16) return fr_scan_fail(s, "a \\u wants four hexadecimal digits");
        *out = *out << 4 | digit;
    }
    return true;
}

/* What stands behind a backslash, as a character. */
static bool escape(fr_scan *s, uint32_t *c) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (s->at >= s->end) return fr_scan_fail(s, "the text ends too early");
    uint8_t kind = *s->at++;
    if (kind != 'u') {
        const char *p = kind ? strchr(from, kind) : NULL;
        if (!p) return fr_scan_fail(s, "there is no such escape");
        *c = (uint8_t)to[p - from];
        return true;
    }
    if (!hex4(s, c)) return false;
    if (*c >= 0xd800 && *c <= 0xdbff) {
        uint32_t low;
        if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u')
            return fr_scan_fail(s, "half a surrogate pair stands alone");
        s->at += 2;
        if (!hex4(s, &low)) return false;
        if (low < 0xdc00 || low > 0xdfff)
            return fr_scan_fail(s, "half a surrogate pair stands alone");
        *c = 0x10000 + ((*c - 0xd800) << 10 | (low - 0xdc00));
    } else if (*c >= 0xdc00 && *c <= 0xdfff) {
        return fr_scan_fail(s, "half a surrogate pair stands alone");
    }
    return true;
}

/* From the first escape on: what was read so far and the rest, decoded into s->text. */
static bool string_with_escapes(fr_scan *s, const uint8_t *start, const char **text,
                                size_t *bytes) {
    size_t n = (size_t)(s->at - start);
    const uint8_t *from = start;
    for (;;) {
        if (fr_grow((void **)&s->text, &s->text_cap, n + 8, 1) != FR_OK)
            return fr_scan_fail(s, "there is no memory for this string");
        if (from) memcpy(s->text, from, n);
        from = NULL;
        if (s->at >= s->end) return fr_scan_fail(s, "a string does not end");
        if (*s->at == '"') break;
        if (*s->at == '\\') {
            uint32_t c;
            s->at++;
            if (!escape(s, &c)) return false;
            n += utf8_put(c, s->text + n);
            continue;
        }
        int length = *s->at < 0x20 ? 0 : fr_utf8_length(s->at, s->end);
        if (!length) return fr_scan_fail(s, "a string holds bytes that are not UTF-8 text");
        memcpy(s->text + n, s->at, (size_t)length);
        s->at += length;
        n += (size_t)length;
    }
    s->at++;
    *text = s->text;
    *bytes = n;
    return true;
}

bool fr_scan_string(fr_scan *s, const char **text, size_t *bytes) {
    if (!fr_scan_take(s, '"')) return false;
    const uint8_t *start = s->at;
    while (s->at < s->end && *s->at != '"') {
        if (*s->at == '\\') return string_with_escapes(s, start, text, bytes);
        int length = *s->at < 0x20 ? 0 : fr_utf8_length(s->at, s->end);
        if (!length) return fr_scan_fail(s, "a string holds bytes that are not UTF-8 text");
        s->at += length;
    }
    if (s->at >= s->end) return fr_scan_fail(s, "a string does not end");
    *text = (const char *)start;
    *bytes = (size_t)(s->at - start);
    s->at++;
    return true;
}

/* ---- numbers and the rest ---- */

static bool digit(const fr_scan *s) {
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

bool fr_scan_count(fr_scan *s, int64_t *out) {
    if (!next(s)) return false;
    if (*s->at == '-') return fr_scan_fail(s, "a number here must not be negative");
    if (!digit(s)) return fr_scan_fail(s, "a whole number should stand here");
    const uint8_t *start = s->at;
    *out = 0;
    for (; digit(s); s->at++)
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_add_overflow(*out, *s->at - '0', out))
            return fr_scan_fail(s, "a number does not fit 63 bits");
    if (*start == '0' && s->at - start > 1) return fr_scan_fail(s, "a number begins with a zero");
    if (s->at < s->end && (*s->at == '.' || *s->at == 'e' || *s->at == 'E'))
        return fr_scan_fail(s, "a number here must be whole");
    return true;
}

static bool skip_digits(fr_scan *s) {
    if (!digit(s)) return fr_scan_fail(s, "a digit should stand here");
    while (digit(s)) s->at++;
    return true;
}

static bool skip_number(fr_scan *s) {
    if (*s->at == '-') s->at++;
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else if (!skip_digits(s))
        return false;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!skip_digits(s)) return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-')) s->at++;
        if (!skip_digits(s)) return false;
    }
    return true;
}

static bool skip_word(fr_scan *s) {
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < FR_COUNT(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(s->end - s->at) >= n && memcmp(s->at, words[i], n) == 0) {
            s->at += n;
            return true;
        }
    }
    return fr_scan_fail(s, "a value should stand here");
}

bool fr_scan_skip(fr_scan *s, int depth) {
    const char *text;
    size_t bytes;
    if (!next(s)) return false;
    if (*s->at == '"') return fr_scan_string(s, &text, &bytes);
    if (*s->at == '-' || digit(s)) return skip_number(s);
    if (*s->at != '{' && *s->at != '[') return skip_word(s);
    if (depth <= 0) return fr_scan_fail(s, "lists and objects are nested too deeply");
    char close = *s->at++ == '{' ? '}' : ']';
    for (bool first = true; fr_scan_more(s, close, &first);) {
        if (close == '}' && (!fr_scan_string(s, &text, &bytes) || !fr_scan_take(s, ':')))
            return false;
        if (!fr_scan_skip(s, depth - 1)) return false;
    }
    return !s->error;
}

char *fr_name_text(const char *name, char buf[FR_NAME_TEXT]) {
    size_t n = strlen(name), shown = FR_MIN(n, (size_t)80);
    while (shown < n && shown > 76 && (name[shown] & 0xc0) == 0x80) shown--; /* whole characters */
    memcpy(buf, name, shown);
    strcpy(buf + shown, shown < n ? "..." : "");
    return buf;
}
