/* format.h: the face of the room of number formats: how a matrix of floats becomes few bits and back.
 *
 * A format is one constant `fr_qformat`, and its file holds all that is known about it: its parts, their
 * shapes, how it is made, how it is read, and how many bits a value takes with scales and all. What is
 * here is the meaning, in plain C, and the layout of files; kernels repack into layouts of their own.
 *
 * A quantized matrix [rows, cols] (rows: output channels, or tokens; cols: what is summed over) is a few
 * plain tensors, its parts. In a store the part "scales" of the matrix "w" is the tensor "w.scales", and
 * the metadata "frugal.format.w" names the format, "int4-g64 3072 3072". docs/formats.md gives every byte. */
#ifndef FR_FORMAT_H
#define FR_FORMAT_H

#include "base/base.h"
#include "tensor/tensor.h"

#define FR_PARTS 5

typedef struct fr_qformat fr_qformat;

typedef struct fr_quantized {
    const fr_qformat *format;
    int64_t rows, cols;
    fr_tensor part[FR_PARTS]; /* contiguous */
    void *memory;             /* of all parts, when fr_quantized_new made it; NULL: borrowed */
} fr_quantized;

/* How scales are chosen, where a format leaves a choice. Zero is the usual way. */
typedef enum fr_block_rule {
    FR_RULE_PLAIN = 0, /* NVFP4: the largest value becomes 6 */
    FR_RULE_46_MSE,    /* Four Over Six: 6 or 4, by the smaller squared error */
    FR_RULE_46_MAE,    /* by the smaller sum of absolute errors */
    FR_RULE_46_MAX,    /* by the smaller largest error */
    FR_RULE_4,         /* always 4 */
    FR_RULE_POWER,     /* MXFP4, FP8: the least power of two that cuts nothing off */
} fr_block_rule;

typedef struct fr_quant_opts {
    fr_block_rule rule;
    bool stochastic; /* round up with the probability of the remainder; seed, by place */
    uint64_t seed;
    bool unbiased; /* NVFP4, stochastic: scales 17/16 larger, so that no draw is cut off */
    int32_t top;   /* NVFP4: the largest block scale, 256 or 448; 0: as the rule has it */
} fr_quant_opts;

struct fr_qformat {
    const char *name; /* "int4-g64" */
    int parts;
    const char *part_name[FR_PARTS]; /* "codes", "scales", "zeros", ... */
    int32_t group;                   /* values of a row that share a scale; 0: not in groups */
    const void *own;                 /* what its family's file wants to know of it besides */
    /* Type and shape of each part; refuses sizes that the format does not have, with a sentence. */
    fr_status (*describe)(const fr_qformat *f, int64_t rows, int64_t cols,
                          fr_tensor part[FR_PARTS]);
    /* Fills the parts. opts may be NULL. NaN or infinity in x: an error that names the row and column. */
    fr_status (*quantize)(const fr_quant_opts *opts, const float *x, fr_quantized *q);
    /* rows row .. row + count - 1 as floats, cols each. */
    void (*decode)(const fr_quantized *q, int64_t row, int64_t count, float *out);
    /* What describe() cannot see, in files: codes and scales that the format never makes. Optional. */
    fr_status (*check)(const fr_quantized *q);
    /* Value by value (grid.h); NULL where values of a row are not rounded one by one.
     * choose: all parts of one row but the codes; round: the code of one value and what it decodes to. */
    fr_status (*choose)(const float *x, float shrink, fr_quantized *q, int64_t row);
    int (*round)(const fr_quantized *q, int64_t row, int64_t col, float x, float *value);
};

/* All formats, ended by NULL; families.h declares each. */
extern const fr_qformat *const fr_formats[];
const fr_qformat *fr_format_find(const char *name);

/* Bits a value takes, scales and all, for a matrix of this size. */
fr_status fr_format_bits(const fr_qformat *f, int64_t rows, int64_t cols, double *bits);

fr_status fr_quantized_new(const fr_qformat *f, int64_t rows, int64_t cols, fr_quantized *out);
void fr_quantized_free(fr_quantized *q);
fr_status fr_quantize(const fr_qformat *f, const fr_quant_opts *opts, const float *x, int64_t rows,
                      int64_t cols, fr_quantized *out);

/* ---- files ---- */

/* Appends the parts under their names to a list for fr_safetensors_write, and the metadata pair. Names
 * are allocated in the arena. list and meta have room for FR_PARTS and 1 more. */
fr_status fr_quantized_list(const fr_quantized *q, const char *name, fr_arena *arena,
                            fr_named_tensor *list, size_t *count, fr_meta_pair *meta,
                            size_t *metas);
/* Whether the store says that it holds this matrix in a format. */
bool fr_quantized_is(const fr_store *s, const char *name);
/* Borrows the parts from the store, which must outlive q. Types, shapes and, where the format forbids
 * some, every code and scale are checked. FR_INVALID when there is no such matrix. */
fr_status fr_quantized_open(const fr_store *s, const char *name, fr_quantized *out);

/* ---- what it cost ---- */

typedef struct fr_error_stats {
    double mse, mae, max; /* of the difference */
    double sqnr;          /* 10 log10(sum x^2 / sum (x - y)^2), dB */
    double cosine;
} fr_error_stats;
fr_error_stats fr_error_of(const float *x, const float *y, size_t n);

/* The rest of the face, in parts: each format by name, rounding value by value, QoQ's second level, 2-bit stages, pages of keys
 * and values, other programs' checkpoints. */
#include "format/families.h"
#include "format/grid.h"
#include "format/import.h"
#include "format/int2.h"
#include "format/kv.h"
#include "format/qoq.h"

#endif
