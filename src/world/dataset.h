/* dataset.h: many scenes on disk, for trainers that read files.
 *
 *     DIR/scenes.jsonl          one scene a line, as metadata.h says
 *     DIR/pictures.safetensors  images U8 [N, size, size, 3]; tokens I32 [N, 4, 16] of the four captions (words of
 *                               caption.h, <bos> first, then <pad>); scores F32 [N, 4], the share of each
 *                               caption's facts that are true
 *     DIR/pictures/00000000.png ... in place of that file, where PNGs were asked for
 *
 * The same bytes for any number of threads; memory does not grow with N. */
#ifndef FR_WORLD_DATASET_H
#define FR_WORLD_DATASET_H

#include "world/scene.h"

typedef struct fr_dataset {
    uint64_t seed;
    int64_t count; /* scenes 0 .. count - 1 of the seed, as fr_scene_make draws them */
    int size, tag; /* as there */
    fr_scene_split split;
    bool png;
} fr_dataset;

fr_status fr_dataset_write(const char *dir, const fr_dataset *d, fr_pool *pool);

#endif
