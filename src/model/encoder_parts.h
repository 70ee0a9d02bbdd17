/* encoder_parts.h: what the files of an encoder's quantization share; encoder_quantize.h says which does what. */
#ifndef FR_MODEL_ENCODER_PARTS_H
#define FR_MODEL_ENCODER_PARTS_H

#include "model/encoder_quantize.h"
#include "model/quantize_parts.h"
#include "op/op.h"

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

/* ---- encoder_look.c ---- */

/* Linears that read the same value. */
typedef struct encoder_place {
    int first, count;
} encoder_place;

/* Of a place: x is what flows into its linears, d what the outputs of each then lack of those that the original has. */
typedef struct encoder_sums {
    int64_t n;
    fr_hessian x;   /* C in the end, times 2 */
    double *mean;   /* [n] of x */
    float *lack[3]; /* [rows, n], of each linear: sum of d xT, then 2 D, in the end the target */
    double *off[3]; /* [rows]: mean of d */
    int64_t rows[3];
} encoder_sums;

/* A layer of the store; quant_layer_close. */
fr_status encoder_layer_open(const encoder_job *j, int64_t number, quant_layer *l);
void encoder_name(const encoder_job *j, int64_t layer, int linear, const char *what, char *name);
fr_tensor *encoder_param(const encoder_job *j, const quant_layer *l, int linear, const char *what);
/* All texts through both; what flows through the original goes on with the last place. */
fr_status encoder_look(encoder_job *j, const quant_layer *now, const quant_layer *was,
                       encoder_place p, encoder_sums *s);
void encoder_sums_free(encoder_sums *s);
/* What flows through what is rounded goes on. */
fr_status encoder_advance(encoder_job *j, const quant_layer *now);
fr_status encoder_multiply(encoder_job *j, const fr_gemm *g);

/* ---- encoder_round.c ---- */

/* linear [FR_ENCODER_LINEARS] are filled; bits and values are added to. */
fr_status encoder_round(encoder_job *j, int64_t layer, encoder_linear *linear,
                        fr_layer_report *report, double *bits, double *values);

#endif
