/* story.h: the grammar of the stories: sentences with slots, and stages that say which may follow which.
 *
 * Writing a story is a walk over the sentences from FR_STORY_START to FR_STORY_END; judging one is to match its
 * sentences along such a walk. Both read the one table of story_table.c. */
#ifndef FR_WORLD_STORY_H
#define FR_WORLD_STORY_H

#include "base/base.h"

/* Where a story stands. Up to FR_STORY_DUO it is given, from there on it is to be said. */
typedef enum fr_story_stage {
    FR_STORY_START,
    FR_STORY_HAD,  /* we know who has what */
    FR_STORY_MET,  /* we know who is where */
    FR_STORY_SOLO, /* one child, with a thing, at a place */
    FR_STORY_DUO,  /* the same with a friend */
    FR_STORY_AWAY, /* lost: the thing lies where the child was before */
    FR_STORY_GONE,
    FR_STORY_SAD,
    FR_STORY_STUCK, /* up in a tree */
    FR_STORY_STUCK_FAST,
    FR_STORY_DIRTY,
    FR_STORY_BROWN,
    FR_STORY_TAKEN, /* by an animal */
    FR_STORY_CHASED,
    FR_STORY_ASKED, /* the friend wants to play with it */
    FR_STORY_REFUSED,
    FR_STORY_LENT,
    FR_STORY_PLAYED,
    FR_STORY_BROKEN,
    FR_STORY_WEEPING,
    FR_STORY_HIDDEN, /* by the friend, at another place */
    FR_STORY_SEARCHED,
    FR_STORY_RACED,
    FR_STORY_LOST_RACE, /* so the friend has won */
    FR_STORY_WON_RACE,
    FR_STORY_HAPPY, /* who owns the thing has it, and it is well */
    FR_STORY_END,
    FR_STORY_STAGES
} fr_story_stage;

/* What a story has said and must hold to. */
typedef enum fr_story_fact {
    FR_STORY_CHILD,
    FR_STORY_FRIEND, /* a girl where the child is a boy, so that she and he always tell who */
    FR_STORY_COLOUR,
    FR_STORY_ITEM,
    FR_STORY_HERE,  /* where the child is */
    FR_STORY_THERE, /* where the thing was left or hidden */
    FR_STORY_NEXT,  /* a place that the sentence names first */
    FR_STORY_ANIMAL,
    FR_STORY_COVER, /* "a bush", under which things are found */
    FR_STORY_OWNER, /* 0: the child, 1: the friend */
    FR_STORY_FACTS
} fr_story_fact;

/* What a sentence changes, in this order. */
enum {
    FR_STORY_LEAVE = 1, /* the thing stays here */
    FR_STORY_GO = 2,    /* here is the next place */
    FR_STORY_BACK = 4,  /* here is where the thing is */
    FR_STORY_HIDE = 8,  /* the thing is at the next place */
    FR_STORY_GIVE = 16, /* the friend owns the thing */
};

/* The slots, % and a letter:
 *     child   A name, S She, s she, h her (her ball), m her (with her)    friend  B, T, t, g, n likewise
 *     owner   o name, O She, r her                                       colour  c red, k a red
 *     here    w the garden, p in the garden     there  l, q likewise     next    d, y likewise
 *     item    i ball     animal  x dog          cover  u a bush */
typedef struct fr_story_sentence {
    uint32_t from; /* a bit for each stage that it may follow */
    fr_story_stage to;
    int effects;
    const char *text;
} fr_story_sentence;

extern const fr_story_sentence fr_story_sentences[];
extern const int fr_story_sentence_count;

#define FR_STORY_LEAST 4 /* sentences */
#define FR_STORY_MOST  7

/* The words of a slot for value number `value` of its fact; NULL: there is no such value. `owner` tells whom
 * the owner's slots mean. */
const char *fr_story_word(char slot, int value);
fr_story_fact fr_story_fact_of(char slot, int owner);
bool fr_story_is_girl(int name);

#endif
