/* tokenizer_parts.h: what a tokenizer is made of, for the files of this room that build, use and write one. */
#ifndef FR_TEXT_TOKENIZER_PARTS_H
#define FR_TEXT_TOKENIZER_PARTS_H

#include "text/maps.h"
#include "text/normal.h"
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
/* Bytes of the character at the start, and its number; 1 and -1 for a byte that begins none. bytes > 0. */
size_t fr_char_at(const char *text, size_t bytes, int32_t *c);
/* Writes a character as UTF-8, returns its bytes. */
size_t fr_char_put(char out[4], int32_t c);
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
    FR_TOKEN_NORMALIZED = 32, /* looked for after normalization */
    FR_TOKEN_WORD = 64,       /* only where no letter stands beside it */
    FR_TOKEN_USER = 128,      /* of SentencePiece: always a token of its own, within the model */
    FR_TOKEN_APART = 256      /* in the vocabulary, but no text leads to it */
};

typedef struct fr_token {
    const char *name; /* as in the file; NULL: the id is not used */
    const char *text; /* the bytes that it stands for in the middle of a text */
    uint32_t name_bytes, bytes;
    uint32_t flags;
} fr_token;

typedef struct fr_merge {
    int32_t left, right, id;
} fr_merge;

/* The space of SentencePiece, U+2581. */
#define FR_SPACE       "\xE2\x96\x81"
#define FR_SPACE_BYTES 3

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

/* When Metaspace puts its mark before what does not begin with one. */
typedef enum fr_put { FR_PUT_ALWAYS, FR_PUT_FIRST, FR_PUT_NEVER } fr_put;

/* One step of pre-tokenization. ByteLevel is the last one, if there is one. */
typedef struct fr_step {
    enum {
        FR_STEP_SPLIT,
        FR_STEP_DIGITS,
        FR_STEP_BYTES,
        FR_STEP_META,  /* spaces become marks, and words begin with one */
        FR_STEP_SPACE, /* white space is dropped */
        FR_STEP_MARKS  /* punctuation, character by character */
    } kind;
    fr_pattern *pattern; /* NULL: does not cut with one */
    const char *source;  /* of a split */
    fr_cut cut;
    bool literal, invert;
    bool prefix_space; /* of ByteLevel: a space is put before what does not begin with one */
    bool flag;        /* of Digits: one by one; of ByteLevel: GPT-2's pattern; of Metaspace: cuts */
    fr_put put;       /* of Metaspace */
    const char *mark; /* of Metaspace, one character */
} fr_step;

/* One step from the names of tokens to text. */
typedef struct fr_say {
    enum {
        FR_SAY_REPLACE, /* from -> to */
        FR_SAY_BYTES,   /* <0x41> is a byte */
        FR_SAY_FUSE,    /* what follows is done to the whole */
        FR_SAY_STRIP,   /* up to `start` times `from` at the start, `stop` at the end */
        FR_SAY_WORDS,   /* a space before what does not begin with `from`, which goes */
        FR_SAY_META,    /* from -> a space; nothing in the first token, if `first` */
        FR_SAY_JOIN     /* a space between tokens */
    } kind;
    const char *from, *to;
    int64_t start, stop;
    bool first; /* of Metaspace; of WordPiece: cleans up */
} fr_say;

/* Texts that are looked for at the same time, sorted. */
typedef struct fr_find {
    const char *text;
    size_t bytes;
    int32_t id;
} fr_find;
typedef struct fr_finder {
    fr_find *items;
    size_t count, cap;
    bool all_special;
    bool starts[256]; /* whether one begins with this byte */
} fr_finder;
fr_status fr_finder_add(fr_finder *f, const char *text, size_t bytes, int32_t id);
void fr_finder_sort(fr_finder *f);
/* The longest at the start of a text, or NULL. */
const fr_find *fr_finder_longest(const fr_finder *f, const char *text, size_t bytes);

/* ---- trie.c: all tokens that a text begins with ---- */

typedef struct fr_trie {
    fr_pairs nodes; /* (node, byte) -> child node, and the token that ends there or -1 */
    int32_t count;
} fr_trie;
fr_status fr_trie_add(fr_trie *t, const char *text, size_t bytes, int32_t value);

typedef enum fr_pieces {
    FR_PIECES_BYTES,   /* BPE over bytes */
    FR_PIECES_CHARS,   /* BPE over characters, as SentencePiece has it */
    FR_PIECES_UNIGRAM, /* the most likely pieces */
    FR_PIECES_WORDS    /* WordPiece: the longest piece, then the longest behind it */
} fr_pieces;

struct fr_tokenizer {
    fr_arena *arena; /* names, texts, sources */
    fr_pieces model;
    fr_token *tokens;
    size_t size, cap;
    fr_strings names; /* to ids */
    fr_merge *merges; /* by rank */
    size_t merge_count, merge_cap;
    fr_pairs pairs;   /* of two ids: rank and id of their merge */
    fr_strings whole; /* with ignore_merges: texts of the vocabulary */
    bool ignore_merges;
    int32_t byte_ids[256]; /* of characters: those of <0x00> .. <0xFF>, -1: none */
    fr_rewrite *rewrites;
    size_t rewrite_count, rewrite_cap;
    fr_step *steps;
    size_t step_count, step_cap;
    fr_finder finders[2]; /* before and after normalization */
    int32_t *around;      /* what the post-processor puts before a text, then behind it */
    size_t before, behind, around_cap;
    int32_t bos, eos;

    /* of characters, Unigram, WordPiece */
    bool byte_fallback, fuse_unknown;
    int32_t unknown;    /* -1: none */
    int32_t *char_ids;  /* of the characters below FR_CHARS, -1: none */
    fr_strings parts;   /* characters that are no token but begin one: ids from `size` on */
    fr_finder users;    /* FR_TOKEN_USER */
    bool cut_at_spaces; /* no token has a FR_SPACE within it: what lies between merges alone */
    double *scores;     /* of Unigram, and of what it does not know */
    size_t score_count;
    double unknown_score;
    bool single;        /* sums are of 32 bits, as SentencePiece has them */
    bool plain_find;    /* what the model does not know is not looked for in one piece */
    fr_trie trie;       /* of Unigram and WordPiece */
    const char *prefix; /* of WordPiece: what pieces inside a word begin with */
    int32_t inside;     /* the node behind it, -1: none */
    int64_t word_most;  /* longer words are unknown */

    /* back to text */
    fr_say *says;
    size_t say_count, say_cap;
    bool trims;  /* of SentencePiece: tokens lose a space each, until there is text */
    bool firsts; /* the first token is said otherwise */

    bool unwritable; /* no tokenizer.json could say what its normalizer does */
    fr_json *normalizer, *pre_tokenizer, *decoder; /* as read, for writing; or NULL */
};
#define FR_CHARS           0x10000
#define FR_UNKNOWN_PENALTY 10 /* an unknown character's score is that much below the lowest */

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
fr_status fr_tokenizer_reserve_scores(fr_tokenizer *t, size_t count);
/* Copies of texts last as long as the tokenizer. */
fr_status fr_tokenizer_put_rewrite(fr_tokenizer *t, const fr_rewrite *r);
fr_status fr_tokenizer_put_say(fr_tokenizer *t, const fr_say *say);
/* Puts an id before or behind every text. */
fr_status fr_tokenizer_put_around(fr_tokenizer *t, int32_t id, bool behind);
/* Once all tokens are there: bytes, texts, finders. */
fr_status fr_tokenizer_finish(fr_tokenizer *t);

/* ---- decode.c ---- */

/* The text of every token in the middle of a text. */
fr_status fr_say_tokens(fr_tokenizer *t);

/* ---- split.c: a text into pieces ---- */

typedef fr_status fr_piece_sink(void *arg, const char *piece, size_t bytes);
/* What lies between added tokens, cut into the pieces within which merges happen. first: nothing stands before it. */
fr_status fr_split_text(const fr_tokenizer *t, fr_pattern_scratch *scratch, const char *text,
                        size_t bytes, bool first, fr_piece_sink *sink, void *arg);

/* ---- merge.c, unigram.c, word_piece.c: a piece into ids ---- */

fr_status fr_merge_piece(const fr_tokenizer *t, const char *piece, size_t bytes, fr_tokens *out);
fr_status fr_unigram_piece(const fr_tokenizer *t, const char *piece, size_t bytes, fr_tokens *out);
fr_status fr_word_piece(const fr_tokenizer *t, const char *piece, size_t bytes, fr_tokens *out);
/* What a model does not know: its bytes, or the unknown token once for all that stands together. */
fr_status fr_put_unknown(const fr_tokenizer *t, const char *text, size_t bytes, fr_tokens *out);

#endif
