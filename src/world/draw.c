/* draw.c: pictures of scenes. A pixel is covered by a shape as far as the signed distance of its centre from
 * the shape's edge says: clamp(0.5 - distance, 0, 1). */
#include <math.h>

#include "world/scene.h"

#define MAX_WIDTH 64

/* Distances of `n` pixel centres of one row, px[i] and y from the shape's centre. */
typedef void row_fn(int n, const float *px, float y, float r, float *d);

static void circle_row(int n, const float *px, float y, float r, float *d) {
    for (int i = 0; i < n; i++) d[i] = sqrtf(px[i] * px[i] + y * y) - r;
}

static float box(float x, float y, float w, float h) {
    float dx = fabsf(x) - w, dy = fabsf(y) - h;
    float ox = fmaxf(dx, 0), oy = fmaxf(dy, 0);
    return sqrtf(ox * ox + oy * oy) + fminf(fmaxf(dx, dy), 0);
}

static void square_row(int n, const float *px, float y, float r, float *d) {
    for (int i = 0; i < n; i++) d[i] = box(px[i], y, 0.88f * r, 0.88f * r);
}

static void cross_row(int n, const float *px, float y, float r, float *d) {
    for (int i = 0; i < n; i++)
        d[i] = fminf(box(px[i], y, r, 0.34f * r), box(px[i], y, 0.34f * r, r));
}

static void diamond_row(int n, const float *px, float y, float r, float *d) {
    for (int i = 0; i < n; i++) d[i] = (fabsf(px[i]) + fabsf(y) - 1.1f * r) * 0.70710678f;
}

static void ring_row(int n, const float *px, float y, float r, float *d) {
    for (int i = 0; i < n; i++) d[i] = fabsf(sqrtf(px[i] * px[i] + y * y) - 0.75f * r) - 0.25f * r;
}

static void dome_row(int n, const float *px, float y, float r, float *d) {
    float below = y - 0.5f * r;
    for (int i = 0; i < n; i++) d[i] = fmaxf(sqrtf(px[i] * px[i] + below * below) - r, below);
}

/* A polygon that is the same left and right, given by the corners of its right half from top to bottom, in
 * units of r: the distance from the edges, with the sign by an even-odd count. */
static void polygon_row(int n, const float *px, float y, float r, int corners,
                        const float (*corner)[2], float *d) {
    float squared[MAX_WIDTH], inside[MAX_WIDTH];
    for (int i = 0; i < n; i++) squared[i] = 1e9f, inside[i] = -1;
    for (int e = 0; e + 1 < corners; e++) {
        float ax = corner[e][0] * r, ay = corner[e][1] * r;
        float ex = corner[e + 1][0] * r - ax, ey = corner[e + 1][1] * r - ay;
        float length = 1.0f / (ex * ex + ey * ey);
        bool spans = (ay > y) != (ay + ey > y);
        float crossing = spans ? ax + ex * (y - ay) / ey : -1e9f;
        for (int i = 0; i < n; i++) {
            float x = fabsf(px[i]), wx = x - ax, wy = y - ay;
            float t = (wx * ex + wy * ey) * length;
            t = t < 0 ? 0 : t > 1 ? 1 : t;
            float qx = wx - ex * t, qy = wy - ey * t;
            squared[i] = fminf(squared[i], qx * qx + qy * qy);
            inside[i] = x < crossing ? -inside[i] : inside[i];
        }
    }
    for (int i = 0; i < n; i++) d[i] = -inside[i] * sqrtf(squared[i]);
}

static void triangle_row(int n, const float *px, float y, float r, float *d) {
    static const float corner[3][2] = {{0, -1}, {1, 0.8f}, {0, 0.8f}};
    polygon_row(n, px, y, r, 3, corner, d);
}

/* Ten points every 36 degrees, at 1.1 and 0.495 in turn. */
static void star_row(int n, const float *px, float y, float r, float *d) {
    static const float corner[6][2] = {{0.0f, -1.1f},
                                       {0.29095370f, -0.40046341f},
                                       {1.04616217f, -0.33991869f},
                                       {0.47077298f, 0.15296341f},
                                       {0.64656378f, 0.88991869f},
                                       {0.0f, 0.495f}};
    polygon_row(n, px, y, r, 6, corner, d);
}

static row_fn *const rows[FR_SHAPE_CLASSES] = {circle_row, square_row, triangle_row, diamond_row,
                                               cross_row,  ring_row,   star_row,     dome_row};

static int clamp_int(float x, int lo, int hi) {
    int i = (int)floorf(x);
    return i < lo ? lo : i > hi ? hi : i;
}

static void draw_shape(const fr_shape *s, int size, float *pixels) {
    fr_box b = fr_shape_box(s);
    const float *ink = fr_palette[s->colour];
    int x0 = clamp_int(b.x0 - 1, 0, size), x1 = clamp_int(b.x1 + 2, 0, size);
    int y0 = clamp_int(b.y0 - 1, 0, size), y1 = clamp_int(b.y1 + 2, 0, size);
    int n = FR_MIN(x1 - x0, MAX_WIDTH);
    float px[MAX_WIDTH], d[MAX_WIDTH];
    for (int i = 0; i < n; i++) px[i] = (float)(x0 + i) + 0.5f - s->x;
    for (int y = y0; y < y1; y++) {
        rows[s->class](n, px, (float)y + 0.5f - s->y, s->r, d);
        float *to = pixels + ((size_t)y * (size_t)size + (size_t)x0) * 3;
        for (int i = 0; i < n; i++, to += 3) {
            float a = 0.5f - d[i];
            if (a <= 0) continue;
            a = a > 1 ? 1 : a;
            for (int c = 0; c < 3; c++) to[c] += a * (ink[c] - to[c]);
        }
    }
}

void fr_scene_draw(const fr_scene *s, float *pixels) {
    for (int i = 0; i < s->size * s->size; i++)
        for (int c = 0; c < 3; c++) pixels[3 * i + c] = fr_background[c];
    for (int i = 0; i < s->shapes; i++) draw_shape(&s->shape[i], s->size, pixels);
}
