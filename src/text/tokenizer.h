/* tokenizer.h: text as numbers and back: BPE over bytes and over characters, Unigram, WordPiece; from the tokenizer.json
 * of the `tokenizers` package, the tokenizer.model of `sentencepiece`, and the metadata of GGUF files.
 *
 * A loaded tokenizer does not change: any number of threads may encode with it at once. */
#ifndef FR_TEXT_TOKENIZER_H
#define FR_TEXT_TOKENIZER_H

#include "base/base.h"

typedef struct fr_tokenizer fr_tokenizer;

struct fr_store;

/* path: a tokenizer.json, a tokenizer.model, a .gguf, or a folder that holds one of the first two (also spiece.model); a
 * tokenizer_config.json beside it may name bos and eos.
 *
 * The same ids come out as of the packages named above; anything that Frugal would do otherwise is refused by name. */
fr_status fr_tokenizer_open(const char *path, fr_tokenizer **out);
/* Of a GGUF file's metadata, once it is open as a store. */
fr_status fr_tokenizer_from_store(const struct fr_store *s, fr_tokenizer **out);
/* A file from memory; `name` is what messages call it, and a tokenizer.model when it ends so. */
fr_status fr_tokenizer_parse(const char *text, size_t bytes, const char *name, fr_tokenizer **out);
void fr_tokenizer_free(fr_tokenizer *t);
fr_status fr_tokenizer_save(const fr_tokenizer *t, const char *path);

int32_t fr_tokenizer_size(const fr_tokenizer *t); /* ids are 0 .. size - 1 */
int32_t fr_tokenizer_find(const fr_tokenizer *t,
                          const char *token);    /* by its name in the file; -1: none */
int32_t fr_tokenizer_bos(const fr_tokenizer *t); /* -1: there is none */
int32_t fr_tokenizer_eos(const fr_tokenizer *t);
/* The bytes that an id adds to a text when it is decoded in the middle of one; they belong to the tokenizer. NULL when
 * it adds none: special tokens and ids that no token has. An id of a byte (<0x41>) gives this byte. */
const char *fr_tokenizer_bytes(const fr_tokenizer *t, int32_t id, size_t *bytes);
/* Whether an id is left out of a text unless special tokens are asked for; also of ids that no token has. */
bool fr_tokenizer_special(const fr_tokenizer *t, int32_t id);

/* A growing list of ids; starts as {0}, freed with fr_free(ids). */
typedef struct fr_tokens {
    int32_t *ids;
    size_t count, cap;
} fr_tokens;
fr_status fr_tokens_add(fr_tokens *t, int32_t id);

enum {
    FR_ENCODE_BOS = 1,    /* what the file's post-processor puts before (and behind) a text */
    FR_ENCODE_SPECIAL = 2 /* names of special tokens in the text stand for these tokens */
};
/* Appends the ids of a text: any bytes. What is not UTF-8 comes back byte for byte where the vocabulary has bytes
 * (byte-level BPE, and models with <0x00> to <0xFF>), and is unknown elsewhere. Added tokens that are not special
 * stand for themselves always; special ones, and what is only written like them, never do unless asked for. */
fr_status fr_tokenizer_encode(const fr_tokenizer *t, const char *text, size_t bytes, unsigned how,
                              fr_tokens *out);
/* The text of ids, as if a text began with them: the space that some models put before a text is taken away again. To go
 * on with a text, fr_tokenizer_bytes gives what each id adds. Special tokens leave nothing unless `special`, nor does an id that the file skips. A zero byte
 * stands behind; fr_free it. An id of size or more is refused. */
fr_status fr_tokenizer_decode(const fr_tokenizer *t, const int32_t *ids, size_t count, bool special,
                              char **text, size_t *bytes);

/* ---- making one ---- */

typedef struct fr_bpe_opts {
    int32_t vocab; /* with the special tokens and the 256 bytes */
    const char *const
        *special; /* take the first ids; [0] is bos, [1] eos, further ones as wished */
    int special_count;
} fr_bpe_opts;
/* One text after another; false when there is no more. */
typedef bool fr_text_source(void *arg, const char **text, size_t *bytes);
/* The merges that shorten the texts most, one after another (Sennrich et al. 2016), over pieces that a pattern
 * cuts: words with the space before them, digits one by one. Ties go to the smaller pair of ids. Fewer tokens than
 * asked for come out when no pair stands twice. */
fr_status fr_bpe_train(const fr_bpe_opts *opts, fr_text_source *source, void *arg,
                       fr_tokenizer **out);

#endif
