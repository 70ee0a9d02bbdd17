/* suite.c: the prompts of a suite, and pictures that fill it without a model. */
#include "world/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIDE   128
#define BLUR_MOST  8.0f
#define BLUR_REACH 32 /* four sigma */

/* ---- prompts ---- */

static uint64_t suite_seed(const fr_suite *s) {
    uint32_t word[4];
    fr_philox(s->seed, fr_random_stream("world/suite"), 0, word);
    return (uint64_t)word[0] << 32 | word[1];
}

int fr_suite_count(const fr_suite *s) {
    return FR_SCENE_TAGS * s->prompts;
}

/* The same for a long and a short suite. */
static uint64_t key_of(const fr_suite *s, int number) {
    return (uint64_t)(number / s->prompts) << 24 | (uint64_t)(number % s->prompts);
}

void fr_suite_prompt(const fr_suite *s, int number, fr_prompt *out) {
    fr_scene scene;
    fr_scene_make(suite_seed(s), key_of(s, number), s->size, number / s->prompts, s->split, &scene);
    *out = scene.prompt;
}

/* ---- damage ---- */

static const struct {
    const char *name;
    bool has_amount;
    double most;
} fills[FR_FILLS] = {
    {"none", false, 0},   {"oracle", false, 0},  {"shuffled", false, 0},
    {"random", false, 0}, {"flat", false, 0},    {"blur", true, (double)BLUR_MOST},
    {"noise", true, 1},   {"contrast", true, 4},
};

fr_status fr_fill_parse(const char *text, fr_fill *out) {
    size_t length = strcspn(text, ":");
    for (int k = 0; k < FR_FILLS; k++) {
        if (strlen(fills[k].name) != length || memcmp(fills[k].name, text, length) != 0) continue;
        *out = (fr_fill){.kind = (fr_fill_kind)k};
        if (!fills[k].has_amount && !text[length]) return FR_OK;
        char *end = NULL;
        double amount = text[length] ? strtod(text + length + 1, &end) : -1;
        if (!fills[k].has_amount || !end || end == text + length + 1 || *end || !(amount > 0) ||
            amount > fills[k].most)
            break;
        out->amount = (float)amount;
        return FR_OK;
    }
    return fr_fail(
        FR_INVALID,
        "'%.60s' fills no suite; there is: oracle, shuffled, random, flat, blur:SIGMA (up "
        "to %g), noise:SIGMA (up to 1), contrast:FACTOR (up to 4).",
        text, (double)BLUR_MOST);
}

/* A Gaussian along rows, then along columns; at the edge the picture goes on mirrored. */
static void blur(float *pixels, int size, float sigma) {
    static _Thread_local float other[MAX_SIDE * MAX_SIDE * 3];
    float k[2 * BLUR_REACH + 1], sum = 0;
    int reach = FR_MIN((int)ceilf(4 * sigma), BLUR_REACH);
    for (int i = -reach; i <= reach; i++)
        sum += k[i + reach] = expf((float)(-i * i) / (2 * sigma * sigma));
    for (int pass = 0; pass < 2; pass++) {
        for (int at = 0; at < size * size * 3; at++) {
            int c = at % 3, x = at / 3 % size, y = at / 3 / size;
            float v = 0;
            for (int i = -reach; i <= reach; i++) {
                int u = (pass ? y : x) + i;
                u = u < 0 ? -u - 1 : u >= size ? 2 * size - 1 - u : u;
                v += k[i + reach] * pixels[((pass ? u : y) * size + (pass ? x : u)) * 3 + c];
            }
            other[at] = v / sum;
        }
        memcpy(pixels, other, (size_t)size * (size_t)size * 3 * sizeof *pixels);
    }
}

static float clamp(float v) {
    return v < 0 ? 0 : v > 1 ? 1 : v;
}

void fr_fill_apply(const fr_fill *f, uint64_t seed, uint64_t index, float *pixels, int size) {
    int values = size * size * 3;
    fr_rng g = fr_rng_new(seed, fr_random_stream("world/damage") ^ index);
    switch (f->kind) {
    case FR_FILL_RANDOM:
        for (int i = 0; i < values; i++) pixels[i] = fr_rng_uniform(&g);
        break;
    case FR_FILL_FLAT:
        for (int i = 0; i < values; i++) pixels[i] = fr_background[i % 3];
        break;
    case FR_FILL_BLUR: blur(pixels, size, f->amount); break;
    case FR_FILL_NOISE:
        for (int i = 0; i < values; i++)
            pixels[i] = clamp(pixels[i] + f->amount * fr_rng_normal(&g));
        break;
    case FR_FILL_CONTRAST:
        for (int i = 0; i < values; i++) pixels[i] = clamp((pixels[i] - 0.5f) * f->amount + 0.5f);
        break;
    default: break;
    }
}

/* Any other prompt of the suite, by lot. */
static int another(const fr_suite *s, int number, uint64_t index) {
    int count = fr_suite_count(s);
    fr_rng g = fr_rng_new(suite_seed(s), fr_random_stream("world/shuffle") ^ index);
    return (number + 1 + (int)fr_rng_below(&g, (uint32_t)count - 1)) % count;
}

fr_status fr_suite_picture(const fr_suite *s, const fr_fill *f, int number, int image,
                           float *pixels) {
    uint64_t seed = suite_seed(s), index = key_of(s, number) << 20 | (uint64_t)image;
    fr_prompt p;
    fr_scene scene;
    fr_suite_prompt(s, f->kind == FR_FILL_SHUFFLED ? another(s, number, index) : number, &p);
    FR_TRY(fr_scene_of_prompt(&p, seed, index, s->size, &scene));
    fr_scene_draw(&scene, pixels);
    fr_fill_apply(f, seed, index, pixels, s->size);
    return FR_OK;
}
