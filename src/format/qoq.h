/* qoq.h: the second level of QoQ's groups: whole numbers around v = w / s1, which lies in [-P, P]. */
#ifndef FR_FORMAT_QOQ_H
#define FR_FORMAT_QOQ_H

#include "format/format.h"

/* The largest bounds for which no group decodes to anything outside [-127, 127], whatever its smallest
 * and largest value; a test tries all of them. */
enum { FR_QOQ_BOUND = 120, FR_QOQ_BOUND_PRE = 119 };

/* v^ = code * scale - zero, or (code - zero) * scale when `pre`. */
typedef struct fr_qoq_group {
    bool pre;
    int scale, zero;
} fr_qoq_group;

fr_qoq_group fr_qoq_choose(bool pre, float vmin, float vmax);
int fr_qoq_code(fr_qoq_group g, float v); /* 0 .. 15 */
static inline int fr_qoq_value(fr_qoq_group g, int code) {
    return g.pre ? (code - g.zero) * g.scale : code * g.scale - g.zero;
}

#endif
