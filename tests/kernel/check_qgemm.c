/* check_qgemm.c: products with weights in few bits against the plain C tile, bit for bit where the meaning
 * is one order of operations (all but those with rows of 16 bits, and FP8). The panels of two tables differ in width: both are
 * filled from the same weights, and compared column by column. */
#include "check.h"

static const char *const kind_names[FR_Q_KINDS] = {
    [FR_Q_W8A8] = "w8a8",   [FR_Q_W4A8] = "w4a8",           [FR_Q_W4A8_G128] = "w4a8_g128",
    [FR_Q_W4A4] = "w4a4",   [FR_Q_NVFP4] = "nvfp4",         [FR_Q_W4A16] = "w4a16",
    [FR_Q_FP8] = "fp8",     [FR_Q_W4A16_OFF] = "w4a16_off", [FR_Q_W6A16] = "w6a16",
    [FR_Q_W8A16] = "w8a16",
};

typedef enum fill { RANDOM, HIGH, LOW, OPPOSED, ZERO_SCALES, EVERY, FILLS } fill;
static const char *const fill_names[] = {"random",  "high",        "low",
                                         "opposed", "zero scales", "every code"};

/* What a product is made of, independent of any layout: FR_Q_MAX_NR columns. */
typedef struct problem {
    fr_qkind kind;
    int64_t k;
    int32_t group;
    bool bf16_scales, e5m2, halves;
    uint8_t *code; /* [FR_Q_MAX_NR][padded] */
    fr_qpanel shape;
    uint8_t *scales, *zeros; /* [groups][FR_Q_MAX_NR], as wide as the kind has them */
    float *column_scale, *column_zero;
    fr_qrow row;
    char *a;
    size_t lda;
} problem;

static unsigned range_of(fr_qkind kind, unsigned *low) {
    *low = kind == FR_Q_W8A8 || kind == FR_Q_W4A4;
    if (kind == FR_Q_W6A16) return 64;
    return kind == FR_Q_W8A8 ? 255 : kind == FR_Q_FP8 || kind == FR_Q_W8A16 ? 256 : *low ? 15 : 16;
}

static uint8_t random_code(const problem *p, fill how, int64_t k) {
    unsigned low, count = range_of(p->kind, &low);
    if (p->kind == FR_Q_FP8) { /* no NaN, no infinity, nothing too large to be added up */
        if (p->e5m2) return (uint8_t)(check_random() % 2 * 128 + 40 + check_random() % 40);
        return (uint8_t)(check_random() % 2 * 128 + check_random() % 0x7f);
    }
    if (how == HIGH) return (uint8_t)(p->kind == FR_Q_NVFP4 ? 7 : low + count - 1);
    if (how == LOW) return (uint8_t)(p->kind == FR_Q_NVFP4 ? 15 : low);
    if (how == OPPOSED) return (uint8_t)(k % 2 ? low + count - 1 : low);
    return (uint8_t)(low + check_random() % count);
}

/* EVERY, of FP8: rows with one value that is not 0, each at another k, where the columns have 32 codes; 8 rows
 * see all there are. The rest are denormals. The products are exact. */
static int64_t only_value(int row, int64_t k) {
    return row * 5 % k;
}
static uint8_t every_code(const problem *p, int64_t column, int64_t k) {
    unsigned code = (unsigned)(column + k / 5 * FR_Q_MAX_NR) & 255;
    if (k % 5) return (uint8_t)(check_random() % 2 * 128 + check_random() % (p->e5m2 ? 4 : 8));
    bool finite = p->e5m2 ? (code & 0x7c) != 0x7c : (code & 0x7f) != 0x7f;
    return (uint8_t)(finite ? code : 0);
}

static void make_scales(problem *p, fill how) {
    size_t n = (size_t)p->shape.groups * FR_Q_MAX_NR;
    size_t width = p->shape.scale_bytes / (size_t)p->shape.nr;
    p->scales = check_alloc(n * 4);
    p->zeros = check_alloc(n * 2);
    for (size_t i = 0; i < n; i++) {
        bool none = how == ZERO_SCALES && i % 3 == 0;
        uint32_t r = (uint32_t)check_random();
        float f = none ? 0.0f : check_uniform() + 0.01f;
        uint16_t half = (uint16_t)(none             ? 0
                                   : p->bf16_scales ? 0x3c00 + r % 0x100
                                                    : 0x2000 + r % 0x1c00);
        if (p->kind == FR_Q_FP8)
            memcpy(p->scales + 4 * i, &f, 4);
        else if (p->kind == FR_Q_W4A8_G128)
            p->scales[i] = (uint8_t)(none ? 0 : 1 + r % 16);
        else if (p->kind == FR_Q_NVFP4)
            p->scales[i] = (uint8_t)(none ? 0 : r % 0x7f);
        else if (width == 2)
            memcpy(p->scales + 2 * i, &half, 2);
        if (p->kind == FR_Q_W4A16_OFF ||
            p->kind == FR_Q_W6A16) { /* offset, or scale, of either sign */
            uint16_t z = (uint16_t)(none ? 0 : (r >> 8 & 1) << 15 | (0x2000 + (r >> 9) % 0x1c00));
            memcpy(p->zeros + 2 * i, &z, 2);
        } else if (p->kind == FR_Q_W4A8_G128) {
            int16_t z = how == HIGH  ? 240
                        : how == LOW ? -128
                                     : (int16_t)((int)(r >> 8) % 369 - 128);
            memcpy(p->zeros + 2 * i, &z, 2);
        } else {
            p->zeros[i] = (uint8_t)(r >> 8 & 15);
        }
    }
    p->column_scale = check_range(FR_Q_MAX_NR, 0.001f, 1.0f);
    p->column_zero = check_range(FR_Q_MAX_NR, -1.0f, 1.0f);
}

static void make_rows(problem *p, fr_rows_kind rows_kind, fill how, const fr_kernels *ref) {
    fr_qrow_of(rows_kind, p->k, p->group, &p->row);
    p->lda = p->row.bytes;
    char *a = check_alloc(p->lda * FR_Q_MAX_MR + 64);
    a += -(uintptr_t)a & 63;
    p->a = a;
    for (int i = 0; i < FR_Q_MAX_MR; i++) {
        float *x = check_f32((size_t)p->k, i % 2 ? CHECK_NORMAL : CHECK_UNIFORM);
        for (int64_t k = 0; k < p->k; k++) {
            if (how == HIGH) x[k] = 3.0f;
            if (how == LOW) x[k] = -3.0f;
            if (how == OPPOSED) x[k] = k % 2 ? -3.0f : 3.0f;
            if (how == ZERO_SCALES && i % 3 == 1) x[k] = 0;
            if (how == EVERY) x[k] = k == only_value(i, p->k) ? 448.0f : 0;
        }
        ref->qrow.quantize[rows_kind](&p->row, x, 0, NULL, a + (size_t)i * p->lda);
    }
}

static void *make_panel(const problem *p, int nr, int first, fr_qpanel *out) {
    fr_qpanel_of(p->kind, nr, p->k, p->group, nr, out);
    out->bf16_scales = p->bf16_scales, out->e5m2 = p->e5m2, out->halves = p->halves;
    uint8_t *b = check_alloc(out->bytes + 64);
    b += -(uintptr_t)b & 63;
    memset(b, 0, out->bytes);
    int64_t padded = out->groups * out->group;
    for (int j = 0; j < nr; j++) {
        for (int64_t k = 0; k < padded; k++) {
            int shift;
            size_t at = fr_qpanel_code(out, j, k, &shift);
            unsigned code = p->code[(first + j) * padded + k];
            b[at] = (uint8_t)(b[at] | (p->kind == FR_Q_W6A16 ? code & 15 : code) << shift);
            if (p->kind != FR_Q_W6A16) continue;
            at = fr_qpanel_high(out, j, k, &shift);
            b[at] = (uint8_t)(b[at] | (code >> 4) << shift);
        }
        size_t ws = out->scale_bytes / (size_t)nr, wz = out->zero_bytes / (size_t)nr;
        for (int64_t g = 0; g < out->groups; g++) {
            size_t from = (size_t)g * FR_Q_MAX_NR + (size_t)(first + j);
            size_t to = (size_t)g * (size_t)nr + (size_t)j;
            memcpy(b + out->scales + to * ws, p->scales + from * ws, ws);
            memcpy(b + out->zeros + to * wz, p->zeros + from * wz, wz);
        }
        if (out->column_zero > out->column_scale)
            memcpy(b + out->column_scale + 4 * j, p->column_scale + first + j, 4);
        if (p->kind == FR_Q_W4A8)
            memcpy(b + out->column_zero + 4 * j, p->column_zero + first + j, 4);
    }
    return b;
}

/* All groups in two calls, the first of `cut`. */
static void run_tile(const fr_kernels *t, const problem *p, const fr_qpanel *panel, const void *b,
                     int rows, int first_row, int64_t cut, bool finish, float *sum, size_t lds) {
    fr_qtile q = {.rows = rows, .row = &p->row, .panel = panel, .b = b, .sum = sum, .lds = lds};
    q.a = p->a + (size_t)first_row * p->lda, q.lda = p->lda;
    q.groups = cut;
    t->qgemm.way[p->kind].tile(&q);
    if (cut < panel->groups) {
        q.g0 = cut, q.groups = panel->groups - cut, q.add = true;
        t->qgemm.way[p->kind].tile(&q);
    }
    if (finish) t->qgemm.finish(&q);
}

static void *aligned(size_t bytes) {
    char *p = check_alloc(bytes + 64);
    return p + (-(uintptr_t)p & 63);
}

static void compare(const fr_kernels *t, const fr_kernels *ref, const problem *p, int rows,
                    int64_t cut, bool finish, fill how) {
    int nr = t->qgemm.way[p->kind].nr, rnr = ref->qgemm.way[p->kind].nr;
    size_t lds = (size_t)nr + 16, rlds = (size_t)rnr;
    fr_qpanel panel, rpanel;
    const void *b = make_panel(p, nr, 0, &panel);
    float *got = aligned((size_t)rows * lds * 4), *want = aligned(rlds * 4);
    for (size_t i = 0; i < (size_t)rows * lds; i++) got[i] = 123.0f;
    run_tile(t, p, &panel, b, rows, 0, cut, finish, got, lds);
    bool exact = !fr_qkind_a16(p->kind) && p->kind != FR_Q_FP8;
    for (int first = 0; first < nr; first += rnr) {
        const void *rb = make_panel(p, rnr, first, &rpanel);
        for (int i = 0; i < rows; i++) {
            run_tile(ref, p, &rpanel, rb, 1, i, panel.groups, finish, want, rlds);
            const float *row = got + (size_t)i * lds + first;
            int count = nr - first < rnr ? nr - first : rnr;
            if (exact) {
                check_same(row, want, (size_t)count, 4);
                continue;
            }
            /* Rounding of a sum of as many products of normal size. */
            for (int j = 0; j < count; j++) {
                float scale = 0;
                for (int c = 0; c < count; c++) scale = fmaxf(scale, fabsf(want[c]));
                if (how == EVERY)
                    check_value(row[j], want[j], 1e-6, 0);
                else
                    check_value(row[j], want[j], 1e-4, 2e-4 * scale + 1e-4);
            }
        }
    }
    for (int i = 0; i < rows; i++)
        for (size_t j = (size_t)nr; j < lds; j++) check_value(got[(size_t)i * lds + j], 123, 0, 0);
    /* A row has the same bits among others as alone, and in two calls as in one. */
    float *alone = aligned(lds * 4);
    for (int i = 0; i < rows; i++) {
        run_tile(t, p, &panel, b, 1, i, panel.groups, finish, alone, lds);
        check_same(got + (size_t)i * lds, alone, (size_t)nr, 4);
    }
}

static problem make(fr_qkind kind, fr_rows_kind rows_kind, int64_t k, int32_t group, fill how,
                    bool other, const fr_kernels *ref) {
    problem p = {.kind = kind, .k = k, .group = group, .e5m2 = other};
    p.bf16_scales = other && kind <= FR_Q_FP8, p.halves = other && kind == FR_Q_W6A16;
    if (kind > FR_Q_FP8) p.group = group = 32;
    fr_qpanel_of(kind, FR_Q_MAX_NR, k, group, FR_Q_MAX_NR, &p.shape);
    int64_t padded = p.shape.groups * p.shape.group;
    p.code = check_alloc((size_t)(FR_Q_MAX_NR * padded));
    for (int64_t i = 0; i < FR_Q_MAX_NR * padded; i++)
        p.code[i] = how == EVERY ? every_code(&p, i / padded, i % padded)
                                 : random_code(&p, how, i % padded);
    make_scales(&p, how);
    make_rows(&p, rows_kind, how, ref);
    return p;
}

static void check_kind_of(const fr_kernels *t, const fr_kernels *ref, fr_qkind kind,
                          fr_rows_kind rows_kind, int32_t group, bool other) {
    static const int64_t lengths[] = {1, 64, 127, 128, 200, 256, 640, 8500};
    int mr = t->qgemm.way[kind].mr;
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
        for (int rows = 1; rows <= mr; rows++)
            for (int how = 0; how < FILLS; how++) {
                if (how == EVERY && kind != FR_Q_FP8) continue;
                if (how && (rows + (int)l) % 3 != 0) continue;                      /* enough */
                if (lengths[l] > 640 && (how || (rows > 1 && rows < mr))) continue; /* slow */
                if (!check_begin("qgemm.%s rows=%d k=%d group=%d %s%s%s", kind_names[kind], rows,
                                 (int)lengths[l], group, fill_names[how], other ? " other" : "",
                                 rows_kind == FR_ROWS_UINT4 ? " unsigned" : ""))
                    continue;
                problem p = make(kind, rows_kind, lengths[l], group, (fill)how, other, ref);
                compare(t, ref, &p, rows, p.shape.groups, true, (fill)how);
                if (p.shape.groups > 1)
                    compare(t, ref, &p, rows, 1 + rows % (p.shape.groups - 1), true, (fill)how);
                if (kind <= FR_Q_W4A8_G128)
                    compare(t, ref, &p, rows, p.shape.groups, false, (fill)how);
                check_end();
            }
}

static void run(const fr_kernels *t, const fr_kernels *ref) {
    for (int kind = 0; kind < FR_Q_KINDS; kind++) {
        fr_rows_kind rows = fr_qkind_rows((fr_qkind)kind);
        check_kind_of(t, ref, (fr_qkind)kind, rows, 0, false);
        if (kind == FR_Q_W4A4) {
            check_kind_of(t, ref, FR_Q_W4A4, FR_ROWS_UINT4, 0, false);
            check_kind_of(t, ref, FR_Q_W4A4, rows, 0, true);
        }
        if (kind == FR_Q_FP8) check_kind_of(t, ref, FR_Q_FP8, rows, 0, true);
        if (kind == FR_Q_W6A16) check_kind_of(t, ref, FR_Q_W6A16, rows, 0, true);
        if (kind == FR_Q_W4A16) {
            check_kind_of(t, ref, FR_Q_W4A16, rows, 32, false);
            check_kind_of(t, ref, FR_Q_W4A16, rows, 64, true);
        }
    }
}

/* ---- speed: a tile over a panel that stays in the second cache ---- */

typedef struct timing {
    const fr_kernels *t;
    fr_qtile q;
} timing;

static void once(void *arg) {
    timing *b = arg;
    b->t->qgemm.way[b->q.panel->kind].tile(&b->q);
}

static void bench(const fr_kernels *t) {
    fr_kernels ref;
    fr_kernels_fill(0, &ref);
    for (int kind = 0; kind < FR_Q_KINDS; kind++) {
        int mr = t->qgemm.way[kind].mr, nr = t->qgemm.way[kind].nr;
        for (int rows = 1;; rows = rows == 1 ? (mr < 8 ? mr : 8) : mr) {
            if (check_begin("qgemm.%s tile", kind_names[kind])) {
                problem p = make((fr_qkind)kind, fr_qkind_rows((fr_qkind)kind), 2048, 0, RANDOM,
                                 false, &ref);
                fr_qpanel panel;
                const void *b = make_panel(&p, nr, 0, &panel);
                timing arg = {t, {.rows = rows, .row = &p.row, .panel = &panel, .b = b}};
                arg.q.a = p.a, arg.q.lda = p.lda, arg.q.groups = panel.groups;
                arg.q.lds = (size_t)nr, arg.q.sum = aligned((size_t)mr * arg.q.lds * 4);
                char name[64];
                snprintf(name, sizeof name, "qgemm.%s rows=%d", kind_names[kind], rows);
                bool bf16 = fr_qkind_a16((fr_qkind)kind) || kind == FR_Q_FP8;
                check_bench(name, bf16 ? CHECK_BF16 : CHECK_INT8, 2.0 * rows * nr * 2048,
                            (double)panel.bytes, once, &arg);
                check_end();
            }
            if (rows == mr) break;
        }
    }
}

CHECK_FAMILY("qgemm", run, bench)
