/* table.c: tables for the terminal.
 *
 * Every column is as wide as its widest cell. Where the terminal is too narrow the widest text
 * column gives way first; numbers, to the right, stay whole as long as they can. */
#include "base/base.h"
#include "base/text.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMNS_MOST 32
#define NARROWEST    8
#define GAP          2

struct fr_table {
    size_t columns;
    char *head[COLUMNS_MOST];
    bool right[COLUMNS_MOST];
    char **cell;
    size_t cells, cells_cap;
    size_t *rule; /* a line before the cell of this number */
    size_t rules, rules_cap;
    bool broken; /* memory ran out: what is there is printed */
};

/* ---- building ---- */

static bool add_column(fr_table *t, const char *name, size_t length) {
    bool right = length && name[0] == '>';
    t->right[t->columns] = right;
    t->head[t->columns] = fr_format("%.*s", (int)length - right, name + right);
    return t->head[t->columns++] != NULL;
}

fr_table *fr_table_new(const char *columns) {
    fr_table *t = fr_alloc(FR_MEM_OTHER, sizeof *t);
    if (!t) return NULL;
    for (const char *p = columns; t->columns < COLUMNS_MOST;) {
        size_t length = strcspn(p, "|");
        if (!add_column(t, p, length)) {
            fr_table_free(t);
            return NULL;
        }
        if (!p[length]) break;
        p += length + 1;
    }
    return t;
}

void fr_table_free(fr_table *t) {
    if (!t) return;
    for (size_t i = 0; i < t->columns; i++) fr_free(t->head[i]);
    for (size_t i = 0; i < t->cells; i++) fr_free(t->cell[i]);
    fr_free(t->cell);
    fr_free(t->rule);
    fr_free(t);
}

void fr_table_cell(fr_table *t, const char *fmt, ...) {
    if (!t || t->broken) return;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fr_text_tame(text);
    char *copy = fr_strdup(text);
    if (!copy ||
        fr_grow((void **)&t->cell, &t->cells_cap, t->cells + 1, sizeof *t->cell) != FR_OK) {
        fr_free(copy);
        t->broken = true;
        return;
    }
    t->cell[t->cells++] = copy;
}

void fr_table_rule(fr_table *t) {
    if (!t || t->broken) return;
    if (fr_grow((void **)&t->rule, &t->rules_cap, t->rules + 1, sizeof *t->rule) != FR_OK) {
        t->broken = true;
        return;
    }
    t->rule[t->rules++] = t->cells;
}

/* ---- printing ---- */

typedef struct layout {
    int width[COLUMNS_MOST];
    int total;
} layout;

static int total_width(const fr_table *t, const int *width) {
    int total = GAP * ((int)t->columns - 1);
    for (size_t c = 0; c < t->columns; c++) total += width[c];
    return total;
}

/* The widest of the columns that are wider than `least`; -1: none. */
static int widest(const fr_table *t, const int *width, bool numbers, int least) {
    int best = -1;
    for (size_t c = 0; c < t->columns; c++) {
        if ((t->right[c] && !numbers) || width[c] <= least) continue;
        if (best < 0 || width[c] > width[best]) best = (int)c;
    }
    return best;
}

static layout lay_out(const fr_table *t, int most) {
    layout l = {0};
    for (size_t c = 0; c < t->columns; c++) l.width[c] = fr_text_width(t->head[c]);
    for (size_t i = 0; i < t->cells; i++) {
        int w = fr_text_width(t->cell[i]);
        if (w > l.width[i % t->columns]) l.width[i % t->columns] = w;
    }
    while (most > 0 && total_width(t, l.width) > most) {
        int c = widest(t, l.width, false, NARROWEST);
        if (c < 0) c = widest(t, l.width, true, 1);
        if (c < 0) break;
        l.width[c]--;
    }
    l.total = total_width(t, l.width);
    return l;
}

static void pad(FILE *out, int columns) {
    for (int i = 0; i < columns; i++) fputc(' ', out);
}

/* Writes text cut to `most` columns, the last of them an ellipsis when it was cut; what it took. */
static int put_cut(FILE *out, const char *text, int most) {
    if (fr_text_width(text) <= most) {
        fputs(text, out);
        return fr_text_width(text);
    }
    int used = 0, bytes;
    for (; *text; text += bytes) {
        int w = fr_char_width(fr_utf8_next(text, &bytes));
        if (used + w > most - 1) break;
        fwrite(text, 1, (size_t)bytes, out);
        used += w;
    }
    fputs("\u2026", out);
    return used + 1;
}

static void put_row(const fr_table *t, const layout *l, char *const *cells, size_t count,
                    FILE *out) {
    for (size_t c = 0; c < count; c++) {
        int space = l->width[c] - fr_text_width(cells[c]);
        if (t->right[c] && space > 0) pad(out, space);
        int used = put_cut(out, cells[c], l->width[c]);
        if (c + 1 == count) break; /* no blanks at the end of a line */
        if (!t->right[c]) pad(out, l->width[c] - used);
        pad(out, GAP);
    }
    fputc('\n', out);
}

static void put_rule(const layout *l, FILE *out) {
    for (int i = 0; i < l->total; i++) fputs("\u2500", out);
    fputc('\n', out);
}

void fr_table_print_width(const fr_table *t, FILE *out, int width) {
    if (!t) return;
    layout l = lay_out(t, width);
    put_row(t, &l, t->head, t->columns, out);
    put_rule(&l, out);
    size_t rule = 0;
    for (size_t i = 0; i < t->cells; i += t->columns) {
        for (; rule < t->rules && t->rule[rule] <= i; rule++) put_rule(&l, out);
        put_row(t, &l, t->cell + i, FR_MIN(t->columns, t->cells - i), out);
    }
}

void fr_table_print(const fr_table *t, FILE *out) {
    fr_table_print_width(t, out, fr_terminal_width(out));
}

/* ---- the terminal ---- */

bool fr_is_terminal(FILE *f) {
    return isatty(fileno(f)) == 1;
}

int fr_terminal_width(FILE *f) {
    if (!fr_is_terminal(f)) return 0;
    struct winsize size;
    if (ioctl(fileno(f), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}
