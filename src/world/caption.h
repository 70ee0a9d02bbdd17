/* caption.h: what is said about a scene: GenEval's sentences over 40 words, and back. */
#ifndef FR_WORLD_CAPTION_H
#define FR_WORLD_CAPTION_H

#include "world/scene.h"

#define FR_CAPTION_TEXT   128
#define FR_CAPTION_WORDS  40 /* in the vocabulary; 0 is <pad>, 1 <bos> */
#define FR_CAPTION_TOKENS 16 /* the longest, with <bos> */
#define FR_CAPTIONS       4  /* variants of a scene */

extern const char *const fr_caption_words[FR_CAPTION_WORDS];

/* "a photo of a red circle left of a blue star" */
void fr_prompt_text(const fr_prompt *p, char out[FR_CAPTION_TEXT]);
/* The prompt that a sentence asks for; a sentence outside the grammar is refused, with the word. */
fr_status fr_prompt_parse(const char *text, fr_prompt *out);

/* Word numbers, <bos> first, then <pad>; the count without <pad>. Unknown words are refused. */
fr_status fr_caption_tokens(const char *text, int32_t out[FR_CAPTION_TOKENS], int *count);

/* Variant 0 of a scene's caption is true. In the others each fact (a class, a colour, a count, a relation) is
 * replaced by a false one with the probability fr_caption_error[variant]; score: the share of facts that are
 * true. */
extern const float fr_caption_error[FR_CAPTIONS];
void fr_scene_caption(const fr_scene *s, uint64_t seed, uint64_t index, int variant,
                      char text[FR_CAPTION_TEXT], float *score);

#endif
