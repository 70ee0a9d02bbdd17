/* kernel.c: what the processor has, and the table that follows from it. */
#include "kernel/kernel.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static bool has_avxvnni(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

unsigned fr_cpu_flags(void) {
    unsigned f = 0;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) f |= FR_CPU_AVX2;
    if ((f & FR_CPU_AVX2) && has_avxvnni()) f |= FR_CPU_AVXVNNI;
    if ((f & FR_CPU_AVX2) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        f |= FR_CPU_AVX512;
        if (__builtin_cpu_supports("avx512vnni")) f |= FR_CPU_AVX512VNNI;
        if (__builtin_cpu_supports("avx512bf16")) f |= FR_CPU_AVX512BF16;
    }
    return f;
}
#elif defined(__aarch64__)
#include <sys/auxv.h>
unsigned fr_cpu_flags(void) {
    unsigned long has = getauxval(AT_HWCAP);
    return FR_CPU_NEON | (has & (1ul << 20) ? FR_CPU_NEON_DOT : 0u);
}
#else
unsigned fr_cpu_flags(void) {
    return 0;
}
#endif

static const char *table_name(unsigned cpu) {
    if (cpu & FR_CPU_AVX512) {
        if ((cpu & FR_CPU_AVX512VNNI) && (cpu & FR_CPU_AVX512BF16)) return "avx512+vnni+bf16";
        if (cpu & FR_CPU_AVX512VNNI) return "avx512+vnni";
        return "avx512";
    }
    if (cpu & FR_CPU_AVX2) return cpu & FR_CPU_AVXVNNI ? "avx2+vnni" : "avx2";
    if (cpu & FR_CPU_NEON) return cpu & FR_CPU_NEON_DOT ? "neon+dot" : "neon";
    return "scalar";
}

void fr_kernels_fill(unsigned cpu, fr_kernels *out) {
    memset(out, 0, sizeof *out);
    out->cpu = cpu;
    out->name = table_name(cpu);
    fr_convert_kernels_fill(cpu, &out->convert);
    fr_gemm_kernels_fill(cpu, &out->gemm);
    fr_rows_kernels_fill(cpu, &out->rows);
    fr_optim_kernels_fill(cpu, &out->optim);
    fr_attn_kernels_fill(cpu, &out->attn);
    fr_kvattn_kernels_fill(cpu, &out->kvattn);
    fr_conv_kernels_fill(cpu, &out->conv);
    fr_cluster_kernels_fill(cpu, &out->cluster);
    fr_qrow_kernels_fill(cpu, &out->qrow);
    fr_qgemm_kernels_fill(cpu, &out->qgemm);
    fr_nearest_kernels_fill(cpu, &out->nearest);
    fr_peak_kernels_fill(cpu, &out->peak);
}

/* Which flags a name of FRUGAL_CPU leaves; an unknown name leaves all. */
static unsigned allowed_by_name(const char *name) {
    if (!name || !*name || !strcmp(name, "native")) return ~0u;
    if (!strcmp(name, "scalar")) return 0;
    if (!strcmp(name, "avx2")) return FR_CPU_AVX2;
    if (!strcmp(name, "avx2+vnni")) return FR_CPU_AVX2 | FR_CPU_AVXVNNI;
    if (!strcmp(name, "avx512")) return FR_CPU_AVX2 | FR_CPU_AVX512;
    return ~0u;
}

static fr_kernels chosen;
static const fr_kernels *in_use;

/* Before main, so that no thread can see half a table. */
__attribute__((constructor)) static void choose(void) {
    fr_kernels_fill(fr_cpu_flags() & allowed_by_name(getenv("FRUGAL_CPU")), &chosen);
    in_use = &chosen;
}

const fr_kernels *fr_kernel(void) {
    return in_use;
}
void fr_kernel_use(const fr_kernels *table) {
    in_use = table ? table : &chosen;
}
