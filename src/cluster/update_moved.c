/* update_moved.c: sums that follow the points that changed their cluster (update.h). Whoever labels a block notes which
 * these are and copies them, for then they are in his cache. Behind a wave whoever has a part of the clusters goes
 * through the notes, takes rows off his sums and adds them to his sums, in the order of the rows. */
#include "cluster/update_parts.h"

#include "kernel/kernel.h"

#include <string.h>

#define WAVE_ROWS ((int64_t)1 << 17)
/* Of copies, which are of the first rows of a block that moved, one in so many at most: of others the points themselves
 * are read. */
#define COPY_BYTES ((int64_t)4 << 20)
#define COPY_SHARE 8
/* Clusters that go to one part together: their sizes, and short sums, share lines of the cache. */
#define TOGETHER   8
#define PARTS_MOST 256
/* Where an eighth of the points, or of what they are, is left, the errors of what left are eight times their share. */
#define SMALLER 64

enum { LISTED = 512, AHEAD = 16 };

fr_status fr_moved_new(fr_adder *a, int64_t memory) {
    const int64_t most = FR_MIN(COPY_BYTES, memory / 16) / (4 * a->width);
    const int64_t rows = FR_MIN(FR_MIN(WAVE_ROWS, COPY_SHARE * most), a->p->rows);
    a->moved_wave = fr_whole_blocks(FR_MAX_OF(1, rows));
    a->parts = FR_MIN(FR_MIN(a->threads, (a->k - 1) / TOGETHER + 1), PARTS_MOST);
    const size_t wave = (size_t)a->moved_wave, blocks = wave / FR_POINTS_BLOCK + 1;
    a->copies = FR_MIN(FR_POINTS_BLOCK / COPY_SHARE, most / (int64_t)blocks);
    const size_t copies = FR_MAX_OF(1, blocks * (size_t)a->copies), k = (size_t)a->k;
    a->moves = fr_alloc_array(FR_MEM_OTHER, wave, sizeof *a->moves);
    a->noted = fr_alloc_array(FR_MEM_OTHER, blocks, sizeof *a->noted);
    a->copy = fr_alloc_array(FR_MEM_OTHER, copies, (size_t)a->width * sizeof *a->copy);
    a->copy_weight = fr_alloc_array(FR_MEM_OTHER, copies, sizeof *a->copy_weight);
    a->row = fr_alloc_array(FR_MEM_OTHER, (size_t)a->threads, (size_t)a->width * sizeof *a->row);
    a->owner = fr_alloc_array(FR_MEM_OTHER, k, sizeof *a->owner);
    a->squares = fr_alloc_array(FR_MEM_OTHER, k, sizeof *a->squares);
    a->base = fr_alloc_array(FR_MEM_OTHER, k, sizeof *a->base);
    if (!a->moves || !a->noted || !a->copy || !a->copy_weight || !a->row) return FR_NOMEM;
    if (!a->owner || !a->squares || !a->base) return FR_NOMEM;
    for (int64_t j = 0; j < a->k; j++) a->owner[j] = (uint8_t)(j / TOGETHER % a->parts);
    return FR_OK;
}

/* ---- a block ---- */

void fr_adder_note(fr_adder *a, int64_t first, int64_t count, const float *rows,
                   const int32_t *before, const int32_t *label) {
    const int64_t block = first / FR_POINTS_BLOCK - a->first / FR_POINTS_BLOCK, width = a->width;
    const int64_t at = block * a->copies;
    fr_move *to = a->moves + (first - a->first);
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        to[n].row = (int32_t)i; /* what did not move is written over */
        to[n].from = before[i];
        n += label[i] != before[i];
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t r = to[i].row;
        to[i].row += (int32_t)(first - a->first);
        to[i].square = fr_kernel()->cluster.square(rows + r * width, (size_t)width);
        if (i >= a->copies) continue;
        memcpy(a->copy + (at + i) * width, rows + r * width, (size_t)width * sizeof *rows);
        a->copy_weight[at + i] = a->p->weights ? a->p->weights[first + r] : 1;
    }
    a->noted[block] = (int32_t)n;
}

/* ---- a wave ---- */

/* Copies of a part, ~copy where it is taken off, and their clusters. */
typedef struct list {
    size_t count;
    int32_t copy[LISTED], label[LISTED];
} list;

/* Of what is listed all but the last `keep`, whose turn is next. */
static void add_list(const fr_adder *a, list *l, size_t keep) {
    const float *w = a->p->weights ? a->copy_weight : NULL;
    const size_t n = l->count - FR_MIN(keep, l->count);
    fr_kernel()->cluster.add_listed(a->copy, l->copy, l->label, w, n, l->count - n,
                                    (size_t)a->width, a->to->sum);
    l->count -= n;
    memmove(l->copy, l->copy + n, l->count * sizeof *l->copy);
    memmove(l->label, l->label + n, l->count * sizeof *l->label);
}

/* copy: where the row was copied to, or less than none. sign: 1 or -1. */
static void add_move(const fr_adder *a, list *l, const fr_move *m, int64_t copy, int32_t label,
                     int sign, float *row) {
    const float *w = a->p->weights ? a->p->weights + a->first + m->row : NULL;
    const double weight = sign * (w ? (double)*w : 1);
    a->to->size[label] += sign;
    a->to->weight[label] += weight;
    a->squares[label] += weight * m->square;
    if (copy >= 0) {
        l->copy[l->count] = (int32_t)(sign < 0 ? ~copy : copy);
        l->label[l->count++] = label;
        if (l->count == LISTED) add_list(a, l, AHEAD);
        return;
    }
    add_list(a, l, 0);
    fr_points_row(a->p, a->first + m->row, row);
    fr_kernel()->cluster.add_listed(row, &(int32_t){sign < 0 ? -1 : 0}, &label, w, 1, 0,
                                    (size_t)a->width, a->to->sum);
}

static void add_part(void *arg, size_t thread, size_t part) {
    const fr_adder *a = arg;
    float *row = a->row + (int64_t)thread * a->width;
    list l = {.count = 0};
    for (int64_t at = a->first, b = 0, end = at + a->rows, n; at < end; at += n, b++) {
        n = FR_MIN(FR_POINTS_BLOCK - at % FR_POINTS_BLOCK, end - at);
        const fr_move *m = a->moves + (at - a->first);
        for (int64_t i = 0; i < a->noted[b]; i++) {
            const int32_t to = a->label[m[i].row], from = m[i].from;
            const int64_t copy = i < a->copies ? b * a->copies + i : -1;
            if (a->owner[to] == part) add_move(a, &l, &m[i], copy, to, 1, row);
            if (a->owner[from] == part) add_move(a, &l, &m[i], copy, from, -1, row);
        }
    }
    add_list(a, &l, 0);
}

void fr_moved_add(fr_adder *a, int64_t end, const int32_t *label, fr_pool *pool) {
    a->rows = end - a->first;
    a->label = label;
    fr_pool_run_thread(pool, (size_t)a->parts, add_part, a);
}

/* ---- whether to go on ---- */

/* By Cauchy's inequality, the square of no less than the sum of |w x|: what the errors of a sum are a part of. */
static double size_of(const fr_adder *a, int64_t j) {
    return a->squares[j] * a->to->weight[j];
}

void fr_moved_base(fr_adder *a) {
    for (int64_t j = 0; j < a->k; j++) a->base[j] = size_of(a, j);
}

bool fr_moved_trusted(fr_adder *a) {
    bool all = true;
    for (int64_t j = 0; j < a->k; j++) {
        if (a->to->size[j]) {
            all &= size_of(a, j) >= a->base[j] / SMALLER;
            a->base[j] = FR_MAX_OF(a->base[j], size_of(a, j));
            continue;
        }
        /* Nothing is left, exactly. */
        memset(a->to->sum + j * a->width, 0, (size_t)a->width * sizeof *a->to->sum);
        a->to->weight[j] = a->squares[j] = a->base[j] = 0;
    }
    return all;
}
