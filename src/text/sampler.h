/* sampler.h: chooses the tokens of one sequence, one after another, and remembers what that needs: the last tokens
 * for penalties, and where a grammar stands.
 *
 *     fr_sampler_new(&sampling, vocab, stream, NULL, prompt->ids, prompt->count, &s);
 *     each token:  t = fr_sampler_pick(s, scratch, logits);  fr_sampler_accept(s, t);
 *
 * The draw for a token is a pure function of (seed, stream, number of tokens accepted before), so the same seed gives
 * the same text on any number of threads and in any batch: let the stream be the number of the prompt, not of its
 * place in a batch.
 *
 * Speculation: pick at each drafted place from the logits of the large model, and accept while what was picked is what
 * was drafted. As the draws are the same, the text is the same as without a draft. For a draft that comes as a
 * distribution, fr_sampler_probabilities gives the other one and fr_sampler_uniform independent draws of the same
 * place; fr_sampler_undo takes accepted tokens back. */
#ifndef FR_TEXT_SAMPLER_H
#define FR_TEXT_SAMPLER_H

#include "base/base.h"
#include "text/sample.h"

typedef struct fr_sampler fr_sampler;
struct fr_constraint; /* grammar.h */

/* Working memory of one thread for logits of so many tokens. */
typedef struct fr_sampler_scratch fr_sampler_scratch;
fr_status fr_sampler_scratch_new(int32_t vocab, fr_sampler_scratch **out);
void fr_sampler_scratch_free(fr_sampler_scratch *w);

enum { FR_SAMPLER_UNDO = 64 }; /* tokens that can be taken back */

/* The options are copied, with their biases. The constraint may be NULL, is shared by any number of sequences, and must outlive them. The
 * prompt is seen by penalties only. */
fr_status fr_sampler_new(const fr_sampling *how, int32_t vocab, uint64_t stream,
                         struct fr_constraint *constraint, const int32_t *prompt, size_t count,
                         fr_sampler **out);
void fr_sampler_free(fr_sampler *s);
/* Another sequence with the same options. */
fr_status fr_sampler_reset(fr_sampler *s, uint64_t stream, const int32_t *prompt, size_t count);

/* The next token; changes nothing that a later call would see. -1: no token is possible, fr_message() says why. */
int32_t fr_sampler_pick(fr_sampler *s, fr_sampler_scratch *w, const float *logits);
/* The token is part of the text. Refused when the constraint does not allow it. */
fr_status fr_sampler_accept(fr_sampler *s, int32_t token);
/* The constraint is fulfilled and nothing may follow: what a model without an end of text must be asked. */
bool fr_sampler_finished(const fr_sampler *s);

/* p[i]: the chance that pick returns i. False: no token is possible. */
bool fr_sampler_probabilities(fr_sampler *s, fr_sampler_scratch *w, const float *logits, float *p);
/* A number in [0, 1) of the next place; which: 1 .. 3, 0 is what pick draws with. */
double fr_sampler_uniform(const fr_sampler *s, int which);
/* Takes back the last `count` accepted tokens: at most FR_SAMPLER_UNDO. */
fr_status fr_sampler_undo(fr_sampler *s, int32_t count);

#endif
