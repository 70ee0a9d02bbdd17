/* stops.c: see stops.h. Byte by byte: the end of what came is held as long as a stop begins with it. */
#include "text/stops.h"

#include <string.h>

fr_status fr_stops_new(const char *const *texts, size_t count, fr_stops *out) {
    *out = (fr_stops){.count = count};
    if (!count) return FR_OK;
    out->texts = fr_alloc(FR_MEM_OTHER, count * sizeof *out->texts);
    out->bytes = fr_alloc(FR_MEM_OTHER, count * sizeof *out->bytes);
    fr_status st = out->texts && out->bytes ? FR_OK : FR_NOMEM;
    for (size_t i = 0; i < count && !st; i++) {
        out->bytes[i] = strlen(texts[i]);
        out->longest = FR_MAX_OF(out->longest, out->bytes[i]);
        if (!out->bytes[i]) st = fr_fail(FR_INVALID, "A text at which to stop is empty.");
        if (!st && !(out->texts[i] = fr_strdup(texts[i]))) st = FR_NOMEM;
    }
    if (!st && !(out->held = fr_alloc(FR_MEM_OTHER, out->longest + 1))) st = FR_NOMEM;
    if (st) fr_stops_free(out);
    return st;
}

void fr_stops_free(fr_stops *s) {
    for (size_t i = 0; i < s->count && s->texts; i++) fr_free(s->texts[i]);
    fr_free(s->texts);
    fr_free(s->bytes);
    fr_free(s->held);
    *s = (fr_stops){0};
}

void fr_stops_reset(fr_stops *s) {
    s->held_bytes = 0;
    s->hit = false;
}

static bool ends_with(const fr_stops *s, const char *text, size_t bytes) {
    return s->held_bytes >= bytes && !memcmp(s->held + s->held_bytes - bytes, text, bytes);
}

/* Bytes at the end of what is held that a stop begins with. */
static size_t may_begin(const fr_stops *s) {
    size_t most = 0;
    for (size_t i = 0; i < s->count; i++)
        for (size_t n = FR_MIN(s->bytes[i] - 1, s->held_bytes); n > most; n--)
            if (ends_with(s, s->texts[i], n)) most = n;
    return most;
}

static size_t let_go(fr_stops *s, size_t keep, char *out) {
    size_t n = s->held_bytes - keep;
    if (n) memcpy(out, s->held, n);
    if (n && keep) memmove(s->held, s->held + n, keep);
    s->held_bytes = keep;
    return n;
}

size_t fr_stops_add(fr_stops *s, const char *text, size_t bytes, char *out) {
    size_t n = 0;
    if (!s->count) {
        if (bytes) memcpy(out, text, bytes);
        return bytes;
    }
    for (size_t i = 0; i < bytes && !s->hit; i++) {
        s->held[s->held_bytes++] = text[i];
        size_t stop = 0;
        for (size_t k = 0; k < s->count; k++)
            if (s->bytes[k] > stop && ends_with(s, s->texts[k], s->bytes[k])) stop = s->bytes[k];
        s->hit = stop > 0;
        n += let_go(s, s->hit ? stop : may_begin(s), out + n);
    }
    if (s->hit) s->held_bytes = 0;
    return n;
}

size_t fr_stops_end(fr_stops *s, char *out) {
    return s->hit ? 0 : let_go(s, 0, out);
}
