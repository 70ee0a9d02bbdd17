/* status.h: how a failure becomes one sentence for a person. */
#ifndef FR_BASE_STATUS_H
#define FR_BASE_STATUS_H

#include <frugal/types.h>

/* Sets the thread's message and returns the code: return fr_fail(FR_FORMAT, "%s: ...", path). */
fr_status fr_fail(fr_status code, const char *fmt, ...) FR_PRINTF(2, 3);
/* Puts "where: " before the message that is there, and returns the same code. */
fr_status fr_fail_in(fr_status code, const char *fmt, ...) FR_PRINTF(2, 3);
void fr_message_clear(void);

/* Return at once when something failed. */
#define FR_TRY(expr)                                                                               \
    do {                                                                                           \
        fr_status fr_try_status_ = (expr);                                                         \
        if (fr_try_status_ != FR_OK) return fr_try_status_;                                        \
    } while (0)

#define FR_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FR_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define FR_MAX_OF(a, b) ((a) > (b) ? (a) : (b))

#endif
