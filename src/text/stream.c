/* stream.c: see stream.h. Byte by byte: what may still become a character waits. */
#include "text/stream.h"

#include <string.h>

#include "text/tokenizer_parts.h"

/* Bytes of the character that begins so; 0: none does. */
static uint8_t length_of(uint8_t lead) {
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

static bool may_go_on(const fr_text_stream *s) {
    if (s->count >= length_of((uint8_t)s->held[0])) return false;
    for (uint8_t i = 1; i < s->count; i++)
        if (((uint8_t)s->held[i] & 0xC0) != 0x80) return false;
    return true;
}

static bool is_control(const char *c, size_t bytes) {
    uint8_t first = (uint8_t)c[0];
    if (bytes == 2) return first == 0xC2 && (uint8_t)c[1] < 0xA0;
    return bytes == 1 && (first < 0x20 || first == 0x7F) && first != '\n' && first != '\t';
}

/* The first character that is held, or the first byte when it begins none. */
static size_t put(fr_text_stream *s, char *out) {
    size_t broken, bytes = 0;
    if (fr_utf8_valid(s->held, s->count, &broken)) bytes = length_of((uint8_t)s->held[0]);
    bool good = bytes && !is_control(s->held, bytes);
    size_t gone = bytes ? bytes : 1, written = good ? bytes : 3;
    memcpy(out, good ? s->held : "\xEF\xBF\xBD", written);
    s->count = (uint8_t)(s->count - gone);
    memmove(s->held, s->held + gone, s->count);
    return written;
}

size_t fr_text_stream_add(fr_text_stream *s, const char *text, size_t bytes, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) {
        s->held[s->count++] = text[i];
        while (s->count && !may_go_on(s)) n += put(s, out + n);
    }
    return n;
}

size_t fr_text_stream_end(fr_text_stream *s, char *out) {
    size_t n = 0;
    while (s->count) n += put(s, out + n);
    return n;
}
