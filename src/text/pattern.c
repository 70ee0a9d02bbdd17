/* pattern.c: see pattern.h. A translation, then PCRE2, with machine code where the system allows it. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdlib.h>
#include <string.h>

#include "text/pattern.h"

#define SOURCE_MOST 16384
/* What a hostile expression may cost at one place of a text, and besides for each byte of it: a run of white space
 * is tried from all its ends. */
#define STEPS_MOST      1000000
#define STEPS_MOST_BYTE 8
#define HEAP_MOST       (64 * 1024) /* in units of 1024 bytes */

/* Members of sets. PCRE2's own \s has U+180E, its \w neither marks nor U+203F; Oniguruma's \w outside a set has the
 * superscripts and fractions of Latin-1 too. */
#define SPACES "\\p{Z}\\t-\\r\\x{85}"
#define WORDS  "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
#define LATIN1 "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

struct fr_pattern {
    pcre2_code *code;
};
struct fr_pattern_scratch {
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

/* ---- the translation ---- */

typedef struct writing {
    char *text;
    size_t count, cap;
    fr_status status;
} writing;

static void put(writing *w, const char *text, size_t bytes) {
    if (w->status == FR_OK) w->status = fr_grow((void **)&w->text, &w->cap, w->count + bytes, 1);
    if (w->status != FR_OK) return;
    memcpy(w->text + w->count, text, bytes);
    w->count += bytes;
}
static void puts_to(writing *w, const char *text) {
    put(w, text, strlen(text));
}

static fr_status refuse(const char *source, const char *what, size_t bytes) {
    return fr_fail(
        FR_UNSUPPORTED,
        "the pattern \"%.200s\" has %.*s, which Frugal does not read as the `tokenizers` "
        "package does",
        source, (int)bytes, what);
}

/* A set that may stand alone or within another. */
static void put_set(writing *w, const char *members, bool negated, int depth) {
    if (!depth) puts_to(w, negated ? "[^" : "[");
    puts_to(w, members);
    if (!depth) puts_to(w, "]");
}

/* \p{L}: two letters at most name a category in both; a longer name is a script, which PCRE2 by itself would take
 * as the script's wider extension. Returns the bytes read. */
static size_t put_property(writing *w, const char *at) {
    const char *close = at[2] == '{' ? strchr(at, '}') : NULL;
    if (!close) {
        put(w, at, at[2] ? 3 : 2);
        return at[2] ? 3 : 2;
    }
    const char *name = at + 3;
    bool negated = *name == '^';
    name += negated;
    put(w, at, 3 + negated);
    if (close - name > 2) puts_to(w, "sc:");
    put(w, name, (size_t)(close - name) + 1);
    return (size_t)(close - at) + 1;
}

/* One escape, at its backslash. */
static fr_status put_escape(writing *w, const char *source, const char *at, int depth,
                            size_t *read) {
    char c = at[1];
    *read = 2;
    if (c == 's') {
        put_set(w, SPACES, false, depth);
    } else if (c == 'w') {
        put_set(w, depth ? WORDS : WORDS LATIN1, false, depth);
    } else if ((c == 'S' || c == 'W') && !depth) {
        put_set(w, c == 'S' ? SPACES : WORDS LATIN1, true, 0);
    } else if (c == 'v') {
        puts_to(w, "\\x0b");
    } else if (c == 'p' || c == 'P') {
        *read = put_property(w, at);
    } else if (!c || (strchr("abBcCEgGhHkKNOQRuUXyYzZSW", c) && c != 'a' && c != 'z')) {
        return refuse(source, at, c ? 2 : 1);
    } else {
        put(w, at, 2);
    }
    return FR_OK;
}

/* What stands behind "(". */
static fr_status check_group(const char *source, const char *at) {
    static const char *const known[] = {":", "=", "!", "<=", "<!", ">", "i:", "i)", "-i:"};
    if (at[1] == '*') return refuse(source, at, 2);
    if (at[1] != '?') return FR_OK;
    for (size_t i = 0; i < FR_COUNT(known); i++) {
        if (strncmp(at + 2, known[i], strlen(known[i])) == 0) return FR_OK;
    }
    return refuse(source, at, strnlen(at, 4));
}

/* Within a set: a set in it joins it, so its brackets go. Returns the bytes read. */
static fr_status put_in_set(writing *w, const char *source, const char *at, int *depth,
                            size_t *read) {
    *read = 1;
    if (*at == '[') {
        if (at[1] == '^' || at[1] == ':') return refuse(source, at, 2);
        ++*depth;
    } else if (*at == ']') {
        if (--*depth == 0) puts_to(w, "]");
    } else if (at[0] == '&' && at[1] == '&') {
        return refuse(source, at, 2);
    } else {
        put(w, at, 1);
    }
    return FR_OK;
}

static fr_status put_outside(writing *w, const char *source, const char *at, int *depth,
                             size_t *read) {
    *read = 1;
    if (*at == '(') FR_TRY(check_group(source, at));
    if (at[0] == '}' && at[1] == '+') return refuse(source, at, 2);
    if (*at == '[') {
        *depth = 1;
        if (at[1] == '^') ++*read;
        if (at[*read] == ']' || at[1] == ':') return refuse(source, at, *read + 1);
        if (at[*read] == '[' && at[*read + 1] == ':') return refuse(source, at, *read + 2);
    }
    put(w, at, *read);
    return FR_OK;
}

static fr_status translate(const char *source, writing *w) {
    int depth = 0; /* of sets */
    for (const char *at = source; *at;) {
        size_t read;
        if (*at == '\\') {
            FR_TRY(put_escape(w, source, at, depth, &read));
        } else if (depth) {
            FR_TRY(put_in_set(w, source, at, &depth, &read));
        } else {
            FR_TRY(put_outside(w, source, at, &depth, &read));
        }
        at += read;
    }
    return w->status;
}

/* ---- PCRE2 ---- */

/* Our own memory, so that it is counted and tests can let it fail. */
static void *take(size_t bytes, void *arg) {
    (void)arg;
    return fr_alloc_array(FR_MEM_OTHER, bytes, 1);
}
static void give(void *p, void *arg) {
    (void)arg;
    fr_free(p);
}

static fr_status compile(const char *source, const writing *w, bool literal,
                         pcre2_general_context *memory, fr_pattern *p) {
    pcre2_compile_context *context = pcre2_compile_context_create(memory);
    if (!context) return FR_NOMEM;
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    /* As there, ^ and $ are those of lines. */
    uint32_t options =
        PCRE2_UTF |
        (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
    int error;
    size_t where;
    p->code = pcre2_compile((PCRE2_SPTR)w->text, w->count, options, &error, &where, context);
    pcre2_compile_context_free(context);
    if (!p->code) {
        if (error == PCRE2_ERROR_HEAP_FAILED) return FR_NOMEM;
        char why[128] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)why, sizeof why);
        return fr_fail(FR_FORMAT, "the pattern \"%.200s\" is not a regular expression: %s", source,
                       why);
    }
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE); /* a wish: without it matching is slower */
    return FR_OK;
}

fr_status fr_pattern_new(const char *source, bool literal, fr_pattern **out) {
    *out = NULL;
    size_t bytes = strlen(source);
    if (!bytes || bytes > SOURCE_MOST) {
        return fr_fail(FR_UNSUPPORTED, "a pattern of %zu bytes; 1 to %d are read", bytes,
                       SOURCE_MOST);
    }
    writing w = {0};
    if (literal) {
        puts_to(&w, source);
    } else {
        w.status = translate(source, &w);
    }
    fr_pattern *p = w.status == FR_OK ? fr_alloc(FR_MEM_OTHER, sizeof *p) : NULL;
    pcre2_general_context *memory = p ? pcre2_general_context_create(take, give, NULL) : NULL;
    fr_status status = w.status;
    if (status == FR_OK) status = memory ? compile(source, &w, literal, memory, p) : FR_NOMEM;
    pcre2_general_context_free(memory);
    fr_free(w.text);
    if (status != FR_OK) {
        fr_pattern_free(p);
        return status;
    }
    *out = p;
    return FR_OK;
}

void fr_pattern_free(fr_pattern *p) {
    if (!p) return;
    pcre2_code_free(p->code);
    fr_free(p);
}

fr_status fr_pattern_scratch_new(fr_pattern_scratch **out) {
    *out = NULL;
    fr_pattern_scratch *s = fr_alloc(FR_MEM_OTHER, sizeof *s);
    pcre2_general_context *memory = s ? pcre2_general_context_create(take, give, NULL) : NULL;
    if (memory) {
        s->data = pcre2_match_data_create(1, memory); /* only where the whole match lies */
        s->limits = pcre2_match_context_create(memory);
    }
    pcre2_general_context_free(memory);
    if (!memory || !s->data || !s->limits) {
        fr_pattern_scratch_free(s);
        return FR_NOMEM;
    }
    pcre2_set_heap_limit(s->limits, HEAP_MOST);
    *out = s;
    return FR_OK;
}

void fr_pattern_scratch_free(fr_pattern_scratch *s) {
    if (!s) return;
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->limits);
    fr_free(s);
}

fr_status fr_pattern_find(const fr_pattern *p, fr_pattern_scratch *s, const char *text,
                          size_t bytes, size_t from, size_t *start, size_t *end) {
    *start = *end = 0;
    size_t steps = STEPS_MOST + STEPS_MOST_BYTE * FR_MIN(bytes - from, (size_t)1 << 28);
    pcre2_set_match_limit(s->limits, (uint32_t)steps);
    int found = pcre2_match(p->code, (PCRE2_SPTR)text, bytes, from,
                            PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, s->data, s->limits);
    if (found == PCRE2_ERROR_NOMATCH) return FR_OK;
    if (found == PCRE2_ERROR_NOMEMORY) return fr_fail(FR_NOMEM, "out of memory in a pattern");
    const size_t *place = pcre2_get_ovector_pointer(s->data);
    if (found < 0 || place[0] < from || place[1] <= place[0]) {
        char why[128] = "it matched backwards";
        if (found < 0) pcre2_get_error_message(found, (PCRE2_UCHAR *)why, sizeof why);
        return fr_fail(FR_UNSUPPORTED, "the tokenizer's pattern gave up on this text: %s", why);
    }
    *start = place[0];
    *end = place[1];
    return FR_OK;
}
