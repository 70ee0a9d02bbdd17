/* golden.h: the matrices and parts that tests/oracle/formats_fp.py made. */
#ifndef FR_TESTS_FORMAT_GOLDEN_H
#define FR_TESTS_FORMAT_GOLDEN_H

#include "testing.h"

/* From tests/golden/format/fp.safetensors; fails the test when there is none. */
const fr_tensor *golden_tensor(const char *name);
/* Quantizes the input of that name; every part must be the golden one, "<format>.<rule>.<input>.<part>",
 * to the bit. Also decoding in pieces must give what decoding at once gives, and the check must pass. */
void check_golden(const char *format, const char *rule, const fr_quant_opts *opts,
                  const char *input);
/* Quantizes normal values, puts `bytes` of value into a part at a byte, and expects the check to refuse. */
void check_refused(const char *format, int64_t rows, int64_t cols, int part, size_t at,
                   const void *value, size_t bytes, const char *text);

/* Matrices of three kinds; fr_free them. Laplace and Student t (4 degrees) are made of normals. */
float *laplace_matrix(int64_t rows, int64_t cols, uint64_t seed);
float *student_matrix(int64_t rows, int64_t cols, uint64_t seed);
fr_error_stats error_with(const char *format, const fr_quant_opts *opts, const float *x,
                          int64_t rows, int64_t cols);

#endif
