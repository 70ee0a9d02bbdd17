/* vocabulary.h: the tokenizer of a training: made from lines of the world, or taken from a file. */
#ifndef FR_TRAIN_VOCABULARY_H
#define FR_TRAIN_VOCABULARY_H

#include "text/text.h"
#include "train/job.h"

fr_status fr_vocabulary_learn(const fr_job *job, fr_tokenizer **out);
/* What a recipe's key `tokenizer` names: a tokenizer.json, a folder that holds one, or a recipe (from which one
 * is made); relative to the folder of the recipe. Without the key that of the model to begin with. */
fr_status fr_vocabulary_get(const fr_recipe *r, const fr_job *job, fr_tokenizer **out);

#endif
