/* recipe.h: what to train, in a small file that a person reads:
 *
 *     # tales: a language model of the small worlds
 *     model  = llama
 *     width  = 256
 *     lr     = 2e-3        # peak
 *
 * One "key = value" a line, # to the end of the line is a comment. Every key must be read by someone: one that
 * nobody knows is refused, with the line and the nearest key that exists. */
#ifndef FR_TRAIN_RECIPE_H
#define FR_TRAIN_RECIPE_H

#include "base/base.h"

typedef struct fr_recipe fr_recipe;
fr_status fr_recipe_open(const char *path, fr_recipe **out);
/* The same from text; path is what messages call it, and where its folder is. */
fr_status fr_recipe_parse(const char *text, size_t bytes, const char *path, fr_recipe **out);
fr_status fr_recipe_set(fr_recipe *r, const char *assignment); /* "key=value", as --set has it */
void fr_recipe_free(fr_recipe *r);
/* As opened; and the folder in which it lies, which relative paths in it begin at. */
const char *fr_recipe_path(const fr_recipe *r);
const char *fr_recipe_folder(const fr_recipe *r);

/* Typed; what is absent is the fallback; out of lo..hi is refused, naming file and line. */
fr_status fr_recipe_i64(fr_recipe *r, const char *key, int64_t fallback, int64_t lo, int64_t hi,
                        int64_t *out);
fr_status fr_recipe_f64(fr_recipe *r, const char *key, double fallback, double lo, double hi,
                        double *out);
fr_status fr_recipe_bool(fr_recipe *r, const char *key, bool fallback, bool *out);
fr_status fr_recipe_text(fr_recipe *r, const char *key, const char *fallback, const char **out);
/* One of a list of words that ends with NULL; its number. */
fr_status fr_recipe_word(fr_recipe *r, const char *key, const char *const *words, int fallback,
                         int *out);
/* Fails when a key was never asked for. */
fr_status fr_recipe_done(const fr_recipe *r);
/* The settings in force, a line each, sorted; fr_free it. Its hash says whether a checkpoint is of this recipe. */
char *fr_recipe_print(const fr_recipe *r);
/* Does the recipe itself (or --set) hold this key, whatever was asked for? */
bool fr_recipe_holds(const fr_recipe *r, const char *key, size_t key_bytes);
/* Does a file of an earlier fr_recipe_print say the same? A key that it lacks, and that only has its fallback now,
 * came with a later version and is no difference.
 * free_keys: a list, ended by NULL, of keys that may differ. The message names the first other key that does. */
fr_status fr_recipe_same(const fr_recipe *r, const char *path, const char *const *free_keys);

/* The file of a recipe: a path, or a bare name: NAME.recipe in $FRUGAL_RECIPES, or in the folder of recipes
 * that belongs to the program. fr_free it; NULL and a message: there is none. */
char *fr_recipe_find(const char *name);

#endif
