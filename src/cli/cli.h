/* cli.h: what the subcommands share. One file a subcommand; main.c holds the list. */
#ifndef FR_CLI_H
#define FR_CLI_H

#include <frugal/frugal.h>

#include "base/base.h"

/* Exit codes: 0 done, 1 it failed (one sentence on standard error), 2 the call itself was wrong,
 * 130 Ctrl-C. */
enum { FR_EXIT_OK = 0, FR_EXIT_FAILED = 1, FR_EXIT_USAGE = 2, FR_EXIT_INTERRUPTED = 130 };

typedef struct fr_command {
    const char *name;
    const char *summary; /* one line of `frugal help` */
    const char *help;    /* the page of `frugal help NAME`, which begins with the usage line */
    int (*run)(int argc, char **argv); /* argv[0] is the name of the command */
} fr_command;

/* Prints "frugal: <message of the last failure>" and returns the exit code for it. */
int fr_cli_failed(fr_status st);
/* Prints "frugal NAME: <text>" and how to get help; returns FR_EXIT_USAGE. */
int fr_cli_usage(const char *command, const char *fmt, ...) FR_PRINTF(2, 3);
/* Reads a number; false when the text is none or lies outside lo..hi. */
bool fr_cli_number(const char *text, double lo, double hi, double *out);
/* The pool that --threads asked for, made at the first call; lives as long as the program. */
fr_status fr_cli_pool(fr_pool **out);

extern const fr_command fr_command_run;
extern const fr_command fr_command_chat;
extern const fr_command fr_command_inspect;
extern const fr_command fr_command_kmeans;
extern const fr_command fr_command_bench;
extern const fr_command fr_command_demo;
extern const fr_command fr_command_train;
extern const fr_command fr_command_embed;
extern const fr_command fr_command_eval;
extern const fr_command fr_command_outliers;
extern const fr_command fr_command_quantize;
extern const fr_command fr_command_world;

#endif
