/* bench_formats.c: `frugal bench formats`: what each number format costs in bits and in error, on numbers from
 * three distributions, and the choices of 4-bit floats (Four Over Six) beside the published figures, which are
 * of 1024 x 1024 numbers. Formats with stages of k-means are left out: rows without structure are nothing that
 * centroids could learn. */
#include <math.h>
#include <string.h>

#include "cli/bench.h"
#include "format/format.h"

enum { ROWS = 256, COLS = 1024, VALUES = ROWS * COLS, KINDS = 3 };

static const char *const kinds[KINDS] = {"normal", "Laplace", "Student t"};

typedef struct rule {
    const char *name, *format;
    fr_quant_opts opts;
    double published[KINDS]; /* dB; 0: not */
} rule;

/* The first is what the others are compared with. */
static const rule rules[] = {
    {"nvfp4, plain", "nvfp4", {.rule = FR_RULE_PLAIN}, {20.44, 20.65, 20.74}},
    {"nvfp4, always 4", "nvfp4", {.rule = FR_RULE_4}, {20.16, 19.61, 19.45}},
    {"Four Over Six, squares", "nvfp4", {.rule = FR_RULE_46_MSE}, {21.21, 21.19, 21.22}},
    {"Four Over Six, magnitudes", "nvfp4", {.rule = FR_RULE_46_MAE}, {21.08, 21.06, 21.11}},
    {"Four Over Six, largest", "nvfp4", {.rule = FR_RULE_46_MAX}, {20.98, 20.87, 20.92}},
    {"mxfp4", "mxfp4", {.rule = FR_RULE_PLAIN}, {18.80, 18.01, 17.66}},
    {"mxfp4, least power", "mxfp4", {.rule = FR_RULE_POWER}, {18.76, 17.57, 17.14}},
    {"int4-g64-bf16", "int4-g64-bf16", {.rule = FR_RULE_PLAIN}, {19.35, 17.03, 15.94}},
};

enum { MOST = 64 }; /* formats */

typedef struct formats_bench {
    float *x[KINDS], *y, *magnitude; /* [VALUES] each */
    size_t count;
    const fr_qformat *format[MOST];
    double db[MOST][KINDS], bits[MOST];
    double rule_db[FR_COUNT(rules)][KINDS], rule_mse[FR_COUNT(rules)][KINDS];
} formats_bench;

/* Laplace: a random sign and the logarithm of a uniform number. Student t with 4 degrees: a normal number
 * over the root of a quarter of a chi-square, which is -2 log(u1 u2). */
static void draw(int kind, float *x) {
    fr_rng r = fr_rng_new(11, fr_random_stream(kinds[kind]));
    for (int i = 0; i < VALUES; i++) {
        float z = fr_rng_normal(&r);
        double u = 1 - fr_rng_uniform(&r), v = 1 - fr_rng_uniform(&r);
        if (kind == 1) z = (float)(z < 0 ? log(u) : -log(u));
        if (kind == 2) z /= (float)sqrt(-0.5 * log(u * v));
        x[i] = z;
    }
}

static fr_status error_of(const fr_qformat *f, const fr_quant_opts *opts, const float *x, float *y,
                          fr_error_stats *out) {
    fr_quantized q;
    FR_TRY(fr_quantize(f, opts, x, ROWS, COLS, &q));
    f->decode(&q, 0, ROWS, y);
    fr_quantized_free(&q);
    *out = fr_error_of(x, y, VALUES);
    return fr_interrupt_check();
}

/* Formats without a sign and without zero points, which hold activations that are never negative. */
static bool never_negative(const fr_qformat *f) {
    return !strncmp(f->name, "uint4-g", 7);
}

static bool has_stages(const fr_qformat *f) {
    for (int i = 0; i < f->parts; i++)
        if (!strcmp(f->part_name[i], "centroids")) return true;
    return false;
}

static void list_formats(formats_bench *b) {
    for (size_t i = 0; fr_formats[i] && b->count < MOST; i++)
        if (!has_stages(fr_formats[i])) b->format[b->count++] = fr_formats[i];
}

static fr_status measure(formats_bench *b, fr_progress *p) {
    fr_error_stats e;
    for (int kind = 0; kind < KINDS; kind++) draw(kind, b->x[kind]);
    for (size_t i = 0; i < b->count; i++) {
        const fr_qformat *f = b->format[i];
        fr_progress_note(p, "%s", f->name);
        FR_TRY(fr_format_bits(f, ROWS, COLS, &b->bits[i]));
        for (int kind = 0; kind < KINDS; kind++) {
            const float *x = b->x[kind];
            for (int j = 0; j < VALUES; j++) b->magnitude[j] = fabsf(x[j]);
            FR_TRY(error_of(f, NULL, never_negative(f) ? b->magnitude : x, b->y, &e));
            b->db[i][kind] = e.sqnr;
        }
        fr_progress_update(p, (double)i + 1);
    }
    for (size_t i = 0; i < FR_COUNT(rules); i++)
        for (int kind = 0; kind < KINDS; kind++) {
            FR_TRY(error_of(fr_format_find(rules[i].format), &rules[i].opts, b->x[kind], b->y, &e));
            b->rule_db[i][kind] = e.sqnr;
            b->rule_mse[i][kind] = e.mse;
        }
    return FR_OK;
}

static double published_ratio(size_t i, int kind) {
    return pow(10, (rules[0].published[kind] - rules[i].published[kind]) / 10);
}

static void print_table(const formats_bench *b) {
    fr_table *t = fr_table_new("format|>bits a value|>normal, dB|>Laplace, dB|>Student t, dB|");
    if (!t) return;
    for (size_t i = 0; i < b->count; i++) {
        fr_table_cell(t, "%s", b->format[i]->name);
        fr_table_cell(t, "%.3f", b->bits[i]);
        for (int kind = 0; kind < KINDS; kind++) fr_table_cell(t, "%.2f", b->db[i][kind]);
        fr_table_cell(t, "%s", never_negative(b->format[i]) ? "of magnitudes" : "");
    }
    fr_table_print(t, stdout);
    fr_table_free(t);
    printf("\nIn parentheses what is published; error: the squared error over that of plain "
           "nvfp4.\n\n");
    t = fr_table_new("rule|>normal, dB|>error|>Laplace, dB|>error|>Student t, dB|>error");
    if (!t) return;
    for (size_t i = 0; i < FR_COUNT(rules); i++) {
        fr_table_cell(t, "%s", rules[i].name);
        for (int kind = 0; kind < KINDS; kind++) {
            fr_table_cell(t, "%.2f (%.2f)", b->rule_db[i][kind], rules[i].published[kind]);
            fr_table_cell(t, "%.3f (%.3f)", b->rule_mse[i][kind] / b->rule_mse[0][kind],
                          published_ratio(i, kind));
        }
    }
    fr_table_print(t, stdout);
    fr_table_free(t);
}

static void print_three(const char *name, const double v[KINDS]) {
    printf(", \"%s\": [%.4g, %.4g, %.4g]", name, v[0], v[1], v[2]);
}

static void print_json(const formats_bench *b) {
    printf("{\"data\": [\"normal\", \"laplace\", \"student_t4\"], \"formats\": [");
    for (size_t i = 0; i < b->count; i++) {
        printf("%s\n  {\"name\": \"%s\", \"bits\": %.4f", i ? "," : "", b->format[i]->name,
               b->bits[i]);
        print_three("sqnr_db", b->db[i]);
        printf("}");
    }
    printf("],\n \"rules\": [");
    for (size_t i = 0; i < FR_COUNT(rules); i++) {
        double ratio[KINDS], published[KINDS];
        for (int kind = 0; kind < KINDS; kind++) {
            ratio[kind] = b->rule_mse[i][kind] / b->rule_mse[0][kind];
            published[kind] = published_ratio(i, kind);
        }
        printf("%s\n  {\"name\": \"%s\", \"format\": \"%s\"", i ? "," : "", rules[i].name,
               rules[i].format);
        print_three("sqnr_db", b->rule_db[i]);
        print_three("published_sqnr_db", rules[i].published);
        print_three("error_ratio", ratio);
        print_three("published_error_ratio", published);
        printf("}");
    }
    printf("]}\n");
}

int fr_cli_bench_formats(int argc, char **argv) {
    bool json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json"))
            return fr_cli_usage("bench", "formats takes --json and not \"%s\"", argv[i]);
        json = true;
    }
    formats_bench *b = fr_alloc(FR_MEM_OTHER, sizeof *b);
    float *memory = fr_alloc_array(FR_MEM_OTHER, (size_t)(KINDS + 2) * VALUES, sizeof *memory);
    fr_status st = b && memory ? FR_OK : fr_fail(FR_NOMEM, "There is no memory for the numbers.");
    if (!st) {
        for (int kind = 0; kind < KINDS; kind++) b->x[kind] = memory + (size_t)kind * VALUES;
        b->y = memory + (size_t)KINDS * VALUES;
        b->magnitude = b->y + VALUES;
        list_formats(b);
        fr_progress p = fr_progress_start("bench formats", (double)b->count, "formats");
        st = measure(b, &p);
        fr_progress_end(&p);
    }
    if (!st && json) print_json(b);
    if (!st && !json) print_table(b);
    fr_free(memory);
    fr_free(b);
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}
