/* split.c: cuts a text into the pieces within which merges happen, step after step of the pre-tokenizer, and calls
 * for each piece as soon as it is known: nothing is listed. */
#include <string.h>

#include "text/tokenizer_parts.h"

const char *const fr_cut_names[FR_CUT_COUNT] = {"Isolated", "Removed", "Contiguous",
                                                "MergedWithPrevious", "MergedWithNext"};

typedef struct splitting {
    const fr_tokenizer *t;
    fr_pattern_scratch *scratch;
    fr_piece_sink *sink;
    void *arg;
} splitting;

static fr_status run_step(const splitting *s, size_t step, const char *text, size_t bytes);

/* A part of the text that is not handed on yet, as the next part may join it. */
typedef struct pending {
    size_t start, end;
    bool matched; /* whether its last part was a match */
} pending;

static bool joins(fr_cut cut, bool before, bool now) {
    switch (cut) {
    case FR_CUT_CONTIGUOUS: return before == now;
    case FR_CUT_WITH_PREVIOUS: return now && !before;
    case FR_CUT_WITH_NEXT: return before && !now;
    default: return false;
    }
}

static fr_status flush(const splitting *s, size_t step, const char *text, const pending *p) {
    bool drop = s->t->steps[step].cut == FR_CUT_REMOVED && p->matched;
    if (p->start == p->end || drop) return FR_OK;
    return run_step(s, step + 1, text + p->start, p->end - p->start);
}

/* The next part, up to `end`. */
static fr_status part(const splitting *s, size_t step, const char *text, pending *p, size_t end,
                      bool matched) {
    const fr_step *rule = &s->t->steps[step];
    if (end == p->end) return FR_OK;
    matched ^= rule->invert;
    if (p->start == p->end || !joins(rule->cut, p->matched, matched)) {
        FR_TRY(flush(s, step, text, p));
        p->start = p->end;
    }
    p->end = end;
    p->matched = matched;
    return FR_OK;
}

static fr_status split(const splitting *s, size_t step, const char *text, size_t bytes) {
    pending p = {0};
    while (p.end < bytes) {
        size_t start, end;
        FR_TRY(fr_pattern_find(s->t->steps[step].pattern, s->scratch, text, bytes, p.end, &start,
                               &end));
        if (!end) break;
        FR_TRY(part(s, step, text, &p, start, false));
        FR_TRY(part(s, step, text, &p, end, true));
    }
    FR_TRY(part(s, step, text, &p, bytes, false));
    return flush(s, step, text, &p);
}

static fr_status with_space(const splitting *s, size_t step, const char *text, size_t bytes) {
    const fr_step *rule = &s->t->steps[step];
    char *copy = fr_alloc_array(FR_MEM_OTHER, bytes + 1, 1);
    if (!copy) return FR_NOMEM;
    copy[0] = ' ';
    memcpy(copy + 1, text, bytes);
    fr_status status =
        rule->pattern ? split(s, step, copy, bytes + 1) : run_step(s, step + 1, copy, bytes + 1);
    fr_free(copy);
    return status;
}

static fr_status run_step(const splitting *s, size_t step, const char *text, size_t bytes) {
    if (step == s->t->step_count) return s->sink(s->arg, text, bytes);
    const fr_step *rule = &s->t->steps[step];
    if (rule->prefix_space && text[0] != ' ') return with_space(s, step, text, bytes);
    if (!rule->pattern) return run_step(s, step + 1, text, bytes);
    return split(s, step, text, bytes);
}

fr_status fr_split_text(const fr_tokenizer *t, fr_pattern_scratch *scratch, const char *text,
                        size_t bytes, fr_piece_sink *sink, void *arg) {
    splitting s = {t, scratch, sink, arg};
    while (bytes) {
        size_t broken, valid = fr_utf8_valid(text, bytes, &broken);
        if (valid) FR_TRY(run_step(&s, 0, text, valid));
        if (broken) FR_TRY(sink(arg, text + valid, broken));
        text += valid + broken;
        bytes -= valid + broken;
    }
    return FR_OK;
}
