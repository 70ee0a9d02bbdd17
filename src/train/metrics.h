/* metrics.h: how a training went, one JSON object a line, and the curves drawn from it. */
#ifndef FR_TRAIN_METRICS_H
#define FR_TRAIN_METRICS_H

#include <stdio.h>

#include "base/base.h"

typedef struct fr_metrics {
    FILE *file;
    bool begun; /* there are lines of the training already */
    /* What the line of the checkpoint says, at which a training is taken up again: seconds that it had taken, and
     * the losses since the last line of figures. */
    double seconds, loss_sum;
    int64_t loss_count;
    int64_t validated; /* the step of the last validation, and its loss */
    double validation;
} fr_metrics;

/* Opens the file to add to it. What is behind `step`, and a line that was cut off, is taken out first. */
fr_status fr_metrics_open(const char *path, int64_t step, fr_metrics *out);
void fr_metrics_close(fr_metrics *m);
/* A line at once, so that it survives whatever comes. A disk that is full is no reason to stop: it is said once. */
void fr_metrics_write(fr_metrics *m, const char *fmt, ...) FR_PRINTF(2, 3);

/* loss, validation loss and throughput over the steps, as an SVG. */
fr_status fr_metrics_plot(const char *metrics_path, const char *title, const char *svg_path);

#endif
