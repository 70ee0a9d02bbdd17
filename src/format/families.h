/* families.h: the constants that the families' files define, for the registry in format.c. */
#ifndef FR_FORMAT_FAMILIES_H
#define FR_FORMAT_FAMILIES_H

#include "format/format.h"

/* int8.c: a scale a tensor or a row */
extern const fr_qformat fr_int8_tensor, fr_int8_channel, fr_int8_token;
extern const fr_qformat fr_uint8_tensor, fr_uint8_channel, fr_uint8_token;

/* group.c: integers in groups of a row, 16-bit scales */
extern const fr_qformat fr_int4_g32, fr_int4_g64, fr_int4_g128, fr_int4_g64_bf16;
extern const fr_qformat fr_uint4_g64, fr_uint4_g64_bf16;
extern const fr_qformat fr_uint4_z_g32, fr_uint4_z_g64, fr_uint4_z_g128, fr_uint4_z_row;
extern const fr_qformat fr_uint8_z_g32, fr_uint8_z_g64, fr_uint8_z_g128, fr_uint8_z_row;
/* the same with the columns in another order, as GPTQ with "desc_act" leaves them */
extern const fr_qformat fr_uint4_z_g32_perm, fr_uint4_z_g64_perm, fr_uint4_z_g128_perm;
extern const fr_qformat fr_uint8_z_g32_perm, fr_uint8_z_g64_perm, fr_uint8_z_g128_perm;

/* qoq.c: QServe's */
extern const fr_qformat fr_qoq_channel, fr_qoq_g128, fr_qoq_g128_pre;

/* nvfp4.c, mxfp4.c: 4-bit floats in blocks; fp8.c: 8-bit floats */
extern const fr_qformat fr_nvfp4, fr_mxfp4;
extern const fr_qformat fr_fp8_e4m3_tensor, fr_fp8_e5m2_tensor, fr_fp8_1x128, fr_fp8_128x128;

/* int2.c: 2-bit groups of what k-means stages leave; a (asymmetric), s (stages) */
extern const fr_qformat fr_int2_g16, fr_int2_g64, fr_int2a_g16, fr_int2a_g64;
extern const fr_qformat fr_int2_g64_s1, fr_int2_g16_s2, fr_int2_g16_s4, fr_int2a_g16_s1;

/* ggml.c: the blocks of GGUF files. The format whose blocks are of that type, or NULL. */
extern const fr_qformat fr_q4_0, fr_q4_1, fr_q5_0, fr_q5_1, fr_q8_0, fr_q4_k, fr_q5_k, fr_q6_k;
const fr_qformat *fr_format_of_blocks(fr_dtype t);
/* ggml_codes.c: 32 values as signed codes: scale[i / 16] code - offset. */
typedef struct fr_block_group {
    float scale[2], offset;
} fr_block_group;
/* Values k0 .. k0 + count - 1 of a row of blocks (not Q4_0), k0 and count of whole blocks. */
void fr_blocks_codes(const fr_qformat *f, const uint8_t *row, int64_t k0, int64_t count,
                     int8_t *codes, fr_block_group *groups);

#endif
