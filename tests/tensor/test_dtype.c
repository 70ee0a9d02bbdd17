/* test_dtype.c: every code of every small float against arithmetic of its own, in double: what a
 * code means follows from the definition, and the nearest code from a search. */
#include "testing.h"

#include <math.h>

typedef struct small {
    const char *name;
    int ebits, mbits;
    bool infinite; /* the largest exponent means infinity and NaN */
    uint32_t most; /* the largest finite code */
} small;

static const small f16 = {"f16", 5, 10, true, 0x7bff};
static const small bf16 = {"bf16", 8, 7, true, 0x7f7f};
static const small e4m3 = {"f8e4m3", 4, 3, false, 0x7e};
static const small e5m2 = {"f8e5m2", 5, 2, true, 0x7b};

static float decode(const small *s, uint32_t code) {
    if (s == &f16) return fr_f16_to_f32((uint16_t)code);
    if (s == &bf16) return fr_bf16_to_f32((uint16_t)code);
    if (s == &e4m3) return fr_f8e4m3_to_f32((uint8_t)code);
    return fr_f8e5m2_to_f32((uint8_t)code);
}

static uint32_t encode(const small *s, float x) {
    if (s == &f16) return fr_f32_to_f16(x);
    if (s == &bf16) return fr_f32_to_bf16(x);
    if (s == &e4m3) return fr_f32_to_f8e4m3(x);
    return fr_f32_to_f8e5m2(x);
}

/* (-1)^sign 1.man 2^(exp - bias), with the hidden bit gone in subnormals. */
static double meaning(const small *s, uint32_t code) {
    int bias = (1 << (s->ebits - 1)) - 1;
    uint32_t sign = code >> (s->ebits + s->mbits), man = code & ((1u << s->mbits) - 1);
    int exp = (int)(code >> s->mbits) & ((1 << s->ebits) - 1);
    double x =
        exp ? ldexp(1.0 + ldexp(man, -s->mbits), exp - bias) : ldexp(man, 1 - bias - s->mbits);
    return sign ? -x : x;
}

static void check_codes(const small *s) {
    uint32_t sign = 1u << (s->ebits + s->mbits);
    for (uint32_t code = 0; code < 2 * sign; code++) {
        float x = decode(s, code);
        uint32_t size = code & (sign - 1);
        if (size > s->most) {
            bool inf = s->infinite && size == s->most + 1;
            assert_int_equal(isinf(x) != 0, inf);
            assert_int_equal(isnan(x) != 0, !inf);
        } else if ((double)x != meaning(s, code)) {
            fail_msg("%s %x is %g, not %g", s->name, code, (double)x, meaning(s, code));
        }
        assert_int_equal(signbit(x) != 0, code >= sign);
        /* Back to itself; a NaN to a NaN of the same sign. */
        uint32_t back = encode(s, x);
        if (isnan(x))
            assert_true(isnan(decode(s, back)) && (back & sign) == (code & sign));
        else
            assert_int_equal(back, code);
    }
}

/* Between each two neighbours: the middle goes to the even one, a float beside it to the nearer. */
static void check_rounding(const small *s) {
    uint32_t sign = 1u << (s->ebits + s->mbits);
    for (uint32_t code = 0; code <= s->most; code++) {
        bool last = code == s->most;
        double lo = meaning(s, code),
               step = last ? lo - meaning(s, code - 1) : meaning(s, code + 1) - lo;
        float middle = (float)(lo + step / 2); /* exact */
        uint32_t above = last && !s->infinite ? code : code + 1;
        if ((double)middle != lo + step / 2) continue; /* bf16 subnormals may reach below f32 */
        assert_int_equal(encode(s, middle), code & 1 ? above : code);
        assert_int_equal(encode(s, nextafterf(middle, 0)), code);
        assert_int_equal(encode(s, nextafterf(middle, INFINITY)), above);
        assert_int_equal(encode(s, -nextafterf(middle, INFINITY)), above | sign);
    }
    assert_int_equal(encode(s, INFINITY), s->infinite ? s->most + 1 : s->most);
    assert_int_equal(encode(s, -3.4028235e38f), sign | (s->infinite ? s->most + 1 : s->most));
    assert_int_equal(encode(s, -0.0f), sign);
    assert_int_equal(encode(s, 1e-45f), 0);
    assert_true(isnan(decode(s, encode(s, NAN))));
    /* A NaN whose payload is only in bits that go away must not become infinity. */
    assert_true(isnan(decode(s, encode(s, fr_f32_from_bits(0x7f800001u)))));
    assert_true(isnan(decode(s, encode(s, fr_f32_from_bits(0xffffffffu)))));
}

static void small_floats_mean_what_they_say(void **state) {
    (void)state;
    check_codes(&f16), check_codes(&bf16), check_codes(&e4m3), check_codes(&e5m2);
}

static void small_floats_round_to_nearest_even(void **state) {
    (void)state;
    check_rounding(&f16), check_rounding(&bf16), check_rounding(&e4m3), check_rounding(&e5m2);
}

static void known_values(void **state) {
    (void)state;
    assert_float_equal(fr_f8e4m3_to_f32(0x7e), 448, 0);
    assert_int_equal(fr_f32_to_f8e4m3(1e9f), 0x7e);
    assert_int_equal(fr_f32_to_f8e5m2(1e9f), 0x7c);
    assert_float_equal(fr_f16_to_f32(0x7bff), 65504, 0);
    assert_int_equal(fr_f32_to_f16(65519.0f), 0x7bff);
    assert_int_equal(fr_f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(fr_f32_to_bf16(1.0f), 0x3f80);
}

static void every_plain_type_decodes_at_any_address(void **state) {
    (void)state;
    static const struct {
        fr_dtype t;
        uint64_t bits;
        float value;
    } cases[] = {
        {FR_F32, 0xc0490fdb, -3.14159274f},
        {FR_F16, 0x3555, 0.333251953125f},
        {FR_BF16, 0xc049, -3.140625f},
        {FR_F8E4M3, 0xb9, -1.125f},
        {FR_F8E5M2, 0x3d, 1.25f},
        {FR_I64, (uint64_t)-9007199254740993, -9007199254740992.0f},
        {FR_I32, (uint32_t)-7, -7},
        {FR_I16, (uint16_t)-300, -300},
        {FR_I8, 0x80, -128},
        {FR_U8, 0xff, 255},
        {FR_U16, 0xffff, 65535},
        {FR_U32, 0xffffffff, 4294967296.0f},
        {FR_U64, 0xffffffffffffffff, 18446744073709551616.0f},
        {FR_F64, 0x3ff0000000000001, 1.0f},
        {FR_BOOL, 1, 1},
    };
    for (size_t i = 0; i < FR_COUNT(cases); i++)
        for (size_t at = 0; at < 8; at++) {
            uint8_t raw[32] = {0};
            float out[2] = {0, 99};
            memcpy(raw + at, &cases[i].bits, 8);
            fr_decode(cases[i].t, raw + at, 1, out);
            if (out[0] != cases[i].value || out[1] != 99)
                fail_msg("%s: %g", fr_dtype_name(cases[i].t), (double)out[0]);
        }
    fr_decode(FR_F32, NULL, 0, NULL);
}

static void encode_and_decode_agree(void **state) {
    (void)state;
    static const fr_dtype types[] = {FR_F32, FR_F16, FR_BF16, FR_F8E4M3, FR_F8E5M2, FR_F64};
    static const float in[5] = {0, 1.5f, -2, 0.25f, 448};
    for (size_t i = 0; i < FR_COUNT(types); i++) {
        uint8_t raw[41];
        float out[5];
        assert_good(fr_encode(types[i], in, 5, raw + 1));
        fr_decode(types[i], raw + 1, 5, out);
        assert_memory_equal(in, out, sizeof in);
    }
    uint8_t raw[64];
    assert_fails(fr_encode(FR_Q4_K, in, 0, raw), FR_UNSUPPORTED, "q4_k");
    assert_fails(fr_encode(FR_I32, in, 5, raw), FR_UNSUPPORTED, "i32");
    assert_fails(fr_encode(FR_Q8_0, in, 5, raw), FR_INVALID, "blocks");
}

static void names_lead_back(void **state) {
    (void)state;
    for (int t = 1; t < FR_DTYPE_COUNT; t++) {
        const fr_dtype_info *info = fr_dtype_get((fr_dtype)t);
        assert_non_null(info->name);
        assert_true(info->bytes > 0 && info->block > 0);
        assert_int_equal(fr_dtype_from_name(info->name), t);
        if (info->safetensors) assert_int_equal(fr_dtype_from_safetensors(info->safetensors), t);
        if (info->gguf >= 0) assert_int_equal(fr_dtype_from_gguf(info->gguf), t);
        assert_true(info->safetensors || info->gguf >= 0);
    }
    assert_int_equal(fr_dtype_from_name("f31"), FR_NOTYPE);
    assert_int_equal(fr_dtype_from_safetensors("f32"), FR_NOTYPE);
    assert_int_equal(fr_dtype_from_gguf(-1), FR_NOTYPE);
    assert_int_equal(fr_dtype_from_gguf(4), FR_NOTYPE);
    assert_string_equal(fr_dtype_name((fr_dtype)-5), "none");
    assert_string_equal(fr_dtype_name(FR_DTYPE_COUNT), "none");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_floats_mean_what_they_say),
        cmocka_unit_test(small_floats_round_to_nearest_even),
        cmocka_unit_test(known_values),
        cmocka_unit_test(every_plain_type_decodes_at_any_address),
        cmocka_unit_test(encode_and_decode_agree),
        cmocka_unit_test(names_lead_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
