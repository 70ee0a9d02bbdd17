/* each.h: value-by-value operators on the pool, for this room alone.
 *
 * fr_each_run walks the output in pieces of FR_PIECE values. Inputs broadcast to its shape as in NumPy
 * and may be strided with a contiguous last axis; each may be f32, bf16 or f16. The function given
 * sees only f32 runs: what is stored in 16 bits is converted through small blocks on the stack. */
#ifndef FR_OP_EACH_H
#define FR_OP_EACH_H

#include "op/op.h"

#define FR_PIECE 16384 /* values in one item of the pool */
#define FR_BLOCK 256   /* values converted at once: all operands in the first cache */

/* A step of 0 means that in[i] is a single value for the whole run (never when splat is set). */
typedef void fr_each_fn(const void *arg, const float *const *in, const size_t *step, size_t n,
                        float *const *out);

#define FR_EACH_IN 4
typedef struct fr_each {
    fr_each_fn *fn;
    const void *arg;
    int nin, nout; /* outputs have one shape and are contiguous */
    const fr_tensor *in[FR_EACH_IN];
    const fr_tensor *out[2];
    bool splat; /* spread single values over a block first */
} fr_each;
void fr_each_run(const fr_each *e, fr_pool *pool);
/* The run of an operator over its first nin inputs, single values spread. */
fr_status fr_each_call(const fr_call *c, fr_each_fn *fn, const void *arg, int nin);

/* ---- 16-bit storage ---- */

static inline bool fr_is_float(fr_dtype t) {
    return t == FR_F32 || t == FR_BF16 || t == FR_F16;
}
/* n values from `first` on as floats: in place for f32, else converted to buf. */
const float *fr_block_in(const fr_tensor *t, size_t first, size_t n, float *buf);
/* Where to write n floats: in place for f32, else buf; then fr_block_out stores them. */
float *fr_block_at(const fr_tensor *t, size_t first, float *buf);
void fr_block_out(const fr_tensor *t, size_t first, size_t n, const float *buf);

/* ---- shapes ---- */

/* The NumPy shape of a with b; says both shapes when there is none. */
fr_status fr_broadcast_shape(const fr_tensor *a, const fr_tensor *b, fr_tensor *out);
/* b must broadcast to the shape of a; `what` names b in the message. */
fr_status fr_broadcasts_to(const char *what, const fr_tensor *b, const fr_tensor *a);
fr_status fr_want_float(const char *what, const fr_tensor *t);
/* out takes shape and type of `like`. */
void fr_like(fr_tensor *out, const fr_tensor *like);

/* v, cast to the type of like when it has another. */
fr_val fr_as_type(fr_graph *g, fr_val v, fr_val like);

#endif
