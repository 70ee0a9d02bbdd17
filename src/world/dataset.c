/* dataset.c: a data set goes to disk some hundred scenes at a time. A scene is one item of work with a place of its
 * own in the buffers. The three tensors lie one behind the other in their file, so the scenes are made once for
 * each; what costs time is drawing, and that happens once. */
#include "world/dataset.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tensor/tensor.h"
#include "world/caption.h"
#include "world/folder.h"
#include "world/metadata.h"

enum { ROUND = 256, PICTURE_MOST = 128 * 128 * 3 };

typedef struct job {
    const fr_dataset *d;
    const char *dir;
    int64_t first;   /* scene of this round */
    uint8_t *images; /* of a round */
    char (*line)[FR_METADATA_TEXT];
    int32_t tokens[ROUND][FR_CAPTIONS][FR_CAPTION_TOKENS];
    float scores[ROUND][FR_CAPTIONS];
} job;

static size_t picture_bytes(const job *j) {
    return (size_t)j->d->size * (size_t)j->d->size * 3;
}

static void scene_of(const job *j, size_t i, fr_scene *s) {
    fr_scene_make(j->d->seed, (uint64_t)j->first + i, j->d->size, j->d->tag, j->d->split, s);
}

/* ---- one scene ---- */

static fr_status draw(void *arg, size_t i) {
    static _Thread_local float pixels[PICTURE_MOST];
    job *j = arg;
    fr_scene s;
    uint8_t *to = j->images + i * picture_bytes(j);
    scene_of(j, i, &s);
    fr_scene_metadata(&s, j->d->seed, (uint64_t)j->first + i, j->line[i]);
    fr_scene_draw(&s, pixels);
    for (size_t p = 0; p < picture_bytes(j); p++) to[p] = (uint8_t)lroundf(255 * pixels[p]);
    if (!j->d->png) return FR_OK;
    fr_image im = {j->d->size, j->d->size, 3, to};
    char *path = fr_format("%s/pictures/%08lld.png", j->dir, (long long)j->first + (long long)i);
    fr_status st = path ? fr_image_write_png(path, &im) : FR_NOMEM;
    fr_free(path);
    return st;
}

static fr_status caption(void *arg, size_t i) {
    job *j = arg;
    fr_scene s;
    scene_of(j, i, &s);
    for (int v = 0; v < FR_CAPTIONS; v++) {
        char text[FR_CAPTION_TEXT];
        int count;
        fr_scene_caption(&s, j->d->seed, (uint64_t)j->first + i, v, text, &j->scores[i][v]);
        FR_TRY(fr_caption_tokens(text, j->tokens[i][v], &count));
    }
    return FR_OK;
}

/* ---- all of them ---- */

/* What a round leaves behind is written by this. */
typedef fr_status emit_fn(const job *j, size_t count, fr_writer *w);

static fr_status emit_images(const job *j, size_t count, fr_writer *w) {
    return fr_writer_write(w, j->images, count * picture_bytes(j));
}
static fr_status emit_lines(const job *j, size_t count, fr_writer *w) {
    fr_status st = FR_OK;
    for (size_t i = 0; !st && i < count; i++) {
        st = fr_writer_write(w, j->line[i], strlen(j->line[i]));
        if (!st) st = fr_writer_write(w, "\n", 1);
    }
    return st;
}
static fr_status emit_tokens(const job *j, size_t count, fr_writer *w) {
    return fr_writer_write(w, j->tokens, count * sizeof j->tokens[0]);
}
static fr_status emit_scores(const job *j, size_t count, fr_writer *w) {
    return fr_writer_write(w, j->scores, count * sizeof j->scores[0]);
}

typedef struct sink {
    emit_fn *emit;
    fr_writer *writer; /* NULL: nobody wants it */
} sink;

static fr_status pass(job *j, fr_pool *pool, const char *what, fr_item_fn *fn, const sink *sinks,
                      size_t sink_count) {
    int64_t total = j->d->count;
    fr_progress bar = fr_progress_start(what, (double)total, "scenes");
    fr_status st = FR_OK;
    for (j->first = 0; !st && j->first < total; j->first += ROUND) {
        size_t n = (size_t)FR_MIN((int64_t)ROUND, total - j->first);
        st = fr_items_run(pool, n, fn, j);
        for (size_t k = 0; !st && k < sink_count; k++)
            if (sinks[k].writer) st = sinks[k].emit(j, n, sinks[k].writer);
        fr_progress_update(&bar, (double)j->first + (double)n);
        if (!st) st = fr_interrupt_check();
    }
    fr_progress_end(&bar);
    return st;
}

static fr_status write_header(const fr_dataset *d, fr_writer *w) {
    char text[1024];
    long long n = d->count, images = n * d->size * d->size * 3,
              tokens = images + n * FR_CAPTIONS * FR_CAPTION_TOKENS * 4,
              scores = tokens + n * FR_CAPTIONS * 4;
    int at =
        snprintf(text, sizeof text,
                 "{\"__metadata__\":{\"seed\":\"%llu\"},\"images\":{\"dtype\":\"U8\",\"shape\":"
                 "[%lld,%d,%d,3],\"data_offsets\":[0,%lld]},\"tokens\":{\"dtype\":\"I32\","
                 "\"shape\":[%lld,%d,%d],\"data_offsets\":[%lld,%lld]},\"scores\":{\"dtype\":"
                 "\"F32\",\"shape\":[%lld,%d],\"data_offsets\":[%lld,%lld]}}",
                 (unsigned long long)d->seed, n, d->size, d->size, images, n, FR_CAPTIONS,
                 FR_CAPTION_TOKENS, images, tokens, n, FR_CAPTIONS, tokens, scores);
    while ((at + 8) % FR_ALIGN) text[at++] = ' ';
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)at >> 8 * i);
    FR_TRY(fr_writer_write(w, length, sizeof length));
    return fr_writer_write(w, text, (size_t)at);
}

static fr_status write_passes(job *j, fr_pool *pool, fr_writer *lines, fr_writer *pictures) {
    const sink first[] = {{emit_images, pictures}, {emit_lines, lines}};
    const sink second[] = {{emit_tokens, pictures}}, third[] = {{emit_scores, pictures}};
    if (pictures) FR_TRY(write_header(j->d, pictures));
    FR_TRY(pass(j, pool, "drawing", draw, first, FR_COUNT(first)));
    if (!pictures) return FR_OK;
    FR_TRY(pass(j, pool, "captions", caption, second, 1));
    return pass(j, pool, "scores", caption, third, 1);
}

static fr_status open_in(const char *dir, const char *name, fr_writer **out) {
    char *path = fr_path_join(dir, name);
    fr_status st = path ? fr_writer_open(path, out) : FR_NOMEM;
    fr_free(path);
    return st;
}

static fr_status make_png_folder(const char *dir) {
    char *path = fr_path_join(dir, "pictures");
    fr_status st = path ? fr_make_dirs(path) : FR_NOMEM;
    fr_free(path);
    return st;
}

static fr_status write_all(job *j, fr_pool *pool) {
    fr_writer *lines = NULL, *pictures = NULL;
    fr_status st = open_in(j->dir, "scenes.jsonl", &lines);
    if (!st)
        st = j->d->png ? make_png_folder(j->dir)
                       : open_in(j->dir, "pictures.safetensors", &pictures);
    if (!st) st = write_passes(j, pool, lines, pictures);
    if (!st && pictures) st = fr_writer_commit(pictures), pictures = NULL;
    if (!st) st = fr_writer_commit(lines), lines = NULL;
    fr_writer_close(pictures);
    fr_writer_close(lines);
    return st;
}

fr_status fr_dataset_write(const char *dir, const fr_dataset *d, fr_pool *pool) {
    char *temp;
    FR_TRY(fr_folder_new(dir, &temp));
    job *j = fr_alloc(FR_MEM_OTHER, sizeof *j);
    fr_status st = j ? FR_OK : FR_NOMEM;
    if (j) {
        j->d = d, j->dir = temp;
        j->images = fr_alloc_array(FR_MEM_IMAGE, ROUND, picture_bytes(j));
        j->line = fr_alloc_array(FR_MEM_OTHER, ROUND, sizeof *j->line);
        st = j->images && j->line ? write_all(j, pool) : FR_NOMEM;
        fr_free(j->images);
        fr_free(j->line);
        fr_free(j);
    }
    if (!st) return fr_folder_commit(dir, temp);
    fr_folder_drop(temp);
    return st;
}
