/* report.h: what came out of an examination: shares with their errors, task by task, what went wrong, and whether
 * two examinations of the same questions differ by more than luck.
 *
 * The overall score is GenEval's: the mean of the tasks' scores, not of the answers. */
#ifndef FR_WORLD_REPORT_H
#define FR_WORLD_REPORT_H

#include <stdio.h>

#include "base/base.h"

#define FR_REPORT_GROUPS 16
#define FR_REPORT_FAULTS 12

typedef struct fr_score {
    int64_t asked, right, strict;
} fr_score;

typedef struct fr_fault {
    char kind[48], example[96];
    int64_t count;
} fr_fault;

typedef struct fr_report {
    const char *what;         /* "pictures" */
    const char *const *names; /* of the groups */
    int groups;
    bool has_strict;
    fr_score score[FR_REPORT_GROUPS];
    fr_fault fault[FR_REPORT_FAULTS]; /* as they came up; the last: all further kinds */
    int faults;
} fr_report;

fr_report fr_report_new(const char *what, const char *const *names, int groups, bool has_strict);
/* strict: right by a harder rule; counts only with `right`. kind: what went wrong, in a few words that recur;
 * empty when nothing did. example: the case itself. */
void fr_report_add(fr_report *r, int group, bool right, bool strict, const char *kind,
                   const char *example);

/* A share with its standard error, that of independent answers. */
typedef struct fr_share {
    double value, error;
} fr_share;
fr_share fr_share_of(int64_t right, int64_t asked);
/* The mean over the groups that were asked at all; *groups: how many those are. */
fr_share fr_report_mean(const fr_report *r, bool strict, int *groups);

/* bars: a picture of the shares behind the figures. */
void fr_report_print(const fr_report *r, FILE *out, bool bars);

/* ---- two examinations of the same questions ---- */

/* McNemar's test: only the answers that differ tell. p: how often luck alone gives a difference as large or
 * larger (both ways, exact binomial). difference: share of a minus share of b. */
typedef struct fr_paired {
    int64_t both, only_a, only_b, neither;
} fr_paired;
fr_share fr_paired_difference(const fr_paired *p);
double fr_paired_chance(const fr_paired *p);

typedef struct fr_comparison {
    int groups;
    char name[FR_REPORT_GROUPS][32];
    fr_paired pair[FR_REPORT_GROUPS], all;
    int64_t alone; /* answers that only one of the files has; they do not count */
} fr_comparison;

/* Reads two results.jsonl, or the folders that hold them: lines with "filename", "tag", "prompt" and "correct".
 * Answers belong together by their filename; one file name with two prompts is refused. */
fr_status fr_results_compare(const char *path_a, const char *path_b, fr_comparison *out);
void fr_comparison_print(const fr_comparison *c, FILE *out);

#endif
