/* line.h: a small world of text: lines made from a seed by number, and judges that are exact.
 *
 * A line is one document: what is given (the first `prompt` bytes) and what is to be said (the rest). The cut
 * stands before a space or between single characters, so that a tokenizer sees both parts as it sees the
 * whole. A line is a pure function of seed, number, task and split: any thread may make any line. */
#ifndef FR_WORLD_LINE_H
#define FR_WORLD_LINE_H

#include "base/base.h"

typedef enum fr_line_task {
    FR_LINE_CAPTION,  /* "a photo of a red circle left of a blue star"; all of it is to be said */
    FR_LINE_HOW_MANY, /* questions about a scene that the line describes: how many of a class, */
    FR_LINE_HOW_MANY_OF, /* of a colour, or of a colour and a class */
    FR_LINE_COLOUR,      /* what colour the only circle has */
    FR_LINE_WHERE,       /* what stands left (right, above, below) of what; is a left of b */
    FR_LINE_COUNT,     /* count on: "Count from 7 to 11: 7 8 9 10 11"; count marks: "* * * *: 4" */
    FR_LINE_ADD,       /* two numbers of one or two digits; also as a question in words */
    FR_LINE_SUBTRACT,  /* the result may be negative */
    FR_LINE_MULTIPLY,  /* one digit by one or two */
    FR_LINE_COUNTDOWN, /* "372:+013," and a postfix expression that uses each digit once */
    FR_LINE_STORY,     /* names, colours, places and pronouns that must agree */
    FR_LINE_TASKS
} fr_line_task;

/* By a hash of the problem itself (not of its wording), so that no problem stands on both sides: 90% train, 5%
 * validation, 5% held out. */
typedef enum fr_line_split {
    FR_LINES_TRAIN = 0,
    FR_LINES_VALIDATION,
    FR_LINES_HELD_OUT,
    FR_LINES_ALL
} fr_line_split;

#define FR_LINE_TEXT 640 /* bytes of the longest line, with its zero */

typedef struct fr_line {
    fr_line_task task;
    int prompt;       /* bytes that are given */
    int bytes;        /* of the whole */
    uint64_t problem; /* a hash of what is asked, not of its wording */
    char text[FR_LINE_TEXT];
} fr_line;

extern const char *const fr_line_task_names[FR_LINE_TASKS]; /* "caption", "how_many" ... */

/* Line number `index` of a seed. task -1: by lot, with the shares of the training mix. */
void fr_line_make(uint64_t seed, uint64_t index, int task, fr_line_split split, fr_line *out);

/* Is what was said (everything behind the prompt, up to the end of the document) right? Where several answers
 * are right (countdown, story, caption) any of them is. reason: empty when right, else a few words. */
bool fr_line_judge(const fr_line *asked, const char *said, char reason[96]);

/* The split that the line's problem belongs to. */
fr_line_split fr_line_split_of(const fr_line *line);

#endif
