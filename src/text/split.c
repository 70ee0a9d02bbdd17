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
    bool valid;        /* all of it is UTF-8 */
    const char *first; /* before this nothing stands */
} splitting;

static fr_status run_step(splitting *s, size_t step, const char *text, size_t bytes);

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

static fr_status flush(splitting *s, size_t step, const char *text, const pending *p) {
    bool drop = s->t->steps[step].cut == FR_CUT_REMOVED && p->matched;
    if (p->start == p->end || drop) return FR_OK;
    return run_step(s, step + 1, text + p->start, p->end - p->start);
}

/* The next part, up to `end`. */
static fr_status part(splitting *s, size_t step, const char *text, pending *p, size_t end,
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

/* The next match of a step, as of fr_pattern_find. */
static fr_status find_match(splitting *s, const fr_step *rule, const char *text, size_t bytes,
                            size_t from, size_t *start, size_t *end) {
    if (rule->pattern && s->valid) {
        return fr_pattern_find(rule->pattern, s->scratch, text, bytes, from, start, end);
    }
    *end = 0;
    while (rule->pattern && from < bytes && !*end) { /* what is not UTF-8 no pattern sees */
        size_t broken, valid = fr_utf8_valid(text + from, bytes - from, &broken);
        FR_TRY(fr_pattern_find(rule->pattern, s->scratch, text + from, valid, 0, start, end));
        if (*end) {
            *start += from;
            *end += from;
        }
        from += valid + broken;
    }
    for (size_t i = from, n; !rule->pattern && i < bytes; i += n) {
        int32_t c;
        n = fr_char_at(text + i, bytes - i, &c);
        if (rule->kind == FR_STEP_SPACE ? fr_space_at(text + i, n) == n : fr_bert_mark(c)) {
            *start = i;
            *end = i + n;
            break;
        }
    }
    return FR_OK;
}

static fr_status split(splitting *s, size_t step, const char *text, size_t bytes) {
    pending p = {0};
    while (p.end < bytes) {
        size_t start, end;
        FR_TRY(find_match(s, &s->t->steps[step], text, bytes, p.end, &start, &end));
        if (!end) break;
        FR_TRY(part(s, step, text, &p, start, false));
        FR_TRY(part(s, step, text, &p, end, true));
    }
    FR_TRY(part(s, step, text, &p, bytes, false));
    return flush(s, step, text, &p);
}

static fr_status with_space(splitting *s, size_t step, const char *text, size_t bytes) {
    const fr_step *rule = &s->t->steps[step];
    char *copy = fr_alloc_array(FR_MEM_OTHER, bytes + 1, 1);
    if (!copy) return FR_NOMEM;
    copy[0] = ' ';
    memcpy(copy + 1, text, bytes);
    if (s->first == text) s->first = copy;
    fr_status status =
        rule->pattern ? split(s, step, copy, bytes + 1) : run_step(s, step + 1, copy, bytes + 1);
    fr_free(copy);
    return status;
}

/* Spaces become marks, one is put first, and each mark begins a piece. */
static fr_status cut_at_marks(splitting *s, size_t step, const char *text, size_t bytes) {
    const fr_step *rule = &s->t->steps[step];
    size_t n = strlen(rule->mark), start = 0;
    if (!rule->flag) return run_step(s, step + 1, text, bytes);
    for (const char *at; (at = memmem(text + start + 1, bytes - start - 1, rule->mark, n));) {
        size_t end = (size_t)(at - text);
        FR_TRY(run_step(s, step + 1, text + start, end - start));
        start = end;
    }
    return run_step(s, step + 1, text + start, bytes - start);
}

static fr_status with_marks(splitting *s, size_t step, const char *text, size_t bytes) {
    const fr_step *rule = &s->t->steps[step];
    size_t n = strlen(rule->mark), room = bytes + 1, count = 0;
    bool begins = text[0] == ' ' || (bytes >= n && !memcmp(text, rule->mark, n));
    bool put =
        !begins && (rule->put == FR_PUT_ALWAYS || (rule->put == FR_PUT_FIRST && text == s->first));
    for (size_t i = 0; i < bytes; i++) room += text[i] == ' ' ? n : 0;
    char *copy = fr_alloc_array(FR_MEM_OTHER, room + n, 1);
    if (!copy) return FR_NOMEM;
    if (put) memcpy(copy, rule->mark, n);
    count = put ? n : 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == ' ') {
            memcpy(copy + count, rule->mark, n);
            count += n;
        } else {
            copy[count++] = text[i];
        }
    }
    if (s->first == text) s->first = copy;
    fr_status status = cut_at_marks(s, step, copy, count);
    fr_free(copy);
    return status;
}

static fr_status run_step(splitting *s, size_t step, const char *text, size_t bytes) {
    if (step == s->t->step_count) return s->sink(s->arg, text, bytes);
    const fr_step *rule = &s->t->steps[step];
    if (rule->kind == FR_STEP_META) return with_marks(s, step, text, bytes);
    if (rule->kind == FR_STEP_SPACE || rule->kind == FR_STEP_MARKS) {
        return split(s, step, text, bytes);
    }
    if (rule->prefix_space && text[0] != ' ') return with_space(s, step, text, bytes);
    if (!rule->pattern) return run_step(s, step + 1, text, bytes);
    return split(s, step, text, bytes);
}

/* Models of bytes take what is not UTF-8 as it is; before others nothing is cut there. */
fr_status fr_split_text(const fr_tokenizer *t, fr_pattern_scratch *scratch, const char *text,
                        size_t bytes, bool first, fr_piece_sink *sink, void *arg) {
    splitting s = {t, scratch, sink, arg, true, first ? text : NULL};
    if (t->model != FR_PIECES_BYTES) {
        size_t broken;
        s.valid = fr_utf8_valid(text, bytes, &broken) == bytes;
        return run_step(&s, 0, text, bytes);
    }
    while (bytes) {
        size_t broken, valid = fr_utf8_valid(text, bytes, &broken);
        if (valid) FR_TRY(run_step(&s, 0, text, valid));
        if (broken) FR_TRY(sink(arg, text + valid, broken));
        text += valid + broken;
        bytes -= valid + broken;
    }
    return FR_OK;
}
