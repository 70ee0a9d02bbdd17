/* world_judge.c: `frugal world judge` and `frugal world compare`: single pictures, a whole suite, and two suites
 * side by side. */
#include <stdio.h>

#include "cli/world.h"

static fr_status judge_suite(const char *dir) {
    fr_pool *pool;
    fr_suite_seen seen;
    fr_report report = fr_report_new("pictures", fr_tag_names, FR_ALL_TAGS, true);
    FR_TRY(fr_cli_pool(&pool));
    FR_TRY(fr_suite_judge(dir, pool, &report, &seen));
    fr_report_print(&report, stdout, fr_is_terminal(stdout));
    if (seen.without) printf("\n%d of %d prompts have no picture\n", seen.without, seen.prompts);
    if (seen.unreadable)
        printf("\n%lld of %lld pictures could not be read, and count as wrong\n",
               (long long)seen.unreadable, (long long)seen.pictures);
    printf("\nevery picture: %s/results.jsonl\n", dir);
    return FR_OK;
}

static void print_verdict(const char *prompt, const fr_verdict *v) {
    const char *answer = v->strict ? "yes" : v->correct ? "yes, but not strictly" : "no";
    printf("  \"%s\": %s%s%s\n", prompt, answer, v->reason[0] ? ": " : "", v->reason);
}

static fr_status judge_picture(const char *path, const char *prompt, const fr_prompt *p) {
    fr_sight s;
    FR_TRY(fr_judge_file(path, &s));
    printf("%s: %d thing%s\n", path, s.parts, s.parts == 1 ? "" : "s");
    for (int j = 0; j < s.objects; j++) {
        const fr_found *f = &s.object[j];
        printf("  %s %s at (%.1f, %.1f), IoU %.3f, %.3f above the next class\n",
               fr_colour_names[f->colour], fr_class_names[f->class],
               (double)(f->box.x0 + f->box.x1) / 2, (double)(f->box.y0 + f->box.y1) / 2,
               (double)f->iou, (double)f->margin);
    }
    if (!prompt) return FR_OK;
    fr_verdict v = fr_judge_prompt(p, &s);
    print_verdict(prompt, &v);
    return FR_OK;
}

fr_status world_judge(const world_ask *a) {
    fr_prompt p;
    if (!a->words)
        return fr_fail(FR_INVALID, "Which picture? Try: frugal world draw -n 1 -o one.png");
    if (a->prompt) FR_TRY(fr_prompt_parse(a->prompt, &p));
    for (int i = 0; i < a->words; i++) {
        bool folder = fr_path_is_dir(a->word[i]);
        if (folder && a->prompt)
            return fr_fail(FR_INVALID, "%s is a folder, which brings its own prompts.", a->word[i]);
        FR_TRY(folder ? judge_suite(a->word[i]) : judge_picture(a->word[i], a->prompt, &p));
    }
    return FR_OK;
}

fr_status world_compare(const world_ask *a) {
    fr_comparison c;
    if (a->words != 2)
        return fr_fail(FR_INVALID,
                       "Two results are compared, such as those of two folders that "
                       "frugal world judge has seen; %d were named.",
                       a->words);
    FR_TRY(fr_results_compare(a->word[0], a->word[1], &c));
    printf("A: %s\nB: %s\n\n", a->word[0], a->word[1]);
    fr_comparison_print(&c, stdout);
    return FR_OK;
}
