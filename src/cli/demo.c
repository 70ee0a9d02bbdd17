/* demo.c: `frugal demo`: a small network learns a picture, in seconds.
 *
 * A coordinate network maps a place (x, y) to a colour (r, g, b). The place first becomes sines and
 * cosines of random frequencies (Fourier features, Tancik et al. 2020), then goes through three
 * layers of 128. Building, gradients, AdamW and running are those that every other model uses.
 * Everything comes from the seed: the same picture on every run, for any number of threads. */
#include "cli/cli.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/train.h"

enum { FEATURES = 96, WIDTH = 128, LAYERS = 3, BATCH = 4096, SIDE = 128, CHUNK = 8192 };

typedef struct demo {
    const char *image, *out, *save;
    int64_t steps;
    uint64_t seed;
    int scale;
    bool compare;
    fr_pool *pool;
    fr_image target;
} demo;

/* ---- the picture that is learned when none is given: evening over the sea ---- */

static double clamp01(double v) {
    return v < 0 ? 0 : v > 1 ? 1 : v;
}
/* 1 inside, 0 outside, soft over about a pixel. */
static double inside(double distance) {
    return clamp01(0.5 - distance * SIDE);
}

static double ridge(double x, double a, double b, double c) {
    return a + 0.06 * sin(b * x + c) + 0.03 * sin(2.7 * b * x + 2 * c) + 0.012 * sin(7 * b * x);
}

static void scene(double x, double y, double rgb[3]) {
    double sun = hypot(x - 0.62, y - 0.42) - 0.13;
    double glow = exp(-4 * fmax(0, sun));
    double sky[3] = {0.16 + 0.75 * y + 0.25 * glow, 0.14 + 0.45 * y + 0.2 * glow,
                     0.42 - 0.1 * y + 0.05 * glow};
    double far = inside(ridge(x, 0.52, 5, 0.4) - y), near = inside(ridge(x, 0.60, 8, 2.1) - y);
    double sea = inside(0.70 - y), wave = sin(60 * (y + 0.02 * sin(9 * x))) * 0.5 + 0.5;
    double path = exp(-30 * (x - 0.62) * (x - 0.62)) * wave;
    double water[3] = {0.10 + 0.75 * path, 0.16 + 0.45 * path, 0.34 + 0.15 * path};
    double boat =
        fmax(inside(fmax(fabs(x - 0.30) - 0.07 + 0.6 * (y - 0.76), fabs(y - 0.77) - 0.015)),
             inside(fmax(fmax(0.29 - x, y - 0.75), (x - 0.29) - 0.7 * (y - 0.58))));
    const double suns[3] = {1, 0.86, 0.48}, hills[3] = {0.42, 0.25, 0.40},
                 hills2[3] = {0.20, 0.13, 0.27};
    for (int c = 0; c < 3; c++) {
        double v = sky[c];
        v += (suns[c] - v) * inside(sun);
        v += (hills[c] - v) * far;
        v += (hills2[c] - v) * near;
        v += (water[c] - v) * sea;
        v += ((c == 0 ? 0.95 : 0.9) - v) * boat;
        rgb[c] = clamp01(v);
    }
}

static fr_status draw_scene(fr_image *im) {
    FR_TRY(fr_image_new(SIDE, SIDE, 3, im));
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double rgb[3];
            scene((x + 0.5) / SIDE, (y + 0.5) / SIDE, rgb);
            for (int c = 0; c < 3; c++)
                im->pixels[(y * SIDE + x) * 3 + c] = (uint8_t)lround(255 * rgb[c]);
        }
    return FR_OK;
}

/* The picture of the user, at most SIDE pixels on its longer side. */
static fr_status read_target(const char *path, fr_image *out) {
    fr_image big;
    FR_TRY(fr_image_read(path, 3, &big));
    int longer = big.width > big.height ? big.width : big.height;
    if (longer <= SIDE) {
        *out = big;
        return FR_OK;
    }
    int w = FR_MAX_OF(1, (int)((int64_t)big.width * SIDE / longer));
    int h = FR_MAX_OF(1, (int)((int64_t)big.height * SIDE / longer));
    fr_status st = fr_image_resize(&big, w, h, FR_RESIZE_AREA, out);
    fr_image_free(&big);
    return st;
}

/* ---- the network ---- */

static fr_val layer(fr_graph *g, fr_val x, int i, int64_t in, int64_t out, fr_fn act) {
    char name[16];
    snprintf(name, sizeof name, "fc%d", i);
    fr_scope(g, name);
    fr_val w = fr_param(g, "weight", FR_F32, 2, (int64_t[]){out, in});
    fr_val b = fr_param(g, "bias", FR_F32, 1, (int64_t[]){out});
    fr_val y = fr_unary(g, fr_linear(g, x, w, b, FR_NONE, FR_FN_NONE), act);
    fr_scope_end(g);
    return y;
}

static fr_val network(fr_graph *g, const demo *d, int64_t rows) {
    fr_val place = fr_input(g, "place", FR_F32, 2, (int64_t[]){rows, 2});
    float freq[FEATURES * 2];
    fr_random_normal(d->seed, fr_random_stream("demo/frequencies"), 0, freq, FEATURES * 2);
    for (int i = 0; i < FEATURES * 2; i++) freq[i] *= 16;
    fr_tensor f = fr_tensor_make(FR_F32, 2, (int64_t[]){FEATURES, 2}, freq);
    fr_val angle = fr_linear(g, place, fr_constant(g, &f), FR_NONE, FR_NONE, FR_FN_NONE);
    fr_val wave[] = {fr_unary(g, angle, FR_FN_SIN), fr_unary(g, angle, FR_FN_COS)};
    fr_val x = fr_concat(g, 2, wave, 1);
    for (int i = 0; i < LAYERS; i++)
        x = layer(g, x, i, i ? WIDTH : 2 * FEATURES, WIDTH, FR_FN_SILU);
    return layer(g, x, LAYERS, WIDTH, 3, FR_FN_SIGMOID);
}

/* Weights that keep the size of what flows through them. */
static fr_status start_weights(fr_trainer *t, const fr_graph *g, uint64_t seed) {
    fr_session *s = fr_trainer_session(t);
    FR_TRY(fr_session_init_random(s, seed, 1));
    FR_TRY(fr_session_make_writable(s));
    for (size_t v = 0; v < g->value_count; v++) {
        if (g->values[v]->kind != FR_VALUE_PARAM) continue;
        fr_tensor *w = fr_session_tensor(s, (fr_val)v);
        float scale = w->rank == 2 ? sqrtf(2.0f / (float)w->dim[1]) : 0;
        float *x = w->data;
        for (int64_t i = 0; i < fr_values(w); i++) x[i] *= scale;
    }
    fr_session_params_changed(s);
    return FR_OK;
}

/* ---- training ---- */

static void place_of(const fr_image *im, int64_t pixel, float *out) {
    int side = FR_MAX_OF(im->width, im->height);
    out[0] = ((float)(pixel % im->width) + 0.5f) / (float)side;
    out[1] = ((float)(pixel / im->width) + 0.5f) / (float)side;
}

static void make_batch(const demo *d, int64_t step, float *place, float *colour) {
    uint32_t pixels = (uint32_t)(d->target.width * d->target.height);
    fr_rng r = fr_rng_new(d->seed, (uint64_t)step + 1);
    for (int i = 0; i < BATCH; i++) {
        uint32_t p = fr_rng_below(&r, pixels);
        place_of(&d->target, p, place + 2 * i);
        for (int c = 0; c < 3; c++) colour[3 * i + c] = (float)d->target.pixels[3 * p + c] / 255;
    }
}

static fr_status train(const demo *d, fr_trainer *t) {
    static float place[BATCH * 2], colour[BATCH * 3];
    fr_tensor in[] = {fr_tensor_make(FR_F32, 2, (int64_t[]){BATCH, 2}, place),
                      fr_tensor_make(FR_F32, 2, (int64_t[]){BATCH, 3}, colour)};
    fr_progress p = fr_progress_start("learning the picture", (double)d->steps, "steps");
    double smooth = 0;
    for (int64_t i = 0; i < d->steps; i++) {
        fr_status st = fr_interrupt_check();
        float loss, norm;
        make_batch(d, i, place, colour);
        if (!st) st = fr_trainer_step(t, in, 2, &loss, &norm);
        if (st) {
            fr_progress_end(&p);
            return st;
        }
        smooth = i ? 0.95 * smooth + 0.05 * (double)loss : (double)loss;
        fr_progress_note(&p, "PSNR %.1f dB", -10 * log10(smooth));
        fr_progress_update(&p, (double)(i + 1));
    }
    fr_progress_end(&p);
    return FR_OK;
}

/* ---- painting what was learned, at any size ---- */

static fr_status copy_weights(fr_session *to, const fr_graph *to_graph, fr_session *from,
                              const fr_graph *from_graph) {
    for (size_t v = 0; v < to_graph->value_count; v++) {
        if (to_graph->values[v]->kind != FR_VALUE_PARAM) continue;
        fr_val source = fr_graph_find(from_graph, to_graph->values[v]->name);
        FR_TRY(fr_session_set(to, (fr_val)v, fr_session_tensor(from, source)));
    }
    return FR_OK;
}

static fr_status paint_with(fr_session *s, int width, int height, float *rgb) {
    static float place[CHUNK * 2];
    int side = FR_MAX_OF(width, height);
    int64_t pixels = (int64_t)width * height;
    for (int64_t at = 0; at < pixels; at += CHUNK) {
        int64_t n = FR_MIN((int64_t)CHUNK, pixels - at);
        for (int64_t i = 0; i < n; i++) {
            place[2 * i] = ((float)((at + i) % width) + 0.5f) / (float)side;
            place[2 * i + 1] = ((float)((at + i) / width) + 0.5f) / (float)side;
        }
        fr_tensor in = fr_tensor_make(FR_F32, 2, (int64_t[]){n, 2}, place);
        FR_TRY(fr_session_run(s, &in, 1));
        memcpy(rgb + 3 * at, fr_session_output(s, "colour")->data, (size_t)n * 3 * sizeof *rgb);
    }
    return FR_OK;
}

/* The trained network alone, without loss and gradients. */
static fr_status network_alone(const demo *d, fr_trainer *t, const fr_graph *trained, unsigned fuse,
                               fr_graph **graph, fr_session **out) {
    fr_graph *g = *graph = fr_graph_new();
    *out = NULL;
    if (!g) return FR_NOMEM;
    fr_output(g, "colour", network(g, d, CHUNK));
    if (fuse) FR_TRY(fr_fuse(g, fuse, NULL));
    FR_TRY(fr_session_new_with(g, &(fr_session_opts){.pool = d->pool}, out));
    return copy_weights(*out, g, fr_trainer_session(t), trained);
}

static fr_status paint(const demo *d, fr_trainer *t, const fr_graph *trained, int width, int height,
                       fr_image *out) {
    fr_graph *g;
    fr_session *s;
    fr_status st = network_alone(d, t, trained, FR_FUSE_ALL, &g, &s);
    float *rgb = fr_alloc_array(FR_MEM_IMAGE, (size_t)width * (size_t)height, 3 * sizeof *rgb);
    if (!st && !rgb) st = FR_NOMEM;
    if (!st) st = paint_with(s, width, height, rgb);
    if (!st) st = fr_image_from_f32(rgb, width, height, 3, 1.0f / 255, 0, out);
    fr_free(rgb);
    fr_session_free(s);
    fr_graph_free(g);
    return st;
}

static fr_status save(const demo *d, fr_trainer *t, const fr_graph *trained) {
    fr_graph *g;
    fr_session *s;
    fr_status st = network_alone(d, t, trained, 0, &g, &s);
    if (!st) st = fr_session_save(s, d->save);
    fr_session_free(s);
    fr_graph_free(g);
    return st;
}

static double psnr(const fr_image *a, const fr_image *b) {
    double sum = 0;
    size_t n = (size_t)a->width * (size_t)a->height * 3;
    for (size_t i = 0; i < n; i++) {
        double e = ((double)a->pixels[i] - b->pixels[i]) / 255;
        sum += e * e;
    }
    return sum > 0 ? -10 * log10(sum / (double)n) : 99;
}

/* The picture it had to learn, with its pixels showing, beside the one it learned. */
static fr_status side_by_side(const demo *d, const fr_image *learned, fr_image *out) {
    FR_TRY(fr_image_new(2 * learned->width, learned->height, 3, out));
    for (int y = 0; y < learned->height; y++)
        for (int x = 0; x < learned->width; x++) {
            uint8_t *at = out->pixels + 3 * ((size_t)y * (size_t)out->width + (size_t)x);
            const fr_image *t = &d->target;
            memcpy(at,
                   t->pixels +
                       3 * ((size_t)(y / d->scale) * (size_t)t->width + (size_t)(x / d->scale)),
                   3);
            memcpy(at + 3 * learned->width,
                   learned->pixels + 3 * ((size_t)y * (size_t)learned->width + (size_t)x), 3);
        }
    return FR_OK;
}

static fr_status write_result(const demo *d, fr_trainer *t, const fr_graph *g) {
    fr_image same = {0}, big = {0}, both = {0};
    fr_status st = paint(d, t, g, d->target.width, d->target.height, &same);
    if (!st) st = paint(d, t, g, d->target.width * d->scale, d->target.height * d->scale, &big);
    if (!st && d->compare) st = side_by_side(d, &big, &both);
    const fr_image *result = d->compare ? &both : &big;
    if (!st) st = fr_image_write_png(d->out, result);
    if (!st)
        printf("%s: the learned picture, %d x %d pixels, PSNR %.1f dB against the %d x %d that it "
               "saw\n",
               d->out, result->width, result->height, psnr(&same, &d->target), d->target.width,
               d->target.height);
    fr_image_free(&same);
    fr_image_free(&big);
    fr_image_free(&both);
    return st;
}

static fr_status learn(demo *d) {
    fr_graph *g = fr_graph_new();
    if (!g) return FR_NOMEM;
    fr_val colour = network(g, d, BATCH);
    fr_val target = fr_input(g, "target", FR_F32, 2, (int64_t[]){BATCH, 3});
    fr_val loss = fr_mse(g, colour, target);
    fr_train_opts opts = {.optimizer = FR_ADAMW,
                          .lr = 4e-3f,
                          .schedule = FR_SCHEDULE_COSINE,
                          .warmup = FR_MIN((int64_t)20, d->steps),
                          .steps = d->steps,
                          .clip = 1};
    fr_trainer *t = NULL;
    fr_status st = fr_trainer_new(g, loss, &opts, d->pool, &t);
    if (!st) st = start_weights(t, g, d->seed);
    if (!st) st = train(d, t);
    if (!st) st = write_result(d, t, g);
    if (!st && d->save) st = save(d, t, g);
    fr_trainer_free(t);
    fr_graph_free(g);
    return st;
}

/* ---- the command ---- */

static bool whole_number(const char *text, double lo, double hi, double *out) {
    return fr_cli_number(text, lo, hi, out) && *out == floor(*out);
}

/* What cannot be written is said before the training, not after it. */
static fr_status check_writable(const char *path) {
    fr_writer *w;
    FR_TRY(fr_writer_open(path, &w));
    fr_writer_close(w);
    return FR_OK;
}

static int run(int argc, char **argv) {
    static const struct option options[] = {
        {"image", required_argument, NULL, 'i'}, {"output", required_argument, NULL, 'o'},
        {"steps", required_argument, NULL, 'n'}, {"scale", required_argument, NULL, 'x'},
        {"seed", required_argument, NULL, 's'},  {"compare", no_argument, NULL, 'c'},
        {"save", required_argument, NULL, 'w'},  {NULL, 0, NULL, 0}};
    demo d = {.out = "learned.png", .steps = 500, .seed = 1, .scale = 3};
    double n;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, ":i:o:n:x:s:cw:", options, NULL)) != -1;) {
        if (c == 'i')
            d.image = optarg;
        else if (c == 'o')
            d.out = optarg;
        else if (c == 'c')
            d.compare = true;
        else if (c == 'w')
            d.save = optarg;
        else if (c == ':')
            return fr_cli_usage("demo", "%s wants a value", argv[optind - 1]);
        else if (c == '?')
            return fr_cli_usage("demo", "there is no option \"%s\"", argv[optind - 1]);
        else if (!whole_number(optarg, c == 's' ? 0 : 1, c == 'n' ? 1e6 : c == 'x' ? 16 : 1e15, &n))
            return fr_cli_usage("demo", "\"%s\" is no number of %s", optarg,
                                c == 'n'   ? "steps, which are whole and from 1 to 1000000"
                                : c == 'x' ? "times, which are whole and from 1 to 16"
                                           : "a seed, which is whole and from 0 to 10^15");
        else if (c == 'n')
            d.steps = (int64_t)n;
        else if (c == 'x')
            d.scale = (int)n;
        else
            d.seed = (uint64_t)n;
    }
    if (optind < argc)
        return fr_cli_usage("demo", "what is \"%s\"? A picture is given with --image",
                            argv[optind]);
    fr_status st = fr_cli_pool(&d.pool);
    if (!st) st = check_writable(d.out);
    if (!st && d.save) st = check_writable(d.save);
    if (!st) st = d.image ? read_target(d.image, &d.target) : draw_scene(&d.target);
    if (!st) st = learn(&d);
    fr_image_free(&d.target);
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

const fr_command fr_command_demo = {
    .name = "demo",
    .summary = "train a small network on a picture and write what it learned",
    .help =
        "usage: frugal demo [options]\n\n"
        "Trains a network from places to colours on a picture, then paints the picture again from\n"
        "the network alone, larger than it was.\n\n"
        "  -i, --image FILE   the picture (PNG or JPEG); one of our own when not given\n"
        "  -o, --output FILE  where the learned picture goes (learned.png)\n"
        "  -c, --compare      the picture to learn beside the learned one\n"
        "  -n, --steps N      training steps (500)\n"
        "  -x, --scale N      how many times larger it is painted (3)\n"
        "  -s, --seed N       another start (1)\n"
        "  -w, --save FILE    also the network and its weights, as frugal inspect --graph reads "
        "them\n",
    .run = run,
};
