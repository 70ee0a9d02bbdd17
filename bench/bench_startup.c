/* bench_startup.c: how long a person waits for the program itself: --version, and inspecting a large
 * file, of which only the header should be touched. The file is sparse: it takes no room on the disk.
 *
 *     bench_startup [FRUGAL]
 *
 * Beside ours stands /bin/true: what the system takes for starting any program at all. */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"

extern char **environ;

enum { RUNS = 25 };

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One run with its output thrown away: seconds, and the largest resident size. Negative: it failed. */
static double run_once(char *const *argv, double *resident) {
    posix_spawn_file_actions_t quiet;
    struct rusage used;
    int status = 1;
    pid_t pid;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    double start = fr_now();
    if (posix_spawn(&pid, argv[0], &quiet, NULL, argv, environ) == 0) wait4(pid, &status, 0, &used);
    double seconds = fr_now() - start;
    posix_spawn_file_actions_destroy(&quiet);
    if (status != 0) return -1;
    *resident = FR_MAX_OF(*resident, (double)used.ru_maxrss * 1024);
    return seconds;
}

static bool measure(fr_table *table, const char *what, const char *limit, char *const *argv) {
    double seconds[RUNS], resident = 0;
    for (int i = 0; i < RUNS; i++)
        if ((seconds[i] = run_once(argv, &resident)) < 0) {
            fprintf(stderr, "bench_startup: %s failed\n", argv[0]);
            return false;
        }
    qsort(seconds, RUNS, sizeof *seconds, by_size);
    fr_table_cell(table, "%s", what);
    fr_table_cell(table, "%.2f ms", seconds[0] * 1e3);
    fr_table_cell(table, "%.2f ms", seconds[RUNS / 2] * 1e3);
    fr_table_cell(table, "%.1f MB", resident / 1e6);
    fr_table_cell(table, "%s", limit);
    return true;
}

/* A safetensors file of `count` tensors of 2 * values bytes, all zero and all holes. */
static bool make_file(const char *path, size_t count, size_t values) {
    FILE *f = fopen(path, "wb");
    if (!f) return false;
    uint64_t header = 0;
    fwrite(&header, 8, 1, f);
    for (size_t i = 0; i < count; i++)
        fprintf(f,
                "%c\"model.layers.%zu.mlp.down_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[%zu],"
                "\"data_offsets\":[%zu,%zu]}",
                i ? ',' : '{', i, values, i * values * 2, (i + 1) * values * 2);
    fprintf(f, "}");
    while (ftell(f) % 64) fputc(' ', f);
    header = (uint64_t)ftell(f) - 8;
    rewind(f);
    fwrite(&header, 8, 1, f);
    bool good =
        fflush(f) == 0 && ftruncate(fileno(f), (off_t)(8 + header + count * values * 2)) == 0;
    return fclose(f) == 0 && good;
}

int main(int argc, char **argv) {
    char beside[4096], dir[] = "/tmp/frugal-bench-XXXXXX", large[64], many[64];
    const char *slash = strrchr(argv[0], '/');
    snprintf(beside, sizeof beside, "%.*s../frugal", slash ? (int)(slash - argv[0] + 1) : 0,
             argv[0]);
    char *frugal = argc > 1 ? argv[1] : beside;
    if (!mkdtemp(dir)) return 1;
    snprintf(large, sizeof large, "%s/large.safetensors", dir);
    snprintf(many, sizeof many, "%s/many.safetensors", dir);
    bool good = make_file(large, 400, 2684354) && make_file(many, 100000, 32);
    fr_table *t = fr_table_new("start-up|>best|>median|>resident|wanted");
    good = good && measure(t, "/bin/true", "", (char *[]){"/bin/true", NULL});
    good = good && measure(t, "frugal --version", "10 ms", (char *[]){frugal, "--version", NULL});
    good = good && measure(t, "inspect 400 tensors, 2.1 GB", "50 ms, 20 MB",
                           (char *[]){frugal, "inspect", large, NULL});
    good = good &&
           measure(t, "the same as JSON", "", (char *[]){frugal, "inspect", "--json", large, NULL});
    good = good &&
           measure(t, "inspect 100 000 tensors", "", (char *[]){frugal, "inspect", many, NULL});
    good = good && measure(t, "the same, --limit 10", "",
                           (char *[]){frugal, "inspect", "--limit", "10", many, NULL});
    if (good) fr_table_print(t, stdout);
    fr_table_free(t);
    unlink(large);
    unlink(many);
    rmdir(dir);
    return good ? 0 : 1;
}
