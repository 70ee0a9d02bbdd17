/* bench.c: `frugal bench`: what this machine can do, and what Frugal makes of it. */
#include "cli/bench.h"

#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} benches[] = {
    {"peaks", fr_cli_bench_peaks},
    {"kernels", fr_cli_bench_kernels},
    {"formats", fr_cli_bench_formats},
};

static int run(int argc, char **argv) {
    char names[80] = "";
    for (size_t i = 0; i < FR_COUNT(benches); i++) {
        if (argc > 1 && !strcmp(argv[1], benches[i].name))
            return benches[i].run(argc - 1, argv + 1);
        size_t at = strlen(names);
        snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", benches[i].name);
    }
    if (argc < 2) return fr_cli_usage("bench", "which one? There is: %s", names);
    return fr_cli_usage("bench", "there is no bench \"%s\"; there is: %s", argv[1], names);
}

const fr_command fr_command_bench = {
    .name = "bench",
    .summary = "measure this machine's peaks, the low-bit kernels, the number formats",
    .help =
        "usage: frugal bench peaks [--json]\n"
        "       frugal bench kernels [--quick] [--only WORD] [--json]\n"
        "       frugal bench formats [--json]\n\n"
        "peaks    what the processor can do at most: int8, bf16 and f32 arithmetic, and reading\n"
        "         from memory, for one core and for all. Every share that Frugal prints is a\n"
        "         share of these figures. Two seconds.\n\n"
        "kernels  products with weights in few bits, for many rows and for few, and what stands\n"
        "         around them: medians of runs in turn, operations or bytes a second, and the\n"
        "         share of the peak that was measured just before. Where there is a target, the\n"
        "         last column says whether it was reached. --threads 1 shows one core.\n"
        "         W8A8 and the like: bits of a weight, then bits of what it is multiplied with.\n"
        "         About a minute and a half; other programs that run make the figures worse.\n\n"
        "  --quick      small sizes and few runs: some seconds\n"
        "  --only WORD  the groups with the word in their name: branch, few, NVFP4, 8192x8192\n\n"
        "formats  what each number format takes, in bits a value with scales and all, and what it\n"
        "         costs, as the ratio of signal to error in dB, on numbers from three\n"
        "         distributions; then the ways to choose the scales of 4-bit floats (Four Over\n"
        "         Six) beside the published figures. Some seconds.\n\n"
        "  --json       print for programs\n",
    .run = run,
};
