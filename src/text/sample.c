/* sample.c: see sample.h. */
#include "text/sample.h"

#include <float.h>
#include <math.h>

#include "base/base.h"

static fr_status share(const char *name, float v) {
    if (v >= 0 && v <= 1) return FR_OK;
    return fr_fail(FR_INVALID, "%s must be 0 .. 1, not %g.", name, (double)v);
}

static fr_status number(const char *name, float v, float low) {
    if (v >= low && isfinite(v)) return FR_OK;
    if (low < 0) return fr_fail(FR_INVALID, "%s must be a number, not %g.", name, (double)v);
    return fr_fail(FR_INVALID, "%s must be 0 or more, not %g.", name, (double)v);
}

fr_status fr_sampling_check(const fr_sampling *s) {
    FR_TRY(number("The temperature", s->temperature, 0));
    if (s->top_k < 0) return fr_fail(FR_INVALID, "top_k must be 0 or more, not %d.", s->top_k);
    FR_TRY(share("top_p", s->top_p));
    FR_TRY(share("min_p", s->min_p));
    FR_TRY(share("typical_p", s->typical_p));
    FR_TRY(number("The repetition penalty", s->repetition_penalty, 0));
    FR_TRY(number("The presence penalty", s->presence_penalty, -FLT_MAX));
    FR_TRY(number("The frequency penalty", s->frequency_penalty, -FLT_MAX));
    if (s->biases < 0 || (s->biases && !s->bias))
        return fr_fail(FR_INVALID, "There are %d biases, and no list of them.", s->biases);
    for (int32_t i = 0; i < s->biases; i++)
        if (!(s->bias[i].value < INFINITY))
            return fr_fail(FR_INVALID,
                           "The bias of token %d must be a number or minus infinity, "
                           "not %g.",
                           s->bias[i].token, (double)s->bias[i].value);
    return FR_OK;
}
