/* processors.c: how many processors this process may use.
 *
 * Two things hold it back: the set that it is pinned to, and in a container the share of time of its
 * control group (cgroups, version 2 and 1), where more threads than that are stopped in turns. */
#include "base/base.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static int pinned_to(void) {
    /* The set grows until the kernel's fits. */
    for (size_t most = 1024; most <= 1 << 20; most *= 2) {
        cpu_set_t *set = CPU_ALLOC(most);
        if (!set) return 1;
        size_t bytes = CPU_ALLOC_SIZE(most);
        int bad = sched_getaffinity(0, bytes, set);
        int why = errno;
        int count = bad ? 0 : CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (!bad) return count < 1 ? 1 : count;
        if (why != EINVAL) return 1;
    }
    return 1;
}

/* The first `count` numbers of a small file; false when it is not there or holds others ("max"). */
static bool read_numbers(const char *dir, const char *name, double *out, int count) {
    char *path = fr_path_join(dir, name), *text = NULL;
    size_t bytes;
    bool good = path && fr_read_file(path, 4096, &text, &bytes) == FR_OK;
    char *at = text, *end;
    for (int i = 0; good && i < count; i++, at = end) {
        out[i] = strtod(at, &end);
        good = end != at;
    }
    fr_free(text);
    fr_free(path);
    return good;
}

/* What a share of time comes to, in processors; HUGE_VAL: not limited. */
static double share_of(const char *dir, bool second) {
    double quota = -1, period = 0, both[2];
    if (second && read_numbers(dir, "cpu.max", both, 2)) {
        quota = both[0];
        period = both[1];
    } else if (!second && read_numbers(dir, "cpu.cfs_quota_us", &quota, 1)) {
        read_numbers(dir, "cpu.cfs_period_us", &period, 1);
    }
    return quota > 0 && period > 0 ? quota / period : HUGE_VAL;
}

/* A group is held back by each group above it, too. */
static double least_share(const char *root, const char *group, bool second) {
    char *dir = fr_format("%s%s", root, group);
    if (!dir) return HUGE_VAL;
    double least = HUGE_VAL;
    for (size_t top = strlen(root);;) {
        least = fmin(least, share_of(dir, second));
        char *slash = strrchr(dir + top, '/');
        if (!slash) break;
        *slash = 0;
    }
    fr_free(dir);
    return least;
}

/* Lines of /proc/self/cgroup: "0::/a/b" (version 2), "3:cpu,cpuacct:/a/b" (version 1). */
static double share_of_line(const char *line, const char *root) {
    const char *name = strchr(line, ':'), *group = name ? strchr(name + 1, ':') : NULL;
    if (!group) return HUGE_VAL;
    name++;
    if (strncmp(line, "0::", 3) == 0) return least_share(root, group + 1, true);
    for (const char *p = name; p < group; p += strcspn(p, ",:") + 1) {
        if (strncmp(p, "cpu", 3) == 0 && (p[3] == ',' || p[3] == ':')) {
            char *dir = fr_path_join(root, "cpu");
            double share = dir ? least_share(dir, group + 1, false) : HUGE_VAL;
            fr_free(dir);
            return share;
        }
    }
    return HUGE_VAL;
}

double fr_processor_share(const char *groups, const char *root) {
    char *text;
    size_t bytes;
    if (fr_read_file(groups, 1 << 20, &text, &bytes) != FR_OK) return HUGE_VAL;
    double least = HUGE_VAL;
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) least = fmin(least, share_of_line(line, root));
    fr_free(text);
    return least;
}

int fr_processors(void) {
    double share = fr_processor_share("/proc/self/cgroup", "/sys/fs/cgroup");
    fr_message_clear(); /* files that are not there are no failure */
    int pinned = pinned_to();
    return share < pinned ? FR_MAX_OF((int)ceil(share), 1) : pinned;
}
