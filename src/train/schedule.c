/* schedule.c: the learning rate of a step: a linear rise, then constant, a line or half a cosine
 * down to the final rate. */
#include <math.h>

#include "train/train.h"

float fr_learning_rate(const fr_train_opts *o, int64_t step) {
    if (step < o->warmup) return o->lr * (float)((double)(step + 1) / (double)o->warmup);
    int64_t span = o->steps - o->warmup;
    if (o->schedule == FR_SCHEDULE_CONSTANT || span <= 0) return o->lr;
    double t = FR_MIN(1.0, (double)(step - o->warmup) / (double)span);
    double left =
        o->schedule == FR_SCHEDULE_LINEAR ? 1 - t : 0.5 * (1 + cos(3.14159265358979323846 * t));
    return (float)(o->final_lr + ((double)o->lr - o->final_lr) * left);
}
