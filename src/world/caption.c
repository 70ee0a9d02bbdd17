/* caption.c: prompts as sentences and sentences as prompts. The grammar:
 *
 *     a photo of THINGS
 *     THINGS = THING | THING and THING | THING, THING and THING | THING RELATION THING | COUNT THINGS-OF-ONE-KIND
 *     THING = a [COLOUR] CLASS;  COUNT = [exactly] two, three, four [COLOUR] CLASSES */
#include "world/caption.h"

#include <stdio.h>
#include <string.h>

#define WORDS_STREAM 0x63617074696f6eull << 8 /* "caption" */

const char *const fr_caption_words[FR_CAPTION_WORDS] = {
    "<pad>",   "<bos>",   "a",         "an",       "photo",   "of",     "and",   ",",
    "exactly", "two",     "three",     "four",     "left",    "right",  "above", "below",
    "circle",  "square",  "triangle",  "diamond",  "cross",   "ring",   "star",  "dome",
    "circles", "squares", "triangles", "diamonds", "crosses", "rings",  "stars", "domes",
    "red",     "green",   "blue",      "yellow",   "purple",  "orange", "black", "white",
};
enum { TWO = 9, LEFT = 12, ONE_CLASS = 16, CLASSES = 24, COLOURS = 32 };

const float fr_caption_error[FR_CAPTIONS] = {0, 0.1f, 0.3f, 0.5f};

static const char *class_word(const fr_clause *c) {
    return fr_caption_words[(c->count > 1 ? CLASSES : ONE_CLASS) + c->class];
}

/* The clause behind what is there already. */
static void add_thing(char *out, const fr_clause *c) {
    size_t at = strlen(out);
    const char *colour = c->colour >= 0 ? fr_colour_names[c->colour] : "";
    const char *first = c->count > 1             ? fr_caption_words[TWO + c->count - 2]
                        : c->colour == FR_ORANGE ? "an"
                                                 : "a";
    snprintf(out + at, FR_CAPTION_TEXT - at, " %s%s%s %s", first, *colour ? " " : "", colour,
             class_word(c));
}

static void add_words(char *out, const char *words) {
    size_t at = strlen(out);
    snprintf(out + at, FR_CAPTION_TEXT - at, "%s", words);
}

void fr_prompt_text(const fr_prompt *p, char out[FR_CAPTION_TEXT]) {
    snprintf(out, FR_CAPTION_TEXT, "a photo of");
    if (p->includes == 2 && p->include[1].relation >= 0) {
        add_thing(out, &p->include[1]);
        add_words(out, " ");
        add_words(out, fr_relation_names[p->include[1].relation]);
        add_thing(out, &p->include[0]);
        return;
    }
    for (int i = 0; i < p->includes; i++) {
        if (i) add_words(out, i + 1 < p->includes ? "," : " and");
        if (p->tag == FR_EXACTLY) add_words(out, " exactly");
        add_thing(out, &p->include[i]);
    }
}

fr_status fr_caption_tokens(const char *text, int32_t out[FR_CAPTION_TOKENS], int *count) {
    memset(out, 0, FR_CAPTION_TOKENS * sizeof *out);
    int n = 0;
    out[n++] = 1;
    for (const char *p = text; *p;) {
        if (*p == ' ') {
            p++;
            continue;
        }
        size_t bytes = *p == ',' ? 1 : strcspn(p, " ,");
        int word = 2;
        while (word < FR_CAPTION_WORDS && (strlen(fr_caption_words[word]) != bytes ||
                                           memcmp(fr_caption_words[word], p, bytes) != 0))
            word++;
        if (word == FR_CAPTION_WORDS)
            return fr_fail(
                FR_INVALID,
                "The picture world knows no '%.*s'; it speaks of red, green, blue, yellow, purple, "
                "orange, black and white circles, squares, triangles, diamonds, crosses, rings, "
                "stars and domes.",
                (int)FR_MIN(bytes, (size_t)40), p);
        if (n == FR_CAPTION_TOKENS)
            return fr_fail(FR_INVALID, "'%s' has more than %d words.", text, FR_CAPTION_TOKENS - 1);
        out[n++] = word;
        p += bytes;
    }
    *count = n;
    return FR_OK;
}

/* ---- sentences as prompts ---- */

typedef struct reader {
    const int32_t *at, *end;
} reader;

static int peek(const reader *r) {
    return r->at < r->end ? *r->at : 0;
}
static bool accept(reader *r, const char *word) {
    if (strcmp(fr_caption_words[peek(r)], word) != 0) return false;
    r->at++;
    return true;
}
/* The number of the word within a run of the vocabulary; -1: another word. */
static int accept_of(reader *r, int first, int count) {
    int word = peek(r) - first;
    if (word < 0 || word >= count) return -1;
    r->at++;
    return word;
}

static bool read_thing(reader *r, fr_clause *c) {
    *c = (fr_clause){.count = 1, .colour = -1, .relation = -1};
    int more = accept_of(r, TWO, 3);
    if (more >= 0)
        c->count = more + 2;
    else if (!accept(r, "a") && !accept(r, "an"))
        return false;
    c->colour = accept_of(r, COLOURS, FR_COLOURS);
    int class = accept_of(r, c->count > 1 ? CLASSES : ONE_CLASS, FR_SHAPE_CLASSES);
    c->class = (fr_shape_class) class;
    return class >= 0;
}

static int read_relation(reader *r) {
    int relation = accept_of(r, LEFT, FR_RELATIONS);
    if (relation < FR_ABOVE && relation >= 0 && !accept(r, "of")) return -2;
    return relation;
}

static fr_scene_tag tag_of(const fr_prompt *p, bool exactly) {
    const fr_clause *c = p->include;
    if (exactly) return FR_EXACTLY;
    if (p->includes == 3) return FR_THREE_OBJECT;
    if (p->includes == 1)
        return c->count > 1 ? FR_COUNTING : c->colour < 0 ? FR_SINGLE_OBJECT : FR_COLORS;
    if (c[1].relation >= 0) return c[0].colour < 0 ? FR_POSITION : FR_COLOR_POSITION;
    return c[0].colour < 0 ? FR_TWO_OBJECT : FR_COLOR_ATTR;
}

static bool read_prompt(reader *r, fr_prompt *p) {
    if (!accept(r, "a") || !accept(r, "photo") || !accept(r, "of")) return false;
    bool exactly = accept(r, "exactly");
    if (!read_thing(r, &p->include[p->includes++])) return false;
    fr_clause *first = &p->include[0];
    if (first->count > 1) {
        p->exclude[p->excludes++] = *first;
        p->exclude[0].count++;
    } else {
        int relation = read_relation(r);
        if (relation < -1 || exactly) return false;
        if (relation >= 0) { /* what is spoken of first stands to what comes second */
            p->include[1] = *first;
            p->include[1].relation = relation;
            p->includes = 2;
            if (!read_thing(r, first) || first->count > 1) return false;
        } else {
            bool comma = accept(r, ",");
            if (comma && !read_thing(r, &p->include[p->includes++])) return false;
            if (accept(r, "and") ? !read_thing(r, &p->include[p->includes++]) : comma) return false;
        }
    }
    p->tag = tag_of(p, exactly);
    return r->at == r->end;
}

fr_status fr_prompt_parse(const char *text, fr_prompt *out) {
    int32_t token[FR_CAPTION_TOKENS];
    int count;
    FR_TRY(fr_caption_tokens(text, token, &count));
    reader r = {token + 1, token + count};
    *out = (fr_prompt){0};
    if (read_prompt(&r, out)) return FR_OK;
    return fr_fail(FR_INVALID,
                   "'%s' is not a sentence of the picture world, such as 'a photo of a red circle "
                   "left of a blue "
                   "star' or 'a photo of three rings'.",
                   text);
}

/* ---- captions with errors ---- */

/* Another value than `right`, of `count`. */
static int false_one(fr_rng *g, int right, int count) {
    return (right + 1 + (int)fr_rng_below(g, (uint32_t)count - 1)) % count;
}

typedef struct tally {
    fr_rng rng;
    float error;
    int facts, right;
} tally;

static int say(tally *t, int right, int count) {
    t->facts++;
    if (fr_rng_uniform(&t->rng) < t->error) return false_one(&t->rng, right, count);
    t->right++;
    return right;
}

void fr_scene_caption(const fr_scene *s, uint64_t seed, uint64_t index, int variant,
                      char text[FR_CAPTION_TEXT], float *score) {
    tally t = {.rng = fr_rng_new(seed, WORDS_STREAM ^ index * FR_CAPTIONS ^ (uint64_t)variant),
               .error = fr_caption_error[variant]};
    fr_prompt p = s->prompt;
    for (int i = 0; i < p.includes; i++) {
        fr_clause *c = &p.include[i];
        c->class = (fr_shape_class)say(&t, (int)c->class, FR_SHAPE_CLASSES);
        if (c->colour >= 0) c->colour = say(&t, c->colour, FR_COLOURS);
        if (c->count > 1) c->count = 2 + say(&t, c->count - 2, 3);
        if (c->relation >= 0) c->relation = say(&t, c->relation, FR_RELATIONS);
    }
    fr_prompt_text(&p, text);
    *score = (float)t.right / (float)t.facts;
}
