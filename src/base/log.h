/* log.h: leveled messages on standard error. FRUGAL_LOG=error|warn|info|debug or --quiet/--verbose
 * choose; the default is warn. */
#ifndef FR_BASE_LOG_H
#define FR_BASE_LOG_H

#include <frugal/types.h>

typedef enum fr_log_level { FR_LOG_ERROR, FR_LOG_WARN, FR_LOG_INFO, FR_LOG_DEBUG } fr_log_level;

void fr_log_set_level(fr_log_level level);
fr_log_level fr_log_get_level(void);
/* A sink in place of standard error; NULL puts it back. */
void fr_log_set_sink(void (*sink)(void *user, fr_log_level level, const char *line), void *user);
void fr_log(fr_log_level level, const char *fmt, ...) FR_PRINTF(2, 3);

#endif
