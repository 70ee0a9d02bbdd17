/* bytes.c: bytes as printable characters, as GPT-2's vocabulary writes them: the printable characters of
 * Latin-1 stand for themselves, the other bytes in their order for U+0100 and on. And UTF-8 itself. */
#include <string.h>

#include "text/tokenizer_parts.h"

static bool printable(int b) {
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
}

void fr_byte_chars(fr_byte_char out[256]) {
    int kept = 0, moved = 0;
    for (int b = 0; b < 256; b++) kept += printable(b);
    for (int b = 0, first = 0; b < 256; b++) {
        int c = printable(b) ? b : 0x100 + moved;
        fr_byte_char *e = &out[b];
        e->order = (uint8_t)(printable(b) ? first++ : kept + moved++);
        e->bytes = c < 0x80 ? 1 : 2;
        e->utf8[0] = (char)(c < 0x80 ? c : 0xC0 | c >> 6);
        e->utf8[1] = (char)(c < 0x80 ? 0 : 0x80 | (c & 0x3F));
        e->utf8[2] = 0;
    }
}

int64_t fr_bytes_of_name(const char *name, size_t bytes, char *out) {
    int64_t count = 0;
    for (size_t i = 0; i < bytes; i++) {
        int c = (uint8_t)name[i];
        if (c >= 0x80) {
            if ((c & 0xE0) != 0xC0 || i + 1 == bytes) return -1;
            c = (c & 0x1F) << 6 | ((uint8_t)name[++i] & 0x3F);
        }
        if (c < 0x100) {
            if (!printable(c)) return -1;
        } else { /* U+0100 .. U+0120, U+0121 .. U+0142, U+0143: 0-20, 7F-A0, AD */
            c -= 0x100;
            c = c < 0x21 ? c : c < 0x43 ? c - 0x21 + 0x7F : c == 0x43 ? 0xAD : -1;
            if (c < 0) return -1;
        }
        out[count++] = (char)c;
    }
    return count;
}

/* Bytes of the character at the start, or 0 when they are not valid (Unicode, table 3-7). */
static size_t char_bytes(const uint8_t *s, size_t bytes) {
    if (s[0] < 0x80) return 1;
    size_t n = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC2 || s[0] > 0xF4 || bytes < n) return 0;
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
    }
    bool wrong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
                 (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F);
    return wrong ? 0 : n;
}

size_t fr_utf8_valid(const char *text, size_t bytes, size_t *broken) {
    const uint8_t *s = (const uint8_t *)text;
    size_t i = 0;
    *broken = 0;
    while (i < bytes) {
        uint64_t word;
        if (i + sizeof word <= bytes) {
            memcpy(&word, s + i, sizeof word);
            if (!(word & 0x8080808080808080u)) {
                i += sizeof word;
                continue;
            }
        }
        size_t n = char_bytes(s + i, bytes - i);
        if (!n) break;
        i += n;
    }
    while (i + *broken < bytes && !char_bytes(s + i + *broken, bytes - i - *broken)) ++*broken;
    return i;
}

/* White_Space of Unicode. */
size_t fr_space_at(const char *text, size_t bytes) {
    const uint8_t *s = (const uint8_t *)text;
    if (!bytes) return 0;
    if (s[0] == ' ' || (s[0] >= '\t' && s[0] <= '\r')) return 1;
    if (bytes >= 2 && s[0] == 0xC2 && (s[1] == 0x85 || s[1] == 0xA0)) return 2;
    if (bytes < 3) return 0;
    int c = (s[0] & 0x0F) << 12 | (s[1] & 0x3F) << 6 | (s[2] & 0x3F);
    bool space =
        (s[0] & 0xF0) == 0xE0 && (c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
                                  c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000);
    return space ? 3 : 0;
}

size_t fr_space_before(const char *text, size_t bytes) {
    for (size_t n = 1; n <= 3 && n <= bytes; n++) {
        if (fr_space_at(text + bytes - n, n) == n) return n;
    }
    return 0;
}

size_t fr_char_at(const char *text, size_t bytes, int32_t *c) {
    const uint8_t *s = (const uint8_t *)text;
    size_t n = char_bytes(s, bytes);
    *c = n <= 1 ? (n ? s[0] : -1) : n == 2 ? s[0] & 0x1F : n == 3 ? s[0] & 0x0F : s[0] & 0x07;
    for (size_t i = 1; i < n; i++) *c = *c << 6 | (s[i] & 0x3F);
    return n ? n : 1;
}

size_t fr_char_put(char out[4], int32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | c);
    return n;
}
