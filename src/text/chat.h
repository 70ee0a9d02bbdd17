/* chat.h: a conversation becomes the tokens that a model was trained to answer.
 *
 * The template is, in this order: the one that is asked for (a name or a file), chat_template.jinja, that of
 * tokenizer_config.json or of the GGUF file, one of the known families by the tokens that only they have; else plain:
 * what was said, line by line.
 *
 * Names of special tokens in what people say stay text: nobody ends their own turn by writing its mark. */
#ifndef FR_TEXT_CHAT_H
#define FR_TEXT_CHAT_H

#include "tensor/tensor.h"
#include "text/template.h"
#include "text/tokenizer.h"

typedef struct fr_chat fr_chat;
/* template: NULL; chatml llama2 llama3 mistral gemma phi3 plain; or a file with one. */
fr_status fr_chat_new(const fr_store *model, const fr_tokenizer *t, const char *template,
                      fr_chat **out);
void fr_chat_free(fr_chat *c);
/* Where the template comes from, as a word or a file's name. */
const char *fr_chat_source(const fr_chat *c);
bool fr_chat_is_plain(const fr_chat *c);

/* messages: a list of {"role", "content", ...}; extra: further variables (tools, ...), or NULL. With what opens the
 * answer, if `answer`. */
fr_status fr_chat_text(const fr_chat *c, const fr_json *messages, const fr_json *extra, bool answer,
                       char **text, size_t *bytes);
fr_status fr_chat_tokens(const fr_chat *c, const fr_json *messages, const fr_json *extra,
                         bool answer, fr_tokens *out);
/* Tokens that end an answer; they belong to the chat. */
const int32_t *fr_chat_ends(const fr_chat *c, int32_t *count);

/* The built-in template of a name; NULL: there is none (chat_known.c). */
const char *fr_chat_known(const char *name);

#endif
