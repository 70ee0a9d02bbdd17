/* template.h: chat templates: how a model wants a conversation written, in the part of Jinja that published templates
 * use, with the meaning that transformers gives it (trim_blocks, lstrip_blocks, tojson without escapes).
 *
 *     statements   if elif else, for else (with if, tuples, break, continue), set (also blocks and namespaces), macro,
 *                  generation; comments; - and + at the brackets
 *     expressions  all operators, slices, lists, dicts, conditions, calls with names, filters, tests
 *     functions    namespace range dict raise_exception strftime_now
 *
 * What lies outside is refused with its line. A template comes from a file: the steps it may take, the depth and the
 * memory are bounded. */
#ifndef FR_TEXT_TEMPLATE_H
#define FR_TEXT_TEMPLATE_H

#include "base/base.h"

typedef struct fr_template fr_template;
/* `name` is what messages call it. */
fr_status fr_template_parse(const char *text, size_t bytes, const char *name, fr_template **out);
void fr_template_free(fr_template *t);
/* variables: an object. now: seconds of the clock for strftime_now; 0: the clock. A zero byte stands behind the text;
 * fr_free it. */
fr_status fr_template_apply(const fr_template *t, const fr_json *variables, int64_t now,
                            char **text, size_t *bytes);

#endif
