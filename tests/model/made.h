/* made.h: small decoders of every family with random weights, to be changed and run. */
#ifndef FR_TEST_MADE_H
#define FR_TEST_MADE_H

#include "model/model.h"
#include "quant/quant.h"

enum { MADE_TOKENS = 24, MADE_VOCAB = 60 };

typedef struct made {
    fr_decoder m;
    fr_named_tensor *list; /* one block */
    size_t count;
} made;

/* Families that the passes know, and a name for each; NULL past the last. Two layers, grouped heads. */
typedef struct made_kind {
    const char *name;
    fr_decoder m;
} made_kind;
extern const made_kind made_kinds[];

/* Weights as large as those of a model, norms and biases random too. */
void made_new(const fr_decoder *m, uint64_t seed, made *out);
void made_copy(const made *a, made *out);
void made_free(made *a);
float *made_values(const made *a, const char *name); /* NULL: no such parameter */
/* A model without what the builder cannot build yet. */
bool made_can(const fr_decoder *m);

/* "logits" of a text of so many tokens, from "ids" and "pos". */
fr_graph *made_graph(const fr_decoder *m, const fr_decoder_opts *o, int64_t tokens);
/* How far a model's logits of the first tokens are from those of another program: |got - want| / |want|. */
double made_off(const fr_model *m, const fr_decoder_opts *o, const fr_tensor *ids,
                const fr_tensor *logits);
/* Logits [MADE_TOKENS, MADE_VOCAB] of some tokens; fr_free them. */
float *made_logits(const made *a);
/* The largest difference over the largest value. */
double made_apart(const float *x, const float *y);
/* Largest magnitudes of what flows into the first tap of that kind and name, as many as there are channels. */
void made_most(const made *a, fr_tap_kind kind, const char *name, int64_t channels, float *most);

void made_ok(fr_status st);
void made_fails(fr_status st, const char *text);

#endif
