/* hadamard_base.c: Hadamard matrices of sizes that are no powers of two.
 *
 * Paley (1933), from squares in a field of q values: size q + 1 where q % 4 is 3, and 2 (q + 1) where it is 1.
 * Goethals and Seidel (1967), from four circulant matrices of n x n whose autocorrelations cancel: size 4 n. Their
 * first rows are constant on the orbits of a multiplication in Z/n, so that each is a few bits; the bits were found
 * by a search, and the tests multiply out what comes of them. */
#include "quant/hadamard_base.h"

#include <string.h>

/* ---- fields of p^e values: polynomials over Z/p, their coefficients the digits of a number ---- */

#define MOST_DEGREE 3 /* such a polynomial without roots has no factors */

typedef struct field {
    int p, degree, size;
    int rule[MOST_DEGREE]; /* x^degree = rule[0] + rule[1] x + ... */
} field;

static void digits(const field *f, int a, int *out) {
    for (int i = 0; i < f->degree; i++, a /= f->p) out[i] = a % f->p;
}

static int number(const field *f, const int *digit) {
    int a = 0;
    for (int i = f->degree - 1; i >= 0; i--) a = a * f->p + digit[i];
    return a;
}

static int minus(const field *f, int a, int b) {
    int x[MOST_DEGREE], y[MOST_DEGREE];
    digits(f, a, x);
    digits(f, b, y);
    for (int i = 0; i < f->degree; i++) x[i] = (x[i] + f->p - y[i]) % f->p;
    return number(f, x);
}

static int square(const field *f, int a) {
    int x[MOST_DEGREE], y[2 * MOST_DEGREE] = {0};
    digits(f, a, x);
    for (int i = 0; i < f->degree; i++)
        for (int j = 0; j < f->degree; j++) y[i + j] = (y[i + j] + x[i] * x[j]) % f->p;
    for (int i = 2 * f->degree - 2; i >= f->degree; i--)
        for (int j = 0; j < f->degree; j++)
            y[i - f->degree + j] = (y[i - f->degree + j] + y[i] * f->rule[j]) % f->p;
    return number(f, y);
}

static bool has_root(const field *f) {
    for (int x = 0; x < f->p; x++) {
        int value = 0, power = 1;
        for (int i = 0; i < f->degree; i++, power = power * x % f->p)
            value = (value + f->rule[i] * power) % f->p;
        if (value == power) return true;
    }
    return false;
}

static bool field_of(int64_t size, field *f) {
    int p = 2, degree = 0;
    int64_t rest = size;
    if (size < 3 || size > 2 * FR_HADAMARD_BASE) return false;
    while (rest % p) p++;
    for (; rest % p == 0; rest /= p) degree++;
    if (rest != 1 || degree > MOST_DEGREE || p == 2) return false;
    *f = (field){.p = p, .degree = degree, .size = (int)size};
    for (int i = 1; degree > 1 && i < f->size; i++) {
        digits(f, i, f->rule);
        if (!has_root(f)) break;
    }
    return true;
}

/* 0 of 0, 1 of squares, -1 of all others. */
static void characters(const field *f, int8_t *out) {
    memset(out, -1, (size_t)f->size);
    for (int a = 1; a < f->size; a++) out[square(f, a)] = 1;
    out[0] = 0;
}

/* ---- Paley ---- */

/* Row and column 0 are 1, but for what `below` says of the column; the rest says whether i - j is a square. */
static int conference(const field *f, const int8_t *character, int below, int i, int j) {
    if (!i) return j ? 1 : 0;
    if (!j) return below;
    return character[minus(f, i - 1, j - 1)];
}

static void paley_one(const field *f, const int8_t *character, int64_t k, int8_t *sign) {
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++)
            sign[i * k + j] = (int8_t)(conference(f, character, -1, i, j) + (i == j));
}

static void paley_two(const field *f, const int8_t *character, int64_t k, int8_t *sign) {
    static const int8_t off[2][2] = {{1, 1}, {1, -1}}, on[2][2] = {{1, -1}, {-1, -1}};
    for (int i = 0; i < k; i++)
        for (int j = 0; j < k; j++) {
            int c = conference(f, character, 1, i / 2, j / 2);
            sign[i * k + j] = (int8_t)(i / 2 == j / 2 ? on[i % 2][j % 2] : c * off[i % 2][j % 2]);
        }
}

/* The field behind size k, if there is one. */
static bool paley(int64_t k, field *f, bool *two) {
    *two = false;
    if (k % 4) return false;
    if (field_of(k - 1, f)) return true; /* k - 1 is 3 modulo 4 */
    *two = true;
    return k / 2 % 4 == 2 && field_of(k / 2 - 1, f);
}

/* ---- Goethals and Seidel ---- */

#define MOST_CIRCULANT 43

static const struct circulants {
    int n, times;     /* orbits of multiplication by this, */
    uint16_t bits[4]; /* in the order of their least numbers; 1: -1 */
} found[] = {
    {39, 16, {0x19b0, 0x51c6, 0x27dc, 0x423e}},
    {43, 6, {0x1ccc, 0x62e8, 0x07f6, 0x5560}},
};

static void first_row(const struct circulants *c, uint16_t bits, int8_t *row) {
    memset(row, 0, (size_t)c->n);
    for (int i = 0; i < c->n; i++) {
        if (row[i]) continue;
        for (int at = i; !row[at]; at = at * c->times % c->n) row[at] = bits & 1 ? -1 : 1;
        bits >>= 1;
    }
}

static void goethals_seidel(const struct circulants *c, int8_t *sign) {
    /* Which circulant stands in a block, and its sign; off the diagonal its columns are turned around, and in the
     * lower right those of its transpose. */
    static const int8_t which[4][4] = {
        {1, 2, 3, 4}, {-2, 1, 4, -3}, {-3, -4, 1, 2}, {-4, 3, -2, 1}};
    int8_t row[4][MOST_CIRCULANT];
    const int n = c->n;
    for (int i = 0; i < 4; i++) first_row(c, c->bits[i], row[i]);
    for (int i = 0; i < 4 * n; i++)
        for (int j = 0; j < 4 * n; j++) {
            const int a = i / n, b = j / n, code = which[a][b], r = i % n;
            const int col = a == b ? j % n : n - 1 - j % n;
            const int at = a && b && a != b ? r - col + n : col - r + n;
            const int8_t s = row[(code < 0 ? -code : code) - 1][at % n];
            sign[i * 4 * n + j] = code < 0 ? (int8_t)-s : s;
        }
}

static const struct circulants *circulants(int64_t k) {
    for (size_t i = 0; i < FR_COUNT(found); i++)
        if (4 * found[i].n == k) return &found[i];
    return NULL;
}

/* ---- any ---- */

bool fr_hadamard_base_is(int64_t k) {
    field f;
    bool two;
    return k == 1 || (k > 1 && k <= FR_HADAMARD_BASE && (paley(k, &f, &two) || circulants(k)));
}

fr_status fr_hadamard_base(int64_t k, int8_t *sign) {
    field f;
    bool two;
    if (k == 1) {
        sign[0] = 1;
    } else if (paley(k, &f, &two)) {
        int8_t *character = fr_alloc_array(FR_MEM_OTHER, (size_t)f.size, 1);
        if (!character) return FR_NOMEM;
        characters(&f, character);
        (two ? paley_two : paley_one)(&f, character, k, sign);
        fr_free(character);
    } else {
        goethals_seidel(circulants(k), sign);
    }
    return FR_OK;
}
