/* clock.c: monotonic time, processor time of a thread, and the flag that Ctrl-C raises. */
#include "base/base.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static double read_clock(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double fr_now(void) {
    return read_clock(CLOCK_MONOTONIC);
}
double fr_thread_cpu(void) {
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

/* Only what a signal handler may do. 130 is what a shell reports for Ctrl-C. */
static void on_signal(int number) {
    (void)number;
    if (interrupted) _exit(130);
    interrupted = 1;
}

void fr_interrupt_watch(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool fr_interrupted(void) {
    return interrupted != 0;
}
void fr_interrupt_raise(void) {
    interrupted = 1;
}
void fr_interrupt_clear(void) {
    interrupted = 0;
}

fr_status fr_interrupt_check(void) {
    return interrupted ? fr_fail(FR_INTERRUPTED, "stopped by Ctrl-C") : FR_OK;
}
