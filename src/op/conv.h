/* conv.h (op): what the files of the convolution share: the geometry of one call and the three ways
 * to compute it.
 *
 * Everything has three spatial axes inside: a picture is a video of one frame. With `up` 1 this is
 * a convolution; a transposed one, which is also the gradient of the input, is the same walk at
 * stride 1 with the kernel turned around, over a source whose pixels lie `up` apart. */
#ifndef FR_OP_CONV_H
#define FR_OP_CONV_H

#include "op/gemm.h"
#include "op/op.h"

typedef struct fr_conv_geo {
    int64_t n;
    int64_t in[3], out[3], k[3];
    int64_t stride[3], dilation[3], before[3], up[3];
    int64_t c, o;           /* channels of source and result */
    int64_t groups, cg, og; /* channels of a group */
    int64_t taps;           /* k[0] k[1] k[2] */
    int64_t rows;           /* result pixels: n out[0] out[1] out[2] */
} fr_conv_geo;

/* Result pixels along one axis, or -1 when the kernel is larger than the padded source. */
int64_t fr_conv_out(int64_t in, int64_t k, const fr_conv_attr *a, int axis);
/* From source and weight [o, k.., c / groups] whose shapes have been checked. */
fr_conv_geo fr_conv_geo_of(const fr_conv_attr *a, const fr_tensor *x, const fr_tensor *w);
/* From the source [n, .., o] of a transposed convolution with the same weight. */
fr_conv_geo fr_conv_geo_transposed(const fr_conv_attr *a, const fr_tensor *y, const fr_tensor *w);

/* Operands by their place in a call: x, w, bias, residual -> y. */
bool fr_conv_is_depthwise(const fr_conv_geo *g);

/* conv_gemm.c: implicit im2col under a matrix product, group by group. */
size_t fr_conv_gemm_pack_bytes(const fr_call *c, const fr_conv_geo *g);
void fr_conv_gemm_pack(const fr_call *c, const fr_conv_geo *g, void *out);
size_t fr_conv_gemm_scratch(const fr_call *c, const fr_conv_geo *g, bool transposed);
/* w: as it is, or for a transposed one in the order [group][tap, o][c] of conv_phase.c. */
void fr_conv_gemm_run(const fr_call *c, const fr_conv_geo *g, bool transposed, const void *w,
                      void *scratch);
size_t fr_conv_gemm_weight_scratch(const fr_call *c, const fr_conv_geo *g);
void fr_conv_gemm_weight_run(const fr_call *c, const fr_conv_geo *g);
/* Rows of the im2col matrix of one group. */
typedef struct fr_im2col {
    const fr_conv_geo *geo;
    const void *x;
    size_t size; /* bytes of a value */
    int64_t group;
    int64_t first; /* result pixel of row 0 */
} fr_im2col;
fr_gemm_rows_fn fr_im2col_rows;

/* conv_phase.c: the transposed form, without the products with zeros between its source pixels. */
size_t fr_conv_phases_scratch(const fr_call *c, const fr_conv_geo *g);
void fr_conv_phases_run(const fr_call *c, const fr_conv_geo *g);

/* depthwise.c */
size_t fr_depthwise_pack_bytes(const fr_conv_geo *g);
void fr_depthwise_pack(const fr_call *c, const fr_conv_geo *g, void *out);
size_t fr_depthwise_scratch(const fr_call *c, const fr_conv_geo *g);
void fr_depthwise_run(const fr_call *c, const fr_conv_geo *g, bool transposed);
size_t fr_depthwise_weight_scratch(const fr_call *c, const fr_conv_geo *g);
void fr_depthwise_weight_run(const fr_call *c, const fr_conv_geo *g);

/* conv_grad.c. dy [n, .., o] of a convolution with these attributes, w its weight. */
fr_val fr_conv_input_grad(fr_graph *g, fr_val dy, fr_val w, fr_val x, const fr_conv_attr *a);
fr_val fr_conv_weight_grad(fr_graph *g, fr_val x, fr_val dy, fr_val w, const fr_conv_attr *a);
/* The sum of dy over all pixels, in the type of the bias. */
fr_val fr_conv_bias_grad(fr_graph *g, fr_val dy, fr_val bias, const fr_conv_attr *a);
/* Shared with the transposed convolution. */
fr_status fr_conv_check(const char *op, const fr_call *c, bool transposed);
extern const fr_attr_field fr_conv_fields[];
fr_val fr_conv_emit(fr_graph *g, const fr_op *op, const fr_val in[4], const fr_conv_attr *a);

#endif
