/* world_data.c: `frugal world dataset` and `frugal world suite`: scenes on disk for training, and prompts for
 * examining. */
#include <stdio.h>
#include <string.h>

#include "cli/world.h"

static fr_status find_split(const char *word, const char *const names[3], fr_scene_split *out) {
    for (int i = 0; word && i < 3; i++)
        if (!strcmp(word, names[i])) {
            *out = (fr_scene_split)i;
            return FR_OK;
        }
    if (!word) return FR_OK;
    return fr_fail(FR_INVALID, "There is no split '%.40s'; there is: %s, %s, %s.", word, names[0],
                   names[1], names[2]);
}

fr_status world_dataset(const world_ask *a) {
    static const char *const splits[3] = {"train", "unseen", "all"};
    fr_dataset d = {
        .seed = (uint64_t)a->seed, .count = (int64_t)a->count, .size = (int)a->size, .png = a->png};
    char count[32];
    fr_pool *pool;
    FR_TRY(world_no_words(a));
    if (!a->out)
        return fr_fail(FR_INVALID, "Where to? Try: frugal world dataset -o shapes -n 10000");
    FR_TRY(world_tag(a, &d.tag));
    FR_TRY(find_split(a->split, splits, &d.split));
    FR_TRY(fr_cli_pool(&pool));
    FR_TRY(fr_dataset_write(a->out, &d, pool));
    printf("%s: %s scenes of %d pixels, scenes.jsonl and %s\n", a->out,
           fr_show_count(count, a->count), d.size, d.png ? "pictures/" : "pictures.safetensors");
    return FR_OK;
}

fr_status world_suite(const world_ask *a) {
    static const char *const splits[3] = {"seen", "unseen", "all"};
    fr_suite s = {.seed = (uint64_t)a->seed, .prompts = (int)a->prompts, .size = (int)a->size};
    fr_fill fill = {.kind = FR_FILL_NONE};
    fr_pool *pool;
    FR_TRY(world_no_words(a));
    if (!a->out) return fr_fail(FR_INVALID, "Where to? Try: frugal world suite -o suite");
    FR_TRY(find_split(a->split, splits, &s.split));
    if (a->fill) FR_TRY(fr_fill_parse(a->fill, &fill));
    FR_TRY(fr_cli_pool(&pool));
    FR_TRY(fr_suite_write(a->out, &s, &fill, (int)a->images, pool));
    printf("%s: %d prompts", a->out, fr_suite_count(&s));
    if (fill.kind)
        printf(", %.0f pictures of each (%s); judge them with: frugal world judge %s\n", a->images,
               a->fill, a->out);
    else
        printf("; pictures belong in its folders NUMBER/samples\n");
    return FR_OK;
}
