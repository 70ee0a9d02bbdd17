/* suite.h: what a model of pictures is examined with: prompts fixed by a seed, in GenEval's folder layout.
 *
 *     DIR/evaluation_metadata.jsonl    all prompts, one a line
 *     DIR/00000/metadata.jsonl         the prompt of this folder
 *     DIR/00000/samples/0000.png       pictures of it, as many as there are
 *     DIR/results.jsonl                written by fr_suite_judge
 *
 * A prompt is a function of seed, split, task and its number within the task: a longer suite begins, in every
 * task, with the prompts of a shorter one. Suites draw from streams of their own, so that no training scene of
 * the same seed is among them. */
#ifndef FR_WORLD_SUITE_H
#define FR_WORLD_SUITE_H

#include "world/judge.h"
#include "world/report.h"
#include "world/scene.h"

typedef struct fr_suite {
    uint64_t seed;
    int prompts; /* of each of the six tasks; they stand one task after another */
    int size;    /* of the pictures that fill it: 64 or 128 */
    fr_scene_split split;
} fr_suite;

int fr_suite_count(const fr_suite *s);
void fr_suite_prompt(const fr_suite *s, int number, fr_prompt *out);

/* Pictures made without a model: what the judge must say of them is known, so that the way from folders to a
 * score can be tried before there is a model. */
typedef enum fr_fill_kind {
    FR_FILL_NONE,
    FR_FILL_ORACLE,   /* scenes that show the prompt: everything right */
    FR_FILL_SHUFFLED, /* scenes that show another prompt of the suite: chance */
    FR_FILL_RANDOM,   /* noise and nothing else: nothing right */
    FR_FILL_FLAT,     /* grey */
    FR_FILL_BLUR,     /* the oracle's, blurred: amount is sigma in pixels */
    FR_FILL_NOISE,    /* with normal noise of this sigma */
    FR_FILL_CONTRAST, /* with this contrast around middle grey */
    FR_FILLS
} fr_fill_kind;

typedef struct fr_fill {
    fr_fill_kind kind;
    float amount;
} fr_fill;

/* "oracle", "blur:0.8" ... */
fr_status fr_fill_parse(const char *text, fr_fill *out);
/* Damages a picture in place; the kinds before FR_FILL_BLUR replace it or leave it. */
void fr_fill_apply(const fr_fill *f, uint64_t seed, uint64_t index, float *pixels, int size);
/* Picture `image` of a prompt, [size][size][3], 0 .. 1. */
fr_status fr_suite_picture(const fr_suite *s, const fr_fill *f, int number, int image,
                           float *pixels);

/* A new folder with the suite, and `images` pictures of each prompt where f fills it. */
fr_status fr_suite_write(const char *dir, const fr_suite *s, const fr_fill *f, int images,
                         fr_pool *pool);

/* One picture, read from a file of 64 x 64 or 128 x 128 pixels. */
fr_status fr_judge_file(const char *path, fr_sight *out);

typedef struct fr_suite_seen {
    int prompts, without; /* folders, and those that hold no picture */
    int64_t pictures, unreadable;
} fr_suite_seen;

/* Judges every picture of a folder in that layout, whoever made it, writes results.jsonl into it, one picture a
 * line, and adds up the report (made by fr_report_new with fr_tag_names). A file that cannot be read, or has
 * another size, is a wrong picture with that reason. Takes no memory for pictures beyond those in work. */
fr_status fr_suite_judge(const char *dir, fr_pool *pool, fr_report *report, fr_suite_seen *seen);

#endif
