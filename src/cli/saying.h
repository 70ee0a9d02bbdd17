/* saying.h: what a model says, token by token, becomes characters on standard output, up to a text at which it stops. */
#ifndef FR_CLI_SAYING_H
#define FR_CLI_SAYING_H

#include "text/text.h"

typedef struct fr_saying {
    const fr_tokenizer *t;
    fr_stops stops;
    fr_text_stream stream;
    bool show;         /* on standard output */
    bool trim;         /* the space before the first word is not shown */
    bool begun;        /* something was shown */
    char *text;        /* all of it, as the model said it */
    size_t bytes, cap; /* of text */
    char *shown;
    size_t shown_cap;
} fr_saying;

fr_status fr_saying_new(const fr_tokenizer *t, const char *const *stops, size_t count,
                        fr_saying *out);
void fr_saying_free(fr_saying *s);
void fr_saying_begin(fr_saying *s);
/* s->stops.hit says that the text has ended. */
fr_status fr_saying_token(fr_saying *s, int32_t token);
fr_status fr_saying_end(fr_saying *s);

#endif
