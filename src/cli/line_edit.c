/* line_edit.c: see line_edit.h.
 *
 * The terminal gives single keys while a line is edited. A line that is wider than the terminal is shown in part, around
 * the cursor: so nothing here depends on how a terminal breaks lines. */
#include "cli/line_edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { MOST_HISTORY = 500, MOST_LINE = 1 << 20 };

/* Keys that are no characters. */
enum {
    KEY_LEFT = -100,
    KEY_RIGHT,
    KEY_UP,
    KEY_DOWN,
    KEY_HOME,
    KEY_END,
    KEY_DELETE,
    KEY_NONE,
    KEY_EOF
};

struct fr_lines {
    bool terminal;
    char *text;
    size_t bytes, cap;
    size_t at;    /* the cursor: a byte */
    char *before; /* what was typed, while the history is shown */
    char **past;  /* the oldest first */
    size_t past_count, past_cap;
    size_t shown; /* of the past; past_count: what is typed */
    char *path;
};

/* ---- history ---- */

static fr_status remember(fr_lines *l, const char *text) {
    if (!*text || (l->past_count && !strcmp(l->past[l->past_count - 1], text))) return FR_OK;
    if (l->past_count == MOST_HISTORY) {
        fr_free(l->past[0]);
        memmove(l->past, l->past + 1, --l->past_count * sizeof *l->past);
    }
    FR_TRY(fr_grow((void **)&l->past, &l->past_cap, l->past_count + 1, sizeof *l->past));
    char *copy = fr_strdup(text);
    if (!copy) return FR_NOMEM;
    l->past[l->past_count++] = copy;
    return FR_OK;
}

/* What cannot be read is not there: a history is no reason to fail. */
static fr_status load(fr_lines *l) {
    char *text;
    size_t bytes;
    if (!l->path || !fr_path_exists(l->path)) return FR_OK;
    if (fr_read_file(l->path, 16 << 20, &text, &bytes)) {
        fr_message_clear();
        return FR_OK;
    }
    fr_status st = FR_OK;
    for (char *line = strtok(text, "\n"); line && !st; line = strtok(NULL, "\n"))
        st = remember(l, line);
    fr_free(text);
    return st;
}

static void save(const fr_lines *l) {
    if (!l->path) return;
    mode_t before = umask(077); /* what a person says is theirs */
    FILE *f = fopen(l->path, "w");
    umask(before);
    for (size_t i = 0; f && i < l->past_count; i++) fprintf(f, "%s\n", l->past[i]);
    if (f) fclose(f);
}

char *fr_state_file(const char *name) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *dir = NULL, *path = NULL;
    if (state && *state == '/')
        dir = fr_format("%s/frugal", state);
    else if (home && *home == '/')
        dir = fr_format("%s/.local/state/frugal", home);
    if (dir && fr_make_dirs(dir) == FR_OK) path = fr_path_join(dir, name);
    fr_message_clear();
    fr_free(dir);
    return path;
}

fr_status fr_lines_new(const char *history, fr_lines **out) {
    fr_lines *l = *out = fr_alloc(FR_MEM_OTHER, sizeof *l);
    if (!l) return FR_NOMEM;
    l->terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    const char *kind = getenv("TERM");
    if (kind && !strcmp(kind, "dumb")) l->terminal = false;
    fr_status st = FR_OK;
    if (l->terminal && history && !(l->path = fr_strdup(history))) st = FR_NOMEM;
    if (!st) st = load(l);
    if (!st) return FR_OK;
    fr_lines_free(l);
    *out = NULL;
    return st;
}

void fr_lines_free(fr_lines *l) {
    if (!l) return;
    save(l);
    for (size_t i = 0; i < l->past_count; i++) fr_free(l->past[i]);
    fr_free(l->past);
    fr_free(l->text);
    fr_free(l->before);
    fr_free(l->path);
    fr_free(l);
}

bool fr_lines_terminal(const fr_lines *l) {
    return l->terminal;
}

/* ---- a line in memory ---- */

static fr_status insert(fr_lines *l, const char *text, size_t bytes) {
    if (l->bytes + bytes > MOST_LINE) return FR_OK;
    FR_TRY(fr_grow((void **)&l->text, &l->cap, l->bytes + bytes + 1, 1));
    memmove(l->text + l->at + bytes, l->text + l->at, l->bytes - l->at);
    memcpy(l->text + l->at, text, bytes);
    l->bytes += bytes;
    l->at += bytes;
    l->text[l->bytes] = 0;
    return FR_OK;
}

static void cut(fr_lines *l, size_t from, size_t to) {
    memmove(l->text + from, l->text + to, l->bytes - to + 1);
    l->bytes -= to - from;
    l->at = from;
}

static fr_status replace(fr_lines *l, const char *text) {
    l->bytes = l->at = 0;
    return insert(l, text, strlen(text));
}

/* One character, with the marks that stand on it. */
static size_t left_of(const fr_lines *l, size_t at) {
    while (at > 0) {
        at--;
        while (at > 0 && ((uint8_t)l->text[at] & 0xC0) == 0x80) at--;
        int bytes;
        if (fr_char_width(fr_utf8_next(l->text + at, &bytes)) > 0) break;
    }
    return at;
}

static size_t right_of(const fr_lines *l, size_t at) {
    int bytes;
    if (at < l->bytes) {
        fr_utf8_next(l->text + at, &bytes);
        at += (size_t)bytes;
    }
    while (at < l->bytes && fr_char_width(fr_utf8_next(l->text + at, &bytes)) == 0)
        at += (size_t)bytes;
    return at;
}

static size_t word_left(const fr_lines *l) {
    size_t at = l->at;
    while (at > 0 && l->text[at - 1] == ' ') at--;
    while (at > 0 && l->text[at - 1] != ' ') at--;
    return at;
}

static fr_status show_past(fr_lines *l, size_t which) {
    if (which > l->past_count || which == l->shown) return FR_OK;
    if (l->shown == l->past_count) {
        fr_free(l->before);
        if (!(l->before = fr_strdup(l->text))) return FR_NOMEM;
    }
    l->shown = which;
    return replace(l, which == l->past_count ? l->before : l->past[which]);
}

/* ---- keys ---- */

static int read_byte(void) {
    uint8_t c;
    ssize_t n = read(STDIN_FILENO, &c, 1);
    return n == 1 ? c : KEY_EOF;
}

static int read_escape(void) {
    int c = read_byte();
    if (c != '[' && c != 'O') return KEY_NONE;
    c = read_byte();
    int number = 0;
    while ((c >= '0' && c <= '9') || c == ';') {
        number = c == ';' || number > 99 ? 0 : 10 * number + c - '0';
        c = read_byte();
    }
    switch (c) {
    case 'A': return KEY_UP;
    case 'B': return KEY_DOWN;
    case 'C': return KEY_RIGHT;
    case 'D': return KEY_LEFT;
    case 'H': return KEY_HOME;
    case 'F': return KEY_END;
    case '~':
        return number == 3                  ? KEY_DELETE
               : number == 1 || number == 7 ? KEY_HOME
               : number == 4 || number == 8 ? KEY_END
                                            : KEY_NONE;
    default: return KEY_NONE;
    }
}

static fr_status insert_char(fr_lines *l, int first) {
    char text[4] = {(char)first};
    size_t n = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    for (size_t i = 1; i < n; i++) {
        int c = read_byte();
        if (c < 0x80 || c > 0xBF) return FR_OK; /* no UTF-8: dropped */
        text[i] = (char)c;
    }
    return first < 0x80 || (first >= 0xC2 && first < 0xF5) ? insert(l, text, n) : FR_OK;
}

static fr_status edit(fr_lines *l, int key) {
    switch (key) {
    case KEY_LEFT:
    case 2: l->at = left_of(l, l->at); return FR_OK;
    case KEY_RIGHT:
    case 6: l->at = right_of(l, l->at); return FR_OK;
    case KEY_HOME:
    case 1: l->at = 0; return FR_OK;
    case KEY_END:
    case 5: l->at = l->bytes; return FR_OK;
    case KEY_UP:
    case 16: return l->shown ? show_past(l, l->shown - 1) : FR_OK;
    case KEY_DOWN:
    case 14: return show_past(l, l->shown + 1);
    case KEY_DELETE:
    case 4: cut(l, l->at, right_of(l, l->at)); return FR_OK;
    case 8:
    case 127: cut(l, left_of(l, l->at), l->at); return FR_OK;
    case 11: cut(l, l->at, l->bytes); return FR_OK;
    case 21: cut(l, 0, l->at); return FR_OK;
    case 23: cut(l, word_left(l), l->at); return FR_OK;
    case 12: fputs("\x1b[H\x1b[2J", stdout); return FR_OK;
    case '\t': return insert(l, " ", 1);
    default: return key >= ' ' ? insert_char(l, key) : FR_OK;
    }
}

/* ---- the terminal ---- */

static int columns(const char *text, size_t bytes) {
    int width = 0, n;
    for (size_t i = 0; i < bytes; i += (size_t)n)
        width += fr_char_width(fr_utf8_next(text + i, &n));
    return width;
}

/* The part of the line around the cursor that the terminal has room for. */
static void draw(const fr_lines *l, const char *prompt) {
    int head = fr_text_width(prompt), room = fr_terminal_width(stdout) - head - 1, n;
    size_t from = 0, to = l->bytes;
    if (room < 8) room = 8;
    while (columns(l->text + from, l->at - from) > room) {
        fr_utf8_next(l->text + from, &n);
        from += (size_t)n;
    }
    while (to > l->at && columns(l->text + from, to - from) > room) {
        do to--;
        while (to > l->at && ((uint8_t)l->text[to] & 0xC0) == 0x80);
    }
    printf("\r%s%.*s\x1b[K\r", prompt, (int)(to - from), l->text + from);
    int right = head + columns(l->text + from, l->at - from);
    if (right) printf("\x1b[%dC", right);
    fflush(stdout);
}

static fr_status edit_line(fr_lines *l, const char *prompt, fr_line_end *end) {
    FR_TRY(replace(l, ""));
    l->shown = l->past_count;
    for (;;) {
        draw(l, prompt);
        int key = read_byte();
        if (key == 27) key = read_escape();
        *end = key == 3 ? FR_LINE_BREAK : FR_LINE_READ;
        if (key == KEY_EOF || (key == 4 && !l->bytes)) *end = FR_LINE_NO_MORE;
        if (key == '\r' || key == '\n' || *end != FR_LINE_READ) return FR_OK;
        FR_TRY(edit(l, key));
    }
}

static fr_status read_terminal(fr_lines *l, const char *prompt, fr_line_end *end) {
    struct termios before, raw;
    fflush(stdout);
    if (tcgetattr(STDIN_FILENO, &before))
        return fr_fail(FR_IO, "The terminal does not say how it is set.");
    raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG | IEXTEN);
    raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    fr_status st = edit_line(l, prompt, end);
    l->at = l->bytes;
    if (!st) draw(l, prompt);
    printf("\n");
    tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    if (!st && *end == FR_LINE_READ) st = remember(l, l->text);
    return st;
}

static fr_status read_pipe(fr_lines *l, fr_line_end *end) {
    int c;
    FR_TRY(replace(l, ""));
    while ((c = getchar()) != EOF && c != '\n') {
        char one = (char)c;
        FR_TRY(insert(l, &one, 1));
    }
    if (l->bytes && l->text[l->bytes - 1] == '\r') l->text[--l->bytes] = 0;
    *end = c == EOF && !l->bytes ? FR_LINE_NO_MORE : FR_LINE_READ;
    return FR_OK;
}

fr_status fr_lines_read(fr_lines *l, const char *prompt, const char **line, fr_line_end *end) {
    FR_TRY(l->terminal ? read_terminal(l, prompt, end) : read_pipe(l, end));
    *line = l->text;
    return FR_OK;
}
