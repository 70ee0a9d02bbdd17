/* story.c: stories written as walks over the table of sentences, and the judge that follows any text along such
 * walks.
 *
 * The judge tries every sentence that may stand next, so a text that can be read in two ways is right when one
 * of them is. What it says of a wrong text is what stopped the reading that came farthest. */
#include "world/story.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "world/line_parts.h"

enum { UNKNOWN = -1, VALUES = 32 };

typedef struct tale {
    fr_story_stage stage;
    int sentences;
    int fact[FR_STORY_FACTS];
} tale;

static tale new_tale(void) {
    tale t = {.stage = FR_STORY_START};
    for (int f = 0; f < FR_STORY_FACTS; f++) t.fact[f] = UNKNOWN;
    t.fact[FR_STORY_OWNER] = 0;
    return t;
}

/* May a fact that nobody has told yet be this? */
static bool may_be(const tale *t, fr_story_fact fact, int value) {
    const int *f = t->fact;
    if (fact == FR_STORY_FRIEND)
        return fr_story_is_girl(value) != fr_story_is_girl(f[FR_STORY_CHILD]);
    if (fact == FR_STORY_NEXT) return value != f[FR_STORY_HERE] && value != f[FR_STORY_THERE];
    return true;
}

static bool may_follow(const tale *t, const fr_story_sentence *s) {
    return s->from >> t->stage & 1;
}

static void after(tale *t, const fr_story_sentence *s) {
    int *f = t->fact;
    if (s->effects & FR_STORY_LEAVE) f[FR_STORY_THERE] = f[FR_STORY_HERE];
    if (s->effects & FR_STORY_GO) f[FR_STORY_HERE] = f[FR_STORY_NEXT];
    if (s->effects & FR_STORY_BACK) f[FR_STORY_HERE] = f[FR_STORY_THERE];
    if (s->effects & FR_STORY_HIDE) f[FR_STORY_THERE] = f[FR_STORY_NEXT];
    if (s->effects & FR_STORY_GIVE) f[FR_STORY_OWNER] = 1;
    f[FR_STORY_NEXT] = UNKNOWN;
    t->stage = s->to;
    t->sentences++;
}

/* ---- writing ---- */

static int draw_value(fr_rng *r, const tale *t, fr_story_fact fact, char slot) {
    int values = 0, value;
    while (fr_story_word(slot, values)) values++;
    do value = (int)fr_rng_below(r, (uint32_t)values);
    while (!may_be(t, fact, value));
    return value;
}

static void write_sentence(fr_rng *r, tale *t, const fr_story_sentence *s, fr_line *out) {
    if (out->bytes) fr_line_add_text(out, " ");
    for (const char *p = s->text; *p; p++) {
        if (*p != '%') {
            size_t n = strcspn(p, "%");
            fr_line_add_text(out, "%.*s", (int)n, p);
            p += n - 1;
            continue;
        }
        fr_story_fact fact = fr_story_fact_of(*++p, t->fact[FR_STORY_OWNER]);
        if (t->fact[fact] == UNKNOWN) t->fact[fact] = draw_value(r, t, fact, *p);
        fr_line_add_text(out, "%s", fr_story_word(*p, t->fact[fact]));
    }
    after(t, s);
}

static const fr_story_sentence *draw_sentence(fr_rng *r, const tale *t) {
    int open = 0;
    for (int i = 0; i < fr_story_sentence_count; i++) open += may_follow(t, &fr_story_sentences[i]);
    int lot = (int)fr_rng_below(r, (uint32_t)open);
    const fr_story_sentence *s = fr_story_sentences;
    while (!may_follow(t, s) || lot-- > 0) s++;
    return s;
}

/* The problem is what is given, not its wording: who, with whom, what and where. */
uint64_t fr_line_story(fr_rng *r, fr_line *out) {
    tale t = new_tale();
    while (t.stage < FR_STORY_SOLO) write_sentence(r, &t, draw_sentence(r, &t), out);
    out->prompt = out->bytes;
    unsigned char key[5];
    static const fr_story_fact given[5] = {FR_STORY_CHILD, FR_STORY_FRIEND, FR_STORY_COLOUR,
                                           FR_STORY_ITEM, FR_STORY_HERE};
    for (int i = 0; i < 5; i++) key[i] = (unsigned char)t.fact[given[i]];
    while (t.stage != FR_STORY_END) write_sentence(r, &t, draw_sentence(r, &t), out);
    return fr_line_hash(key, sizeof key);
}

/* ---- judging ---- */

typedef struct slip { /* a slot that says something else than the story so far */
    char slot;
    int said, right; /* right UNKNOWN: a value that may not be */
} slip;

/* The value of the slot that the text begins with; the one wanted where it fits, since many names share a
 * pronoun. */
static int read_value(char slot, int wanted, const char **text) {
    int found = UNKNOWN;
    for (int v = 0; v < VALUES; v++) {
        const char *word = fr_story_word(slot, v);
        if (!word) break;
        size_t n = strlen(word);
        if (strncmp(*text, word, n) != 0 || isalpha((unsigned char)(*text)[n])) continue;
        if (found == UNKNOWN || v == wanted) found = v;
        if (wanted == UNKNOWN || v == wanted) break;
    }
    if (found != UNKNOWN) *text += strlen(fr_story_word(slot, found));
    return found;
}

/* The end of the sentence in the text, or NULL where it is another sentence. *slips counts the facts that do not
 * agree. The tale learns what was new. */
static const char *match(tale *t, const fr_story_sentence *s, const char *text, int *slips,
                         slip *first) {
    *slips = 0;
    for (const char *p = s->text; *p; p++) {
        if (*p != '%') {
            if (*text++ != *p) return NULL;
            continue;
        }
        fr_story_fact fact = fr_story_fact_of(*++p, t->fact[FR_STORY_OWNER]);
        int wanted = t->fact[fact], said = read_value(*p, wanted, &text);
        if (said == UNKNOWN) return NULL;
        if (wanted == UNKNOWN && may_be(t, fact, said)) {
            t->fact[fact] = said;
        } else if (said != wanted) {
            if (!(*slips)++) *first = (slip){*p, said, wanted};
        }
    }
    return text;
}

typedef struct reading { /* where the reading that came farthest was stopped */
    const char *far;
    int rank;
    char reason[96];
} reading;

FR_PRINTF(4, 5)
static void stopped(reading *g, const char *at, int rank, const char *fmt, ...) {
    if (g->far && (at < g->far || (at == g->far && rank <= g->rank))) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(g->reason, sizeof g->reason, fmt, args);
    va_end(args);
    g->far = at;
    g->rank = rank;
}

static void explain_slip(reading *g, const char *at, int rank, const tale *t, const slip *f) {
    const char *said = fr_story_word(f->slot, f->said);
    if (f->right == UNKNOWN) {
        stopped(g, at, rank, "%s can not come here", said);
        return;
    }
    const char *right = fr_story_word(f->slot, f->right);
    fr_story_fact fact = fr_story_fact_of(f->slot, 0);
    if (strchr("ck", f->slot) && t->fact[FR_STORY_ITEM] != UNKNOWN)
        stopped(g, at, rank, "the %s was %s, not %s", fr_story_word('i', t->fact[FR_STORY_ITEM]),
                fr_story_word('c', f->right), fr_story_word('c', f->said));
    else if (strchr("ABo", f->slot))
        stopped(g, at, rank, "%s is said where it must be %s", said, right);
    else if (strchr("SshmTtgnOr", f->slot))
        stopped(g, at, rank, "'%s' is said of %s", said, fr_story_word('A', f->right));
    else if (fact == FR_STORY_HERE || fact == FR_STORY_THERE)
        stopped(g, at, rank, "it is %s, not %s", right, said);
    else
        stopped(g, at, rank, "it was a %s, not a %s", right, said);
}

/* No sentence could follow: does it stand elsewhere in the table? */
static void explain_wrong(reading *g, const tale *t, const char *text) {
    int n = (int)strcspn(text, ".!?");
    if (g->far > text) return;
    if (n > 40) n = 40;
    for (int i = 0; i < fr_story_sentence_count; i++) {
        tale as = *t;
        int slips;
        slip first;
        if (match(&as, &fr_story_sentences[i], text, &slips, &first))
            stopped(g, text, 2, "this does not come here: %.*s", n, text);
    }
    stopped(g, text, 1, "not a sentence of a story: %.*s", n, text);
}

static bool follow(const tale *t, const char *text, reading *g) {
    if (t->stage == FR_STORY_END) {
        if (t->sentences < FR_STORY_LEAST || t->sentences > FR_STORY_MOST)
            stopped(g, text, 1, "%d sentences", t->sentences);
        else if (!*text)
            return true;
        else
            stopped(g, text, 1, "something follows the ending: %.40s", text);
        return false;
    }
    if (!*text) {
        stopped(g, text, 1, "the story has no ending");
        return false;
    }
    if (t->sentences && *text++ != ' ') {
        stopped(g, text, 1, "no space between two sentences");
        return false;
    }
    for (int i = 0; i < fr_story_sentence_count; i++) {
        const fr_story_sentence *s = &fr_story_sentences[i];
        if (!may_follow(t, s)) continue;
        tale next = *t;
        int slips;
        slip first;
        const char *end = match(&next, s, text, &slips, &first);
        if (!end) continue;
        if (slips) {
            explain_slip(g, text, 9 - FR_MIN(slips, 6), t, &first);
            continue;
        }
        after(&next, s);
        if (follow(&next, end, g)) return true;
    }
    explain_wrong(g, t, text);
    return false;
}

bool fr_line_story_judge(const fr_line *asked, const char *said, char reason[96]) {
    char text[FR_LINE_TEXT];
    int n = snprintf(text, sizeof text, "%.*s%s", asked->prompt, asked->text, said);
    if (n >= (int)sizeof text) {
        snprintf(reason, 96, "too long for a story");
        return false;
    }
    reading g = {0};
    tale t = new_tale();
    if (follow(&t, text, &g)) return true;
    snprintf(reason, 96, "%s", g.reason);
    return false;
}
