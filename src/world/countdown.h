/* countdown.h: digits, a target, and a postfix expression over exactly these digits that has its value. */
#ifndef FR_WORLD_COUNTDOWN_H
#define FR_WORLD_COUNTDOWN_H

#include "base/base.h"

#define FR_COUNTDOWN_DIGITS 4
#define FR_COUNTDOWN_TARGET 99 /* no target is farther from 0 */

/* Is answer a postfix expression, such as "37*2-", that uses every one of the digits (1 to 9, at most
 * FR_COUNTDOWN_DIGITS of them) exactly once, and is its value target? Any string is a question that may be
 * asked, of any length. reason (may be NULL): empty when right, else a few words. */
bool fr_countdown_check(const char *digits, int target, const char *answer, char reason[96]);

/* "372:+013,": the digits with a zero behind them, and the target. False: no such prompt. Reads at most
 * `bytes`. */
bool fr_countdown_parse(const char *prompt, int bytes, char digits[FR_COUNTDOWN_DIGITS + 1],
                        int *target);

#endif
