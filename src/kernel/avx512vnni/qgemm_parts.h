/* qgemm_parts.h: a tile of up to 12 rows as one or two parts of up to 6, whose sums stay in registers.
 *
 * Both parts read the same weights: in chunks of groups, so that the second finds them in the second cache. */
#ifndef FR_KERNEL_QGEMM_PARTS_H
#define FR_KERNEL_QGEMM_PARTS_H

#include "kernel/kernel.h"

enum { QGEMM_PART = 6 };

/* `rows` rows of the tile from `row`, groups g0 .. g0 + groups - 1; add: to the sums that are there. */
typedef void qgemm_part_fn(int rows, const fr_qtile *t, int row, int64_t g0, int64_t groups,
                           bool add);

static inline __attribute__((always_inline)) void qgemm_parts(const fr_qtile *t, int64_t chunk,
                                                              qgemm_part_fn *part) {
    int first = t->rows <= QGEMM_PART ? t->rows : (t->rows + 1) / 2;
    if (t->rows <= QGEMM_PART) chunk = t->groups;
    for (int64_t g = 0; g < t->groups; g += chunk) {
        int64_t groups = t->groups - g < chunk ? t->groups - g : chunk;
        part(first, t, 0, t->g0 + g, groups, t->add || g);
        if (first < t->rows) part(t->rows - first, t, first, t->g0 + g, groups, t->add || g);
    }
}

#endif
