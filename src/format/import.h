/* import.h: quantized checkpoints of other programs, taken over without loss. */
#ifndef FR_FORMAT_IMPORT_H
#define FR_FORMAT_IMPORT_H

#include "format/format.h"

/* All become w [out, in]. name is the module, "model.layers.0.self_attn.q_proj"; its tensors are
 * name.qweight, name.qzeros, name.scales and, of GPTQ, name.g_idx. `out` owns its memory. */

/* AutoAWQ's "gemm" packing, 4 bits -> uint4-z-g32, -g64, -g128 or -row. */
fr_status fr_import_awq(const fr_store *s, const char *name, fr_quantized *out);

/* v2: "checkpoint_format" is "gptq_v2"; v1 stores zero points less 1. Some files are v2 and do not say so:
 * symmetric ones of v1 hold zeros of 7 (8 bits: 127) only, those of v2 8 (128). */
typedef struct fr_gptq {
    int bits; /* 4 or 8 */
    bool v2;
} fr_gptq;
/* -> uint4-z-..., uint8-z-...; -perm when g_idx says that columns were taken out of order. */
fr_status fr_import_gptq(const fr_store *s, const char *name, fr_gptq kind, fr_quantized *out);

/* QServe's: name.qweight, name.s1_scales and, with a scale a row, name.s1_szeros -> qoq-channel, or
 * with groups name.s2_scales and name.s2_zeros -> qoq-g128 or, where zero points ask for it,
 * qoq-g128-pre. */
fr_status fr_import_qserve(const fr_store *s, const char *name, fr_quantized *out);

#endif
