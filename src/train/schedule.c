/* schedule.c: the learning rate of a step: a linear rise, then constant, a line or half a cosine
 * down to the final rate. */
#include <math.h>

#include "train/train.h"

float fr_learning_rate(const fr_train_opts *o, int64_t step) {
    if (step < o->warmup) return o->lr * (float)((double)(step + 1) / (double)o->warmup);
    if (o->schedule == FR_SCHEDULE_CONSTANT) return o->lr;
    if (step >= o->steps) return o->final_lr;
    double t = (double)(step - o->warmup) / (double)(o->steps - o->warmup);
    double left =
        o->schedule == FR_SCHEDULE_LINEAR ? 1 - t : 0.5 * (1 + cos(3.14159265358979323846 * t));
    return (float)(o->final_lr + ((double)o->lr - o->final_lr) * left);
}
