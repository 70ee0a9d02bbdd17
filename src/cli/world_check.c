/* world_check.c: `frugal world check`: the judge on clean scenes, and how long things take. */
#include <math.h>
#include <stdio.h>

#include "cli/world.h"

typedef struct check_run {
    const world_ask *a;
    int tag;
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
    fr_scene_make((uint64_t)r->a->seed, i, size, r->tag, FR_SPLIT_ALL, &s);
    fr_scene_draw(&s, pixels);
    double t1 = fr_now();
    fr_judge_look(pixels, size, &sight);
    fr_verdict v = fr_judge_prompt(&s.prompt, &sight);
    r->judge += fr_now() - t1, r->draw += t1 - t0;
    r->wrong += !v.correct, r->not_strict += !v.strict;
    for (int j = 0; j < sight.objects; j++)
        r->margin = fmin(r->margin, (double)sight.object[j].margin);
}

fr_status world_check(const world_ask *a) {
    check_run r = {.a = a, .margin = 1};
    FR_TRY(world_no_words(a));
    FR_TRY(world_tag(a, &r.tag));
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
