/* words.c: the names of what attributes choose among. A file holds these words, so they stay. */
#include "format/format.h"
#include "op/op.h"

#include <string.h>

static const char *const fn_words[] = {
    [FR_FN_NONE] = "none",       [FR_FN_RELU] = "relu",     [FR_FN_RELU6] = "relu6",
    [FR_FN_SILU] = "silu",       [FR_FN_GELU] = "gelu",     [FR_FN_GELU_TANH] = "gelu_tanh",
    [FR_FN_SIGMOID] = "sigmoid", [FR_FN_TANH] = "tanh",     [FR_FN_HSWISH] = "hswish",
    [FR_FN_EXP] = "exp",         [FR_FN_LOG] = "log",       [FR_FN_SQRT] = "sqrt",
    [FR_FN_RSQRT] = "rsqrt",     [FR_FN_SQUARE] = "square", [FR_FN_ABS] = "abs",
    [FR_FN_NEG] = "neg",         [FR_FN_RECIP] = "recip",   [FR_FN_SIN] = "sin",
    [FR_FN_COS] = "cos",
};
static const char *const binary_words[] = {[FR_ADD] = "add", [FR_SUB] = "sub", [FR_MUL] = "mul",
                                           [FR_DIV] = "div", [FR_MAX] = "max", [FR_MIN] = "min"};
static const char *const reduction_words[] = {
    [FR_SUM] = "sum", [FR_MEAN] = "mean", [FR_AMAX] = "max"};
static const char *const mask_words[] = {[FR_MASK_FULL] = "full",
                                         [FR_MASK_CAUSAL] = "causal",
                                         [FR_MASK_WINDOW] = "window",
                                         [FR_MASK_BLOCKS] = "blocks"};
static const char *const rows_words[] = {
    [FR_ROWS_FLOAT] = "float", [FR_ROWS_INT8] = "int8",   [FR_ROWS_INT4] = "int4",
    [FR_ROWS_UINT4] = "uint4", [FR_ROWS_NVFP4] = "nvfp4", [FR_ROWS_FP8] = "fp8",
    [FR_ROWS_BF16] = "bf16",
};
static const char *const before_words[] = {[FR_BEFORE_NONE] = "none",
                                           [FR_BEFORE_RMSNORM] = "rmsnorm",
                                           [FR_BEFORE_LAYERNORM] = "layernorm",
                                           [FR_BEFORE_GLU] = "glu",
                                           [FR_BEFORE_FN] = "fn"};
static const char *const kv_words[] = {
    [FR_KV_BF16] = "bf16", [FR_KV_F16] = "f16",       [FR_KV_F32] = "f32",      [FR_KV_8] = "kv8",
    [FR_KV_4] = "kv4",     [FR_KV_8_QOQ] = "kv8-qoq", [FR_KV_4_QOQ] = "kv4-qoq"};

_Static_assert(FR_COUNT(kv_words) == FR_KV_KINDS, "every kind of page has a word");
_Static_assert(FR_COUNT(rows_words) == FR_ROWS_KINDS, "every kind of rows has a word");
_Static_assert(FR_COUNT(before_words) == FR_BEFORE_KINDS, "every prologue has a word");
_Static_assert(FR_COUNT(fn_words) == FR_FN_COUNT, "every function has a word");
_Static_assert(FR_COUNT(binary_words) == FR_BINARY_COUNT, "every operation has a word");
_Static_assert(FR_COUNT(reduction_words) == FR_REDUCTION_COUNT, "every reduction has a word");

#define WORD_OF(words, value)                                                                      \
    ((value) >= 0 && (size_t)(value) < FR_COUNT(words) ? (words)[value] : NULL)

static const char *format_word(int32_t value) {
    for (int32_t i = 0; fr_formats[i]; i++)
        if (value == i + 1) return fr_formats[i]->name;
    return value ? NULL : "none";
}

const char *fr_attr_word(fr_attr_kind kind, int32_t value) {
    switch (kind) {
    case FR_ATTR_FN: return WORD_OF(fn_words, value);
    case FR_ATTR_BINARY: return WORD_OF(binary_words, value);
    case FR_ATTR_REDUCTION: return WORD_OF(reduction_words, value);
    case FR_ATTR_MASK: return WORD_OF(mask_words, value);
    case FR_ATTR_DTYPE:
        return value > FR_NOTYPE && value < FR_DTYPE_COUNT ? fr_dtype_name((fr_dtype)value) : NULL;
    case FR_ATTR_ROWS: return WORD_OF(rows_words, value);
    case FR_ATTR_BEFORE: return WORD_OF(before_words, value);
    case FR_ATTR_FORMAT: return format_word(value);
    case FR_ATTR_KV: return WORD_OF(kv_words, value);
    default: return NULL;
    }
}

bool fr_attr_from_word(fr_attr_kind kind, const char *word, int32_t *value) {
    for (int32_t v = 0; v < 256; v++) {
        const char *name = fr_attr_word(kind, v);
        if (!name || strcmp(name, word) != 0) continue;
        *value = v;
        return true;
    }
    return false;
}
