/* vocabulary.c: a tokenizer learned from the lines that a model of the same world will learn from. */
#include "train/vocabulary.h"

#include <string.h>

#include "world/world.h"

typedef struct lines {
    fr_line line;
    fr_progress progress;
    uint64_t seed;
    int64_t next, count;
} lines;

static bool next_line(void *arg, const char **text, size_t *bytes) {
    lines *l = arg;
    if (l->next >= l->count || fr_interrupted()) return false;
    fr_line_make(l->seed, (uint64_t)l->next++, -1, FR_LINES_TRAIN, &l->line);
    *text = l->line.text;
    *bytes = (size_t)l->line.bytes;
    if (l->next % 1024 == 0) fr_progress_update(&l->progress, (double)l->next);
    return true;
}

fr_status fr_vocabulary_learn(const fr_job *job, fr_tokenizer **out) {
    static const char *const special[] = {"<bos>", "<eos>"};
    fr_bpe_opts opts = {
        .vocab = (int32_t)job->vocab, .special = special, .special_count = FR_COUNT(special)};
    lines l = {.seed = job->seed, .count = job->lines};
    *out = NULL;
    l.progress = fr_progress_start("reading lines", (double)job->lines, "lines");
    fr_status st = fr_bpe_train(&opts, next_line, &l, out);
    fr_progress_end(&l.progress);
    if (!st) st = fr_interrupt_check();
    if (st) {
        fr_tokenizer_free(*out);
        *out = NULL;
    }
    return st;
}

static fr_status from_recipe(const char *path, fr_tokenizer **out) {
    fr_recipe *r;
    fr_job job;
    FR_TRY(fr_recipe_open(path, &r));
    fr_status st = fr_job_read(r, &job);
    if (!st && job.kind != FR_JOB_TOKENIZER)
        st = fr_fail(FR_INVALID, "%s is no recipe of a tokenizer", path);
    if (!st) st = fr_vocabulary_learn(&job, out);
    fr_recipe_free(r);
    return st;
}

/* From the recipe's folder on; else a recipe of that name among those that come with Frugal: the recipe may be one
 * that a training left in its own folder. */
static char *path_of(const fr_recipe *r, const char *name) {
    char *path = *name == '/' ? fr_strdup(name) : fr_path_join(fr_recipe_folder(r), name), *found;
    if (!path || fr_path_exists(path) || strchr(name, '/') || !fr_path_has_suffix(name, ".recipe"))
        return path;
    char *stem = fr_format("%.*s", (int)(strlen(name) - strlen(".recipe")), name);
    found = stem ? fr_recipe_find(stem) : NULL;
    fr_free(stem);
    if (!found) return path;
    fr_free(path);
    return found;
}

fr_status fr_vocabulary_get(const fr_recipe *r, const fr_job *job, fr_tokenizer **out) {
    char *path;
    *out = NULL;
    if (!job->tokenizer) /* the base has one */
        FR_TRY(fr_model_find(job->base, &path));
    else
        path = path_of(r, job->tokenizer);
    if (!path) return FR_NOMEM;
    fr_status st =
        fr_path_has_suffix(path, ".recipe") ? from_recipe(path, out) : fr_tokenizer_open(path, out);
    fr_free(path);
    return st;
}
