/* line_edit.h: lines from a person: on a terminal with keys to edit and a history, from a pipe as they come. */
#ifndef FR_CLI_LINE_EDIT_H
#define FR_CLI_LINE_EDIT_H

#include "base/base.h"

typedef struct fr_lines fr_lines;
/* history: a file; NULL: none is kept. */
fr_status fr_lines_new(const char *history, fr_lines **out);
void fr_lines_free(fr_lines *l);
bool fr_lines_terminal(const fr_lines *l);

typedef enum fr_line_end {
    FR_LINE_READ,
    FR_LINE_BREAK, /* Ctrl-C */
    FR_LINE_NO_MORE
} fr_line_end;
/* The prompt is shown on a terminal only. The line is valid until the next call, without its end. */
fr_status fr_lines_read(fr_lines *l, const char *prompt, const char **line, fr_line_end *end);

/* $XDG_STATE_HOME/frugal/NAME, or the same under ~/.local/state; its folder is made. NULL: there is no place. fr_free
 * it. */
char *fr_state_file(const char *name);

#endif
