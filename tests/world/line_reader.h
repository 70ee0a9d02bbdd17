/* line_reader.h: reads a line of the text world again from its bytes; shares nothing with the makers. */
#ifndef LINE_READER_H
#define LINE_READER_H

#include "world/world.h"

typedef struct thing {
    int count, colour, class; /* -1: not said, or any shape */
} thing;

typedef struct asked_scene {
    thing thing[8]; /* in the order of the description */
    int things;
    bool row, column;
    char question[FR_LINE_TEXT]; /* in lower case, without marks */
} asked_scene;

/* Asserts that counts, articles and plurals agree. */
asked_scene read_scene(const char *prompt);
/* The colours and classes that a question names, in their order, and whether the last is a plural; their number. */
int things_of(const char *question, thing *out, bool *several);

/* What must be said, from the prompt alone; that there is one answer is asserted. */
void answer_scene(const char *prompt, char out[FR_LINE_TEXT]);
bool answer_number(const char *prompt, char out[FR_LINE_TEXT]); /* false: not a prompt of numbers */

const char *prompt_of(const fr_line *l, char out[FR_LINE_TEXT]);
bool is_scene(fr_line_task t);
bool is_number(fr_line_task t);

#endif
