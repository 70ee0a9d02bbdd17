/* error.c: how far a decoded matrix is from the one it was made of. Sums are taken in doubles, in order. */
#include <math.h>

#include "format/format.h"

fr_error_stats fr_error_of(const float *x, const float *y, size_t n) {
    fr_error_stats e = {0};
    double xx = 0, yy = 0, xy = 0, dd = 0, da = 0;
    for (size_t i = 0; i < n; i++) {
        double a = (double)x[i], b = (double)y[i], d = a - b;
        xx += a * a;
        yy += b * b;
        xy += a * b;
        dd += d * d;
        da += fabs(d);
        if (!(fabs(d) <= e.max)) e.max = fabs(d); /* a NaN shows */
    }
    double count = n ? (double)n : 1;
    e.mse = dd / count;
    e.mae = da / count;
    /* No error at all is infinite, also of nothing but zeros; errors on zeros are minus infinity. */
    e.sqnr = dd == 0 ? HUGE_VAL : 10 * log10(xx / dd);
    e.cosine = xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : xx == yy ? 1 : 0;
    return e;
}
