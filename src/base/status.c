/* status.c: the thread's last message. */
#include "base/base.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[1024];

const char *fr_version(void) {
    return FR_VERSION;
}
const char *fr_message(void) {
    return message;
}
void fr_message_clear(void) {
    message[0] = 0;
}

fr_status fr_fail(fr_status code, const char *fmt, ...) {
    /* Formatted aside: an argument may be the old message itself. */
    char text[sizeof message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fr_text_tame(text); /* names from files may hold anything, even what drives a terminal */
    memcpy(message, text, sizeof message);
    return code;
}

fr_status fr_fail_in(fr_status code, const char *fmt, ...) {
    char where[256], rest[sizeof message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(where, sizeof where, fmt, args);
    va_end(args);
    fr_text_tame(where);
    memcpy(rest, message, sizeof rest);
    snprintf(message, sizeof message, "%s: %.*s", where, (int)(sizeof message - sizeof where - 3),
             rest);
    return code;
}
