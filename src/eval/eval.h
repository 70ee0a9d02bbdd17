/* eval.h: the face of the room that says how good a model is: by judges that are exact, on lines that it has
 * never seen.
 *
 *     fr_speaker_open("tales", pool, &speaker);
 *     fr_eval_text(&speaker, &(fr_eval_opts){.lines = 1000}, &board);
 *
 * A speaker is a language model, or what a test puts in its place. */
#ifndef FR_EVAL_H
#define FR_EVAL_H

#include "eval/weigher.h"
#include "text/text.h"
#include "world/world.h"

typedef struct fr_speaker {
    void *self;
    /* What is said behind the prompt of each line, up to the end of the document: into said[i], to be freed with
     * fr_free. A text that does not end within `most` tokens is NULL. The same prompt at the same place of the
     * list with the same sampling gives the same text. */
    fr_status (*say)(void *self, const fr_line *lines, size_t count, const fr_sampling *how,
                     int64_t most, char **said);
    /* Adds how unexpected the prompts were, and what is to be said behind them. */
    fr_status (*weigh)(void *self, const fr_line *lines, size_t count, fr_surprise *prompts,
                       fr_surprise *rest);
    void (*close)(void *self);
} fr_speaker;

/* A model's folder, or the name of a shipped one. */
fr_status fr_speaker_open(const char *model, fr_pool *pool, fr_speaker *out);
void fr_speaker_close(fr_speaker *s);

typedef struct fr_eval_opts {
    int64_t lines; /* of each task */
    int64_t text;  /* lines of the training mix for the perplexity */
    int64_t shown; /* stories that are sampled */
    int64_t wrong; /* of each task, so many failures are kept */
    uint64_t seed;
    float temperature; /* of the stories shown */
    unsigned tasks;    /* a bit each; 0: all */
    bool seen;         /* ask lines of the training split, to see how much is learned by heart */
} fr_eval_opts;

/* What the shipped model is held to: tasks taken together, or a part of one. */
typedef enum fr_eval_group {
    FR_EVAL_QUESTIONS,  /* how many, how many of, what colour */
    FR_EVAL_TWO_DIGITS, /* sums of two numbers of two digits each */
    FR_EVAL_STORIES,
    FR_EVAL_GROUPS
} fr_eval_group;
extern const char *const fr_eval_group_names[FR_EVAL_GROUPS];
extern const double fr_eval_targets[FR_EVAL_GROUPS]; /* shares */

typedef struct fr_told {
    fr_line line;
    char *said;      /* NULL: it did not end; what is not printable has become '?' */
    char reason[96]; /* empty: right */
} fr_told;

typedef struct fr_scoreboard {
    fr_score task[FR_LINE_TASKS], group[FR_EVAL_GROUPS];
    fr_surprise answers[FR_LINE_TASKS]; /* what is to be said */
    fr_surprise text;                   /* whole lines of the mix */
    fr_told *wrong, *shown;
    size_t wrong_count, shown_count;
    double seconds;
} fr_scoreboard;

fr_status fr_eval_text(const fr_speaker *s, const fr_eval_opts *o, fr_scoreboard *out);
void fr_scoreboard_free(fr_scoreboard *b);

#endif
