/* rotation.c: by how much each pair of a head turns from one position to the next (RoFormer, Su et al. 2021), and how
 * that is stretched for texts longer than those of the training: all pairs alike (linear), only slow ones (Llama
 * 3.1), by a ramp between fast and slow ones (YaRN, Peng et al. 2023), by a factor for each (LongRoPE, Ding et al.
 * 2024). The numbers are those of transformers' modeling_rope_utils, in double. */
#include "model/decoder.h"

#include <math.h>

int64_t fr_rotation_pairs(const fr_decoder *m) {
    return (m->rope.turned ? m->rope.turned : m->head_dim) / 2;
}

static double original(const fr_decoder *m) {
    return (double)(m->rope.original ? m->rope.original : m->context);
}

/* Pair i of n, unstretched. */
static double plain(const fr_rotation *r, int64_t i, int64_t n) {
    return pow((double)r->theta, -(double)i / (double)n);
}

/* Waves longer than original / low are stretched, those shorter than original / high stay. */
static double llama3(const fr_decoder *m, double f) {
    const double low = (double)m->rope.low, high = (double)m->rope.high;
    const double factor = (double)m->rope.factor, turns = original(m) * f / (2 * M_PI);
    if (turns > high) return f;
    if (turns < low) return f / factor;
    const double smooth = (turns - low) / (high - low);
    return (1 - smooth) * f / factor + smooth * f;
}

/* The pair, counted in fractions, that turns so often within the original length. */
static double pair_of(const fr_decoder *m, double turns) {
    const double n = (double)(2 * fr_rotation_pairs(m));
    return n * log(original(m) / (turns * 2 * M_PI)) / (2 * log((double)m->rope.theta));
}

static double yarn(const fr_decoder *m, int64_t i, double f) {
    double low = pair_of(m, (double)m->rope.high), high = pair_of(m, (double)m->rope.low);
    if (m->rope.truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, (double)(2 * fr_rotation_pairs(m) - 1));
    if (low == high) high += 0.001;
    const double ramp = fmin(fmax(((double)i - low) / (high - low), 0), 1);
    return ramp * f / (double)m->rope.factor + (1 - ramp) * f;
}

void fr_rotation_frequencies(const fr_decoder *m, float *out) {
    const fr_rotation *r = &m->rope;
    const int64_t n = fr_rotation_pairs(m);
    for (int64_t i = 0; i < n; i++) {
        double f = plain(r, i, n);
        if (r->stretch == FR_STRETCH_LONG) out[n + i] = (float)(f / (double)r->long_factor[i]);
        switch (r->stretch) {
        case FR_STRETCH_NONE: break;
        case FR_STRETCH_LINEAR: f /= (double)r->factor; break;
        case FR_STRETCH_LLAMA3: f = llama3(m, f); break;
        case FR_STRETCH_YARN: f = yarn(m, i, f); break;
        case FR_STRETCH_LONG: f /= (double)r->short_factor[i]; break;
        }
        out[i] = (float)f;
    }
}

/* YaRN's: longer texts want sharper scores. */
static double sharper(double factor, double by) {
    return factor <= 1 ? 1 : 0.1 * by * log(factor) + 1;
}

float fr_rotation_attention(const fr_decoder *m) {
    const fr_rotation *r = &m->rope;
    double factor = (double)r->factor;
    if (r->stretch != FR_STRETCH_YARN && r->stretch != FR_STRETCH_LONG) return 1;
    if (r->attention != 0) return r->attention;
    if (r->stretch == FR_STRETCH_YARN) {
        if (r->mscale == 0 || r->mscale_all == 0) return (float)sharper(factor, 1);
        return (float)(sharper(factor, (double)r->mscale) / sharper(factor, (double)r->mscale_all));
    }
    if (r->factor == 0) factor = (double)m->context / original(m);
    return factor <= 1 ? 1 : (float)sqrt(1 + log(factor) / log(original(m)));
}
