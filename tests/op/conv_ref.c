/* conv_ref.c: see conv_ref.h. Five nested sums, no cleverness. */
#include "conv_ref.h"

static int64_t space(const fr_tensor *t, int axes, int axis) {
    return axis < 3 - axes ? 1 : t->dim[axis + axes - 2];
}
static int64_t or_one(int32_t v, int axes, int axis) {
    return v == 0 || axis < 3 - axes ? 1 : v;
}

void conv_walk(const conv_arg *a, const fr_tensor *x, const fr_tensor *w, const fr_tensor *y,
               conv_pair_fn *fn, void *user) {
    const fr_conv_opts *o = &a->opts;
    int64_t in[3], out[3], k[3], s[3], d[3], p[3];
    for (int i = 0; i < 3; i++) {
        in[i] = space(x, a->axes, i), out[i] = space(y, a->axes, i), k[i] = space(w, a->axes, i);
        s[i] = or_one(o->stride[i], a->axes, i), d[i] = or_one(o->dilation[i], a->axes, i);
        p[i] = i < 3 - a->axes ? 0 : o->before[i];
    }
    int64_t n = x->dim[0], c = x->dim[x->rank - 1], oc = y->dim[y->rank - 1];
    int64_t groups = o->groups ? o->groups : 1, cg = c / groups, og = oc / groups;
    for (int64_t b = 0; b < n; b++)
        for (int64_t q = 0; q < out[0] * out[1] * out[2]; q++)
            for (int64_t r = 0; r < k[0] * k[1] * k[2]; r++) {
                int64_t at[3] = {q / out[2] / out[1], q / out[2] % out[1], q % out[2]};
                int64_t tap[3] = {r / k[2] / k[1], r / k[2] % k[1], r % k[2]};
                int64_t from[3];
                bool inside = true;
                for (int i = 0; i < 3; i++) {
                    from[i] = at[i] * s[i] - p[i] + tap[i] * d[i];
                    inside = inside && from[i] >= 0 && from[i] < in[i];
                }
                if (!inside) continue;
                int64_t px = ((b * in[0] + from[0]) * in[1] + from[1]) * in[2] + from[2];
                int64_t py = b * out[0] * out[1] * out[2] + q;
                for (int64_t j = 0; j < oc; j++)
                    for (int64_t i = 0; i < cg; i++)
                        fn(user, px * c + j / og * cg + i, py * oc + j,
                           (j * k[0] * k[1] * k[2] + r) * cg + i);
            }
}

double conv_act(fr_fn fn, double x) {
    switch (fn) {
    case FR_FN_RELU: return x > 0 ? x : 0;
    case FR_FN_RELU6: return x < 0 ? 0 : x > 6 ? 6 : x;
    case FR_FN_SILU: return x / (1 + exp(-x));
    case FR_FN_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case FR_FN_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case FR_FN_SIGMOID: return 1 / (1 + exp(-x));
    case FR_FN_TANH: return tanh(x);
    case FR_FN_HSWISH: return x * conv_act(FR_FN_RELU6, x + 3) / 6;
    default: return x;
    }
}
