/* number.c: lines of numbers: counting on and back, counting marks, sums, differences, products. */
#include "world/line_parts.h"

/* A problem without its wording. */
static uint64_t problem(char kind, int a, int b) {
    unsigned char words[5] = {(unsigned char)kind, (unsigned char)(a >> 8), (unsigned char)a,
                              (unsigned char)(b >> 8), (unsigned char)b};
    return fr_line_hash(words, sizeof words);
}

static uint64_t count_marks(fr_rng *r, fr_line *out) {
    static const char marks[] = "*+#ox=-|";
    char mark = marks[fr_rng_below(r, 8)];
    int n = 1 + (int)fr_rng_below(r, 20);
    static const char *const start[] = {"", "Count: ", "Count the marks: "};
    fr_line_add_text(out, "%s%c", start[fr_rng_below(r, 3)], mark);
    for (int i = 1; i < n; i++) fr_line_add_text(out, " %c", mark);
    fr_line_add_text(out, ":");
    out->prompt = out->bytes;
    fr_line_add_text(out, " %d", n);
    return problem('#', mark, n);
}

uint64_t fr_line_count(fr_rng *r, fr_line *out) {
    if (fr_rng_below(r, 4) == 0) return count_marks(r, out);
    int steps = 1 + (int)fr_rng_below(r, 11); /* at most 12 numbers */
    int from = (int)fr_rng_below(r, (uint32_t)(100 - steps)), to = from + steps, by = 1;
    if (fr_rng_below(r, 2)) {
        int swap = from;
        from = to, to = swap, by = -1;
    }
    bool say_down = by < 0 && fr_rng_below(r, 2);
    fr_line_add_text(out, "Count %sfrom %d to %d:", say_down ? "down " : "", from, to);
    out->prompt = out->bytes;
    for (int i = from; i != to + by; i += by) fr_line_add_text(out, " %d", i);
    return problem('n', from, to);
}

/* Half as a formula, half as a question. */
static void say_problem(fr_rng *r, fr_line *out, int a, char sign, const char *word, int b,
                        int result) {
    uint32_t how = fr_rng_below(r, 4);
    if (how < 2)
        fr_line_add_text(out, "%d %c %d =", a, sign, b);
    else if (how == 2)
        fr_line_add_text(out, "What is %d %c %d?", a, sign, b);
    else
        fr_line_add_text(out, "What is %d %s %d?", a, word, b);
    out->prompt = out->bytes;
    fr_line_add_text(out, " %d%s", result, how < 2 ? "" : ".");
}

/* 0..99, one in five of one digit. */
static int draw_number(fr_rng *r) {
    return (int)(fr_rng_below(r, 5) ? 10 + fr_rng_below(r, 90) : fr_rng_below(r, 10));
}

/* The order does not matter: who saw 48 + 23 knows 23 + 48. Nor with a difference: only its sign turns. */
static uint64_t pair(char kind, int a, int b) {
    return problem(kind, FR_MIN(a, b), FR_MAX_OF(a, b));
}

uint64_t fr_line_add(fr_rng *r, fr_line *out) {
    int a = draw_number(r), b = draw_number(r);
    say_problem(r, out, a, '+', "plus", b, a + b);
    return pair('+', a, b);
}

uint64_t fr_line_subtract(fr_rng *r, fr_line *out) {
    int a = draw_number(r), b = draw_number(r);
    say_problem(r, out, a, '-', "minus", b, a - b);
    return pair('-', a, b);
}

uint64_t fr_line_multiply(fr_rng *r, fr_line *out) {
    int a = (int)fr_rng_below(r, 10), b = draw_number(r);
    if (fr_rng_below(r, 2)) {
        int swap = a;
        a = b, b = swap;
    }
    say_problem(r, out, a, '*', "times", b, a * b);
    return pair('*', a, b);
}
