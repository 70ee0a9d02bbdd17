/* metrics.c: the file of a training's figures. It is added to line by line; when a training is taken up again at
 * an earlier step, what was written behind that step is taken out, so that no step stands there twice. */
#include "train/metrics.h"

#include <stdarg.h>
#include <string.h>

/* Is this the line of a step that counts? Then what it says of a checkpoint is taken. */
static bool read_line(const char *text, size_t bytes, int64_t step, fr_metrics *m) {
    fr_json *line;
    int64_t n = -1;
    if (fr_json_parse(text, bytes, "metrics", &line)) return false;
    fr_status st = fr_json_i64(line, "step", -1, &n);
    bool keep = !st && n >= 0 && n <= step;
    if (keep) {
        st = fr_json_f64(line, "seconds", m->seconds, &m->seconds);
        if (!st) st = fr_json_f64(line, "loss_sum", 0, &m->loss_sum);
        if (!st) st = fr_json_i64(line, "loss_count", 0, &m->loss_count);
        if (!st && fr_json_get(line, "validation_loss")) {
            st = fr_json_f64(line, "validation_loss", 0, &m->validation);
            m->validated = n;
        }
        if (n < step || st) m->loss_sum = 0, m->loss_count = 0;
    }
    fr_json_free(line);
    return keep && !st;
}

/* Keeps the whole lines of steps up to `step`, in place. */
static size_t keep_lines(char *text, int64_t step, fr_metrics *m) {
    size_t kept = 0;
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        size_t bytes = (size_t)(end - at) + 1;
        if (!read_line(at, bytes - 1, step, m)) continue;
        memmove(text + kept, at, bytes);
        kept += bytes;
    }
    fr_message_clear();
    return kept;
}

fr_status fr_metrics_open(const char *path, int64_t step, fr_metrics *out) {
    *out = (fr_metrics){0};
    if (fr_path_exists(path)) {
        char *text;
        size_t bytes;
        FR_TRY(fr_read_file(path, (size_t)1 << 30, &text, &bytes));
        size_t kept = keep_lines(text, step, out);
        out->begun = kept > 0;
        fr_status st = kept != bytes ? fr_write_file(path, text, kept) : FR_OK;
        fr_free(text);
        FR_TRY(st);
    }
    out->file = fopen(path, "ae");
    return out->file ? FR_OK : fr_fail(FR_IO, "%s cannot be written", path);
}

void fr_metrics_close(fr_metrics *m) {
    if (m->file) fclose(m->file);
    m->file = NULL;
}

void fr_metrics_write(fr_metrics *m, const char *fmt, ...) {
    va_list args;
    if (!m->file) return;
    va_start(args, fmt);
    vfprintf(m->file, fmt, args);
    va_end(args);
    if (fputc('\n', m->file) != EOF && !fflush(m->file)) return;
    fr_log(FR_LOG_WARN, "the metrics can no longer be written; the training goes on without them");
    fclose(m->file);
    m->file = NULL;
}
