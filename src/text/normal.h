/* normal.h: what is done to a text before it is cut: Unicode's normal forms (over utf8proc), lower case, accents, BERT's
 * cleaning, replacements, and the character maps that SentencePiece compiles. Bytes that are not UTF-8 stay. */
#ifndef FR_TEXT_NORMAL_H
#define FR_TEXT_NORMAL_H

#include "base/base.h"
#include "text/pattern.h"

struct fr_tokenizer;

/* A text that grows; starts as {0}, freed with fr_free(text). */
typedef struct fr_growing {
    char *text;
    size_t count, cap;
} fr_growing;
fr_status fr_append(fr_growing *g, const void *text, size_t bytes);

/* SentencePiece's "precompiled_charsmap": a trie in an array, and texts that end with a zero. */
typedef struct fr_charsmap {
    const uint8_t *units; /* of 32 bits, little endian */
    size_t unit_count;
    const char *texts;
    size_t text_bytes;
} fr_charsmap;
/* The parts lie in data, which must outlive them. */
fr_status fr_charsmap_read(const uint8_t *data, size_t bytes, fr_charsmap *out);

typedef struct fr_rewrite {
    enum {
        FR_REWRITE_C,
        FR_REWRITE_D,
        FR_REWRITE_KC,
        FR_REWRITE_KD,
        FR_REWRITE_LOWER,
        FR_REWRITE_ACCENTS, /* marks go */
        FR_REWRITE_BERT,
        FR_REWRITE_PREPEND, /* `to` stands before what is not empty */
        FR_REWRITE_REPLACE, /* matches of the pattern, or `from`, become `to` */
        FR_REWRITE_STRIP,   /* white space at the ends */
        FR_REWRITE_MAP,     /* as the `tokenizers` package uses a charsmap */
        FR_REWRITE_SENTENCE /* all that SentencePiece does before its models */
    } kind;
    fr_pattern *pattern;
    const char *from, *to;
    bool left, right;                    /* of STRIP */
    bool clean, chinese, accents, lower; /* of BERT */
    bool dummy_prefix, extra_spaces,
        as_suffix; /* of SENTENCE: a space first (or last); none twice */
    fr_charsmap map;
} fr_rewrite;

/* All steps of a tokenizer. *out is NULL when the text stays as it is; else fr_free it. */
fr_status fr_rewrite_text(const struct fr_tokenizer *t, fr_pattern_scratch *scratch,
                          const char *text, size_t bytes, char **out, size_t *out_bytes);

/* charsmap.c, bert.c: parts of it. */
fr_status fr_map_graphemes(const fr_charsmap *m, const char *text, size_t bytes, fr_growing *out);
fr_status fr_normalize_sentence(const struct fr_tokenizer *t, const fr_rewrite *r, const char *text,
                                size_t bytes, fr_growing *out);
fr_status fr_normalize_bert(const fr_rewrite *r, const char *text, size_t bytes, fr_growing *out);
/* One of the forms. */
fr_status fr_normal_form(int kind, const char *text, size_t bytes, fr_growing *out);
int32_t fr_lower_char(int32_t c);
/* Punctuation as BERT means it, in the version of Unicode that the package's table is of. */
bool fr_bert_mark(int32_t c);

#endif
