/* tokenizer_parts.h: what a tokenizer is made of, for the files of this room that build, use and write one. */
#ifndef FR_TEXT_TOKENIZER_PARTS_H
#define FR_TEXT_TOKENIZER_PARTS_H

#include "text/maps.h"
#include "text/pattern.h"
#include "text/tokenizer.h"

/* ---- bytes.c: GPT-2's way to write any bytes as printable characters ---- */

/* The character of a byte, in UTF-8; order: its place among all 256 by the number of the character. */
typedef struct fr_byte_char {
    char utf8[3];
    uint8_t bytes, order;
} fr_byte_char;
void fr_byte_chars(fr_byte_char out[256]);
/* Bytes of a name written so, or -1 when a character of it stands for no byte. out: room for `bytes`. */
int64_t fr_bytes_of_name(const char *name, size_t bytes, char *out);
/* How many bytes from the start are valid UTF-8, and how many behind those are not. */
size_t fr_utf8_valid(const char *text, size_t bytes, size_t *broken);
/* Whether a character is white space, and the bytes it takes; of valid UTF-8. Before: the one that ends there. */
size_t fr_space_at(const char *text, size_t bytes);
size_t fr_space_before(const char *text, size_t bytes);

/* ---- tokens ---- */

enum {
    FR_TOKEN_VOCAB = 1, /* in the model's vocabulary */
    FR_TOKEN_ADDED = 2, /* looked for in the text before anything else */
    FR_TOKEN_SPECIAL = 4,
    FR_TOKEN_LSTRIP = 8, /* takes the white space before it, behind it */
    FR_TOKEN_RSTRIP = 16,
    FR_TOKEN_NORMALIZED = 32 /* looked for after normalization */
};

typedef struct fr_token {
    const char *name; /* as in the file; NULL: the id is not used */
    const char *text; /* the bytes that it stands for */
    uint32_t name_bytes, bytes;
    uint32_t flags;
} fr_token;

typedef struct fr_merge {
    int32_t left, right, id;
} fr_merge;

/* What ByteLevel cuts with when its file does not say otherwise. */
#define FR_GPT2_PATTERN                                                                            \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* What happens to the pieces between the matches of a pattern, and to the matches. */
typedef enum fr_cut {
    FR_CUT_ISOLATED,
    FR_CUT_REMOVED,
    FR_CUT_CONTIGUOUS,
    FR_CUT_WITH_PREVIOUS,
    FR_CUT_WITH_NEXT,
    FR_CUT_COUNT
} fr_cut;
extern const char *const fr_cut_names[FR_CUT_COUNT];

/* One step of pre-tokenization. The last one is ByteLevel. */
typedef struct fr_step {
    enum { FR_STEP_SPLIT, FR_STEP_DIGITS, FR_STEP_BYTES } kind;
    fr_pattern *pattern; /* NULL: does not cut */
    const char *source;  /* of a split */
    fr_cut cut;
    bool literal, invert;
    bool prefix_space; /* of ByteLevel: a space is put before what does not begin with one */
    bool flag;         /* of Digits: one by one; of ByteLevel: GPT-2's pattern is used */
} fr_step;

/* Added tokens that are looked for at the same time, sorted by name. */
typedef struct fr_finder {
    int32_t *ids;
    size_t count;
    bool all_special;
    bool starts[256]; /* whether one begins with this byte */
} fr_finder;

struct fr_tokenizer {
    fr_arena *arena; /* names, texts, sources */
    fr_token *tokens;
    size_t size, cap;
    fr_strings names; /* to ids */
    fr_merge *merges; /* by rank */
    size_t merge_count, merge_cap;
    fr_pairs pairs;   /* of two ids: rank and id of their merge */
    fr_strings whole; /* with ignore_merges: texts of the vocabulary */
    bool ignore_merges;
    bool nfc; /* the normalizer */
    int32_t byte_ids[256];
    fr_step *steps;
    size_t step_count, step_cap;
    fr_finder finders[2]; /* before and after normalization */
    int32_t *around;      /* what the post-processor puts before a text, then behind it */
    size_t before, behind, around_cap;
    int32_t bos, eos;
};

fr_status fr_tokenizer_new(fr_tokenizer **out);
/* Room for `count` tokens with ids up to `most`: refused when that is far more than `count`. */
fr_status fr_tokenizer_reserve(fr_tokenizer *t, size_t count, size_t most);
/* Gives an id its name. What is there already under this name must have this id; flags join. */
fr_status fr_tokenizer_put(fr_tokenizer *t, int64_t id, const char *name, size_t bytes,
                           uint32_t flags);
/* Both names together, with a zero behind; fr_free it. */
fr_status fr_tokenizer_join(const fr_tokenizer *t, int32_t left, int32_t right, char **name,
                            size_t *bytes);
/* The next merge in rank; the token of both names together must be there. */
fr_status fr_tokenizer_put_merge(fr_tokenizer *t, int32_t left, int32_t right);
/* The next step, its pattern made from its source. */
fr_status fr_tokenizer_put_step(fr_tokenizer *t, const fr_step *step);
/* Once all tokens are there: bytes, texts, finders. */
fr_status fr_tokenizer_finish(fr_tokenizer *t);

/* ---- split.c: a text into pieces ---- */

typedef fr_status fr_piece_sink(void *arg, const char *piece, size_t bytes);
/* What lies between added tokens, cut into the pieces within which merges happen. */
fr_status fr_split_text(const fr_tokenizer *t, fr_pattern_scratch *scratch, const char *text,
                        size_t bytes, fr_piece_sink *sink, void *arg);

/* ---- merge.c: a piece into ids ---- */

fr_status fr_merge_piece(const fr_tokenizer *t, const char *piece, size_t bytes, fr_tokens *out);

#endif
