/* stops.h: texts at which an answer ends, wherever tokens are cut. What may yet become one waits. */
#ifndef FR_TEXT_STOPS_H
#define FR_TEXT_STOPS_H

#include "base/base.h"

typedef struct fr_stops {
    char **texts;
    size_t *bytes;
    size_t count;
    char *held; /* room for the longest */
    size_t held_bytes, longest;
    bool hit; /* one has come: nothing follows */
} fr_stops;

/* Empty texts are refused; none at all is fine. */
fr_status fr_stops_new(const char *const *texts, size_t count, fr_stops *out);
void fr_stops_free(fr_stops *s);
void fr_stops_reset(fr_stops *s);
/* Puts out what can not belong to a stop; room: `bytes` and those held, less than `longest`. A stop itself is
 * not put out: s->hit says that one came. Of several that end at the same place the longest counts. */
size_t fr_stops_add(fr_stops *s, const char *text, size_t bytes, char *out);
/* Nothing comes any more: what was held. */
size_t fr_stops_end(fr_stops *s, char *out);
#define FR_STOPS_ROOM(s, bytes) ((bytes) + (s)->longest + 1)

#endif
