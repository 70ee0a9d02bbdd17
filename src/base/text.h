/* text.h: UTF-8 as a terminal shows it. */
#ifndef FR_BASE_TEXT_H
#define FR_BASE_TEXT_H

#include <frugal/types.h>

/* The next character and the bytes that it takes (at least 1 before the end). A broken byte is
 * U+FFFD. */
uint32_t fr_utf8_next(const char *text, int *bytes);
/* Columns: 0 for marks that join the character before, 2 for East Asian wide ones and emoji. */
int fr_char_width(uint32_t c);
int fr_text_width(const char *text);
/* In place: control characters, which could drive a terminal, become '?'; line ends and tabs ' '.
 */
void fr_text_tame(char *text);

#endif
