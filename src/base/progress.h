/* progress.h: long work shows itself. On a terminal one line that redraws itself, in a pipe a plain
 * line every few seconds, under --quiet nothing. Shorter than a second: nothing at all. */
#ifndef FR_BASE_PROGRESS_H
#define FR_BASE_PROGRESS_H

#include <frugal/types.h>

typedef struct fr_progress {
    const char *what, *unit;
    double total; /* 0: unknown */
    double done;
    double start, drawn;
    char note[96]; /* shown at the end of the line: "loss 0.123" */
    bool terminal, quiet, shown;
} fr_progress;

void fr_set_quiet(bool quiet);
bool fr_is_quiet(void);

fr_progress fr_progress_start(const char *what, double total, const char *unit);
void fr_progress_update(fr_progress *p, double done);
void fr_progress_note(fr_progress *p, const char *fmt, ...) FR_PRINTF(2, 3);
void fr_progress_end(fr_progress *p);
/* Wipes the line that is on the terminal, if there is one, before something else is printed. */
void fr_progress_clear(void);
/* What an update or the end at time `now` would print on a terminal of this width, or in a pipe;
 * "" for nothing. This is all of the work but the clock and the printing. */
const char *fr_progress_step(fr_progress *p, double done, double now, bool last, int width,
                             char *buf, size_t size);

/* "1.5 GB", "12 345", "2m 03s" into a buffer of at least 32; return it. */
char *fr_show_bytes(char *buf, double bytes);
char *fr_show_count(char *buf, double n); /* 1.50 M, 12.3 G */
char *fr_show_time(char *buf, double seconds);

#endif
