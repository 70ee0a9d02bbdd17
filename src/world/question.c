/* question.c: a scene in words, and a question about it that has one answer.
 *
 * The answer is drawn first and the scene around it, so that no answer is so frequent that saying it blindly
 * pays. What else stands in the scene mostly shares the colour or the class that is asked for: a reader who
 * looks at one word alone is wrong. */
#include <string.h>

#include "world/line_parts.h"
#include "world/scene.h"

#define MOST_GROUPS 4
#define MOST_IN_ROW 5
#define ANY         (-1)

static const char *const count_words[] = {"no",   "one", "two",   "three", "four",
                                          "five", "six", "seven", "eight", "nine"};
static const char *const answer_words[] = {"None", "One", "Two",   "Three", "Four",
                                           "Five", "Six", "Seven", "Eight", "Nine"};

/* So many shapes of one colour and class. */
typedef struct group {
    int count, colour, class;
} group;

/* What is asked for; ANY colour, ANY class. */
typedef struct wanted {
    int colour, class;
} wanted;

static int below(fr_rng *r, int n) {
    return (int)fr_rng_below(r, (uint32_t)n);
}

/* One of n, but not this one. */
static int other(fr_rng *r, int n, int than) {
    return (than + 1 + below(r, n - 1)) % n;
}

/* ---- words ---- */

static const char *plural(int class) {
    return class == FR_CROSS ? "es" : "s";
}

static const char *article(int colour) {
    return colour == FR_ORANGE ? "an" : "a";
}

/* "a red circle", "two red circles" */
static void add_group(fr_line *l, const group *g) {
    fr_line_add_text(l, "%s %s %s%s", g->count > 1 ? count_words[g->count] : article(g->colour),
                     fr_colour_names[g->colour], fr_class_names[g->class],
                     g->count > 1 ? plural(g->class) : "");
}

/* "There are two red circles, a blue star and three white rings." */
static void add_scene(fr_rng *r, fr_line *l, const group *g, int groups) {
    static const char *const start[] = {"There", "I see", "The picture shows"};
    int how = below(r, 3);
    fr_line_add_text(l, "%s%s ", start[how], how ? "" : g[0].count > 1 ? " are" : " is");
    for (int i = 0; i < groups; i++) {
        if (i) fr_line_add_text(l, i + 1 < groups ? ", " : " and ");
        add_group(l, &g[i]);
    }
    fr_line_add_text(l, ".");
}

/* What is described, whatever the order and the words, and what is asked. */
static uint64_t problem_of(const group *g, int groups, char question, wanted w) {
    unsigned char all[FR_COLOURS * FR_SHAPE_CLASSES + 3] = {0};
    for (int i = 0; i < groups; i++)
        all[g[i].colour * FR_SHAPE_CLASSES + g[i].class] = (unsigned char)g[i].count;
    unsigned char *asked = all + sizeof all - 3;
    asked[0] = (unsigned char)question;
    asked[1] = (unsigned char)(w.colour + 1);
    asked[2] = (unsigned char)(w.class + 1);
    return fr_line_hash(all, sizeof all);
}

/* ---- how many ---- */

static bool fits(const group *g, wanted w) {
    return (w.colour == ANY || g->colour == w.colour) && (w.class == ANY || g->class == w.class);
}

static bool stands_already(const group *g, int groups, const group *one) {
    for (int i = 0; i < groups; i++)
        if (g[i].colour == one->colour && g[i].class == one->class) return true;
    return false;
}

/* One statement a draw: within one, a compiler may choose the order. */
static group draw_group(fr_rng *r, int most) {
    group g;
    g.count = 1 + below(r, most);
    g.colour = below(r, FR_COLOURS);
    g.class = below(r, FR_SHAPE_CLASSES);
    return g;
}

/* A group that counts. */
static group one_that_fits(fr_rng *r, wanted w) {
    group g = draw_group(r, 1);
    if (w.colour != ANY) g.colour = w.colour;
    if (w.class != ANY) g.class = w.class;
    return g;
}

/* A group that does not, but has mostly something of what is asked for. */
static group one_that_misleads(fr_rng *r, wanted w) {
    group g = draw_group(r, 3);
    if (w.colour != ANY && w.class != ANY && below(r, 3)) {
        if (below(r, 2))
            g.colour = w.colour;
        else
            g.class = w.class;
    }
    return g;
}

static void shuffle(fr_rng *r, group *g, int groups) {
    for (int i = groups - 1; i > 0; i--) {
        int j = below(r, i + 1);
        group swap = g[i];
        g[i] = g[j], g[j] = swap;
    }
}

/* Groups of which `answer` shapes fit; their number. At most `most` groups fit, of one to four shapes each. */
static int scene_for(fr_rng *r, wanted w, int answer, int most, group *g) {
    int groups = 0, least = (answer + 3) / 4, fitting = 0;
    if (answer) fitting = least + below(r, FR_MIN(most, answer) - least + 1);
    while (groups < fitting) {
        g[groups] = one_that_fits(r, w);
        groups += !stands_already(g, groups, &g[groups]);
    }
    for (int left = answer - fitting; left > 0;) {
        group *more = &g[below(r, fitting)];
        if (more->count == 4) continue;
        more->count++, left--;
    }
    if (w.colour == ANY && w.class == ANY) return groups;
    int all = groups + below(r, MOST_GROUPS - groups + 1);
    if (all == 0) all = 1 + below(r, MOST_GROUPS);
    while (groups < all) {
        g[groups] = one_that_misleads(r, w);
        groups += !fits(&g[groups], w) && !stands_already(g, groups, &g[groups]);
    }
    shuffle(r, g, groups);
    return groups;
}

/* `lots` of each answer from None on. */
static int draw_answer(fr_rng *r, const int *lots) {
    int all = 0, answer = 0;
    for (int i = 0; i < 10; i++) all += lots[i];
    for (int lot = below(r, all); lot >= lots[answer]; answer++) lot -= lots[answer];
    return answer;
}

/* Question and answer about "red circles", "red shapes", "circles". */
static void ask_how_many(fr_rng *r, fr_line *l, wanted w, int answer) {
    const char *class = w.class == ANY ? "shape" : fr_class_names[w.class];
    const char *ending = plural(w.class);
    const char *colour = w.colour == ANY ? "" : fr_colour_names[w.colour];
    const char *gap = *colour ? " " : "";
    switch (below(r, 3)) {
    case 0: fr_line_add_text(l, " How many %s%s%s%s are there?", colour, gap, class, ending); break;
    case 1:
        if (*colour)
            fr_line_add_text(l, " How many %s%s are %s?", class, ending, colour);
        else
            fr_line_add_text(l, " How many %s%s do you see?", class, ending);
        break;
    default: fr_line_add_text(l, " Count the %s%s%s%s.", colour, gap, class, ending);
    }
    l->prompt = l->bytes;
    fr_line_add_text(l, " %s.", answer_words[answer]);
}

static uint64_t count_shapes(fr_rng *r, fr_line *out, wanted w, const int *lots, int most) {
    group g[MOST_GROUPS + 1];
    int answer = draw_answer(r, lots);
    int groups = scene_for(r, w, answer, most, g);
    add_scene(r, out, g, groups);
    ask_how_many(r, out, w, answer);
    return problem_of(g, groups, '#', w);
}

uint64_t fr_line_how_many(fr_rng *r, fr_line *out) {
    static const int lots[10] = {3, 3, 4, 4, 4, 3, 3, 1, 1, 1};
    static const int all_lots[10] = {0, 1, 2, 3, 4, 4, 4, 3, 2, 2};
    bool all = below(r, 8) == 0;
    wanted w = {ANY, all ? ANY : below(r, FR_SHAPE_CLASSES)};
    return count_shapes(r, out, w, all ? all_lots : lots, all ? MOST_GROUPS : 3);
}

uint64_t fr_line_how_many_of(fr_rng *r, fr_line *out) {
    static const int lots[10] = {3, 3, 4, 4, 4, 3, 3, 1, 1, 1};
    static const int one_group[10] = {3, 3, 3, 3, 3};
    bool class_too = below(r, 2);
    group one = draw_group(r, 1);
    wanted w = {one.colour, class_too ? one.class : ANY};
    return count_shapes(r, out, w, class_too ? one_group : lots, class_too ? 1 : 3);
}

/* ---- what colour ---- */

uint64_t fr_line_colour(fr_rng *r, fr_line *out) {
    group g[MOST_GROUPS];
    int groups = 1 + below(r, MOST_GROUPS);
    g[0] = draw_group(r, 4);
    if (below(r, 2)) g[0].count = 1;
    group asked = g[0];
    for (int i = 1; i < groups;) {
        g[i] = draw_group(r, 4);
        i += g[i].class != asked.class && !stands_already(g, i, &g[i]);
    }
    shuffle(r, g, groups);
    add_scene(r, out, g, groups);
    const char *class = fr_class_names[asked.class], *ending = "", *is = "is", *does = "does";
    if (asked.count > 1) ending = plural(asked.class), is = "are", does = "do";
    if (below(r, 2))
        fr_line_add_text(out, " What colour %s the %s%s?", is, class, ending);
    else
        fr_line_add_text(out, " Which colour %s the %s%s have?", does, class, ending);
    out->prompt = out->bytes;
    const char *colour = fr_colour_names[asked.colour];
    fr_line_add_text(out, " %c%s.", colour[0] - 'a' + 'A', colour + 1);
    return problem_of(g, groups, 'c', (wanted){ANY, asked.class});
}

/* ---- where ---- */

/* Shapes in a row or a column, from the left or the top on; no two are the same. */
static int draw_row(fr_rng *r, group *g) {
    int n = 2 + below(r, MOST_IN_ROW - 1);
    for (int i = 0; i < n;) {
        g[i] = draw_group(r, 1);
        i += !stands_already(g, i, &g[i]);
    }
    return n;
}

static void add_shape(fr_line *l, const char *before, const group *g) {
    fr_line_add_text(l, "%s%s %s", before, fr_colour_names[g->colour], fr_class_names[g->class]);
}

/* "Is the red circle left of the blue star? Yes." */
static void ask_whether(fr_rng *r, fr_line *l, const group *g, int n, int relation, int at[2]) {
    at[0] = below(r, n), at[1] = other(r, n, at[0]);
    bool before = relation == FR_LEFT_OF || relation == FR_ABOVE;
    add_shape(l, " Is the ", &g[at[0]]);
    fr_line_add_text(l, " %s", fr_relation_names[relation]);
    add_shape(l, " the ", &g[at[1]]);
    fr_line_add_text(l, "?");
    l->prompt = l->bytes;
    fr_line_add_text(l, (at[0] < at[1]) == before ? " Yes." : " No.");
}

/* "What is just left of the blue star? A red circle." Without "just" where one shape alone stands there. */
static void ask_what(fr_rng *r, fr_line *l, const group *g, int n, int relation, int at[2]) {
    static const char *const start[] = {"What is", "What stands", "Which shape is"};
    int step = relation == FR_LEFT_OF || relation == FR_ABOVE ? -1 : 1;
    int edge = step < 0 ? 0 : n - 1;
    at[0] = below(r, n); /* at the edge in one of n: too often where there are two */
    if (at[0] == edge && below(r, 2)) at[0] = other(r, n, edge);
    at[1] = at[0] + step;
    bool just = at[0] - edge != -step || below(r, 2);
    bool nothing = at[0] == edge;
    fr_line_add_text(l, " %s %s%s", start[below(r, nothing ? 2 : 3)], just ? "just " : "",
                     fr_relation_names[relation]);
    add_shape(l, " the ", &g[at[0]]);
    fr_line_add_text(l, "?");
    l->prompt = l->bytes;
    if (nothing)
        fr_line_add_text(l, " Nothing.");
    else
        add_shape(l, g[at[1]].colour == FR_ORANGE ? " An " : " A ", &g[at[1]]);
    if (!nothing) fr_line_add_text(l, ".");
}

uint64_t fr_line_where(fr_rng *r, fr_line *out) {
    group g[MOST_IN_ROW];
    int n = draw_row(r, g), at[2];
    int relation = below(r, FR_RELATIONS);
    bool column = relation == FR_ABOVE || relation == FR_BELOW, whether = below(r, 2);
    fr_line_add_text(out, column ? "From top to bottom: " : "From left to right: ");
    for (int i = 0; i < n; i++) {
        if (i) fr_line_add_text(out, ", ");
        add_group(out, &g[i]);
    }
    fr_line_add_text(out, ".");
    (whether ? ask_whether : ask_what)(r, out, g, n, relation, at);

    unsigned char all[2 * MOST_IN_ROW + 4] = {0};
    for (int i = 0; i < n; i++)
        all[2 * i] = (unsigned char)(1 + g[i].colour), all[2 * i + 1] = (unsigned char)g[i].class;
    unsigned char *asked = all + 2 * MOST_IN_ROW;
    asked[0] = whether, asked[1] = (unsigned char)relation, asked[2] = (unsigned char)at[0];
    asked[3] = whether ? (unsigned char)at[1] : 0;
    return fr_line_hash(all, sizeof all);
}
