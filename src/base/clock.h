/* clock.h: a clock that never goes back, and the flag that Ctrl-C raises. */
#ifndef FR_BASE_CLOCK_H
#define FR_BASE_CLOCK_H

#include <frugal/types.h>

double fr_now(void);        /* seconds, monotonic */
double fr_thread_cpu(void); /* seconds of processor time that this thread has used */

/* After fr_interrupt_watch() the first Ctrl-C (or SIGTERM) raises the flag and the second ends the
 * program at once. */
void fr_interrupt_watch(void);
bool fr_interrupted(void);
/* FR_INTERRUPTED with a message when the flag is up. */
fr_status fr_interrupt_check(void);
void fr_interrupt_raise(void); /* for tests */
void fr_interrupt_clear(void);

#endif
