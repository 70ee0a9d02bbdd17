/* import.c: AWQ and GPTQ layers become uint4-z (uint8-z) matrices: the same codes, zero points and f16
 * scales in another order, so nothing is lost.
 *
 * Both pack along 32-bit words. AWQ: qweight [in, out / 8], nibble i of word c is output 8 c + order[i].
 * GPTQ: qweight [in * bits / 32, out], code i of word r is input (32 / bits) r + i, lowest bits first;
 * qzeros [groups, out * bits / 32] along outputs. GPTQ v1 stores zero points less 1, modulo 2^bits. */
#include "format/import.h"

#include "format/families.h"
#include <stdio.h>
#include <string.h>

#include "format/parts.h"

/* The three tensors that both have, and the sizes that they agree on. */
typedef struct layer {
    const char *name;
    int bits;
    int64_t in, out, groups, group;
    const uint32_t *weight, *zeros;
    const uint16_t *scales;
    const int32_t *g_idx; /* NULL: in order */
} layer;

static fr_status find(const fr_store *s, const char *name, const char *part, bool needed,
                      const fr_tensor **out) {
    char *full = fr_format("%s.%s", name, part);
    if (!full) return FR_NOMEM;
    fr_message_clear();
    *out = fr_store_find(s, full);
    fr_status status = FR_OK;
    if (!*out && *fr_message())
        status = FR_NOMEM;
    else if (!*out && needed)
        status = fr_fail(FR_FORMAT, "There is no tensor '%s'.", full);
    fr_free(full);
    return status;
}

static fr_status expect(const layer *l, const char *part, const fr_tensor *t, fr_dtype type,
                        int64_t d0, int64_t d1) {
    char text[FR_SHAPE_TEXT];
    bool same_type = t->dtype == type || (type == FR_I32 && t->dtype == FR_U32);
    if (same_type && t->rank == 2 && t->dim[0] == d0 && t->dim[1] == d1) return FR_OK;
    return fr_fail(FR_FORMAT, "'%s.%s' is %s; %s [%lld, %lld] was expected.", l->name, part,
                   fr_shape_text(t, text), fr_dtype_name(type), (long long)d0, (long long)d1);
}

/* Finds the tensors; in and out come from the scales and the shape of qweight. */
static fr_status open_layer(const fr_store *s, layer *l, bool along_in) {
    const fr_tensor *w, *z, *sc;
    char text[FR_SHAPE_TEXT];
    FR_TRY(find(s, l->name, "qweight", true, &w));
    FR_TRY(find(s, l->name, "qzeros", true, &z));
    FR_TRY(find(s, l->name, "scales", true, &sc));
    int64_t per_word = 32 / l->bits;
    if (w->rank != 2 || sc->rank != 2 || w->dim[0] < 1 || sc->dim[0] < 1 || sc->dim[1] < 1 ||
        sc->dim[1] % per_word)
        return fr_fail(FR_FORMAT, "'%s.scales' is %s: outputs must come in words of %lld.", l->name,
                       fr_shape_text(sc, text), (long long)per_word);
    if (w->dim[0] > INT32_MAX / per_word)
        return fr_fail(FR_UNSUPPORTED, "'%s' has too many inputs.", l->name);
    l->out = sc->dim[1];
    l->groups = sc->dim[0];
    l->in = along_in ? w->dim[0] * per_word : w->dim[0];
    FR_TRY(expect(l, "qweight", w, FR_I32, w->dim[0], along_in ? l->out : l->out / per_word));
    FR_TRY(expect(l, "qzeros", z, FR_I32, l->groups, l->out / per_word));
    FR_TRY(expect(l, "scales", sc, FR_F16, l->groups, l->out));
    l->weight = w->data;
    l->zeros = z->data;
    l->scales = sc->data;
    /* The last group may be short: the size is the one of ours that gives this many. */
    static const int64_t sizes[] = {32, 64, 128};
    for (size_t i = 0; i < FR_COUNT(sizes) && l->groups > 1; i++)
        if (fr_group_count(l->in, (int32_t)sizes[i]) == l->groups) l->group = sizes[i];
    if (l->groups > 1 && !l->group)
        return fr_fail(
            FR_UNSUPPORTED,
            "'%s' has %lld groups of %lld inputs; Frugal knows groups of 32, 64 and 128.", l->name,
            (long long)l->groups, (long long)l->in);
    return FR_OK;
}

static const fr_qformat *format_of(const layer *l, bool perm) {
    char name[32];
    if (l->group)
        snprintf(name, sizeof name, "uint%d-z-g%d%s", l->bits, (int)l->group, perm ? "-perm" : "");
    else
        snprintf(name, sizeof name, "uint%d-z-row", l->bits);
    return fr_format_find(name);
}

/* order[place] = column: the columns of group 0 in rising order, then those of group 1, ... */
static fr_status sort_columns(const layer *l, int32_t *order) {
    int64_t *next = fr_alloc(FR_MEM_OTHER, (size_t)(l->groups + 1) * sizeof *next);
    if (!next) return FR_NOMEM;
    fr_status status = FR_OK;
    for (int64_t c = 0; c < l->in && status == FR_OK; c++) {
        if (l->g_idx[c] < 0 || l->g_idx[c] >= l->groups)
            status =
                fr_fail(FR_FORMAT, "'%s.g_idx' holds %d at place %lld, but there are %lld groups.",
                        l->name, l->g_idx[c], (long long)c, (long long)l->groups);
        else
            next[l->g_idx[c] + 1]++;
    }
    for (int64_t g = 0; g < l->groups && status == FR_OK; g++) {
        int64_t size = l->group ? FR_MIN(l->group, l->in - g * l->group) : l->in;
        if (next[g + 1] != size)
            status =
                fr_fail(FR_UNSUPPORTED, "'%s.g_idx' puts %lld columns into group %lld, not %lld.",
                        l->name, (long long)next[g + 1], (long long)g, (long long)size);
        next[g + 1] += next[g];
    }
    for (int64_t c = 0; c < l->in && status == FR_OK; c++) order[next[l->g_idx[c]]++] = (int32_t)c;
    fr_free(next);
    return status;
}

static unsigned field(const uint32_t *words, int64_t i, int bits) {
    int64_t per_word = 32 / bits;
    return words[i / per_word] >> (i % per_word * bits) & ((1u << bits) - 1);
}

static void put_code(fr_quantized *q, int64_t row, int64_t col, unsigned code, int bits) {
    uint8_t *codes = (uint8_t *)q->part[0].data + row * q->part[0].dim[1];
    if (bits == 8)
        codes[col] = (uint8_t)code;
    else
        fr_put_nibble(codes, col, code);
}

/* ---- AWQ ---- */

/* Where output 8 c + i stands in word c: the inverse of 0, 2, 4, 6, 1, 3, 5, 7. */
static const int awq_place[8] = {0, 4, 1, 5, 2, 6, 3, 7};

static unsigned awq_field(const uint32_t *row, int64_t o) {
    return row[o / 8] >> (4 * awq_place[o % 8]) & 15u;
}

/* Words of a row of the file lie side by side, and so do inputs in a row of ours: some columns of words at a time keep
 * both within reach. */
enum { AT_ONCE = 16 };

static void take_awq(const layer *l, fr_quantized *q) {
    const int64_t words = l->out / 8, bytes = q->part[0].dim[1];
    uint8_t *codes = q->part[0].data;
    for (int64_t c0 = 0; c0 < words; c0 += AT_ONCE)
        for (int64_t i = 0; i < l->in; i += 2)
            for (int64_t c = c0; c < FR_MIN(c0 + AT_ONCE, words); c++) {
                uint32_t a = l->weight[i * words + c];
                uint32_t b = i + 1 < l->in ? l->weight[(i + 1) * words + c] : 0;
                for (int t = 0; t < 8; t++) {
                    int shift = 4 * awq_place[t];
                    codes[(8 * c + t) * bytes + i / 2] =
                        (uint8_t)((a >> shift & 15) | (b >> shift & 15) << 4);
                }
            }
    for (int64_t o = 0; o < l->out; o++)
        for (int64_t g = 0; g < l->groups; g++) {
            ((uint16_t *)q->part[1].data)[o * l->groups + g] = l->scales[g * l->out + o];
            ((uint8_t *)q->part[2].data)[o * l->groups + g] =
                (uint8_t)awq_field(l->zeros + g * (l->out / 8), o);
        }
}

fr_status fr_import_awq(const fr_store *s, const char *name, fr_quantized *out) {
    layer l = {.name = name, .bits = 4};
    *out = (fr_quantized){0};
    FR_TRY(open_layer(s, &l, false));
    FR_TRY(fr_quantized_new(format_of(&l, false), l.out, l.in, out));
    take_awq(&l, out);
    fr_status status = out->format->check(out);
    if (status == FR_OK) return FR_OK;
    fr_quantized_free(out);
    return fr_fail_in(status, "'%s'", name);
}

/* ---- GPTQ ---- */

/* g_idx that only counts up by groups says nothing; then it is forgotten. */
static fr_status open_g_idx(const fr_store *s, layer *l) {
    const fr_tensor *t;
    char text[FR_SHAPE_TEXT];
    FR_TRY(find(s, l->name, "g_idx", false, &t));
    if (!t) return FR_OK;
    if (t->dtype != FR_I32 || t->rank != 1 || t->dim[0] != l->in)
        return fr_fail(FR_FORMAT, "'%s.g_idx' is %s; i32 [%lld] was expected.", l->name,
                       fr_shape_text(t, text), (long long)l->in);
    const int32_t *g = t->data;
    for (int64_t c = 0; c < l->in; c++)
        if (g[c] != (l->group ? c / l->group : 0)) l->g_idx = g;
    return FR_OK;
}

/* In order: a word of the file is a word of ours, of another row. */
static void take_words(const layer *l, fr_quantized *q) {
    const int64_t words = l->in * l->bits / 32, bytes = q->part[0].dim[1];
    uint8_t *codes = q->part[0].data;
    for (int64_t o0 = 0; o0 < l->out; o0 += AT_ONCE)
        for (int64_t r = 0; r < words; r++)
            for (int64_t o = o0; o < FR_MIN(o0 + AT_ONCE, l->out); o++)
                memcpy(codes + o * bytes + r * 4, &l->weight[r * l->out + o], 4);
}

static void take_columns(const layer *l, const int32_t *order, fr_quantized *q) {
    const unsigned top = (1u << l->bits) - 1;
    const int64_t per_word = 32 / l->bits;
    for (int64_t o0 = 0; o0 < l->out; o0 += AT_ONCE)
        for (int64_t i = 0; i < l->in; i++) {
            const int64_t c = order[i], shift = c % per_word * l->bits;
            const uint32_t *words = l->weight + c / per_word * l->out;
            for (int64_t o = o0; o < FR_MIN(o0 + AT_ONCE, l->out); o++)
                put_code(q, o, i, words[o] >> shift & top, l->bits);
        }
}

static void take_gptq(const layer *l, bool v2, fr_quantized *q) {
    const unsigned top = (1u << l->bits) - 1;
    const int64_t per_word = 32 / l->bits;
    if (l->g_idx)
        take_columns(l, q->part[3].data, q);
    else
        take_words(l, q);
    for (int64_t o = 0; o < l->out; o++)
        for (int64_t g = 0; g < l->groups; g++) {
            unsigned z = field(l->zeros + g * (l->out / per_word), o, l->bits);
            ((uint16_t *)q->part[1].data)[o * l->groups + g] = l->scales[g * l->out + o];
            ((uint8_t *)q->part[2].data)[o * l->groups + g] = (uint8_t)((z + !v2) & top);
        }
}

fr_status fr_import_gptq(const fr_store *s, const char *name, fr_gptq kind, fr_quantized *out) {
    layer l = {.name = name, .bits = kind.bits};
    *out = (fr_quantized){0};
    if (kind.bits != 4 && kind.bits != 8)
        return fr_fail(FR_UNSUPPORTED, "'%s' has %d bits a weight; Frugal reads GPTQ of 4 and 8.",
                       name, kind.bits);
    FR_TRY(open_layer(s, &l, true));
    FR_TRY(open_g_idx(s, &l));
    if (l.g_idx && !l.group)
        return fr_fail(FR_FORMAT, "'%s.g_idx' names groups, but there is one only.", name);
    FR_TRY(fr_quantized_new(format_of(&l, l.g_idx), l.out, l.in, out));
    fr_status status = l.g_idx ? sort_columns(&l, out->part[3].data) : FR_OK;
    if (status == FR_OK) {
        take_gptq(&l, kind.v2, out);
        status = out->format->check(out);
        if (status != FR_OK) fr_fail_in(status, "'%s'", name);
    }
    if (status != FR_OK) fr_quantized_free(out);
    return status;
}
