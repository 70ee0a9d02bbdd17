/* embed.h: texts as vectors: an encoder of a folder of sentence-transformers, or of any BertModel with a tokenizer.
 *
 *     fr_embedder *e;
 *     fr_embedder_open("all-MiniLM-L6-v2", pool, &e);
 *     float x[2 * fr_embedder_width(e)];
 *     fr_embed(e, (const char *[]){"a cat", "a dog"}, 2, x, &cut);
 */
#ifndef FR_TEXT_EMBED_H
#define FR_TEXT_EMBED_H

#include "base/base.h"

typedef struct fr_embedder fr_embedder;

/* By fr_model_find. modules.json and what it names say how the states of the tokens become one vector: their mean, or
 * the first one, brought to length 1 or not; without that file it is the mean as it is. */
fr_status fr_embedder_open(const char *name, fr_pool *pool, fr_embedder **out);
void fr_embedder_free(fr_embedder *e);
int64_t fr_embedder_width(const fr_embedder *e);
int64_t fr_embedder_most(const fr_embedder *e); /* tokens of a text; the rest is cut off */

/* out [count][width]. cut: how many texts were longer than fr_embedder_most; may be NULL. */
fr_status fr_embed(fr_embedder *e, const char *const *texts, size_t count, float *out, size_t *cut);

#endif
