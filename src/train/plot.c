/* plot.c */
#include "train/metrics.h"
fr_status fr_metrics_plot(const char *metrics_path, const char *title, const char *svg_path) {
    (void)metrics_path, (void)title, (void)svg_path;
    return fr_fail(FR_UNSUPPORTED, "no plot yet");
}
