/* bench.c: `frugal bench`: what this machine can do, and what Frugal makes of it. */
#include "cli/cli.h"

#include <string.h>

int fr_cli_bench_peaks(int argc, char **argv);

static int run(int argc, char **argv) {
    if (argc < 2) return fr_cli_usage("bench", "which one? There is: peaks");
    if (!strcmp(argv[1], "peaks")) return fr_cli_bench_peaks(argc - 1, argv + 1);
    return fr_cli_usage("bench", "there is no bench \"%s\"; there is: peaks", argv[1]);
}

const fr_command fr_command_bench = {
    .name = "bench",
    .summary = "measure this machine's peaks",
    .help =
        "usage: frugal bench peaks [--json]\n\n"
        "Measures what the processor can do at most: int8, bf16 and f32 arithmetic, and reading\n"
        "from memory, for one core and for all. Every share that Frugal prints is a share of\n"
        "these figures.\n",
    .run = run,
};
