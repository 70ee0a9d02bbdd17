/* table.h: tables for the terminal: columns as wide as they need, numbers to the right, cut to the
 * width of the terminal; in a pipe never cut. Wide characters count as they are seen. */
#ifndef FR_BASE_TABLE_H
#define FR_BASE_TABLE_H

#include <stdio.h>

#include <frugal/types.h>

typedef struct fr_table fr_table;

/* columns: "name|shape|>bytes" — a leading > aligns to the right. */
fr_table *fr_table_new(const char *columns);
void fr_table_free(fr_table *t);
/* Cells one after another, row by row. */
void fr_table_cell(fr_table *t, const char *fmt, ...) FR_PRINTF(2, 3);
void fr_table_rule(fr_table *t); /* a line between this row and the next */
void fr_table_print(const fr_table *t, FILE *out);
void fr_table_print_width(const fr_table *t, FILE *out, int width); /* 0: as wide as it needs */

bool fr_is_terminal(FILE *f);
int fr_terminal_width(FILE *f); /* 0: not a terminal */

#endif
