/* schedule.c: the learning rate of a step: a linear rise, then constant, a line or half a cosine
 * down to the final rate. */
#include <math.h>

#include "train/trainer.h"

float fr_learning_rate(const fr_train_opts *o, int64_t step) {
    if (step < o->warmup) return o->lr * (float)((double)(step + 1) / (double)o->warmup);
    if (o->schedule == FR_SCHEDULE_CONSTANT) return o->lr;
    if (step >= o->steps) return o->final_lr;
    double t = (double)(step - o->warmup) / (double)(o->steps - o->warmup);
    double left =
        o->schedule == FR_SCHEDULE_LINEAR ? 1 - t : 0.5 * (1 + cos(3.14159265358979323846 * t));
    return (float)(o->final_lr + ((double)o->lr - o->final_lr) * left);
}

fr_status fr_schedule_check(const fr_train_opts *o) {
    if (!(o->lr > 0) || !isfinite(o->lr))
        return fr_fail(FR_INVALID, "the learning rate is %g; it must be above 0", (double)o->lr);
    if (!(o->final_lr >= 0) || !isfinite(o->final_lr))
        return fr_fail(FR_INVALID, "the final learning rate is %g; it must not be negative",
                       (double)o->final_lr);
    if (o->schedule < FR_SCHEDULE_CONSTANT || o->schedule > FR_SCHEDULE_COSINE)
        return fr_fail(FR_INVALID, "there is no schedule %d", (int)o->schedule);
    if (o->warmup < 0)
        return fr_fail(FR_INVALID, "a warm-up of %lld steps makes no sense", (long long)o->warmup);
    if (o->schedule == FR_SCHEDULE_CONSTANT) return FR_OK;
    if (o->steps < 1)
        return fr_fail(FR_INVALID, "a learning rate that falls needs the number of steps");
    if (o->steps < o->warmup)
        return fr_fail(FR_INVALID, "a warm-up of %lld steps does not fit into %lld steps",
                       (long long)o->warmup, (long long)o->steps);
    return FR_OK;
}
