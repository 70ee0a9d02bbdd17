/* suite_write.c: a suite as folders. A folder is one item of work and writes only what is in it, so the bytes are
 * the same for any number of threads. */
#include <stdio.h>
#include <string.h>

#include "tensor/tensor.h"
#include "world/folder.h"
#include "world/metadata.h"
#include "world/suite.h"

enum { ROUND = 64 }; /* folders between two looks at the clock */

typedef struct job {
    const char *dir;
    const fr_suite *suite;
    const fr_fill *fill;
    int images;
    int first;
} job;

static fr_status write_picture(const job *j, int number, int image, const char *folder) {
    static _Thread_local float pixels[128 * 128 * 3];
    fr_image im;
    int size = j->suite->size;
    FR_TRY(fr_suite_picture(j->suite, j->fill, number, image, pixels));
    FR_TRY(fr_image_from_f32(pixels, size, size, 3, 1.0f / 255, 0, &im));
    char *path = fr_format("%s/samples/%04d.png", folder, image);
    fr_status st = path ? fr_image_write_png(path, &im) : FR_NOMEM;
    fr_free(path);
    fr_image_free(&im);
    return st;
}

static fr_status fill_folder(const job *j, int number, const char *folder) {
    char line[FR_METADATA_TEXT];
    fr_prompt p;
    char *samples = fr_path_join(folder, "samples"), *file = fr_path_join(folder, "metadata.jsonl");
    fr_status st = samples && file ? fr_make_dirs(samples) : FR_NOMEM;
    if (!st) {
        fr_suite_prompt(j->suite, number, &p);
        fr_prompt_metadata(&p, line);
        strcat(line, "\n");
        st = fr_write_file(file, line, strlen(line));
    }
    fr_free(samples);
    fr_free(file);
    for (int i = 0; !st && j->fill->kind && i < j->images; i++)
        st = write_picture(j, number, i, folder);
    return st;
}

static fr_status write_folder(void *arg, size_t i) {
    const job *j = arg;
    int number = j->first + (int)i;
    char *folder = fr_format("%s/%05d", j->dir, number);
    fr_status st = folder ? fill_folder(j, number, folder) : FR_NOMEM;
    fr_free(folder);
    return st;
}

/* All prompts in one file. */
static fr_status write_list(const char *dir, const fr_suite *s) {
    char *path = fr_path_join(dir, "evaluation_metadata.jsonl");
    fr_writer *w;
    fr_status st = path ? fr_writer_open(path, &w) : FR_NOMEM;
    fr_free(path);
    if (st) return st;
    for (int i = 0; !st && i < fr_suite_count(s); i++) {
        char line[FR_METADATA_TEXT];
        fr_prompt p;
        fr_suite_prompt(s, i, &p);
        fr_prompt_metadata(&p, line);
        strcat(line, "\n");
        st = fr_writer_write(w, line, strlen(line));
    }
    if (!st) return fr_writer_commit(w);
    fr_writer_close(w);
    return st;
}

static fr_status write_all(job *j, fr_pool *pool) {
    int count = fr_suite_count(j->suite);
    FR_TRY(write_list(j->dir, j->suite));
    fr_progress bar = fr_progress_start("writing the suite", count, "prompts");
    fr_status st = FR_OK;
    for (j->first = 0; !st && j->first < count; j->first += ROUND) {
        st = fr_items_run(pool, (size_t)FR_MIN((int)ROUND, count - j->first), write_folder, j);
        fr_progress_update(&bar, FR_MIN(j->first + ROUND, count));
        if (!st) st = fr_interrupt_check();
    }
    fr_progress_end(&bar);
    return st;
}

fr_status fr_suite_write(const char *dir, const fr_suite *s, const fr_fill *f, int images,
                         fr_pool *pool) {
    char *temp;
    FR_TRY(fr_folder_new(dir, &temp));
    job j = {.dir = temp, .suite = s, .fill = f, .images = images};
    fr_status st = write_all(&j, pool);
    if (!st) return fr_folder_commit(dir, temp);
    fr_folder_drop(temp);
    return st;
}
