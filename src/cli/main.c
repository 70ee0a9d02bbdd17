/* main.c: the program's front door: the list of commands, the options that all of them share, and
 * how a failure is said. */
#include "cli/cli.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kernel.h"

static const fr_command *const commands[] = {
    &fr_command_run,    &fr_command_chat,     &fr_command_inspect,  &fr_command_bench,
    &fr_command_demo,   &fr_command_train,    &fr_command_embed,    &fr_command_eval,
    &fr_command_kmeans, &fr_command_outliers, &fr_command_quantize, &fr_command_world};

static int wanted_threads;

/* ---- what cli.h promises ---- */

int fr_cli_failed(fr_status st) {
    fflush(stdout);
    fprintf(stderr, "frugal: %s\n", fr_message()[0] ? fr_message() : "it failed without a message");
    return st == FR_INTERRUPTED ? FR_EXIT_INTERRUPTED : FR_EXIT_FAILED;
}

int fr_cli_usage(const char *command, const char *fmt, ...) {
    va_list args;
    fprintf(stderr, "frugal%s%s: ", command ? " " : "", command ? command : "");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nTry: frugal help%s%s\n", command ? " " : "", command ? command : "");
    return FR_EXIT_USAGE;
}

bool fr_cli_number(const char *text, double lo, double hi, double *out) {
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= lo && v <= hi)) return false;
    *out = v;
    return true;
}

fr_status fr_cli_pool(fr_pool **out) {
    static fr_pool *pool;
    if (!pool) FR_TRY(fr_pool_new(wanted_threads, &pool));
    *out = pool;
    return FR_OK;
}

/* ---- help and version ---- */

static void print_help(FILE *out) {
    fprintf(out,
            "Frugal makes AI models small and runs them fast, on the machine that you have.\n\n"
            "usage: frugal [options] COMMAND [arguments]\n\n");
    for (size_t i = 0; i < FR_COUNT(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "  %-10s %s\n", "help",
            "this page, or the page of a command: frugal help inspect");
    fprintf(out, "\noptions, before or after the command:\n"
                 "  --threads N   processors to use (default: all; FRUGAL_THREADS says the same)\n"
                 "  --quiet       no progress, only results and errors\n"
                 "  --verbose     say more on standard error\n"
                 "  --version     the version, and with --verbose what it runs on\n");
}

static const fr_command *find_command(const char *name) {
    for (size_t i = 0; i < FR_COUNT(commands); i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

static int help(int argc, char **argv) {
    if (argc < 2 || !strcmp(argv[1], "help")) {
        print_help(stdout);
        return FR_EXIT_OK;
    }
    const fr_command *c = find_command(argv[1]);
    if (!c) return fr_cli_usage(NULL, "there is no command \"%s\"", argv[1]);
    fputs(c->help, stdout);
    return FR_EXIT_OK;
}

static int version(void) {
    printf("frugal %s\n", fr_version());
    if (fr_log_get_level() >= FR_LOG_INFO) {
        fr_pool *pool;
        if (fr_cli_pool(&pool) != FR_OK) return fr_cli_failed(FR_INVALID);
        printf("kernels: %s\nthreads: %d\n", fr_kernel()->name, fr_pool_threads(pool));
    }
    return FR_EXIT_OK;
}

/* ---- the options that all commands share, taken out of argv wherever they stand ---- */

static int take_common(int argc, char **argv, bool *show_version, bool *bad) {
    int kept = 1;
    *show_version = *bad = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--")) {
            while (i < argc) argv[kept++] = argv[i++];
        } else if (!strcmp(argv[i], "--quiet")) {
            fr_set_quiet(true);
        } else if (!strcmp(argv[i], "--verbose")) {
            fr_log_set_level(FR_LOG_INFO);
        } else if (!strcmp(argv[i], "--version")) {
            *show_version = true;
        } else if (!strcmp(argv[i], "--threads")) {
            double n;
            if (i + 1 >= argc || !fr_cli_number(argv[i + 1], 1, 4096, &n) || n != (int)n) {
                *bad = true;
                return kept;
            }
            wanted_threads = (int)n;
            i++;
        } else {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    return kept;
}

static int dispatch(int argc, char **argv) {
    const char *name = argv[1];
    if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h"))
        return help(argc - 1, argv + 1);
    const fr_command *c = find_command(name);
    if (!c) return fr_cli_usage(NULL, "there is no command \"%s\"", name);
    for (int i = 2; i < argc && strcmp(argv[i], "--"); i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(c->help, stdout);
            return FR_EXIT_OK;
        }
    }
    fr_interrupt_watch();
    return c->run(argc - 1, argv + 1);
}

/* With one of the three standard files closed, the next file opened would take its number, and
 * what is printed would land in it. Now it is an error to print, as it should be. */
static void keep_standard_files(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd) return;
}

int main(int argc, char **argv) {
    keep_standard_files();
    bool show_version, bad;
    argc = take_common(argc, argv, &show_version, &bad);
    if (bad) return fr_cli_usage(NULL, "--threads wants a whole number from 1 to 4096");
    if (argc < 2 && !show_version) {
        print_help(stderr);
        return FR_EXIT_USAGE;
    }
    int code = show_version ? version() : dispatch(argc, argv);
    /* A full disk must not pass for success. */
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "frugal: the output could not be written\n");
        return code ? code : FR_EXIT_FAILED;
    }
    return code;
}
