/* conv_phase.c: a transposed convolution of stride s as s ordinary ones an axis.
 *
 * Between the source pixels of a transposed convolution lie s - 1 zeros. A result pixel p meets only
 * the taps a with (p - before + a dilation) divisible by s, and these are the same for all p of one
 * remainder by s: a phase. Within a phase everything is a convolution of stride 1 with some of the
 * taps, whose result is spread out over the pixels of that remainder. */
#include "op/conv.h"
#include "op/copy.h"

typedef struct phase {
    fr_conv_geo geo;
    int64_t at[3];           /* its first result pixel */
    int64_t tap[3], step[3]; /* its first tap, and how far to the next */
} phase;

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

static void phase_axis(const fr_conv_geo *g, int axis, phase *f) {
    int64_t up = g->up[axis], d = g->dilation[axis], at = f->at[axis];
    int64_t step = up / gcd(up, d), first = 0;
    while (first < step && (at - g->before[axis] + first * d) % up) first++;
    bool some = first < step && first < g->k[axis];
    f->tap[axis] = first;
    f->step[axis] = step;
    f->geo.k[axis] = some ? (g->k[axis] - 1 - first) / step + 1 : 0;
    f->geo.before[axis] = some ? -((at - g->before[axis] + first * d) / up) : 0;
    f->geo.dilation[axis] = d * step / up;
    f->geo.up[axis] = 1;
    f->geo.out[axis] = at < g->out[axis] ? (g->out[axis] - at + up - 1) / up : 0;
}

static int64_t phase_count(const fr_conv_geo *g) {
    return g->up[0] * g->up[1] * g->up[2];
}

static phase phase_of(const fr_conv_geo *g, int64_t i) {
    phase f = {.geo = *g};
    for (int a = 2; a >= 0; a--) {
        f.at[a] = i % g->up[a];
        i /= g->up[a];
        phase_axis(g, a, &f);
    }
    f.geo.taps = f.geo.k[0] * f.geo.k[1] * f.geo.k[2];
    f.geo.rows = g->n * f.geo.out[0] * f.geo.out[1] * f.geo.out[2];
    return f;
}

/* A residual lies in the place of the result: then the zeros are multiplied after all. */
static bool whole(const fr_call *c, const fr_conv_geo *g) {
    return phase_count(g) == 1 || fr_has(c, 3);
}

typedef struct layout {
    size_t weight, result, product;
} layout;

static layout layout_of(const fr_call *c, const fr_conv_geo *g) {
    size_t size = fr_value_bytes(c->out[0].dtype);
    layout l = {.weight = fr_round_up((size_t)(g->groups * g->taps * g->cg * g->og) *
                                          fr_value_bytes(c->in[1].dtype),
                                      FR_ALIGN)};
    if (whole(c, g)) {
        l.product = fr_conv_gemm_scratch(c, g, true);
        return l;
    }
    for (int64_t i = 0; i < phase_count(g); i++) {
        phase f = phase_of(g, i);
        l.result = FR_MAX_OF(l.result, fr_round_up((size_t)(f.geo.rows * g->o) * size, FR_ALIGN));
        l.product = FR_MAX_OF(l.product, fr_conv_gemm_scratch(c, &f.geo, true));
    }
    return l;
}

size_t fr_conv_phases_scratch(const fr_call *c, const fr_conv_geo *g) {
    layout l = layout_of(c, g);
    return l.weight + l.result + l.product;
}

/* Some taps of w [channels of source, taps, channels of result a group] to
 * [group][tap turned around][channel of source][channel of result]. */
static void turn_weight(const fr_call *c, const fr_conv_geo *g, const phase *f, char *out) {
    int64_t in = g->cg, to = g->og, all = g->taps, some = f->geo.taps;
    for (int64_t t = 0; t < some; t++) {
        int64_t left = t, tap = 0, k = 1;
        for (int a = 2; a >= 0; a--) {
            int64_t turned = f->tap[a] + left % f->geo.k[a] * f->step[a];
            tap += (g->k[a] - 1 - turned) * k;
            left /= f->geo.k[a];
            k *= g->k[a];
        }
        fr_copy copy = {.rank = 3, .size = fr_value_bytes(c->in[1].dtype)};
        copy.src = (const char *)c->in[1].data + (size_t)(tap * to) * copy.size;
        copy.dst = out + (size_t)(t * in * to) * copy.size;
        copy.dim[0] = g->groups, copy.dim[1] = in, copy.dim[2] = to;
        copy.src_stride[0] = in * all * to, copy.src_stride[1] = all * to, copy.src_stride[2] = 1;
        copy.dst_stride[0] = in * some * to, copy.dst_stride[1] = to, copy.dst_stride[2] = 1;
        fr_copy_run(&copy, c->pool);
    }
}

/* The result of a phase to its pixels. */
static void spread(const fr_call *c, const fr_conv_geo *g, const phase *f, const void *from) {
    fr_copy copy = {.rank = 5, .size = fr_value_bytes(c->out[0].dtype), .src = from};
    int64_t pixel = 0, wide = g->o, narrow = g->o;
    copy.dim[4] = g->o;
    copy.src_stride[4] = copy.dst_stride[4] = 1;
    for (int a = 2; a >= 0; a--) {
        copy.dim[a + 1] = f->geo.out[a];
        copy.src_stride[a + 1] = narrow;
        copy.dst_stride[a + 1] = wide * g->up[a];
        pixel += f->at[a] * wide;
        narrow *= f->geo.out[a];
        wide *= g->out[a];
    }
    copy.dim[0] = g->n;
    copy.src_stride[0] = narrow;
    copy.dst_stride[0] = wide;
    copy.dst = (char *)c->out[0].data + (size_t)pixel * copy.size;
    fr_copy_run(&copy, c->pool);
}

void fr_conv_phases_run(const fr_call *c, const fr_conv_geo *g) {
    layout l = layout_of(c, g);
    char *w = c->scratch, *result = w + l.weight, *product = result + l.result;
    if (whole(c, g)) {
        phase all = {.geo = *g, .step = {1, 1, 1}};
        turn_weight(c, g, &all, w);
        fr_conv_gemm_run(c, g, true, w, product);
        return;
    }
    fr_tensor out = c->out[0];
    fr_call part = *c;
    out.data = result;
    part.out = &out;
    for (int64_t i = 0; i < phase_count(g); i++) {
        phase f = phase_of(g, i);
        if (f.geo.rows == 0) continue;
        turn_weight(c, g, &f, w);
        fr_conv_gemm_run(&part, &f.geo, true, w, product);
        spread(c, g, &f, result);
    }
}
