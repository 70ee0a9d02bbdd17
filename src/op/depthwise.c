/* depthwise.c: convolution with one channel a group, over the row kernels of kernel/conv.h.
 *
 * An item of work is a band of result rows and a block of channels, so that the rows under the
 * kernel stay in the second cache while the band is walked. The transposed form at stride 1 is a
 * convolution with the kernel turned around; at larger strides it has a kernel of its own. The
 * weight gradient sums up to 32 chunks of rows apart and adds these in order. */
#include "op/conv.h"
#include "op/copy.h"

#include <string.h>

#define MAX_ROWS 64

/* Up to 32 partial sums, so that the bits do not depend on the threads. */
#define WEIGHT_CHUNKS 32

typedef struct depthwise {
    const fr_call *c;
    const fr_conv_geo *g;
    bool transposed;
    const float *w, *bias; /* [taps][c] */
    int64_t band, bands;   /* rows of an item; items a frame */
    int64_t block, blocks; /* channels of an item */
    char *lines;           /* a row of f32 for each thread, unless y is written directly */
    size_t line_bytes;
} depthwise;

static size_t bytes_of(fr_dtype t) {
    return t == FR_BF16 ? 2 : 4;
}

/* ---- weights as [tap][channel] in f32 ---- */

size_t fr_depthwise_pack_bytes(const fr_conv_geo *g) {
    return (size_t)(g->taps * g->c) * sizeof(float);
}

static void spread_weight(const fr_tensor *w, const fr_conv_geo *g, bool turn, float *out) {
    for (int64_t c = 0; c < g->c; c++)
        for (int64_t t = 0; t < g->taps; t++) {
            int64_t i = c * g->taps + t, to = turn ? g->taps - 1 - t : t;
            out[to * g->c + c] = w->dtype == FR_BF16
                                     ? fr_bf16_to_f32(((const uint16_t *)w->data)[i])
                                     : ((const float *)w->data)[i];
        }
}

void fr_depthwise_pack(const fr_call *c, const fr_conv_geo *g, void *out) {
    spread_weight(&c->in[1], g, false, out);
}

/* ---- cut ---- */

/* Blocks of channels: the source rows of one result row take about 256 KB. */
static void cut(depthwise *d) {
    const fr_conv_geo *g = d->g;
    int64_t row = FR_MAX_OF(g->k[0] * g->k[1] * g->in[2], 1);
    int64_t most = FR_MAX_OF((int64_t)fr_round_up((size_t)(65536 / row), 64), 64);
    d->blocks = (g->c + most - 1) / most;
    d->block = (int64_t)fr_round_up((size_t)((g->c + d->blocks - 1) / d->blocks), 16);
    d->blocks = (g->c + d->block - 1) / d->block;
    d->band = FR_MAX_OF(65536 / FR_MAX_OF(g->out[2] * d->block, 1), 1);
    d->band = FR_MIN(d->band, g->out[1]);
    d->bands = (g->out[1] + d->band - 1) / d->band;
}

static bool direct(const fr_call *c) {
    return c->out[0].dtype == FR_F32 && !fr_has(c, 3);
}

size_t fr_depthwise_scratch(const fr_call *c, const fr_conv_geo *g) {
    depthwise d = {.c = c, .g = g};
    cut(&d);
    size_t line =
        direct(c) ? 0 : fr_round_up((size_t)(g->out[2] * d.block) * sizeof(float), FR_ALIGN);
    return fr_round_up(fr_depthwise_pack_bytes(g), FR_ALIGN) +
           fr_round_up((size_t)g->c * sizeof(float), FR_ALIGN) +
           line * (size_t)fr_pool_threads(c->pool);
}

/* ---- one row ---- */

/* Rows of the source under result row p = (t, y); NULL in the padding. The kernel of the strided
 * transposed form is walked as the forward convolution had it, all others as the geometry says. */
static void source_rows(const depthwise *d, int64_t n, int64_t t, int64_t y, int64_t channel,
                        const void **rows) {
    const fr_conv_geo *g = d->g;
    const char *x = d->c->in[0].data;
    bool strided = g->up[0] * g->up[1] * g->up[2] > 1;
    for (int64_t i = 0; i < g->k[0]; i++)
        for (int64_t j = 0; j < g->k[1]; j++) {
            int64_t a = strided ? g->k[0] - 1 - i : i, b = strided ? g->k[1] - 1 - j : j;
            int64_t st = t * g->stride[0] - g->before[0] + a * g->dilation[0];
            int64_t sy = y * g->stride[1] - g->before[1] + b * g->dilation[1];
            bool inside = st >= 0 && sy >= 0 && st % g->up[0] == 0 && sy % g->up[1] == 0 &&
                          st / g->up[0] < g->in[0] && sy / g->up[1] < g->in[1];
            int64_t row = (n * g->in[0] + st / g->up[0]) * g->in[1] + sy / g->up[1];
            rows[i * g->k[1] + j] =
                inside ? x + (size_t)(row * g->in[2] * g->c + channel) * bytes_of(d->c->in[0].dtype)
                       : NULL;
        }
}

/* Activation, residual and the store of one pixel's channels. */
static void finish_pixel(const fr_call *c, float *sum, int64_t at, int64_t count) {
    fr_fn fn = (fr_fn)((const fr_conv_attr *)c->attr)->act;
    if (fn != FR_FN_NONE) fr_kernel()->rows.unary(fn, sum, (size_t)count, sum);
    if (fr_has(c, 3)) {
        const char *r = (const char *)c->in[3].data + (size_t)at * bytes_of(c->in[3].dtype);
        if (c->in[3].dtype == FR_BF16)
            fr_kernel()->conv.add_bf16(sum, (const uint16_t *)r, (size_t)count);
        else
            fr_kernel()->conv.add_f32(sum, (const float *)r, (size_t)count);
    }
    if (c->out[0].dtype == FR_BF16)
        fr_kernel()->convert.f32_to_bf16(sum, (size_t)count, (uint16_t *)c->out[0].data + at);
    else if ((float *)c->out[0].data + at != sum)
        memcpy((float *)c->out[0].data + at, sum, (size_t)count * sizeof(float));
}

static fr_dw_row row_of(const depthwise *d, const void *const *rows) {
    const fr_conv_geo *g = d->g;
    const fr_conv_attr *a = d->c->attr;
    bool strided = g->up[0] * g->up[1] * g->up[2] > 1;
    return (fr_dw_row){.in = rows,
                       .rows = (int)(g->k[0] * g->k[1]),
                       .kw = (int)g->k[2],
                       .stride = strided ? (int)g->up[2] : (int)g->stride[2],
                       .dilation = (int)g->dilation[2],
                       .before = strided ? a->before[2] : (int)g->before[2],
                       .in_step = g->c,
                       .in_width = g->in[2],
                       .w_step = g->c,
                       .out_width = g->out[2]};
}

static void one_row(const depthwise *d, int64_t row, int64_t y, int64_t channel, float *line) {
    const fr_conv_geo *g = d->g;
    const void *rows[MAX_ROWS];
    int64_t count = FR_MIN(d->block, g->c - channel), first = (row * g->out[2]) * g->c + channel;
    source_rows(d, row / g->out[1] / g->out[0], row / g->out[1] % g->out[0], y, channel, rows);
    fr_dw_row k = row_of(d, rows);
    k.w = d->w + channel;
    k.bias = d->bias ? d->bias + channel : NULL;
    k.channels = count;
    k.out_step = line ? count : g->c;
    float *out = line ? line : (float *)d->c->out[0].data + first;
    const fr_conv_kernels *kern = &fr_kernel()->conv;
    bool half = d->c->in[0].dtype == FR_BF16, strided = g->up[0] * g->up[1] * g->up[2] > 1;
    (strided ? half ? kern->dw_back_bf16 : kern->dw_back_f32
     : half  ? kern->dw_bf16
             : kern->dw_f32)(&k, out);
    if (line || ((const fr_conv_attr *)d->c->attr)->act != FR_FN_NONE)
        for (int64_t x = 0; x < g->out[2]; x++)
            finish_pixel(d->c, out + x * k.out_step, first + x * g->c, count);
}

static void one_item(void *arg, size_t thread, size_t item) {
    const depthwise *d = arg;
    const fr_conv_geo *g = d->g;
    int64_t block = (int64_t)item % d->blocks, left = (int64_t)item / d->blocks;
    int64_t y0 = left % d->bands * d->band, frame = left / d->bands;
    float *line = d->line_bytes ? (float *)(d->lines + thread * d->line_bytes) : NULL;
    for (int64_t y = y0; y < FR_MIN(y0 + d->band, g->out[1]); y++)
        one_row(d, frame * g->out[1] + y, y, block * d->block, line);
}

/* The places of the scratch: weight, bias, lines. */
static void take_scratch(depthwise *d) {
    const fr_call *c = d->c;
    const fr_conv_geo *g = d->g;
    bool turn = d->transposed && g->up[0] * g->up[1] * g->up[2] == 1;
    char *s = c->scratch;
    float *w = (float *)s;
    d->w = c->packed ? c->packed : w;
    if (!c->packed) spread_weight(&c->in[1], g, turn, w);
    s += fr_round_up(fr_depthwise_pack_bytes(g), FR_ALIGN);
    if (fr_has(c, 2)) {
        d->bias = c->in[2].data;
        if (c->in[2].dtype == FR_BF16) {
            fr_kernel()->convert.bf16_to_f32(c->in[2].data, (size_t)g->c, (float *)s);
            d->bias = (float *)s;
        }
    }
    d->lines = s + fr_round_up((size_t)g->c * sizeof(float), FR_ALIGN);
    if (!direct(c))
        d->line_bytes = fr_round_up((size_t)(g->out[2] * d->block) * sizeof(float), FR_ALIGN);
}

void fr_depthwise_run(const fr_call *c, const fr_conv_geo *g, bool transposed) {
    depthwise d = {.c = c, .g = g, .transposed = transposed};
    cut(&d);
    take_scratch(&d);
    size_t items = (size_t)(g->n * g->out[0] * d.bands * d.blocks);
    fr_pool_run_thread(g->rows * g->c < 16384 ? NULL : c->pool, items, one_item, &d);
}

/* ---- gradient of the weight ---- */

static int64_t weight_chunk(const fr_conv_geo *g) {
    int64_t rows = g->n * g->out[0] * g->out[1];
    return FR_MAX_OF((rows + WEIGHT_CHUNKS - 1) / WEIGHT_CHUNKS, 1);
}

static int64_t weight_chunks(const fr_conv_geo *g) {
    int64_t rows = g->n * g->out[0] * g->out[1], chunk = weight_chunk(g);
    return (rows + chunk - 1) / chunk;
}

size_t fr_depthwise_weight_scratch(const fr_call *c, const fr_conv_geo *g) {
    (void)c;
    return (size_t)weight_chunks(g) * fr_depthwise_pack_bytes(g);
}

/* One chunk of rows, one block of channels, into the chunk's own sum. */
static void weight_item(void *arg, size_t item) {
    const depthwise *d = arg;
    const fr_conv_geo *g = d->g;
    const void *rows[MAX_ROWS];
    int64_t chunk = (int64_t)item / d->blocks, channel = (int64_t)item % d->blocks * d->block;
    int64_t step = weight_chunk(g), all = g->n * g->out[0] * g->out[1];
    int64_t count = FR_MIN(d->block, g->c - channel);
    float *sum = (float *)d->c->scratch + chunk * g->taps * g->c + channel;
    bool half = d->c->in[0].dtype == FR_BF16;
    for (int64_t t = 0; t < g->taps; t++) memset(sum + t * g->c, 0, (size_t)count * sizeof(float));
    for (int64_t row = chunk * step; row < FR_MIN((chunk + 1) * step, all); row++) {
        int64_t frame = row / g->out[1];
        source_rows(d, frame / g->out[0], frame % g->out[0], row % g->out[1], channel, rows);
        fr_dw_row k = row_of(d, rows);
        k.channels = count;
        k.out_step = g->c;
        size_t at = (size_t)(row * g->out[2] * g->c + channel);
        if (half)
            fr_kernel()->conv.dw_weight_bf16(&k, (const uint16_t *)d->c->in[1].data + at, sum);
        else
            fr_kernel()->conv.dw_weight_f32(&k, (const float *)d->c->in[1].data + at, sum);
    }
}

void fr_depthwise_weight_run(const fr_call *c, const fr_conv_geo *g) {
    depthwise d = {.c = c, .g = g};
    cut(&d);
    int64_t chunks = weight_chunks(g), values = g->taps * g->c;
    fr_pool_run(g->rows * g->c < 16384 ? NULL : c->pool, (size_t)(chunks * d.blocks), weight_item,
                &d);
    float *sum = c->scratch;
    for (int64_t i = 1; i < chunks; i++)
        fr_kernel()->conv.add_f32(sum, sum + i * values, (size_t)values);
    for (int64_t ch = 0; ch < g->c; ch++)
        for (int64_t t = 0; t < g->taps; t++) {
            float v = sum[t * g->c + ch];
            if (c->out[0].dtype == FR_BF16)
                ((uint16_t *)c->out[0].data)[ch * g->taps + t] = fr_f32_to_bf16(v);
            else
                ((float *)c->out[0].data)[ch * g->taps + t] = v;
        }
}
