/* quantize.h: what the files of `frugal quantize` share: the call, and the texts that it takes. */
#ifndef FR_CLI_QUANTIZE_H
#define FR_CLI_QUANTIZE_H

#include "cli/cli.h"
#include "eval/eval.h"
#include "model/model.h"

typedef struct fr_quantize_call {
    const char *model, *out, *json;
    const char *calibrate; /* NULL: lines of the world of text */
    int64_t samples, tokens,
        evaluate;  /* evaluate: tokens; -1: as many as the model's size allows */
    double memory; /* bytes; 0: no limit */
    uint64_t seed;
    fr_dtype blocks;                 /* FR_NOTYPE; else a GGUF file is written, in these */
    bool chosen_smooth, chosen_keys; /* the call says, not the model's shape */
    const char *recipe;              /* as it was asked for, or NULL */
    bool for_encoders, of_decoders;  /* the recipe is; an option was given that is */
    fr_quantizing o;
} fr_quantize_call;

/* Texts to calibrate on and, apart from them, texts to measure on. */
fr_status fr_quantize_texts(const fr_quantize_call *c, const fr_model *m, fr_texts *calibrate,
                            fr_texts *measure);
/* How unexpected texts are, with keys and values as the model has them: whole, and what is not given alone. */
fr_status fr_quantize_weigh(const fr_model *m, const fr_texts *t, fr_pool *pool, fr_surprise *whole,
                            fr_surprise *answers);

/* A table of the layers; keys: with what was done to keys. */
void fr_quantize_print_layers(const fr_quantize_report *r, bool keys);

/* ---- encoders: quantize_encoder.c, quantize_sentences.c ---- */

fr_status fr_quantize_encoder(fr_quantize_call *c, const fr_encoder_folder *m);
/* Sentence number i of a seed, in English; fits in 320 bytes. */
void fr_sentence_make(uint64_t seed, uint64_t i, char text[320]);

#endif
