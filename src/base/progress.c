/* progress.c: the line that long work shows.
 *
 * "training  [######......]  45%  9.0 K/20.0 K steps  1.50 K steps/s  7.3 s left  loss 0.123" */
#include "base/base.h"
#include "base/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define SILENT_FOR     1.0 /* seconds: shorter work shows nothing */
#define TERMINAL_EVERY 0.1
#define PIPE_EVERY     5.0
#define BAR_CELLS      20

static atomic_bool quiet;
static atomic_bool on_screen; /* a line of ours stands on the terminal */

void fr_set_quiet(bool on) {
    atomic_store(&quiet, on);
}
bool fr_is_quiet(void) {
    return atomic_load(&quiet);
}

/* ---- numbers for people ---- */

/* Three digits and the right unit; never "1000". */
static char *show_scaled(char *buf, double n, double step, const char *const *units, int count) {
    int unit = 0;
    while (fabs(n) >= 999.5 && unit + 1 < count) {
        n /= step;
        unit++;
    }
    bool whole = unit == 0 && n == floor(n);
    int digits = whole || fabs(n) >= 99.95 ? 0 : fabs(n) >= 9.995 ? 1 : 2;
    snprintf(buf, 32, "%.*f%s%s", digits, n, *units[unit] ? " " : "", units[unit]);
    return buf;
}

char *fr_show_bytes(char *buf, double bytes) {
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
    return show_scaled(buf, bytes, 1000, units, (int)FR_COUNT(units));
}

char *fr_show_count(char *buf, double n) {
    static const char *const units[] = {"", "K", "M", "G", "T", "P"};
    return show_scaled(buf, n, 1000, units, (int)FR_COUNT(units));
}

char *fr_show_time(char *buf, double seconds) {
    if (!(seconds >= 0)) seconds = 0;
    if (seconds < 1e-3) {
        snprintf(buf, 32, "%.0f us", seconds * 1e6);
    } else if (seconds < 1) {
        snprintf(buf, 32, "%.0f ms", seconds * 1e3);
    } else if (seconds < 59.95) {
        snprintf(buf, 32, "%.1f s", seconds);
    } else {
        double whole = FR_MIN(floor(seconds + 0.5), 3600e6);
        long hours = (long)(whole / 3600), rest = (long)(whole - 3600.0 * (double)hours);
        if (hours) {
            snprintf(buf, 32, "%ldh %02ldm", hours, rest / 60);
        } else {
            snprintf(buf, 32, "%ldm %02lds", rest / 60, rest % 60);
        }
    }
    return buf;
}

/* ---- the line ---- */

typedef struct line {
    char *text;
    size_t used, size;
} line;

static void add(line *l, const char *fmt, ...) FR_PRINTF(2, 3);
static void add(line *l, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(l->text + l->used, l->size - l->used, fmt, args);
    va_end(args);
    if (n > 0) l->used = FR_MIN(l->used + (size_t)n, l->size - 1);
}

static char *show_amount(const fr_progress *p, char *buf, double n) {
    return strcmp(p->unit, "B") == 0 ? fr_show_bytes(buf, n) : fr_show_count(buf, n);
}

static void add_amount(line *l, const fr_progress *p) {
    const char *unit = strcmp(p->unit, "B") == 0 ? "" : p->unit;
    char a[32], b[32];
    if (p->total > 0) {
        double part = FR_MIN(FR_MAX_OF(p->done / p->total, 0.0), 1.0);
        add(l, "%3.0f%%  %s/%s %s", floor(100 * part), show_amount(p, a, p->done),
            show_amount(p, b, p->total), unit);
    } else {
        add(l, "%s %s", show_amount(p, a, p->done), unit);
    }
}

static void add_bar(line *l, const fr_progress *p) {
    if (p->total <= 0) return;
    double part = FR_MIN(FR_MAX_OF(p->done / p->total, 0.0), 1.0);
    char bar[BAR_CELLS + 1];
    for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < (int)(part * BAR_CELLS) ? '#' : '.';
    bar[BAR_CELLS] = 0;
    add(l, "[%s] ", bar);
}

static void make_line(line *l, const fr_progress *p, double now, bool last) {
    double elapsed = now - p->start, rate = elapsed > 0 ? p->done / elapsed : 0;
    char text[32];
    add(l, "%s  ", p->what);
    if (p->terminal) add_bar(l, p);
    add_amount(l, p);
    if (rate > 0) {
        bool bytes = strcmp(p->unit, "B") == 0;
        add(l, "  %s%s%s/s", show_amount(p, text, rate), bytes || !*p->unit ? "" : " ",
            bytes ? "" : p->unit);
    }
    if (last) {
        add(l, "  in %s", fr_show_time(text, elapsed));
    } else if (rate > 0 && p->total > p->done) {
        add(l, "  %s left", fr_show_time(text, (p->total - p->done) / rate));
    }
    if (*p->note) add(l, "  %s", p->note);
}

/* The line must not wrap, or it could not be redrawn. */
static void cut_to(char *text, int width) {
    int used = 0, bytes;
    for (char *p = text; *p; p += bytes) {
        used += fr_char_width(fr_utf8_next(p, &bytes));
        if (used > width) {
            *p = 0;
            return;
        }
    }
}

const char *fr_progress_step(fr_progress *p, double done, double now, bool last, int width,
                             char *buf, size_t size) {
    buf[0] = 0;
    p->done = done;
    double every = p->terminal ? TERMINAL_EVERY : PIPE_EVERY;
    if (p->quiet) return buf;
    if (last ? !p->shown : now - p->start < SILENT_FOR || now - p->drawn < every) return buf;
    line l = {buf, 0, size - 2}; /* room for the line end */
    if (p->terminal) add(&l, "\r\033[K");
    size_t lead = l.used;
    make_line(&l, p, now, last);
    fr_text_tame(buf + lead);
    if (width > 1) cut_to(buf + lead, width - 1);
    if (last || !p->terminal) strcat(buf, "\n");
    p->drawn = now;
    p->shown = true;
    return buf;
}

/* ---- the clock and the printing ---- */

void fr_progress_clear(void) {
    if (atomic_exchange(&on_screen, false)) fputs("\r\033[K", stderr);
}

fr_progress fr_progress_start(const char *what, double total, const char *unit) {
    double now = fr_now();
    fr_progress p = {.what = what, .unit = unit ? unit : "", .total = total, .start = now};
    p.drawn = now;
    p.quiet = fr_is_quiet();
    p.terminal = fr_is_terminal(stderr);
    return p;
}

static void step(fr_progress *p, double done, bool last) {
    char buf[512];
    int width = p->terminal ? fr_terminal_width(stderr) : 0;
    if (!*fr_progress_step(p, done, fr_now(), last, width, buf, sizeof buf)) return;
    if (p->terminal) atomic_store(&on_screen, !last);
    fputs(buf, stderr);
    fflush(stderr);
}

void fr_progress_update(fr_progress *p, double done) {
    p->done = done;
    /* Seen from a tight loop this must cost nothing but the clock. */
    if (!p->quiet && fr_now() - p->drawn >= TERMINAL_EVERY) step(p, done, false);
}

void fr_progress_note(fr_progress *p, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->note, sizeof p->note, fmt, args);
    va_end(args);
}

void fr_progress_end(fr_progress *p) {
    step(p, p->done, true);
}
