/* quantize_recipe.c: recipes of quantization by name, and what of them suits which model. */
#include <string.h>

#include "model/quantize.h"

const char *const fr_keys_names[3] = {"off", "fixed", "grid"};

#define QOQ .rotate = true, .gptq = true

const fr_quantize_recipe fr_quantize_recipes[] = {
    {.name = "qoq-w4a8kv4-g128",
     .what = "QoQ: 4-bit weights in groups of 128, 8-bit activations, 4-bit keys and values",
     .format = "qoq-g128",
     .kv = 4,
     .head = 8,
     .reorder = true,
     .keys = FR_KEYS_FIXED,
     .alpha = 0.3,
     .beta = 0.7,
     QOQ},
    {.name = "qoq-w4a8kv4",
     .what = "QoQ: the same with a scale for each row of weights",
     .format = "qoq-channel",
     .kv = 4,
     .head = 8,
     .search = true,
     .keys = FR_KEYS_GRID,
     .alpha = 0.1,
     .beta = 0.9,
     QOQ},
    {.name = "w8a8kv8",
     .what = "8-bit weights, activations, keys and values",
     .format = "int8-channel",
     .kv = 8,
     .head = 8,
     .alpha = 0.3,
     .beta = 0.7,
     QOQ},
    {.name = "w4a16-g128",
     .what = "4-bit weights in groups of 128 with zero points; all else in 16 bits",
     .format = "uint4-z-g128",
     .kv = 16,
     .head = 16,
     .alpha = 0.3,
     .beta = 0.7,
     QOQ},
    {.name = "rtn-w4a8kv4-g128",
     .what = "the format of qoq-w4a8kv4-g128, each weight to the nearest",
     .format = "qoq-g128",
     .kv = 4,
     .head = 8},
    {.name = "rtn-w4a8kv4",
     .what = "the format of qoq-w4a8kv4, each weight to the nearest",
     .format = "qoq-channel",
     .kv = 4,
     .head = 8},
    {.name = "rtn-w8a8kv8",
     .what = "the format of w8a8kv8, each weight to the nearest",
     .format = "int8-channel",
     .kv = 8,
     .head = 8},
    {.name = "rtn-w4a16-g128",
     .what = "the format of w4a16-g128, each weight to the nearest",
     .format = "uint4-z-g128",
     .kv = 16,
     .head = 16},
    {.name = "rtn-w4a4",
     .what = "4-bit weights and activations in groups of 64, each to the nearest",
     .format = "int4-g64",
     .kv = 16,
     .head = 16},
    {.name = NULL},
};

const fr_quantize_recipe *fr_quantize_recipe_find(const char *name) {
    for (const fr_quantize_recipe *r = fr_quantize_recipes; r->name; r++)
        if (!strcmp(r->name, name)) return r;
    return NULL;
}

/* ---- what suits a model ---- */

typedef struct suit {
    fr_family family;
    int64_t width, layers, vocab; /* 0: any */
    double channel, group;        /* alpha of down; beta is what is left to 1 */
    fr_keys group_keys, channel_keys;
} suit;

/* From the configurations that the authors published with their results. */
static const suit suits[] = {
    {FR_FAMILY_LLAMA, 4096, 32, 32000, 0.05, 0.2, FR_KEYS_FIXED, FR_KEYS_GRID},  /* Llama-2-7B */
    {FR_FAMILY_LLAMA, 5120, 40, 32000, 0.05, 0.35, FR_KEYS_GRID, FR_KEYS_GRID},  /* 13B */
    {FR_FAMILY_LLAMA, 8192, 80, 32000, 0.1, 0.35, FR_KEYS_FIXED, FR_KEYS_GRID},  /* 70B */
    {FR_FAMILY_LLAMA, 6656, 60, 32000, 0.1, 0.25, FR_KEYS_FIXED, FR_KEYS_GRID},  /* 30B */
    {FR_FAMILY_LLAMA, 7168, 60, 64000, 0.15, 0.35, FR_KEYS_FIXED, FR_KEYS_GRID}, /* Yi-34B */
    {FR_FAMILY_LLAMA, 4096, 32, 128256, 0.1, 0.3, FR_KEYS_GRID, FR_KEYS_FIXED},  /* Llama-3-8B */
    {FR_FAMILY_LLAMA, 8192, 80, 128256, 0.1, 0.35, FR_KEYS_GRID, FR_KEYS_GRID},  /* 70B */
    {FR_FAMILY_MISTRAL, 0, 0, 0, 0, 0.15, FR_KEYS_FIXED, FR_KEYS_GRID},
    {FR_FAMILY_MIXTRAL, 0, 0, 0, 0.05, 0.25, FR_KEYS_GRID, FR_KEYS_GRID},
};

void fr_quantize_suit(fr_quantize_recipe *r, const fr_decoder *m) {
    bool group = strcmp(r->format, "qoq-g128") == 0;
    if (r->keys == FR_KEYS_OFF) return; /* only QoQ's own recipes were tuned so */
    for (size_t i = 0; i < FR_COUNT(suits); i++) {
        const suit *s = &suits[i];
        if (s->family != m->family || (s->width && s->width != m->width) ||
            (s->layers && s->layers != m->layers) || (s->vocab && s->vocab != m->vocab))
            continue;
        r->alpha = group ? s->group : s->channel;
        r->beta = 1 - r->alpha;
        r->keys = group ? s->group_keys : s->channel_keys;
        return;
    }
}
