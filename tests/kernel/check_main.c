/* check_main.c: the program around check.h: tables, filters, guarded memory, counting and timing.
 *
 *     check-kernels                      every family under every table of this machine
 *     check-kernels --filter softmax     only cases whose name contains the word
 *     check-kernels --bench              times instead, under the best table (FRUGAL_CPU chooses)
 *
 * What is written for AVX-VNNI is also checked where there is only AVX-512 VNNI, in the latter's encoding;
 * FRUGAL_CPU=avx2+vnni times it there.
 */
#include "check.h"

#include <stdarg.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* A body of whole pages, and an unreadable one behind it. Those of few pages are kept for the next
 * case: the system takes longer to map one than most kernels to run. */
enum { FREE_PAGES = 64 };
typedef struct block {
    uint8_t *body;
    size_t pages;
    struct block *next;
} block;

static struct {
    check_family *families;
    const char *filter, *table;
    char name[256];
    bool failed;
    long cases, failures, said;
    struct block *lent, *free[FREE_PAGES]; /* of this case; by pages of the body */
    uint64_t random[2];
} state = {.random = {0x9e3779b97f4a7c15ull, 0xd1b54a32d192ed03ull}};

static size_t page_bytes(void) {
    static size_t bytes;
    if (!bytes) bytes = (size_t)sysconf(_SC_PAGESIZE);
    return bytes;
}

void check_register(check_family *family) {
    check_family **at = &state.families;
    while (*at && strcmp((*at)->name, family->name) < 0) at = &(*at)->next;
    family->next = *at;
    *at = family;
}

bool check_begin(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(state.name, sizeof state.name, fmt, args);
    va_end(args);
    if (state.filter && !strstr(state.name, state.filter)) return false;
    state.failed = false;
    state.cases++;
    return true;
}

void check_end(void) {
    for (block *b = state.lent, *next; b; b = next) {
        next = b->next;
        if (b->pages >= FREE_PAGES) {
            munmap(b->body, (b->pages + 1) * page_bytes());
            free(b);
        } else {
            b->next = state.free[b->pages];
            state.free[b->pages] = b;
        }
    }
    state.lent = NULL;
    state.failures += state.failed;
}

void check_fail(const char *fmt, ...) {
    if (state.failed || state.said >= 100) { /* one sentence a case is enough */
        state.failed = true;
        return;
    }
    state.failed = true;
    state.said++;
    va_list args;
    va_start(args, fmt);
    printf("FAIL %s: %s: ", state.table, state.name);
    vprintf(fmt, args);
    printf("\n");
    va_end(args);
}

/* ---- memory ---- */

static block *map_block(size_t pages) {
    size_t page = page_bytes();
    block *b = malloc(sizeof *b);
    void *p =
        mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!b || p == MAP_FAILED || mprotect((uint8_t *)p + pages * page, page, PROT_NONE)) {
        perror("check-kernels: memory");
        exit(2);
    }
    *b = (block){.body = p, .pages = pages};
    return b;
}

void *check_alloc(size_t bytes) {
    size_t page = page_bytes(), pages = (bytes + page - 1) / page + 1;
    block *b = pages < FREE_PAGES ? state.free[pages] : NULL;
    if (b)
        state.free[pages] = b->next;
    else
        b = map_block(pages);
    b->next = state.lent;
    state.lent = b;
    memset(b->body, 0xa5, pages * page);
    return b->body + pages * page - bytes;
}

void *check_copy(const void *p, size_t bytes) {
    void *q = check_alloc(bytes);
    if (bytes) memcpy(q, p, bytes);
    return q;
}

/* ---- numbers ---- */

/* xoroshiro128+ (Blackman and Vigna). */
uint64_t check_random(void) {
    uint64_t a = state.random[0], b = state.random[1], sum = a + b;
    b ^= a;
    state.random[0] = (a << 24 | a >> 40) ^ b ^ (b << 16);
    state.random[1] = b << 37 | b >> 27;
    return sum;
}
float check_uniform(void) {
    return (float)(check_random() >> 40) * 0x1p-24f;
}
float check_normal(void) {
    double u = 1.0 - (double)check_uniform(), v = (double)check_uniform();
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

static float from_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static float extreme(void) {
    static const uint32_t special[] = {
        0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x00800000, 0x7f7fffff,
        0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7f800001, 0x3f800000,
        0xbf800000, 0x3f808000, 0x3f818000, 0x477fe000, 0x477ff000, 0x33000000, 0x33000001,
        0x387fc000, 0x387fe000, 0x7f7f8000, 0x7f7f7fff, 0x42b17218, 0xc2aeac50, 0x40c00000,
    };
    uint64_t r = check_random();
    if (r & 1) return from_bits((uint32_t)(r >> 32));
    return from_bits(special[(r >> 32) % (sizeof special / sizeof *special)]);
}

static float draw(check_kind kind) {
    switch (kind) {
    case CHECK_NORMAL: return check_normal();
    case CHECK_UNIFORM: return 20.0f * check_uniform() - 10.0f;
    case CHECK_WIDE: {
        uint32_t u = (uint32_t)check_random();
        return from_bits((u & 0x7f800000) == 0x7f800000 ? u & 0xbfffffff : u);
    }
    default: return extreme();
    }
}

float *check_f32(size_t n, check_kind kind) {
    float *x = check_alloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = draw(kind);
    return x;
}

float *check_range(size_t n, float lo, float hi) {
    float *x = check_alloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = lo + (hi - lo) * check_uniform();
    return x;
}

uint16_t *check_bf16(size_t n, check_kind kind) {
    uint16_t *x = check_alloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        float v = draw(kind);
        uint32_t u;
        memcpy(&u, &v, 4);
        x[i] = (uint16_t)(u >> 16);
    }
    return x;
}

/* ---- comparing ---- */

bool check_near(double got, double want, double rel, double abs) {
    if (isnan(got) || isnan(want)) return isnan(got) && isnan(want);
    if (isinf(got) || isinf(want)) return got == want;
    return fabs(got - want) <= abs + rel * fabs(want);
}

void check_value(double got, double want, double rel, double abs) {
    if (!check_near(got, want, rel, abs))
        check_fail("got %.9g, the reference gives %.9g", got, want);
}

void check_close(const float *got, const float *want, size_t n, double rel, double abs) {
    for (size_t i = 0; i < n; i++)
        if (!check_near((double)got[i], (double)want[i], rel, abs)) {
            check_fail("value %zu of %zu is %.9g, the reference gives %.9g", i, n, (double)got[i],
                       (double)want[i]);
            return;
        }
}

void check_close_bf16(const uint16_t *got, const uint16_t *want, size_t n, double rel, double abs) {
    for (size_t i = 0; i < n; i++) {
        double a = (double)from_bits((uint32_t)got[i] << 16);
        double b = (double)from_bits((uint32_t)want[i] << 16);
        if (!check_near(a, b, rel, abs)) {
            check_fail("value %zu of %zu is %.6g, the reference gives %.6g", i, n, a, b);
            return;
        }
    }
}

void check_same(const void *got, const void *want, size_t n, size_t size) {
    const uint8_t *a = got, *b = want;
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i * size, b + i * size, size)) {
            uint64_t x = 0, y = 0;
            memcpy(&x, a + i * size, size < 8 ? size : 8);
            memcpy(&y, b + i * size, size < 8 ? size : 8);
            check_fail("value %zu of %zu has the bits %llx, the reference %llx", i, n,
                       (unsigned long long)x, (unsigned long long)y);
            return;
        }
}

/* ---- timing ---- */

/* Of the wall: other programs only make a run longer, and the shortest counts. Processor time is not to be
 * trusted here: kernels have been seen to report a hundredth of it for a short run. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The shortest of many runs, each of enough repetitions for the clock. */
static double shortest(void (*once)(void *), void *arg) {
    once(arg);
    double start = now(), best = 1e30, all = 0;
    long reps = 1;
    for (;;) {
        start = now();
        for (long i = 0; i < reps; i++) once(arg);
        double t = now() - start;
        if (t < 2e-4 && reps < (1l << 30)) {
            reps *= 2;
            continue;
        }
        all += t;
        if (t / (double)reps < best) best = t / (double)reps;
        if (all > 0.3) return best;
    }
}

typedef struct copy_arg {
    uint8_t *from, *to;
    size_t bytes;
} copy_arg;
static void copy_once(void *arg) {
    copy_arg *c = arg;
    memcpy(c->to, c->from, c->bytes);
    __asm__ volatile("" ::: "memory");
}

/* Bytes moved in a second by memcpy over as much memory. */
static double copy_rate(double bytes) {
    static double last_bytes, last_rate;
    if (bytes == last_bytes) return last_rate;
    copy_arg c = {NULL, NULL, (size_t)(bytes / 2) + 1};
    c.from = malloc(c.bytes);
    c.to = malloc(c.bytes);
    if (!c.from || !c.to) exit(2);
    memset(c.from, 1, c.bytes);
    memset(c.to, 1, c.bytes);
    double rate = 2.0 * (double)c.bytes / shortest(copy_once, &c);
    free(c.from);
    free(c.to);
    last_bytes = bytes;
    return last_rate = rate;
}

/* Operations in a second of one thread; 0 when this table has no loop to measure it. */
static double peak_rate(check_peak peak);

void check_bench(const char *name, check_peak peak, double ops, double bytes, void (*once)(void *),
                 void *arg) {
    if (state.filter && !strstr(name, state.filter)) return;
    double t = shortest(once, arg), top = peak_rate(peak);
    printf("%-10s %-36s %10.3f us", state.table, name, 1e6 * t);
    if (ops > 0) printf(" %9.2f GFLOP/s", 1e-9 * ops / t);
    if (ops > 0 && top > 0) printf(" %5.1f%% of peak", 100 * ops / t / top);
    if (bytes > 0)
        printf(" %8.2f GB/s %5.1f%% of a copy", 1e-9 * bytes / t,
               100 * bytes / t / copy_rate(bytes));
    printf("\n");
    fflush(stdout);
}

static double measure_peak(fr_peak_fn *loop) {
    float sink = 0;
    double best = 0;
    if (!loop) return 0;
    for (int i = 0; i < 40; i++) {
        double start = now(), ops = loop(20000, &sink);
        double rate = ops / (now() - start);
        if (rate > best) best = rate;
    }
    return best;
}

static double peak_rate(check_peak peak) {
    static double rate[4];
    static bool known[4];
    const fr_peak_kernels *k = &fr_kernel()->peak;
    if (!known[peak]) {
        known[peak] = true;
        rate[peak] = measure_peak(peak == CHECK_F32    ? k->f32
                                  : peak == CHECK_BF16 ? k->bf16
                                  : peak == CHECK_INT8 ? k->int8
                                                       : NULL);
    }
    return rate[peak];
}

/* ---- the program ---- */

static void run_table(fr_kernels k, bool bench) {
    fr_kernels ref;
    fr_kernels_fill(0, &ref);
    state.table = k.name;
    for (check_family *f = state.families; f; f = f->next) {
        long cases = state.cases, failures = state.failures;
        if (bench && f->bench) f->bench(&k);
        if (bench) continue;
        f->run(&k, &ref);
        printf("%-18s %-10s %7ld cases, %ld wrong\n", k.name, f->name, state.cases - cases,
               state.failures - failures);
    }
}

static fr_kernels table_of(unsigned cpu) {
    fr_kernels k;
    fr_kernels_fill(cpu, &k);
    return k;
}

#if defined(__x86_64__)
void fr_qgemm_fill_avxvnni_as_avx512(fr_qgemm_kernels *out);
void fr_nearest_fill_avxvnni_as_avx512(fr_nearest_kernels *out);
#endif

/* The table of AVX-VNNI on a machine that has only AVX-512 VNNI. */
static bool vnni_as_avx512(fr_kernels *k) {
#if defined(__x86_64__)
    unsigned all = fr_cpu_flags();
    if ((all & FR_CPU_AVXVNNI) || !(all & FR_CPU_AVX512VNNI)) return false;
    *k = table_of(FR_CPU_AVX2);
    k->name = "avx2+vnni (evex)";
    fr_qgemm_fill_avxvnni_as_avx512(&k->qgemm);
    fr_nearest_fill_avxvnni_as_avx512(&k->nearest);
    return true;
#else
    (void)k;
    return false;
#endif
}

int main(int argc, char **argv) {
    bool bench = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench"))
            bench = true;
        else if (!strcmp(argv[i], "--filter") && i + 1 < argc)
            state.filter = argv[++i];
        else {
            fprintf(stderr, "usage: check-kernels [--bench] [--filter WORD]\n");
            return 2;
        }
    }
    if (bench) {
        const char *name = getenv("FRUGAL_CPU");
        fr_kernels k = *fr_kernel();
        if (name && !strcmp(name, "avx2+vnni")) vnni_as_avx512(&k);
        run_table(k, true);
        return 0;
    }
    unsigned all = fr_cpu_flags(), done[8], count = 0;
    const unsigned masks[] = {0,
                              FR_CPU_AVX2 | FR_CPU_NEON,
                              FR_CPU_AVX2 | FR_CPU_AVXVNNI,
                              FR_CPU_AVX2 | FR_CPU_AVX512,
                              FR_CPU_AVX2 | FR_CPU_AVX512 | FR_CPU_AVX512VNNI,
                              ~0u};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        bool again = false;
        for (unsigned j = 0; j < count; j++) again |= done[j] == (all & masks[i]);
        if (again) continue;
        done[count++] = all & masks[i];
        run_table(table_of(all & masks[i]), false);
    }
    fr_kernels vnni;
    if (vnni_as_avx512(&vnni)) run_table(vnni, false);
    if (!state.cases) printf("no case matches\n");
    return state.failures || !state.cases ? 1 : 0;
}
