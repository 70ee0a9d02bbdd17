/* read.h: between the files that read a tokenizer.json. */
#ifndef FR_TEXT_READ_H
#define FR_TEXT_READ_H

#include "text/tokenizer_parts.h"

/* The "type" of a part; `what` names the part in messages. */
fr_status fr_read_type(const fr_json *j, const char *what, const char **type);
fr_status fr_read_refuse(const char *what, const char *type);

fr_status fr_read_steps(fr_tokenizer *t, const fr_json *pre_tokenizer);
/* What stands around a text, and bos and eos where it says so. */
fr_status fr_read_post(fr_tokenizer *t, const fr_json *post_processor);

#endif
