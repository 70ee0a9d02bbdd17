/* suite_judge.c: from a folder of pictures to a report. Folders are judged some at a time by all threads and
 * then told about in their order. */
#include <stdio.h>
#include <string.h>

#include "tensor/tensor.h"
#include "world/folder.h"
#include "world/metadata.h"
#include "world/suite.h"

enum { ROUND = 32 };
#define LINE_MOST ((size_t)1 << 20) /* of a metadata.jsonl */

fr_status fr_judge_file(const char *path, fr_sight *out) {
    static _Thread_local float pixels[128 * 128 * 3];
    fr_image im;
    FR_TRY(fr_image_read(path, 3, &im));
    fr_status st = FR_OK;
    if (im.width != im.height || (im.width != 64 && im.width != 128)) {
        st = fr_fail(FR_INVALID,
                     "%s is %d x %d pixels; pictures of the world are 64 x 64 or 128 x 128.", path,
                     im.width, im.height);
    } else {
        fr_image_to_f32(&im, 1.0f / 255, 0, pixels);
        fr_judge_look(pixels, im.width, out);
    }
    fr_image_free(&im);
    return st;
}

/* ---- one folder ---- */

typedef struct judged {
    char *file; /* "00000/samples/0000.png" */
    fr_sight sight;
    fr_verdict verdict;
} judged;

typedef struct folder {
    const char *name;
    fr_prompt prompt;
    char text[FR_CAPTION_TEXT];
    judged *picture;
    size_t pictures, cap;
} folder;

typedef struct job {
    const char *dir;
    folder slot[ROUND];
} job;

static bool is_picture(const char *name) {
    return fr_path_has_suffix(name, ".png") || fr_path_has_suffix(name, ".jpg") ||
           fr_path_has_suffix(name, ".jpeg");
}

/* What was said of a file, without its name, and with nothing that JSON cannot hold. */
static fr_verdict unreadable(const char *path) {
    fr_verdict v = {.wrong = FR_WRONG_FILE};
    const char *why = fr_message();
    if (!strncmp(why, path, strlen(path))) why += strlen(path);
    const char *who = *why == ' ' ? "it" : "";
    if (*why == ':') why += strspn(why, ": ");
    snprintf(v.reason, sizeof v.reason, "%s%s", who, *why ? why : "it cannot be read");
    for (char *c = v.reason; *c; c++)
        if ((unsigned char)*c >= 0x80) *c = '?';
    fr_message_clear();
    return v;
}

/* A model that wrote no picture has not drawn what was asked; that is no reason to stop. */
static fr_status judge_picture(const job *j, folder *f, const char *name) {
    FR_TRY(fr_grow((void **)&f->picture, &f->cap, f->pictures + 1, sizeof *f->picture));
    judged *p = &f->picture[f->pictures];
    *p = (judged){0};
    p->file = fr_format("%s/samples/%s", f->name, name);
    if (!p->file) return FR_NOMEM;
    f->pictures++;
    char *path = fr_path_join(j->dir, p->file);
    fr_status st = path ? fr_judge_file(path, &p->sight) : FR_NOMEM;
    bool stop = st == FR_NOMEM || st == FR_INTERRUPTED;
    if (!st)
        p->verdict = fr_judge_prompt(&f->prompt, &p->sight);
    else if (!stop)
        p->verdict = unreadable(path);
    fr_free(path);
    return stop ? st : FR_OK;
}

static fr_status judge_samples(const job *j, folder *f, const char *samples) {
    char **names;
    size_t count;
    if (!fr_path_is_dir(samples)) return FR_OK;
    FR_TRY(fr_list_dir(samples, &names, &count));
    fr_status st = FR_OK;
    for (size_t i = 0; !st && i < count; i++)
        if (is_picture(names[i])) st = judge_picture(j, f, names[i]);
    fr_list_free(names, count);
    return st;
}

static fr_status read_prompt(folder *f, const char *path) {
    char *line;
    size_t bytes;
    FR_TRY(fr_read_file(path, LINE_MOST, &line, &bytes));
    fr_status st = fr_prompt_from_metadata(line, bytes, path, &f->prompt, f->text);
    fr_free(line);
    return st;
}

static fr_status judge_folder(void *arg, size_t i) {
    job *j = arg;
    folder *f = &j->slot[i];
    char *prompt = fr_format("%s/%s/metadata.jsonl", j->dir, f->name);
    char *samples = fr_format("%s/%s/samples", j->dir, f->name);
    fr_status st = prompt && samples ? read_prompt(f, prompt) : FR_NOMEM;
    if (!st) st = judge_samples(j, f, samples);
    fr_free(prompt);
    fr_free(samples);
    return st;
}

/* ---- results ---- */

static json_t *details_of(const fr_sight *s) {
    json_t *list = json_array();
    for (int i = 0; i < s->objects; i++) {
        const fr_found *f = &s->object[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:[f,f,f,f], s:f, s:f}", "class", fr_class_names[f->class],
                            "color", fr_colour_names[f->colour], "box", (double)f->box.x0,
                            (double)f->box.y0, (double)f->box.x1, (double)f->box.y1, "iou",
                            (double)f->iou, "margin", (double)f->margin));
    }
    return list;
}

/* File names come from outside: json_pack gives nothing for one that is no UTF-8. */
static fr_status write_result(fr_writer *w, const folder *f, const judged *p) {
    const fr_verdict *v = &p->verdict;
    json_t *j =
        json_pack("{s:s, s:s, s:s, s:b, s:b, s:s, s:o}", "filename", p->file, "tag",
                  fr_tag_names[f->prompt.tag], "prompt", f->text, "correct", v->correct, "strict",
                  v->strict, "reason", v->reason, "details", details_of(&p->sight));
    char *line = j ? json_dumps(j, JSON_REAL_PRECISION(6)) : NULL;
    fr_status st = line
                       ? fr_writer_write(w, line, strlen(line))
                       : fr_fail(FR_INVALID,
                                 "%s cannot be told about in JSON: its name is no UTF-8.", p->file);
    if (!st) st = fr_writer_write(w, "\n", 1);
    if (line) free(line);
    json_decref(j);
    return st;
}

static fr_status tell(const folder *f, fr_writer *w, fr_report *report, fr_suite_seen *seen) {
    seen->prompts++;
    seen->without += !f->pictures;
    for (size_t i = 0; i < f->pictures; i++) {
        const fr_verdict *v = &f->picture[i].verdict;
        FR_TRY(write_result(w, f, &f->picture[i]));
        fr_report_add(report, (int)f->prompt.tag, v->correct, v->strict, fr_wrong_names[v->wrong],
                      v->reason);
        seen->pictures++;
        seen->unreadable += v->wrong == FR_WRONG_FILE;
    }
    return FR_OK;
}

static void empty_slots(job *j) {
    for (int i = 0; i < ROUND; i++) {
        folder *f = &j->slot[i];
        for (size_t k = 0; k < f->pictures; k++) fr_free(f->picture[k].file);
        fr_free(f->picture);
        *f = (folder){0};
    }
}

static fr_status judge_folders(job *j, char **names, size_t count, fr_pool *pool, fr_writer *w,
                               fr_report *report, fr_suite_seen *seen) {
    fr_progress bar = fr_progress_start("judging", (double)count, "prompts");
    fr_status st = FR_OK;
    for (size_t first = 0; !st && first < count; first += ROUND) {
        size_t n = FR_MIN((size_t)ROUND, count - first);
        for (size_t i = 0; i < n; i++) j->slot[i].name = names[first + i];
        st = fr_items_run(pool, n, judge_folder, j);
        for (size_t i = 0; !st && i < n; i++) st = tell(&j->slot[i], w, report, seen);
        empty_slots(j);
        fr_progress_update(&bar, (double)(first + n));
        if (!st) st = fr_interrupt_check();
    }
    fr_progress_end(&bar);
    if (!st && !seen->pictures)
        st = fr_fail(FR_INVALID,
                     "The %d prompts of %s have no pictures yet; they belong in its folders "
                     "NUMBER/samples.",
                     seen->prompts, j->dir);
    return st;
}

/* Only folders with a prompt stay in the list. */
static size_t keep_prompts(const char *dir, char **names, size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        char *path = fr_format("%s/%s/metadata.jsonl", dir, names[i]);
        bool there = path && fr_path_exists(path);
        fr_free(path);
        char *name = names[i];
        if (!there) continue;
        names[i] = names[kept], names[kept++] = name;
    }
    return kept;
}

fr_status fr_suite_judge(const char *dir, fr_pool *pool, fr_report *report, fr_suite_seen *seen) {
    char **names;
    size_t count;
    *seen = (fr_suite_seen){0};
    FR_TRY(fr_list_dir(dir, &names, &count));
    size_t kept = keep_prompts(dir, names, count);
    char *path = fr_path_join(dir, "results.jsonl");
    job *j = fr_alloc(FR_MEM_OTHER, sizeof *j);
    fr_writer *w = NULL;
    fr_status st = path && j ? FR_OK : FR_NOMEM;
    if (!st && !kept)
        st = fr_fail(FR_INVALID,
                     "%s holds no prompts: folders 00000, 00001 ... with a metadata.jsonl, as "
                     "frugal world suite makes them.",
                     dir);
    if (!st) st = fr_writer_open(path, &w);
    if (!st) {
        j->dir = dir;
        st = judge_folders(j, names, kept, pool, w, report, seen);
    }
    if (!st)
        st = fr_writer_commit(w);
    else
        fr_writer_close(w);
    fr_free(j);
    fr_free(path);
    fr_list_free(names, count);
    return st;
}
