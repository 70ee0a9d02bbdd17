/* read.h: between the files that read a tokenizer.json. */
#ifndef FR_TEXT_READ_H
#define FR_TEXT_READ_H

#include "text/tokenizer_parts.h"

/* The "type" of a part; `what` names the part in messages. */
fr_status fr_read_type(const fr_json *j, const char *what, const char **type);
fr_status fr_read_refuse(const char *what, const char *type);

fr_status fr_read_model(fr_tokenizer *t, const fr_json *model);
fr_status fr_read_normalizer(fr_tokenizer *t, const fr_json *normalizer);
fr_status fr_read_decoder(fr_tokenizer *t, const fr_json *decoder);
fr_status fr_read_put(const fr_json *j, fr_put *out);
/* bos and eos by their usual names, where nothing else said them. */
void fr_guess_ends(fr_tokenizer *t);
/* Also finds out whether a BPE is of bytes. */
fr_status fr_read_steps(fr_tokenizer *t, const fr_json *pre_tokenizer);
/* What stands around a text, and bos and eos where it says so. */
fr_status fr_read_post(fr_tokenizer *t, const fr_json *post_processor);

/* A file whose name ends so. */
fr_status fr_open_gguf(const char *path, fr_tokenizer **out);

#endif
