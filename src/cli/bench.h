/* bench.h: what `frugal bench` can measure; argv[0] is the name of what is measured. */
#ifndef FR_CLI_BENCH_H
#define FR_CLI_BENCH_H

#include "cli/cli.h"

int fr_cli_bench_peaks(int argc, char **argv);
int fr_cli_bench_kernels(int argc, char **argv);
int fr_cli_bench_formats(int argc, char **argv);

#endif
