/* run_times.h: where the time of a text went, by operator. */
#ifndef FR_CLI_RUN_TIMES_H
#define FR_CLI_RUN_TIMES_H

#include "text/text.h"

/* A table on standard error: of the prompt and of what was made. seconds: all of it, with what the engine does not
 * see. */
void fr_cli_times_print(const fr_engine *e, double seconds);

#endif
