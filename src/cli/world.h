/* world.h: the actions of `frugal world`, one file each, and what was asked of them. */
#ifndef FR_CLI_WORLD_H
#define FR_CLI_WORLD_H

#include "cli/cli.h"
#include "world/world.h"

typedef struct world_ask {
    const char *out;    /* NULL: not said, as with all words here */
    const char *prompt; /* what a picture should show */
    const char *fill, *split, *task;
    double count, size, seed, prompts, images;
    bool png, judge;
    int words; /* what stands behind the options */
    char **word;
} world_ask;

typedef fr_status world_action(const world_ask *a);
world_action world_draw, world_judge, world_check, world_dataset, world_suite, world_compare,
    world_text;

/* A task of pictures; -1 when none was named, for one of the six by lot. */
fr_status world_tag(const world_ask *a, int *tag);
/* An action that takes no words was given one. */
fr_status world_no_words(const world_ask *a);

#endif
