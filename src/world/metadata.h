/* metadata.h: GenEval's line of JSON about a picture, written and read.
 *
 *     {"tag": "position", "include": [{"class": "star", "count": 1}, {"class": "ring", "count": 1,
 *      "position": ["above", 0]}], "exclude": [], "prompt": "a photo of a ring above a star"}
 *
 * (on one line). "color" names a colour; "position" a relation and the number of an earlier thing. A scene of a
 * data set has more keys, which a reader of prompts skips: "scene", "captions", "size", "seed", "index". */
#ifndef FR_WORLD_METADATA_H
#define FR_WORLD_METADATA_H

#include "world/caption.h"
#include "world/scene.h"

#define FR_METADATA_TEXT 2048

/* One line, without its end. */
void fr_prompt_metadata(const fr_prompt *p, char out[FR_METADATA_TEXT]);
/* The same and "scene": [{"class", "color", "cx", "cy", "r"}], "captions": [{"text", "score"}]. */
void fr_scene_metadata(const fr_scene *s, uint64_t seed, uint64_t index,
                       char out[FR_METADATA_TEXT]);

/* name: what messages call the text. Whatever cannot be asked of the picture world is refused. text: the sentence
 * that stands there, or the one that fr_prompt_text makes. */
fr_status fr_prompt_from_metadata(const char *json, size_t bytes, const char *name, fr_prompt *out,
                                  char text[FR_CAPTION_TEXT]);

#endif
