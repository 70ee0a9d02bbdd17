/* stream.h: bytes as a model says them, token by token, made ready to be shown: whole characters only, since a token
 * may end inside of one, and none that could drive a terminal. Starts as {0}. */
#ifndef FR_TEXT_STREAM_H
#define FR_TEXT_STREAM_H

#include <frugal/types.h>

typedef struct fr_text_stream {
    char held[4]; /* the beginning of a character */
    uint8_t count;
} fr_text_stream;

/* Bytes that a call may put out, for so many that go in. */
#define FR_TEXT_STREAM_ROOM(bytes) (3 * ((bytes) + 3))

/* Returns the bytes put out. U+FFFD stands for what is no UTF-8, and for control characters but line ends and tabs. */
size_t fr_text_stream_add(fr_text_stream *s, const char *text, size_t bytes, char *out);
/* Nothing comes any more; the stream begins anew. */
size_t fr_text_stream_end(fr_text_stream *s, char *out);

#endif
