/* plot.c: the curves of a training as an SVG that stands alone: losses above, on a logarithmic axis, and below
 * how many tokens a second went through. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/metrics.h"

enum { WIDTH = 900, LEFT = 64, RIGHT = 20, MOST_POINTS = 600 };

typedef struct curve {
    double (*at)[2]; /* step, value */
    size_t count, cap;
} curve;

typedef struct curves {
    curve loss, unseen, speed;
    double last_step;
} curves;

/* ---- reading ---- */

static fr_status add(curve *c, double step, double value) {
    FR_TRY(fr_grow((void **)&c->at, &c->cap, c->count + 1, sizeof *c->at));
    c->at[c->count][0] = step;
    c->at[c->count++][1] = value;
    return FR_OK;
}

/* The axes are drawn by counting, and the file may be anybody's: what no training has is left out. */
static fr_status take(curves *all, const fr_json *line) {
    static const char *const names[] = {"loss", "validation_loss", "tokens_per_second"};
    curve *const to[] = {&all->loss, &all->unseen, &all->speed};
    double step;
    FR_TRY(fr_json_f64(line, "step", 0, &step));
    if (!(step >= 0 && step < 1e15)) return FR_OK;
    for (int i = 0; i < 3; i++) {
        double v;
        FR_TRY(fr_json_f64(line, names[i], 0, &v));
        if (!(v > 1e-30 && v < 1e30)) continue;
        FR_TRY(add(to[i], step, v));
        all->last_step = FR_MAX_OF(all->last_step, step);
    }
    return FR_OK;
}

static fr_status read_curves(const char *path, curves *all) {
    char *text;
    size_t bytes;
    FR_TRY(fr_read_file(path, (size_t)1 << 30, &text, &bytes));
    fr_status st = FR_OK;
    for (char *at = text, *end; !st && *at; at = *end ? end + 1 : end) {
        fr_json *line;
        end = at + strcspn(at, "\n");
        if (end == at) continue;
        st = fr_json_parse(at, (size_t)(end - at), path, &line);
        if (st) break;
        st = take(all, line);
        fr_json_free(line);
    }
    fr_free(text);
    return st;
}

/* Fewer points, each the mean of its neighbours. */
static void thin(curve *c) {
    size_t each = (c->count + MOST_POINTS - 1) / MOST_POINTS, n = 0;
    for (size_t i = 0; each > 1 && i < c->count; i += each, n++) {
        double step = 0, value = 0;
        size_t count = FR_MIN(each, c->count - i);
        for (size_t k = 0; k < count; k++) step += c->at[i + k][0], value += c->at[i + k][1];
        c->at[n][0] = step / (double)count;
        c->at[n][1] = value / (double)count;
    }
    if (each > 1) c->count = n;
}

/* ---- drawing ---- */

typedef struct panel {
    FILE *out;
    double top, height, lo, hi, steps;
    bool log;
} panel;

static double x_of(const panel *p, double step) {
    return LEFT + (WIDTH - LEFT - RIGHT) * step / p->steps;
}
static double y_of(const panel *p, double v) {
    double part = p->log ? log(v / p->lo) / log(p->hi / p->lo) : (v - p->lo) / (p->hi - p->lo);
    return p->top + p->height * (1 - part);
}

static void include(panel *p, const curve *c) {
    for (size_t i = 0; i < c->count; i++) {
        p->lo = FR_MIN(p->lo, c->at[i][1]);
        p->hi = FR_MAX_OF(p->hi, c->at[i][1]);
    }
}

/* 1, 2 or 5 times a power of ten: the next at or above. */
static double nice(double v) {
    double power = pow(10, floor(log10(v))), m = v / power;
    return power * (m <= 1.0001 ? 1 : m <= 2.0001 ? 2 : m <= 5.0001 ? 5 : 10);
}

static void tick_y(const panel *p, double v) {
    char text[32];
    if (v < p->lo * 0.9999 || v > p->hi * 1.0001) return;
    fr_show_count(text, v);
    if (v < 1000) snprintf(text, sizeof text, "%.3g", v);
    fprintf(p->out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, y_of(p, v), WIDTH - RIGHT);
    fprintf(p->out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", LEFT - 8,
            y_of(p, v) + 4, text);
}

static void axes(const panel *p, const char *title) {
    fprintf(p->out, "<text x=\"%d\" y=\"%.1f\" class=\"title\">%s</text>\n", LEFT, p->top - 10,
            title);
    if (p->log) {
        static const double marks[] = {1, 1.5, 2, 3, 5, 7};
        for (double power = pow(10, floor(log10(p->lo))); power <= p->hi; power *= 10)
            for (size_t i = 0; i < FR_COUNT(marks); i++) tick_y(p, power * marks[i]);
    } else {
        double step = nice(p->hi / 6);
        for (int i = 0; i * step <= p->hi * 1.0001; i++) tick_y(p, i * step);
    }
    double step = FR_MAX_OF(1, nice(p->steps / 10));
    for (int i = 0; i * step <= p->steps * 1.0001; i++)
        fprintf(p->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f</text>\n",
                x_of(p, i * step), p->top + p->height + 18, i * step);
    fprintf(p->out, "<path class=\"axis\" d=\"M%d %.1fV%.1fH%d\"/>\n", LEFT, p->top,
            p->top + p->height, WIDTH - RIGHT);
}

static void draw(const panel *p, const curve *c, const char *class) {
    fprintf(p->out, "<path class=\"%s\" d=\"", class);
    for (size_t i = 0; i < c->count; i++)
        fprintf(p->out, "%c%.1f %.1f", i ? 'L' : 'M', x_of(p, c->at[i][0]), y_of(p, c->at[i][1]));
    fprintf(p->out, "\"/>\n");
    for (size_t i = 0; c->count < 60 && i < c->count; i++)
        fprintf(p->out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>", class,
                x_of(p, c->at[i][0]), y_of(p, c->at[i][1]));
}

static void legend(FILE *out, double y, const curves *all) {
    int x = WIDTH - RIGHT - 290;
    fprintf(out, "<path class=\"loss\" d=\"M%d %.1fh24\"/><text x=\"%d\" y=\"%.1f\">training", x, y,
            x + 30, y + 4);
    if (all->loss.count) fprintf(out, " %.3f", all->loss.at[all->loss.count - 1][1]);
    fprintf(out, "</text>\n");
    if (!all->unseen.count) return;
    fprintf(out,
            "<path class=\"unseen\" d=\"M%d %.1fh24\"/><text x=\"%d\" y=\"%.1f\">validation "
            "%.3f</text>\n",
            x + 150, y, x + 180, y + 4, all->unseen.at[all->unseen.count - 1][1]);
}

static void text_of(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '&')
            fputs("&amp;", out);
        else
            fputc(*text, out);
    }
}

static void write_svg(FILE *out, curves *all, const char *title) {
    panel p = {.out = out, .top = 64, .height = 300, .lo = 1e300, .hi = 0, .log = true};
    p.steps = FR_MAX_OF(all->last_step, 1);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d 620\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n<style>text{fill:#444}.title{font-size:"
            "14px}path{fill:none}.grid{stroke:#e4e4e4}.axis{stroke:#888}.loss{stroke:#4477aa;"
            "stroke-width:1.5}circle.loss{fill:#4477aa}.unseen{stroke:#cc6633;stroke-width:2}"
            "circle.unseen{fill:#cc6633}.speed{stroke:#228866;stroke-width:1.5}circle.speed{fill:"
            "#228866}</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
            "<text x=\"%d\" y=\"24\" font-size=\"16\">",
            WIDTH, LEFT);
    text_of(out, title);
    fprintf(out, "</text>\n");
    include(&p, &all->loss);
    include(&p, &all->unseen);
    p.lo *= 0.95, p.hi *= 1.05;
    axes(&p, "loss of a token");
    legend(out, p.top - 14, all);
    draw(&p, &all->loss, "loss");
    draw(&p, &all->unseen, "unseen");
    if (all->speed.count) {
        p = (panel){.out = out, .top = 430, .height = 150, .steps = p.steps};
        include(&p, &all->speed);
        p.hi *= 1.05;
        axes(&p, "tokens a second");
        draw(&p, &all->speed, "speed");
    }
    fprintf(out, "</svg>\n");
}

fr_status fr_metrics_plot(const char *metrics_path, const char *title, const char *svg_path) {
    curves all = {0};
    char *text = NULL;
    size_t bytes = 0;
    fr_status st = read_curves(metrics_path, &all);
    if (!st && !all.loss.count)
        st = fr_fail(FR_INVALID, "%s holds no loss that could be drawn", metrics_path);
    if (!st) {
        thin(&all.loss);
        thin(&all.speed);
        FILE *out = open_memstream(&text, &bytes);
        if (out) write_svg(out, &all, title);
        if (!out || fclose(out)) st = FR_NOMEM;
    }
    if (!st) st = fr_write_file(svg_path, text, bytes);
    free(text);
    fr_free(all.loss.at);
    fr_free(all.unseen.at);
    fr_free(all.speed.at);
    return st;
}
