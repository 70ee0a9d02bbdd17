/* world.c: `frugal world`: the small world of pictures: draws scenes, says what a picture shows, and checks
 * the judge itself. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "tensor/tensor.h"
#include "world/world.h"

enum { SCALE = 2, GAP = 4, COLUMNS = 6 };

typedef struct ask {
    const char *out, *prompt;
    double count, size, seed, tag;
} ask;

/* ---- draw ---- */

static void put(fr_image *sheet, const float *pixels, int size, int scale, int x0, int y0) {
    for (int y = 0; y < size * scale; y++)
        for (int x = 0; x < size * scale; x++)
            for (int c = 0; c < 3; c++) {
                float v = pixels[(y / scale * size + x / scale) * 3 + c];
                sheet->pixels[((size_t)(y0 + y) * (size_t)sheet->width + (size_t)(x0 + x)) * 3 +
                              (size_t)c] = (uint8_t)lroundf(255 * v);
            }
}

static fr_status draw_sheet(const ask *a, const fr_prompt *wanted) {
    static float pixels[128 * 128 * 3];
    int size = (int)a->size, count = (int)a->count, scale = count == 1 ? 1 : SCALE;
    int columns = FR_MIN(count, COLUMNS), rows = (count + COLUMNS - 1) / COLUMNS;
    int cell = size * scale + (count == 1 ? 0 : GAP), edge = count == 1 ? 0 : GAP;
    fr_image sheet;
    FR_TRY(fr_image_new(columns * cell + edge, rows * cell + edge, 3, &sheet));
    memset(sheet.pixels, 255, (size_t)sheet.width * (size_t)sheet.height * 3);
    fr_status st = FR_OK;
    for (int i = 0; i < count && !st; i++) {
        fr_scene s;
        char text[FR_CAPTION_TEXT];
        if (wanted)
            st = fr_scene_of_prompt(wanted, (uint64_t)a->seed, (uint64_t)i, size, &s);
        else
            fr_scene_make((uint64_t)a->seed, (uint64_t)i, size, (int)a->tag, FR_SPLIT_ALL, &s);
        if (st) break;
        fr_scene_draw(&s, pixels);
        put(&sheet, pixels, size, scale, edge + i % COLUMNS * cell, edge + i / COLUMNS * cell);
        fr_prompt_text(&s.prompt, text);
        printf("%s\n", text);
    }
    if (!st) st = fr_image_write_png(a->out, &sheet);
    fr_image_free(&sheet);
    if (!st) printf("%s: %d of them\n", a->out, count);
    return st;
}

static fr_status draw(const ask *a, int count, char **words) {
    fr_prompt p;
    if (count > 1)
        return fr_fail(FR_INVALID, "One prompt at a time, in quotes: \"%s %s ...\".", words[0],
                       words[1]);
    if (count) FR_TRY(fr_prompt_parse(words[0], &p));
    return draw_sheet(a, count ? &p : NULL);
}

/* ---- judge ---- */

static fr_status look_at(const char *path, fr_sight *sight) {
    fr_image im;
    FR_TRY(fr_image_read(path, 3, &im));
    fr_status st = FR_OK;
    float *pixels = NULL;
    if (im.width != im.height || (im.width != 64 && im.width != 128)) {
        st = fr_fail(FR_INVALID,
                     "%s is %d x %d pixels; pictures of the world are 64 x 64 or 128 x 128.", path,
                     im.width, im.height);
    } else {
        pixels =
            fr_alloc_array(FR_MEM_IMAGE, (size_t)im.width * (size_t)im.height, 3 * sizeof *pixels);
        if (!pixels) st = FR_NOMEM;
    }
    if (!st) {
        fr_image_to_f32(&im, 1.0f / 255, 0, pixels);
        fr_judge_look(pixels, im.width, sight);
    }
    fr_free(pixels);
    fr_image_free(&im);
    return st;
}

static fr_status judge(const ask *a, int count, char **paths) {
    fr_prompt p;
    if (!count) return fr_fail(FR_INVALID, "Which picture? Try: frugal world draw -n 1 -o one.png");
    if (a->prompt) FR_TRY(fr_prompt_parse(a->prompt, &p));
    for (int i = 0; i < count; i++) {
        fr_sight s;
        FR_TRY(look_at(paths[i], &s));
        printf("%s: %d thing%s\n", paths[i], s.parts, s.parts == 1 ? "" : "s");
        for (int j = 0; j < s.objects; j++) {
            const fr_found *f = &s.object[j];
            printf("  %s %s at (%.1f, %.1f), IoU %.3f, %.3f above the next class\n",
                   fr_colour_names[f->colour], fr_class_names[f->class],
                   (double)(f->box.x0 + f->box.x1) / 2, (double)(f->box.y0 + f->box.y1) / 2,
                   (double)f->iou, (double)f->margin);
        }
        if (!a->prompt) continue;
        fr_verdict v = fr_judge_prompt(&p, &s);
        printf("  \"%s\": %s%s%s\n", a->prompt,
               v.strict    ? "yes"
               : v.correct ? "yes, but not strictly"
                           : "no",
               v.reason[0] ? ": " : "", v.reason);
    }
    return FR_OK;
}

/* ---- check: the judge on clean scenes, and how long things take ---- */

typedef struct check_run {
    const ask *a;
    int wrong, not_strict;
    double draw, judge; /* seconds */
    double margin;
} check_run;

static void check_one(check_run *r, uint64_t i) {
    static float pixels[128 * 128 * 3];
    int size = (int)r->a->size;
    fr_scene s;
    fr_sight sight;
    double t0 = fr_now();
    fr_scene_make((uint64_t)r->a->seed, i, size, (int)r->a->tag, FR_SPLIT_ALL, &s);
    fr_scene_draw(&s, pixels);
    double t1 = fr_now();
    fr_judge_look(pixels, size, &sight);
    fr_verdict v = fr_judge_prompt(&s.prompt, &sight);
    r->judge += fr_now() - t1, r->draw += t1 - t0;
    r->wrong += !v.correct, r->not_strict += !v.strict;
    for (int j = 0; j < sight.objects; j++)
        r->margin = fmin(r->margin, (double)sight.object[j].margin);
}

static fr_status check(const ask *a, int count, char **words) {
    if (count)
        return fr_fail(FR_INVALID, "What is \"%s\"? The check takes only options.", words[0]);
    check_run r = {.a = a, .margin = 1};
    fr_progress p = fr_progress_start("judging clean scenes", a->count, "scenes");
    fr_status st = FR_OK;
    for (double i = 0; i < a->count && !st; i++) {
        check_one(&r, (uint64_t)i);
        if ((uint64_t)i % 1000 == 0) {
            fr_progress_update(&p, i);
            st = fr_interrupt_check();
        }
    }
    fr_progress_end(&p);
    if (st) return st;
    printf("%.0f of %.0f right, %.0f strictly, smallest margin %.3f\n", a->count - r.wrong,
           a->count, a->count - r.not_strict, r.margin);
    printf("a scene of %.0f pixels is drawn in %.1f us and judged in %.1f us, one thread\n",
           a->size, 1e6 * r.draw / a->count, 1e6 * r.judge / a->count);
    return r.wrong ? fr_fail(FR_INVALID, "The judge was wrong %d times.", r.wrong) : FR_OK;
}

/* ---- the command ---- */

static const struct action {
    const char *name;
    fr_status (*run)(const ask *a, int count, char **words);
    double count;
} actions[] = {{"draw", draw, 24}, {"judge", judge, 1}, {"check", check, 100000}};

static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                        {"prompt", required_argument, NULL, 'p'},
                                        {"count", required_argument, NULL, 'n'},
                                        {"size", required_argument, NULL, 'z'},
                                        {"seed", required_argument, NULL, 's'},
                                        {"task", required_argument, NULL, 't'},
                                        {NULL, 0, NULL, 0}};

static bool read_task(const char *word, double *tag) {
    for (int t = 0; t < FR_ALL_TAGS; t++)
        if (!strcmp(word, fr_tag_names[t])) *tag = t;
    if (!strcmp(word, "all")) *tag = FR_ALL_TAGS;
    return *tag >= 0;
}

static int run(int argc, char **argv) {
    ask a = {.out = "world.png", .size = 64, .seed = 1, .tag = -1};
    const struct action *action = NULL;
    for (size_t i = 0; argc > 1 && i < FR_COUNT(actions); i++)
        if (!strcmp(argv[1], actions[i].name)) action = &actions[i];
    if (!action)
        return argc < 2 ? fr_cli_usage("world", "what shall it do? There is: draw, judge, check")
                        : fr_cli_usage("world", "there is no \"%s\"; there is: draw, judge, check",
                                       argv[1]);
    a.count = action->count;
    opterr = 0;
    argc--, argv++;
    for (int c; (c = getopt_long(argc, argv, ":o:p:n:z:s:t:", options, NULL)) != -1;) {
        if (c == 'o')
            a.out = optarg;
        else if (c == 'p')
            a.prompt = optarg;
        else if (c == ':')
            return fr_cli_usage("world", "%s wants a value", argv[optind - 1]);
        else if (c == '?')
            return fr_cli_usage("world", "there is no option \"%s\"", argv[optind - 1]);
        else if (c == 'n' &&
                 (!fr_cli_number(optarg, 1, 1e9, &a.count) || a.count != floor(a.count)))
            return fr_cli_usage("world", "\"%s\" is no count from 1 to 10^9", optarg);
        else if (c == 'z' &&
                 (!fr_cli_number(optarg, 64, 128, &a.size) || (a.size != 64 && a.size != 128)))
            return fr_cli_usage("world", "\"%s\" is no size: 64 or 128", optarg);
        else if (c == 's' && (!fr_cli_number(optarg, 0, 1e15, &a.seed) || a.seed != floor(a.seed)))
            return fr_cli_usage("world", "\"%s\" is no seed, which is whole and from 0 to 10^15",
                                optarg);
        else if (c == 't' && !read_task(optarg, &a.tag))
            return fr_cli_usage("world", "\"%s\" is no task; see frugal help world", optarg);
    }
    if (action->run == draw && a.count > 600)
        return fr_cli_usage("world", "a sheet has room for 600 pictures");
    fr_status st = action->run(&a, argc - optind, argv + optind);
    return st ? fr_cli_failed(st) : FR_EXIT_OK;
}

const fr_command fr_command_world = {
    .name = "world",
    .summary = "pictures of shapes with an exact judge: draw, judge, check",
    .help =
        "usage: frugal world draw [PROMPT] [options]\n"
        "       frugal world judge PICTURE... [-p PROMPT]\n"
        "       frugal world check [options]\n\n"
        "A small world for measuring picture models with nothing downloaded: eight kinds of shapes "
        "in\n"
        "eight colours on grey, the six tasks of GenEval, and a judge that reads pixels alone.\n\n"
        "draw writes a sheet of scenes and prints what each shows; with a PROMPT, such as\n"
        "\"a photo of a red circle left of a blue star\", scenes that show it. judge says what is "
        "in\n"
        "a picture of 64 or 128 pixels, and whether it shows the prompt. check counts how often "
        "the\n"
        "judge is right about clean scenes, and times it.\n\n"
        "  -o, --output FILE  where the sheet goes (world.png)\n"
        "  -p, --prompt TEXT  what the picture should show\n"
        "  -n, --count N      how many scenes (draw: 24, check: 100000)\n"
        "  -z, --size N       64 or 128 pixels (64)\n"
        "  -t, --task NAME    single_object, two_object, counting, colors, position, color_attr;\n"
        "                     three_object, color_position, exactly; all of these (the first six)\n"
        "  -s, --seed N       other scenes (1)\n",
    .run = run,
};
