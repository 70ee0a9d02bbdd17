/* template_read.h: what the readers of statements and of expressions share. */
#ifndef FR_TEXT_TEMPLATE_READ_H
#define FR_TEXT_TEMPLATE_READ_H

#include "text/template_parts.h"

typedef struct fr_template_reader {
    fr_template *t;
    const char *text, *at, *end;
    const char *counted; /* line ends up to here are in line */
    int32_t line;
    int depth, loops;
    int32_t chain;   /* operators so far: a tree may be deep to the left, too */
    bool line_start; /* what comes begins a line */
} fr_template_reader;

fr_status fr_template_bad(const fr_template_reader *r, const char *what, const char *word);
fr_node *fr_template_node(fr_template_reader *r, fr_node_kind kind);
void fr_template_adopt(fr_node *parent, fr_node *child);

void fr_template_skip(fr_template_reader *r); /* spaces */
bool fr_template_peek(fr_template_reader *r, const char *mark);
bool fr_template_mark(fr_template_reader *r, const char *mark); /* takes it, if it is there */
bool fr_template_word(fr_template_reader *r, const char *word);
fr_status fr_template_name(fr_template_reader *r, const char **out);

fr_status fr_template_expr(fr_template_reader *r, fr_node **out);
fr_status fr_template_expr_no_if(fr_template_reader *r, fr_node **out);
fr_status fr_template_tuple(fr_template_reader *r, fr_node **out); /* with commas: a list */

#endif
