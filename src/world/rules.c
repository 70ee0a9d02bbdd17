/* rules.c: GenEval's rules: which objects a clause takes, and what must be true of them. */
#include <stdarg.h>
#include <stdio.h>

#include "world/judge.h"

const char *const fr_wrong_names[FR_WRONGS] = {
    "",         "an object is missing",   "wrong colour",    "wrong place",
    "too many", "something else as well", "unreadable file",
};

/* The first `count` objects of the class, by falling iou; colour -1: of any. */
static int take(const fr_sight *s, fr_shape_class class, int colour, int count,
                const fr_found **out) {
    int n = 0;
    for (int i = 0; i < s->objects && n < count; i++)
        if (s->object[i].class == class && (colour < 0 || (int)s->object[i].colour == colour))
            out[n++] = &s->object[i];
    return n;
}

/* GenEval takes the first objects of a class and then looks at their colours. "Exactly two red stars" is not
 * among its tasks: there the colour chooses. */
static int colour_to_take(const fr_prompt *p, const fr_clause *c) {
    return p->tag == FR_EXACTLY ? c->colour : -1;
}

static void because(fr_verdict *v, fr_wrong wrong, const char *fmt, ...) FR_PRINTF(3, 4);
static void because(fr_verdict *v, fr_wrong wrong, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->reason, sizeof v->reason, fmt, args);
    va_end(args);
    v->correct = v->strict = false;
    v->wrong = wrong;
}

/* "star", or "stars" where more than one is meant. */
static const char *class_word(const fr_clause *c) {
    static const char *const many[FR_SHAPE_CLASSES] = {
        "circles", "squares", "triangles", "diamonds", "crosses", "rings", "stars", "domes"};
    return c->count > 1 ? many[c->class] : fr_class_names[c->class];
}

typedef struct matched {
    int n;
    const fr_found *object[FR_JUDGE_OBJECTS];
} matched;

static bool check_colour(const fr_clause *c, const matched *m, fr_verdict *v) {
    for (int i = 0; c->colour >= 0 && i < m->n; i++)
        if ((int)m->object[i]->colour != c->colour) {
            because(v, FR_WRONG_COLOUR, "the %s is %s, not %s", fr_class_names[c->class],
                    fr_colour_names[m->object[i]->colour], fr_colour_names[c->colour]);
            return false;
        }
    return true;
}

static bool check_place(const fr_prompt *p, const fr_clause *c, const matched *all,
                        const matched *m, fr_verdict *v) {
    if (c->relation < 0) return true;
    const matched *target = &all[c->target];
    for (int i = 0; i < m->n; i++)
        for (int j = 0; j < target->n; j++)
            if (!fr_box_relation(m->object[i]->box, target->object[j]->box,
                                 (fr_relation)c->relation, 0.5f)) {
                because(v, FR_WRONG_PLACE, "the %s is not %s the %s", fr_class_names[c->class],
                        fr_relation_names[c->relation],
                        fr_class_names[p->include[c->target].class]);
                return false;
            }
    return true;
}

fr_verdict fr_judge_prompt(const fr_prompt *p, const fr_sight *s) {
    fr_verdict v = {.correct = true};
    matched m[FR_SCENE_CLAUSES];
    const fr_found *unused[FR_JUDGE_OBJECTS];
    int asked = 0;
    for (int i = 0; i < p->includes; i++) {
        const fr_clause *c = &p->include[i];
        m[i].n = take(s, c->class, colour_to_take(p, c), c->count, m[i].object);
        asked += c->count;
        if (m[i].n < c->count) {
            because(&v, FR_WRONG_MISSING, "%d of %d %s", m[i].n, c->count,
                    fr_class_names[c->class]);
            return v;
        }
        if (!check_colour(c, &m[i], &v) || !check_place(p, c, m, &m[i], &v)) return v;
    }
    for (int i = 0; i < p->excludes; i++) {
        const fr_clause *c = &p->exclude[i];
        if (take(s, c->class, c->colour, c->count, unused) < c->count) continue;
        because(&v, FR_WRONG_TOO_MANY, "%d %s or more", c->count, class_word(c));
        return v;
    }
    /* "Exactly two red stars" says nothing of stars in other colours. */
    v.strict = s->parts == asked || (p->tag == FR_EXACTLY && s->parts == s->objects);
    if (v.strict) return v;
    v.wrong = FR_WRONG_EXTRA;
    snprintf(v.reason, sizeof v.reason, "%d things, not %d", s->parts, asked);
    return v;
}
