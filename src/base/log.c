/* log.c: leveled messages, one whole line at a time, from any thread. */
#include "base/base.h"
#include "base/text.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int chosen = -1; /* a level, or -1: not chosen yet */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void (*current_sink)(void *user, fr_log_level level, const char *line);
static void *sink_user;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static int level_from_environment(void) {
    const char *text = getenv("FRUGAL_LOG");
    for (int i = 0; text && i < (int)FR_COUNT(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) return i;
    }
    return FR_LOG_WARN;
}

void fr_log_set_level(fr_log_level level) {
    atomic_store(&chosen, (int)level);
}

fr_log_level fr_log_get_level(void) {
    int level = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (level < 0) {
        int none = -1;
        level = level_from_environment();
        if (!atomic_compare_exchange_strong(&chosen, &none, level)) level = none;
    }
    return (fr_log_level)level;
}

void fr_log_set_sink(void (*sink)(void *user, fr_log_level level, const char *line), void *user) {
    pthread_mutex_lock(&lock);
    current_sink = sink;
    sink_user = user;
    pthread_mutex_unlock(&lock);
}

void fr_log(fr_log_level level, const char *fmt, ...) {
    if (level > fr_log_get_level()) return;
    static const char *const before[] = {"", "warning: ", "", "debug: "};
    char line[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    fr_text_tame(line);
    pthread_mutex_lock(&lock);
    if (current_sink) {
        current_sink(sink_user, level, line);
    } else {
        fr_progress_clear(); /* the line that redraws itself makes room, and comes again below */
        fprintf(stderr, "frugal: %s%s\n", before[level], line);
    }
    pthread_mutex_unlock(&lock);
}
