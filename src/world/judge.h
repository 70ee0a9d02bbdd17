/* judge.h: what a picture of the world shows, read from its pixels and nothing else. */
#ifndef FR_WORLD_JUDGE_H
#define FR_WORLD_JUDGE_H

#include "world/scene.h"

#define FR_JUDGE_OBJECTS 10

/* A shape that was found. */
typedef struct fr_found {
    fr_shape_class class;
    fr_colour colour;
    fr_box box;
    float iou;    /* with the best template */
    float margin; /* to the second best class */
} fr_found;

typedef struct fr_sight {
    int objects; /* by falling iou */
    fr_found object[FR_JUDGE_OBJECTS];
    int parts; /* connected parts of the foreground that are large enough, objects or not */
} fr_sight;

/* pixels [size][size][3], 0 .. 1; size 64 or 128. */
void fr_judge_look(const float *pixels, int size, fr_sight *out);

/* What is wrong, for counting. */
typedef enum fr_wrong {
    FR_WRONG_NOTHING,
    FR_WRONG_MISSING,  /* fewer of a class than asked for */
    FR_WRONG_COLOUR,   /* of the colour asked for */
    FR_WRONG_PLACE,    /* not where it should stand */
    FR_WRONG_TOO_MANY, /* more of a class than there may be */
    FR_WRONG_EXTRA,    /* correct, but not strictly: something else is there too */
    FR_WRONG_FILE,     /* there is no picture to be seen: its file cannot be read */
    FR_WRONGS
} fr_wrong;
extern const char *const fr_wrong_names[FR_WRONGS]; /* "an object is missing" ... */

typedef struct fr_verdict {
    bool correct;
    bool strict; /* correct, and nothing else in the picture */
    fr_wrong wrong;
    char reason[96]; /* empty when strict; for a person */
} fr_verdict;

/* GenEval's rules over what was seen. */
fr_verdict fr_judge_prompt(const fr_prompt *p, const fr_sight *s);

#endif
