/* scene.c: what is in a scene: names, colours, and how scenes are drawn by lot. */
#include "world/scene.h"

#include <math.h>

const char *const fr_class_names[FR_SHAPE_CLASSES] = {"circle", "square", "triangle", "diamond",
                                                      "cross",  "ring",   "star",     "dome"};
const char *const fr_colour_names[FR_COLOURS] = {"red",    "green",  "blue",  "yellow",
                                                 "purple", "orange", "black", "white"};
const char *const fr_relation_names[FR_RELATIONS] = {"left of", "right of", "above", "below"};
const char *const fr_tag_names[FR_ALL_TAGS] = {"single_object", "two_object",     "counting",
                                               "colors",        "position",       "color_attr",
                                               "three_object",  "color_position", "exactly"};
const float fr_background[3] = {0.60f, 0.60f, 0.60f};
const float fr_palette[FR_COLOURS][3] = {
    {0.85f, 0.10f, 0.10f}, {0.10f, 0.65f, 0.20f}, {0.10f, 0.25f, 0.85f}, {0.95f, 0.90f, 0.10f},
    {0.55f, 0.10f, 0.65f}, {0.95f, 0.50f, 0.05f}, {0.05f, 0.05f, 0.05f}, {0.98f, 0.98f, 0.98f},
};

#define WORLD_STREAM  0x776f726c64ull << 24   /* "world" */
#define PROMPT_STREAM 0x70726f6d7074ull << 16 /* "prompt" */
#define SURE          0.58f                   /* a relation that pixels cannot undo */
#define SPLIT_SEED    0x68656c646f7574ull     /* "heldout" */

/* A tenth of all numbers. */
static bool one_in_ten(uint64_t number) {
    uint32_t word[4];
    fr_philox(SPLIT_SEED, WORLD_STREAM, number, word);
    return word[0] % 10 == 0;
}

bool fr_held_out_pair(fr_colour c1, fr_shape_class k1, fr_colour c2, fr_shape_class k2) {
    uint64_t a = (uint64_t)c1 * FR_SHAPE_CLASSES + (uint64_t)k1;
    uint64_t b = (uint64_t)c2 * FR_SHAPE_CLASSES + (uint64_t)k2;
    return one_in_ten(FR_MIN(a, b) * 64 + FR_MAX_OF(a, b));
}

/* "a left of b" says the same as "b right of a". */
bool fr_held_out_triple(fr_shape_class a, fr_relation r, fr_shape_class b) {
    bool turn = r == FR_RIGHT_OF || r == FR_BELOW;
    uint64_t first = turn ? b : a, second = turn ? a : b, axis = r == FR_ABOVE || r == FR_BELOW;
    return one_in_ten(1u << 16 | axis << 8 | first << 4 | second);
}

fr_box fr_shape_box(const fr_shape *s) {
    /* In units of r: half the width, top, bottom. sin and cos of the star's points. */
    static const float half[FR_SHAPE_CLASSES] = {1, 0.88f, 1, 1.1f, 1, 1, 1.0461622f, 1};
    static const float top[FR_SHAPE_CLASSES] = {-1, -0.88f, -1, -1.1f, -1, -1, -1.1f, -0.5f};
    static const float bottom[FR_SHAPE_CLASSES] = {1, 0.88f, 0.8f, 1.1f, 1, 1, 0.8899187f, 0.5f};
    float w = half[s->class] * s->r;
    return (fr_box){s->x - w, s->y + top[s->class] * s->r, s->x + w,
                    s->y + bottom[s->class] * s->r};
}

static float shrink(float x, float by) {
    return x > by ? x - by : x < -by ? x + by : 0.0f;
}

bool fr_box_relation(fr_box a, fr_box b, fr_relation r, float cut) {
    float dx = (a.x0 + a.x1 - b.x0 - b.x1) / 2, dy = (a.y0 + a.y1 - b.y0 - b.y1) / 2;
    dx = shrink(dx, 0.1f * (a.x1 - a.x0 + b.x1 - b.x0));
    dy = shrink(dy, 0.1f * (a.y1 - a.y0 + b.y1 - b.y0));
    float length = sqrtf(dx * dx + dy * dy);
    if (length == 0) return false;
    switch (r) {
    case FR_LEFT_OF: return dx / length < -cut;
    case FR_RIGHT_OF: return dx / length > cut;
    case FR_ABOVE: return dy / length < -cut;
    default: return dy / length > cut;
    }
}

static float between(fr_rng *g, float lo, float hi) {
    return lo + (hi - lo) * fr_rng_uniform(g);
}

/* Centres and radii so that no two shapes touch; false when they do not fit. */
static bool place(fr_rng *g, fr_scene *s) {
    float unit = (float)s->size / 64;
    for (int i = 0; i < s->shapes; i++) {
        fr_shape *a = &s->shape[i];
        bool clear = false;
        for (int t = 0; t < 40 && !clear; t++) {
            a->r = between(g, 7, 10) * unit;
            float margin = 1.15f * a->r + unit;
            a->x = between(g, margin, (float)s->size - margin);
            a->y = between(g, margin, (float)s->size - margin);
            clear = true;
            for (int j = 0; j < i; j++) {
                const fr_shape *b = &s->shape[j];
                float apart = fmaxf(fabsf(a->x - b->x), fabsf(a->y - b->y));
                if (apart < 1.12f * (a->r + b->r) + 3 * unit) clear = false;
            }
        }
        if (!clear) return false;
    }
    return true;
}

static void pick(fr_rng *g, fr_shape *s) {
    s->class = (fr_shape_class)fr_rng_below(g, FR_SHAPE_CLASSES);
    s->colour = (fr_colour)fr_rng_below(g, FR_COLOURS);
}

static fr_clause clause(const fr_shape *s, bool with_colour) {
    return (fr_clause){s->class, 1, with_colour ? (int)s->colour : -1, -1, 0};
}

/* Two shapes of different classes; with colours that the split may show. */
static void pick_two(fr_rng *g, fr_scene *s, bool pairs, fr_scene_split split) {
    fr_shape *a = &s->shape[0], *b = &s->shape[1];
    for (;;) {
        pick(g, a), pick(g, b);
        if (a->class == b->class) continue;
        if (!pairs || split == FR_SPLIT_ALL) return;
        bool out = fr_held_out_pair(a->colour, a->class, b->colour, b->class);
        if (out == (split == FR_SPLIT_UNSEEN)) return;
    }
}

/* A relation that holds, with something to spare for what pixels take away; -1: none may be said. */
static int pick_relation(fr_rng *g, const fr_scene *s, fr_scene_split split) {
    const fr_shape *b = &s->shape[0], *a = &s->shape[1];
    int holds[FR_RELATIONS], n = 0;
    for (int r = 0; r < FR_RELATIONS; r++) {
        if (!fr_box_relation(fr_shape_box(a), fr_shape_box(b), (fr_relation)r, SURE)) continue;
        bool out = fr_held_out_triple(a->class, (fr_relation)r, b->class);
        if (split == FR_SPLIT_ALL || out == (split == FR_SPLIT_UNSEEN)) holds[n++] = r;
    }
    return n ? holds[fr_rng_below(g, (uint32_t)n)] : -1;
}

static bool shows_two(fr_scene_tag tag) {
    return tag == FR_TWO_OBJECT || tag == FR_POSITION || tag == FR_COLOR_ATTR ||
           tag == FR_COLOR_POSITION;
}

/* Three shapes of different classes, without pairs that the split may not show. */
static bool pick_three(fr_rng *g, fr_scene *s, fr_scene_split split) {
    for (int i = 0; i < 3; i++) pick(g, &s->shape[i]);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < i; j++) {
            const fr_shape *a = &s->shape[i], *b = &s->shape[j];
            if (a->class == b->class) return false;
            if (split == FR_SPLIT_TRAIN &&
                fr_held_out_pair(a->colour, a->class, b->colour, b->class))
                return false;
        }
    return true;
}

static bool pick_shapes(fr_rng *g, fr_scene *s, fr_scene_split split) {
    fr_scene_tag tag = s->prompt.tag;
    if (shows_two(tag)) {
        s->shapes = 2;
        pick_two(g, s, tag == FR_COLOR_ATTR || tag == FR_COLOR_POSITION, split);
        return true;
    }
    if (tag == FR_THREE_OBJECT) {
        s->shapes = 3;
        return pick_three(g, s, split);
    }
    bool many = tag == FR_COUNTING || tag == FR_EXACTLY;
    s->shapes = many ? 2 + (int)fr_rng_below(g, 3) : 1;
    for (int i = 0; i < s->shapes; i++) {
        pick(g, &s->shape[i]);
        s->shape[i].class = s->shape[0].class;
    }
    return true;
}

/* How many shapes have the colour of the first: those that "exactly" counts. */
static int of_first_colour(const fr_scene *s) {
    int n = 0;
    for (int i = 0; i < s->shapes; i++) n += s->shape[i].colour == s->shape[0].colour;
    return n;
}

static bool say(fr_rng *g, fr_scene *s, fr_scene_split split) {
    fr_prompt *p = &s->prompt;
    bool coloured = p->tag == FR_COLORS || p->tag >= FR_COLOR_ATTR;
    bool many = p->tag == FR_COUNTING || p->tag == FR_EXACTLY;
    p->excludes = 0;
    p->includes = many ? 1 : s->shapes;
    for (int i = 0; i < p->includes; i++) p->include[i] = clause(&s->shape[i], coloured);
    if (many) {
        int count = p->tag == FR_COUNTING ? s->shapes : of_first_colour(s);
        if (count < 2) return false;
        p->include[0].count = count;
        p->excludes = 1;
        p->exclude[0] = p->include[0];
        p->exclude[0].count = count + 1;
    }
    if (p->tag == FR_POSITION || p->tag == FR_COLOR_POSITION) {
        p->include[1].relation = pick_relation(g, s, split);
        return p->include[1].relation >= 0;
    }
    return true;
}

void fr_scene_make(uint64_t seed, uint64_t index, int size, int tag, fr_scene_split split,
                   fr_scene *out) {
    fr_rng g = fr_rng_new(seed, WORLD_STREAM ^ index);
    *out = (fr_scene){.size = size};
    uint32_t lot = fr_rng_u32(&g); /* drawn in any case: a tag changes nothing else */
    if (tag < 0) tag = (int)(lot % FR_SCENE_TAGS);
    if (tag == FR_ALL_TAGS) tag = (int)(lot % FR_ALL_TAGS);
    out->prompt.tag = (fr_scene_tag)tag;
    while (!pick_shapes(&g, out, split) || !place(&g, out) || !say(&g, out, split)) {
    }
}

/* ---- the other way round ---- */

/* The shapes that the clauses ask for; false when there are too many. */
static bool shapes_of(fr_rng *g, const fr_prompt *p, fr_scene *s) {
    s->shapes = 0;
    for (int i = 0; i < p->includes; i++)
        for (int n = 0; n < p->include[i].count; n++) {
            if (s->shapes == FR_SCENE_SHAPES) return false;
            fr_shape *shape = &s->shape[s->shapes++];
            pick(g, shape);
            shape->class = p->include[i].class;
            if (p->include[i].colour >= 0) shape->colour = (fr_colour)p->include[i].colour;
        }
    return true;
}

static bool relations_hold(const fr_scene *s) {
    const fr_clause *c = &s->prompt.include[1];
    if (s->prompt.includes != 2 || c->relation < 0) return true;
    return fr_box_relation(fr_shape_box(&s->shape[1]), fr_shape_box(&s->shape[0]),
                           (fr_relation)c->relation, SURE);
}

fr_status fr_scene_of_prompt(const fr_prompt *p, uint64_t seed, uint64_t index, int size,
                             fr_scene *out) {
    fr_rng g = fr_rng_new(seed, PROMPT_STREAM ^ index);
    *out = (fr_scene){.size = size, .prompt = *p};
    do {
        if (!shapes_of(&g, p, out))
            return fr_fail(FR_INVALID, "A scene has room for %d shapes.", FR_SCENE_SHAPES);
    } while (!place(&g, out) || !relations_hold(out));
    return FR_OK;
}
