/* judge.c: from pixels to shapes: foreground, connected parts, the colour of each, its edge by how far a pixel
 * is from the background to that colour, and the template that fits best. */
#include "world/judge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "world/template.h"

#define MAX_SIDE 128
#define NEAR     0.18f /* to the background */

typedef struct part {
    int area;
    int x0, y0, x1, y1; /* x1, y1: one past */
} part;

typedef struct canvas {
    const float *pixels;
    int size;
    /* 0: background or a speck; else number of the part + 1. A frame of zeros stands around it. */
    uint16_t label[(MAX_SIDE + 2) * (MAX_SIDE + 2)];
    uint16_t stack[MAX_SIDE * MAX_SIDE];
} canvas;

#define AT(c, x, y) ((c)->label[((y) + 1) * (MAX_SIDE + 2) + (x) + 1])
enum { UNSEEN = 0xffff };

static void mark_foreground(canvas *c) {
    memset(c->label, 0, sizeof c->label);
    for (int y = 0; y < c->size; y++) {
        const float *p = c->pixels + (size_t)y * (size_t)c->size * 3;
        uint16_t *to = &AT(c, 0, y);
        for (int x = 0; x < c->size; x++, p += 3) {
            float r = p[0] - fr_background[0], g = p[1] - fr_background[1],
                  b = p[2] - fr_background[2];
            to[x] = r * r + g * g + b * b > NEAR * NEAR ? UNSEEN : 0;
        }
    }
}

/* Gives all pixels connected with (x, y), also over corners, its label. */
static part flood(canvas *c, int x, int y, uint16_t label) {
    part p = {0, x, y, x + 1, y + 1};
    int top = 0;
    c->stack[top++] = (uint16_t)(y * MAX_SIDE + x);
    AT(c, x, y) = label;
    while (top) {
        int at = c->stack[--top], px = at % MAX_SIDE, py = at / MAX_SIDE;
        p.area++;
        p.x0 = FR_MIN(p.x0, px), p.x1 = FR_MAX_OF(p.x1, px + 1);
        p.y0 = FR_MIN(p.y0, py), p.y1 = FR_MAX_OF(p.y1, py + 1);
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                uint16_t *l = &AT(c, px + dx, py + dy);
                if (*l != UNSEEN) continue;
                *l = label;
                c->stack[top++] = (uint16_t)((py + dy) * MAX_SIDE + px + dx);
            }
    }
    return p;
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The value in the middle, by narrowing down: the values are few and need no order. */
static float median(float *v, int n) {
    int lo = 0, hi = n - 1, want = n / 2;
    for (int round = 0; lo < hi && round < 64; round++) {
        float pivot = v[(lo + hi) / 2];
        int i = lo, j = hi;
        while (i <= j) {
            while (v[i] < pivot) i++;
            while (v[j] > pivot) j--;
            if (i > j) break;
            float t = v[i];
            v[i++] = v[j], v[j--] = t;
        }
        if (want <= j)
            hi = j;
        else if (want >= i)
            lo = i;
        else
            return v[want];
    }
    if (lo < hi) qsort(v + lo, (size_t)(hi - lo + 1), sizeof *v, compare_floats);
    return v[want];
}

/* Medians of the channels over the pixels inside the part; of all its pixels when it has no inside. */
static void colour_of(const canvas *c, const part *p, uint16_t label, float *ink) {
    static _Thread_local float value[3][MAX_SIDE * MAX_SIDE];
    for (int pass = 0, n = 0; pass < 2 && !n; pass++) {
        for (int y = p->y0; y < p->y1; y++)
            for (int x = p->x0; x < p->x1; x++) {
                if (AT(c, x, y) != label) continue;
                bool inside =
                    AT(c, x - 1, y) && AT(c, x + 1, y) && AT(c, x, y - 1) && AT(c, x, y + 1);
                if (!pass && !inside) continue;
                const float *v = c->pixels + ((size_t)y * (size_t)c->size + (size_t)x) * 3;
                for (int i = 0; i < 3; i++) value[i][n] = v[i];
                n++;
            }
        for (int i = 0; n && i < 3; i++) ink[i] = median(value[i], n);
    }
}

static fr_colour nearest_colour(const float *ink) {
    int best = 0;
    float least = 1e9f;
    for (int k = 0; k < FR_COLOURS; k++) {
        float d = 0;
        for (int i = 0; i < 3; i++) d += (ink[i] - fr_palette[k][i]) * (ink[i] - fr_palette[k][i]);
        if (d < least) least = d, best = k;
    }
    return (fr_colour)best;
}

/* Pixels of the part that are more ink than background, and the box of them, from the part's corner. */
static int mask_of(const canvas *c, const part *p, uint16_t label, const float *ink,
                   fr_shape_mask *m, fr_box *box) {
    float d[3], length = 0;
    for (int i = 0; i < 3; i++) d[i] = ink[i] - fr_background[i], length += d[i] * d[i];
    int area = 0, x0 = FR_MASK_SIDE, x1 = 0, y0 = FR_MASK_SIDE, y1 = 0;
    *m = (fr_shape_mask){.width = p->x1 - p->x0, .height = p->y1 - p->y0};
    for (int y = 0; y < m->height; y++) {
        const float *v = c->pixels + ((size_t)(y + p->y0) * (size_t)c->size + (size_t)p->x0) * 3;
        uint64_t row = 0;
        for (int x = 0; x < m->width; x++, v += 3) {
            if (AT(c, x + p->x0, y + p->y0) != label) continue;
            float a = 0;
            for (int i = 0; i < 3; i++) a += (v[i] - fr_background[i]) * d[i];
            if (a > 0.5f * length) row |= 1ull << x;
        }
        m->row[y] = row;
        if (!row) continue;
        area += __builtin_popcountll(row);
        x0 = FR_MIN(x0, __builtin_ctzll(row)), x1 = FR_MAX_OF(x1, 64 - __builtin_clzll(row));
        y0 = FR_MIN(y0, y), y1 = y + 1;
    }
    *box = (fr_box){(float)x0, (float)y0, (float)x1, (float)y1};
    return area;
}

typedef struct fit {
    float iou, x, y, r, penalty;
} fit;

/* The best of 27 places and sizes around what the box says. */
static float refine(const fr_shape_mask *m, int area, int class, const fit *f) {
    float best = f->iou;
    for (int i = -1; i <= 1; i++)
        for (int j = -1; j <= 1; j++)
            for (int k = -1; k <= 1; k++) {
                float iou = f->penalty *
                            fr_template_iou(m, area, (fr_shape_class) class, f->x + 0.4f * (float)i,
                                            f->y + 0.4f * (float)j, f->r + 0.35f * (float)k);
                best = fmaxf(best, iou);
            }
    return best;
}

/* Which class a mask is; fills class, iou and margin. */
static void classify(const fr_shape_mask *m, int area, fr_box box, fr_found *out) {
    fit f[FR_SHAPE_CLASSES];
    float iou[FR_SHAPE_CLASSES];
    for (int k = 0; k < FR_SHAPE_CLASSES; k++) {
        float aspect;
        fr_template_fit((fr_shape_class)k, box, &f[k].x, &f[k].y, &f[k].r, &aspect);
        f[k].penalty = aspect < 0.75f ? aspect / 0.75f : 1.0f;
        f[k].iou =
            f[k].penalty * fr_template_iou(m, area, (fr_shape_class)k, f[k].x, f[k].y, f[k].r);
        iou[k] = f[k].iou;
    }
    bool done[FR_SHAPE_CLASSES] = {false};
    for (int round = 0; round < 3; round++) {
        int best = -1;
        for (int k = 0; k < FR_SHAPE_CLASSES; k++)
            if (!done[k] && (best < 0 || f[k].iou > f[best].iou)) best = k;
        done[best] = true;
        iou[best] = refine(m, area, best, &f[best]);
    }
    int first = 0;
    for (int k = 1; k < FR_SHAPE_CLASSES; k++)
        if (iou[k] > iou[first]) first = k;
    float second = 0;
    for (int k = 0; k < FR_SHAPE_CLASSES; k++)
        if (k != first) second = fmaxf(second, iou[k]);
    out->class = (fr_shape_class)first, out->iou = iou[first], out->margin = iou[first] - second;
}

static bool recognise(const canvas *c, const part *p, uint16_t label, fr_found *out) {
    float ink[3] = {0, 0, 0};
    fr_shape_mask mask;
    if (p->x1 - p->x0 > FR_MASK_SIDE - 4 || p->y1 - p->y0 > FR_MASK_SIDE) return false;
    colour_of(c, p, label, ink);
    out->colour = nearest_colour(ink);
    fr_box box;
    int area = mask_of(c, p, label, ink, &mask, &box);
    if (area == 0) return false;
    classify(&mask, area, box, out);
    out->box = (fr_box){box.x0 + (float)p->x0, box.y0 + (float)p->y0, box.x1 + (float)p->x0,
                        box.y1 + (float)p->y0};
    return out->iou >= 0.75f && out->margin >= 0.01f;
}

void fr_judge_look(const float *pixels, int size, fr_sight *out) {
    static _Thread_local canvas c;
    part parts[FR_JUDGE_OBJECTS];
    uint16_t label[FR_JUDGE_OBJECTS], next = 1;
    int least = size > 64 ? 80 : 20;
    *out = (fr_sight){0};
    c.pixels = pixels, c.size = size;
    mark_foreground(&c);
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            if (AT(&c, x, y) != UNSEEN) continue;
            part p = flood(&c, x, y, next);
            if (p.area >= least && out->parts < FR_JUDGE_OBJECTS)
                parts[out->parts] = p, label[out->parts] = next;
            out->parts += p.area >= least;
            next++;
        }
    if (out->parts > FR_JUDGE_OBJECTS) return; /* noise, not objects */
    for (int i = 0; i < out->parts; i++) {
        fr_found f;
        if (!recognise(&c, &parts[i], label[i], &f)) continue;
        int at = out->objects++;
        for (; at > 0 && out->object[at - 1].iou < f.iou; at--)
            out->object[at] = out->object[at - 1];
        out->object[at] = f;
    }
}
