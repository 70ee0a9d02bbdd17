/* template_text.h: what methods and filters of templates share. */
#ifndef FR_TEXT_TEMPLATE_TEXT_H
#define FR_TEXT_TEMPLATE_TEXT_H

#include "text/template_parts.h"

/* Without white space, or the characters of a set, at its ends. */
fr_value fr_text_strip(const fr_value *v, const fr_value *set, bool left, bool right);
fr_status fr_text_case(fr_run *r, const fr_value *v, char how, fr_value *out);
fr_status fr_text_replace(fr_run *r, const fr_value *v, const fr_value *from, const fr_value *to,
                          int64_t most, fr_value *out);
fr_status fr_text_join(fr_run *r, const fr_value *by, const fr_value_list *items, fr_value *out);
fr_status fr_map_list(fr_run *r, const fr_value_map *m, char how, fr_value *out);

#endif
