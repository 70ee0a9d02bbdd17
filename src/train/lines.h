/* lines.h: batches of the lines of the world of text, for a language model. */
#ifndef FR_TRAIN_LINES_H
#define FR_TRAIN_LINES_H

#include "text/text.h"
#include "train/data.h"
#include "world/world.h"

typedef struct fr_lines_opts {
    const fr_tokenizer *tokenizer; /* must outlive the source */
    uint64_t seed;
    fr_line_split split;
    int64_t rows, tokens;
    bool apart;                  /* a line sees only itself: there is one input more */
    double share[FR_LINE_TASKS]; /* of the lines, in any unit; all 0: the world's own mix */
    double
        prompt_loss; /* for this share of the questions what is asked counts too, not only the answer */
} fr_lines_opts;

/* Inputs: "tokens" and "target", i32 [rows, tokens], and "pos" [tokens, 1]; with apart also "first", i32
 * [rows, tokens]: where the line of each token begins. */
fr_status fr_lines_source(const fr_lines_opts *o, fr_source *out);

/* <bos> text <eos>, appended; prompt: how many of the ids are given (bos among them). */
fr_status fr_lines_encode(const fr_tokenizer *t, const fr_line *line, fr_tokens *out,
                          size_t *prompt);

#endif
