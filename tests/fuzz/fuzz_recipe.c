/* fuzz_recipe.c: any bytes as a recipe: refused with a sentence, or the numbers of a training; and what it prints of
 * itself is a recipe that says the same. The text behind a zero byte is set on top, as --set does, line by line. */
#include <stdlib.h>
#include <string.h>

#include "train/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool good) {
    if (!good) abort();
}

static bool read_recipe(const char *text, size_t bytes, fr_recipe **out) {
    fr_message_clear();
    if (fr_recipe_parse(text, bytes, "folder/fuzz.recipe", out) == FR_OK) return true;
    must(!*out && fr_message()[0]);
    return false;
}

/* A recipe with a base opens the model's file, which is no business of this target. */
static bool read_job(fr_recipe *r) {
    fr_job job;
    fr_message_clear();
    if (fr_recipe_holds(r, "base", 4)) return false;
    if (fr_job_read(r, &job) == FR_OK) {
        must(job.kind == FR_JOB_TOKENIZER ||
             (fr_decoder_params(&job.model) > 0 && job.tokens <= job.model.context));
        return true;
    }
    must(fr_message()[0]);
    return false;
}

static void set_lines(fr_recipe *r, char *text) {
    for (char *next; text; text = next) {
        next = strchr(text, '\n');
        if (next) *next++ = 0;
        fr_message_clear();
        must(fr_recipe_set(r, text) == FR_OK || fr_message()[0]);
    }
}

static void print_and_read(const fr_recipe *r) {
    fr_recipe *again = NULL;
    char *text = fr_recipe_print(r), *same;
    must(text && read_recipe(text, strlen(text), &again));
    must(read_job(again));
    same = fr_recipe_print(again);
    must(same && !strcmp(text, same));
    fr_free(text);
    fr_free(same);
    fr_recipe_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    const uint8_t *zero = memchr(data, 0, bytes);
    size_t own = zero ? (size_t)(zero - data) : bytes;
    fr_recipe *r;
    read_recipe((const char *)data, bytes, &r); /* with the zero byte */
    fr_recipe_free(r);
    if (!read_recipe((const char *)data, own, &r)) return 0;
    if (zero) {
        char *sets = fr_format("%.*s", (int)(bytes - own - 1), (const char *)zero + 1);
        if (sets) set_lines(r, sets);
        fr_free(sets);
    }
    if (read_job(r)) print_and_read(r);
    fr_recipe_free(r);
    return 0;
}
