/* channel_stats.c: see channel_stats.h. */
#include "op/channel_stats.h"

#include <string.h>

const float *fr_load_tile(const fr_tensor *t, int64_t at, int64_t n, float *buf) {
    if (t->dtype == FR_F32) return (const float *)t->data + at;
    fr_kernel()->convert.bf16_to_f32((const uint16_t *)t->data + at, (size_t)n, buf);
    return buf;
}

void fr_store_tile(const fr_tensor *t, int64_t at, int64_t n, const float *v) {
    if (t->dtype == FR_F32) {
        float *to = (float *)t->data + at;
        if (to != v) memcpy(to, v, (size_t)n * sizeof *v);
    } else {
        fr_kernel()->convert.f32_to_bf16(v, (size_t)n, (uint16_t *)t->data + at);
    }
}

static int64_t chunks_of(const fr_channels *c) {
    return (c->positions + FR_CHANNEL_CHUNK - 1) / FR_CHANNEL_CHUNK;
}

size_t fr_channel_scratch(const fr_channels *c) {
    return (size_t)(c->samples * chunks_of(c) * c->channels) * 2 * sizeof(float);
}

typedef struct sums_job {
    const fr_channels *c;
    const float *centre;
    float *partial; /* [samples * chunks][2][channels] */
} sums_job;

static void sum_chunk(void *arg, size_t i) {
    const sums_job *j = arg;
    const fr_channels *c = j->c;
    const fr_rows_kernels *k = &fr_kernel()->rows;
    int64_t chunks = chunks_of(c), sample = (int64_t)i / chunks;
    int64_t first = (int64_t)i % chunks * FR_CHANNEL_CHUNK;
    int64_t last = FR_MIN(first + FR_CHANNEL_CHUNK, c->positions);
    float *s1 = j->partial + i * 2 * (size_t)c->channels, *s2 = s1 + c->channels;
    float bx[FR_CHANNEL_TILE], bd[FR_CHANNEL_TILE];
    memset(s1, 0, 2 * (size_t)c->channels * sizeof *s1);
    for (int64_t ch = 0; ch < c->channels; ch += FR_CHANNEL_TILE) {
        int64_t n = FR_MIN((int64_t)FR_CHANNEL_TILE, c->channels - ch);
        const float *centre = j->centre + sample * c->channels + ch;
        for (int64_t p = first; p < last; p++) {
            int64_t at = (sample * c->positions + p) * c->channels + ch;
            const float *x = fr_load_tile(c->x, at, n, bx);
            if (c->dy)
                k->channel_sums(x, centre, fr_load_tile(c->dy, at, n, bd), (size_t)n, s1 + ch,
                                s2 + ch);
            else
                k->channel_moments(x, centre, (size_t)n, s1 + ch, s2 + ch);
        }
    }
}

static void take_centres(const fr_channels *c, float *centre) {
    for (int64_t s = 0; s < c->samples && c->positions; s++)
        for (int64_t ch = 0; ch < c->channels; ch += FR_CHANNEL_TILE) {
            int64_t n = FR_MIN((int64_t)FR_CHANNEL_TILE, c->channels - ch);
            float buf[FR_CHANNEL_TILE], *to = centre + s * c->channels + ch;
            memcpy(to, fr_load_tile(c->x, s * c->positions * c->channels + ch, n, buf),
                   (size_t)n * sizeof *to);
        }
}

void fr_channel_sums(const fr_channels *c, float *centre, double *sum, double *sum2, void *scratch,
                     fr_pool *pool) {
    int64_t chunks = chunks_of(c);
    sums_job job = {.c = c, .centre = centre, .partial = scratch};
    if (!c->dy) take_centres(c, centre);
    fr_pool *use = c->positions * c->channels * c->samples < 16384 ? NULL : pool;
    fr_pool_run(use, (size_t)(c->samples * chunks), sum_chunk, &job);
    size_t n = (size_t)c->channels;
    memset(sum, 0, (size_t)c->samples * n * sizeof *sum);
    memset(sum2, 0, (size_t)c->samples * n * sizeof *sum2);
    for (int64_t i = 0; i < c->samples * chunks; i++) {
        const float *s1 = job.partial + (size_t)i * 2 * n, *s2 = s1 + n;
        double *to1 = sum + (size_t)(i / chunks) * n, *to2 = sum2 + (size_t)(i / chunks) * n;
        for (size_t ch = 0; ch < n; ch++) to1[ch] += (double)s1[ch], to2[ch] += (double)s2[ch];
    }
}
