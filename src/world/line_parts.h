/* line_parts.h: what the files that make lines share; the list of tasks is in line.c. */
#ifndef FR_WORLD_LINE_PARTS_H
#define FR_WORLD_LINE_PARTS_H

#include "world/line.h"

/* A maker draws one line from the numbers of r and says which problem it is: a hash of what must not stand in two
 * splits. line.c draws again until the problem is of the wanted split. A judge is told the line that was asked. */
typedef uint64_t fr_line_maker(fr_rng *r, fr_line *out);
typedef bool fr_line_judger(const fr_line *asked, const char *said, char reason[96]);

/* scene questions: question.c */
fr_line_maker fr_line_how_many, fr_line_how_many_of, fr_line_colour, fr_line_where;
/* numbers: number.c */
fr_line_maker fr_line_count, fr_line_add, fr_line_subtract, fr_line_multiply;
/* countdown.c */
fr_line_maker fr_line_countdown;
fr_line_judger fr_line_countdown_judge;
/* story.c */
fr_line_maker fr_line_story;
fr_line_judger fr_line_story_judge;

/* line.c: text behind what the line has already; too long is a mistake of the grammar that a test finds. */
void fr_line_add_text(fr_line *l, const char *fmt, ...) FR_PRINTF(2, 3);
/* A hash for problems: FNV-1a over bytes. */
uint64_t fr_line_hash(const void *data, size_t bytes);

#endif
