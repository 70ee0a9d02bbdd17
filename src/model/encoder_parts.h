/* encoder_parts.h: what the files of an encoder's quantization share; encoder_quantize.h says which does what. */
#ifndef FR_MODEL_ENCODER_PARTS_H
#define FR_MODEL_ENCODER_PARTS_H

#include "model/encoder_quantize.h"
#include "model/quantize_parts.h"

typedef struct encoder_job {
    const fr_encoder *m;
    const fr_store *store;
    const fr_quantizing *o;
    const fr_qformat *format;
    fr_decoder shape;     /* the sizes, as flows want them */
    bool texts;           /* there are some, and the recipe wants them */
    quant_flow now, was;  /* through what is rounded, and through the original */
    int32_t *length;      /* of a batch's rows, and */
    float *in, *rows[2];  /* what flows into it, and what of values is text */
    void *scratch;        /* of products */
    size_t scratch_bytes; /* grows */
} encoder_job;

/* A linear that was rounded. Belongs to the list below. */
typedef struct encoder_linear {
    char name[160]; /* of its weight */
    fr_quantized q; /* format NULL: it has no product in the format, and stays as it is */
    float *bias;    /* [rows]; NULL: as it was */
} encoder_linear;

/* linear [FR_ENCODER_LINEARS] are filled; bits and values are added to. */
fr_status encoder_round(encoder_job *j, int64_t layer, encoder_linear *linear,
                        fr_layer_report *report, double *bits, double *values);

#endif
