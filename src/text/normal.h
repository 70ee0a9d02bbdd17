/* normal.h: Unicode's normal form C, over utf8proc. */
#ifndef FR_TEXT_NORMAL_H
#define FR_TEXT_NORMAL_H

#include "base/base.h"

/* *out is NULL when the text is in this form already; else fr_free it. Bytes that are not UTF-8 stay. */
fr_status fr_nfc(const char *text, size_t bytes, char **out, size_t *out_bytes);

#endif
