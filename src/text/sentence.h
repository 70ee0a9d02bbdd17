/* sentence.h: what SentencePiece's files and GGUF files have in common: pieces with a score and a type. */
#ifndef FR_TEXT_SENTENCE_H
#define FR_TEXT_SENTENCE_H

#include "text/tokenizer_parts.h"

typedef enum fr_piece_type {
    FR_PIECE_NORMAL = 1,
    FR_PIECE_UNKNOWN,
    FR_PIECE_CONTROL,
    FR_PIECE_USER, /* always a token of its own */
    FR_PIECE_UNUSED,
    FR_PIECE_BYTE,
    FR_PIECE_TYPES
} fr_piece_type;

/* Checks a name and a score and makes piece `id` a token. user_flags: what a piece of the user's becomes. */
fr_status fr_put_scored(fr_tokenizer *t, size_t id, const char *name, size_t bytes, double score,
                        int64_t type, uint32_t user_flags);
/* BPE: each piece is merged from any two that make it, the highest score first. */
fr_status fr_merge_by_scores(fr_tokenizer *t);
/* Unigram: what an unknown character costs, and the user's pieces: nothing, so that they are always
 * taken. */
void fr_set_scores(fr_tokenizer *t);
/* A part of a tokenizer.json that a kind of file stands for: read, and kept for writing. */
typedef fr_status fr_part_reader(fr_tokenizer *t, const fr_json *part);
fr_status fr_read_part(fr_tokenizer *t, fr_part_reader *read, const char *json);
/* The way back of Llama, without the first `strip` spaces. */
fr_status fr_read_space_decoder(fr_tokenizer *t, int strip);

/* A tokenizer.model from memory. */
fr_status fr_sentence_parse(const uint8_t *data, size_t bytes, const char *name,
                            fr_tokenizer **out);

#endif
