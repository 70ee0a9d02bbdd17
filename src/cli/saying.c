/* saying.c: see saying.h. */
#include "cli/saying.h"

#include <stdio.h>
#include <string.h>

fr_status fr_saying_new(const fr_tokenizer *t, const char *const *stops, size_t count,
                        fr_saying *out) {
    *out = (fr_saying){.t = t, .show = true};
    return fr_stops_new(stops, count, &out->stops);
}

void fr_saying_free(fr_saying *s) {
    fr_stops_free(&s->stops);
    fr_free(s->text);
    fr_free(s->shown);
    *s = (fr_saying){0};
}

void fr_saying_begin(fr_saying *s) {
    fr_stops_reset(&s->stops);
    s->stream = (fr_text_stream){0};
    s->begun = false;
    s->bytes = 0;
}

static void print(fr_saying *s, const char *text, size_t bytes) {
    if (!s->begun && s->trim && bytes && *text == ' ') {
        text++;
        bytes--;
    }
    s->begun |= bytes > 0;
    if (s->show) fwrite(text, 1, bytes, stdout);
}

/* What came out of the stops, and stands at the end of the text already. */
static fr_status pass_on(fr_saying *s, size_t bytes) {
    FR_TRY(fr_grow((void **)&s->shown, &s->shown_cap, FR_TEXT_STREAM_ROOM(bytes), 1));
    size_t n = fr_text_stream_add(&s->stream, s->text + s->bytes, bytes, s->shown);
    s->bytes += bytes;
    print(s, s->shown, n);
    return FR_OK;
}

static fr_status room(fr_saying *s, size_t bytes) {
    return fr_grow((void **)&s->text, &s->cap, s->bytes + FR_STOPS_ROOM(&s->stops, bytes) + 1, 1);
}

fr_status fr_saying_token(fr_saying *s, int32_t token) {
    size_t bytes = 0;
    const char *text = NULL;
    if (token >= 0 && token < fr_tokenizer_size(s->t) && !fr_tokenizer_special(s->t, token))
        text = fr_tokenizer_bytes(s->t, token, &bytes);
    if (!text) return FR_OK;
    FR_TRY(room(s, bytes));
    return pass_on(s, fr_stops_add(&s->stops, text, bytes, s->text + s->bytes));
}

fr_status fr_saying_end(fr_saying *s) {
    char out[FR_TEXT_STREAM_ROOM(0)];
    FR_TRY(room(s, 0));
    FR_TRY(pass_on(s, fr_stops_end(&s->stops, s->text + s->bytes)));
    print(s, out, fr_text_stream_end(&s->stream, out));
    s->text[s->bytes] = 0;
    return FR_OK;
}
