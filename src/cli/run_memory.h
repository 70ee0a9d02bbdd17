/* run_memory.h: what a model took, as Frugal counts it and as the system does. */
#ifndef FR_CLI_RUN_MEMORY_H
#define FR_CLI_RUN_MEMORY_H

#include "text/text.h"

/* A word for how keys and values are kept: bf16, f16, f32, 8, 4. */
bool fr_cli_kv(const char *word, fr_kv_kind *out);
const char *fr_cli_kv_word(fr_kv_kind kind); /* NULL: no word of ours */

/* The most memory of the process so far that is no mapped file: called now and then, since the system keeps no peak
 * of it. */
void fr_cli_memory_look(void);
/* A line on standard error. */
void fr_cli_memory_print(const fr_engine_stats *e);

#endif
