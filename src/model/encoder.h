/* encoder.h: encoders of text: BERT (Devlin et al. 2018) and those of its shape, MiniLM among them.
 *
 * Every token sees the whole of its text. Names and config.json are those of Hugging Face's BertModel, also where the
 * file puts "bert." before them. Linears that the store holds in few bits run so, by the code that decoders use. */
#ifndef FR_MODEL_ENCODER_H
#define FR_MODEL_ENCODER_H

#include <frugal/ops.h>

#include "graph/graph.h"

typedef struct fr_encoder {
    int64_t vocab, width, hidden; /* hidden: of the MLP */
    int64_t layers, heads;
    int64_t context; /* positions that have an embedding */
    int64_t types;   /* of tokens: first or second text of a pair */
    float eps;
    fr_fn act;
} fr_encoder;

/* What the file says and we cannot do is refused by name. */
fr_status fr_encoder_read(const fr_json *config, fr_encoder *out);

typedef struct fr_encoder_opts {
    fr_dtype weights; /* FR_F32 or FR_BF16, also of what flows; FR_NOTYPE: f32 */
    const fr_store
        *store; /* its matrices in few bits run so, and it says whether names begin with "bert." */
} fr_encoder_opts;

/* ids i32 [batch, tokens], pos i32 [tokens], 0 and up; type i32 [batch, tokens], FR_NONE: all of the first; length
 * i32 [batch], how many tokens of each row count, FR_NONE: all. The hidden states of the last layer, [batch, tokens,
 * width]; behind the length of a row they mean nothing. */
fr_val fr_encoder_body(fr_graph *g, const fr_encoder *m, const fr_encoder_opts *o, fr_val ids,
                       fr_val pos, fr_val type, fr_val length);

/* In pieces, for who changes one layer after the other. y: what each linear gives, with its residual. The names are
 * those within "encoder.layer.3.". */
enum { FR_ENCODER_LINEARS = 6 };
extern const char *const fr_encoder_linears[FR_ENCODER_LINEARS];
const char *
fr_encoder_prefix(const fr_store *store); /* "bert." where the file puts it before names, or "" */
fr_val fr_encoder_embed(fr_graph *g, const fr_encoder *m, const fr_encoder_opts *o, fr_val ids,
                        fr_val pos, fr_val type);
fr_val fr_encoder_layer(fr_graph *g, const fr_encoder *m, const fr_encoder_opts *o, int64_t layer,
                        fr_val x, fr_val length, fr_val y[FR_ENCODER_LINEARS]);

#endif
