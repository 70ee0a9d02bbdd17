/* check_convert.c: conversions between number types; every 16-bit pattern, and floats of all kinds.
 */
#include "check.h"

static void widen(const char *name, void (*f)(const uint16_t *, size_t, float *),
                  void (*ref)(const uint16_t *, size_t, float *)) {
    for (size_t n = 0; n < 70; n = n < 40 ? n + 1 : n + 13) {
        if (!check_begin("convert.%s n=%zu", name, n)) continue;
        uint16_t *in = check_alloc(2 * n);
        for (size_t i = 0; i < n; i++) in[i] = (uint16_t)check_random();
        float *got = check_alloc(4 * n), *want = check_alloc(4 * n);
        f(in, n, got);
        ref(in, n, want);
        check_same(got, want, n, 4);
        check_end();
    }
    if (!check_begin("convert.%s all", name)) return;
    uint16_t *in = check_alloc(2 * 65536);
    for (size_t i = 0; i < 65536; i++) in[i] = (uint16_t)i;
    float *got = check_alloc(4 * 65536), *want = check_alloc(4 * 65536);
    f(in, 65536, got);
    ref(in, 65536, want);
    check_same(got, want, 65536, 4);
    check_end();
}

static void narrow(const char *name, void (*f)(const float *, size_t, uint16_t *),
                   void (*ref)(const float *, size_t, uint16_t *)) {
    for (int kind = 0; kind < CHECK_KIND_COUNT; kind++)
        for (size_t n = 0; n < 20000; n = n < 40 ? n + 1 : n * 7 + 3) {
            if (!check_begin("convert.%s kind=%d n=%zu", name, kind, n)) continue;
            float *in = check_f32(n, (check_kind)kind);
            uint16_t *got = check_alloc(2 * n), *want = check_alloc(2 * n);
            f(in, n, got);
            ref(in, n, want);
            check_same(got, want, n, 2);
            check_end();
        }
}

static void run(const fr_kernels *k, const fr_kernels *ref) {
    widen("bf16_to_f32", k->convert.bf16_to_f32, ref->convert.bf16_to_f32);
    widen("f16_to_f32", k->convert.f16_to_f32, ref->convert.f16_to_f32);
    narrow("f32_to_bf16", k->convert.f32_to_bf16, ref->convert.f32_to_bf16);
    narrow("f32_to_f16", k->convert.f32_to_f16, ref->convert.f32_to_f16);
}

enum { BENCH_N = 1 << 14 };
typedef struct bench_arg {
    const fr_convert_kernels *k;
    float *f;
    uint16_t *h;
} bench_arg;
static void once_from_bf16(void *a) {
    bench_arg *b = a;
    b->k->bf16_to_f32(b->h, BENCH_N, b->f);
}
static void once_to_bf16(void *a) {
    bench_arg *b = a;
    b->k->f32_to_bf16(b->f, BENCH_N, b->h);
}
static void once_from_f16(void *a) {
    bench_arg *b = a;
    b->k->f16_to_f32(b->h, BENCH_N, b->f);
}
static void once_to_f16(void *a) {
    bench_arg *b = a;
    b->k->f32_to_f16(b->f, BENCH_N, b->h);
}

static void bench(const fr_kernels *k) {
    bench_arg b = {&k->convert, check_f32(BENCH_N, CHECK_NORMAL),
                   check_bf16(BENCH_N, CHECK_NORMAL)};
    check_bench("convert.bf16_to_f32", CHECK_NO_PEAK, 0, 6.0 * BENCH_N, once_from_bf16, &b);
    check_bench("convert.f32_to_bf16", CHECK_NO_PEAK, 0, 6.0 * BENCH_N, once_to_bf16, &b);
    check_bench("convert.f16_to_f32", CHECK_NO_PEAK, 0, 6.0 * BENCH_N, once_from_f16, &b);
    check_bench("convert.f32_to_f16", CHECK_NO_PEAK, 0, 6.0 * BENCH_N, once_to_f16, &b);
}

CHECK_FAMILY("convert", run, bench)
