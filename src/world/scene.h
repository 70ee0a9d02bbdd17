/* scene.h: a small world of pictures: coloured shapes on grey, and what is said about them.
 *
 * The six tasks and the rules of GenEval (Ghosh et al., 2023), over scenes that a program draws and a program
 * judges exactly. A scene is a pure function of a seed and its number: any thread may make any scene, and its
 * bytes are the same on every machine. Lengths are in pixels of a picture of 64; one of 128 doubles them. */
#ifndef FR_WORLD_SCENE_H
#define FR_WORLD_SCENE_H

#include "base/base.h"

typedef enum fr_shape_class {
    FR_CIRCLE,
    FR_SQUARE,
    FR_TRIANGLE,
    FR_DIAMOND,
    FR_CROSS,
    FR_RING,
    FR_STAR,
    FR_DOME,
    FR_SHAPE_CLASSES
} fr_shape_class;

typedef enum fr_colour {
    FR_RED,
    FR_GREEN,
    FR_BLUE,
    FR_YELLOW,
    FR_PURPLE,
    FR_ORANGE,
    FR_BLACK,
    FR_WHITE,
    FR_COLOURS
} fr_colour;

typedef enum fr_relation { FR_LEFT_OF, FR_RIGHT_OF, FR_ABOVE, FR_BELOW, FR_RELATIONS } fr_relation;

typedef enum fr_scene_tag {
    FR_SINGLE_OBJECT,
    FR_TWO_OBJECT,
    FR_COUNTING,
    FR_COLORS,
    FR_POSITION,
    FR_COLOR_ATTR,
    FR_SCENE_TAGS,                   /* GenEval's; the rest is for variety in training */
    FR_THREE_OBJECT = FR_SCENE_TAGS, /* "a red circle, a blue star and a white ring" */
    FR_COLOR_POSITION,               /* "a red circle left of a blue star" */
    FR_EXACTLY,                      /* "exactly two red stars" */
    FR_ALL_TAGS
} fr_scene_tag;

extern const char *const fr_class_names[FR_SHAPE_CLASSES];
extern const char *const fr_colour_names[FR_COLOURS];
extern const char *const fr_relation_names[FR_RELATIONS]; /* "left of" ... */
extern const char *const fr_tag_names[FR_ALL_TAGS];       /* GenEval's: "single_object" ... */
extern const float fr_palette[FR_COLOURS][3];
extern const float fr_background[3];

typedef struct fr_shape {
    fr_shape_class class;
    fr_colour colour;
    float x, y, r; /* y grows downwards */
} fr_shape;

/* One thing that a picture must show (include: `count`, all of the colour when there is one) or must not show
 * (exclude: fewer than `count`, of the colour when there is one). */
typedef struct fr_clause {
    fr_shape_class class;
    int count;
    int colour;   /* fr_colour, or -1: any */
    int relation; /* fr_relation to the include clause `target`, or -1 */
    int target;
} fr_clause;

#define FR_SCENE_SHAPES  4
#define FR_SCENE_CLAUSES 3

/* What is asked of a picture. */
typedef struct fr_prompt {
    fr_scene_tag tag;
    int includes, excludes;
    fr_clause include[FR_SCENE_CLAUSES], exclude[1];
} fr_prompt;

typedef struct fr_scene {
    int size; /* 64 or 128 */
    int shapes;
    fr_shape shape[FR_SCENE_SHAPES];
    fr_prompt prompt; /* which holds */
} fr_scene;

/* What scenes are drawn from. Zero: the training scenes of the six tasks. */
typedef enum fr_scene_split {
    FR_SPLIT_TRAIN = 0, /* without the held-out pairs and triples */
    FR_SPLIT_UNSEEN,    /* of the tasks that have them (position, color_attr) only those */
    FR_SPLIT_ALL
} fr_scene_split;

/* Scene number `index` of a seed. tag -1: one of the six by lot, FR_ALL_TAGS: of all. size 64 or 128. */
void fr_scene_make(uint64_t seed, uint64_t index, int size, int tag, fr_scene_split split,
                   fr_scene *out);

/* A scene that shows a prompt, what it leaves open by lot. Refused where so much does not fit. */
fr_status fr_scene_of_prompt(const fr_prompt *p, uint64_t seed, uint64_t index, int size,
                             fr_scene *out);

/* A pair (colour, class, colour, class) or triple (class, relation, class) that training never shows: one in
 * ten, by a hash; the same both ways round. */
bool fr_held_out_pair(fr_colour c1, fr_shape_class k1, fr_colour c2, fr_shape_class k2);
bool fr_held_out_triple(fr_shape_class a, fr_relation r, fr_shape_class b);

/* The box that a shape fills: least and largest x and y. */
typedef struct fr_box {
    float x0, y0, x1, y1;
} fr_box;
fr_box fr_shape_box(const fr_shape *s);

/* GenEval's rule for where a stands to b: cut is its threshold 0.5 on the direction. */
bool fr_box_relation(fr_box a, fr_box b, fr_relation r, float cut);

/* pixels [size][size][3], 0 .. 1. */
void fr_scene_draw(const fr_scene *s, float *pixels);

#endif
