/* countdown.c: the countdown task. A problem is made from a random expression, so one answer is always there;
 * answers are checked by a stack machine.
 *
 * No number can overflow: a digit is pushed only while the problem has it left, so at most four of them meet, and
 * no value is farther from 0 than 9 * 9 * 9 * 9. */
#include "world/countdown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world/line_parts.h"

enum { MOST = FR_COUNTDOWN_DIGITS, LEAST = MOST - 1 };

static bool apply(char operation, int a, int b, int *out) {
    switch (operation) {
    case '+': *out = a + b; return true;
    case '-': *out = a - b; return true;
    case '*': *out = a * b; return true;
    default: return false;
    }
}

bool fr_countdown_check(const char *digits, int target, const char *answer, char reason[96]) {
    int left[10] = {0}, unused = 0, stack[MOST] = {0}, depth = 0;
    char none[96];
    if (!reason) reason = none;
    reason[0] = 0;
    for (const char *d = digits; *d; d++) {
        if (*d < '1' || *d > '9' || unused == MOST)
            return snprintf(reason, 96, "not the digits of a problem"), false;
        left[*d - '0']++;
        unused++;
    }
    for (const char *p = answer; *p; p++) {
        if (*p >= '1' && *p <= '9') {
            if (!left[*p - '0']--) return snprintf(reason, 96, "there is no %c left", *p), false;
            unused--;
            stack[depth++] = *p - '0';
        } else if (!strchr("+-*", *p)) {
            return snprintf(reason, 96, "neither a digit from 1 to 9 nor an operation"), false;
        } else if (depth < 2) {
            return snprintf(reason, 96, "nothing to take by %c", *p), false;
        } else {
            depth--;
            apply(*p, stack[depth - 1], stack[depth], &stack[depth - 1]);
        }
    }
    if (unused) return snprintf(reason, 96, "%d of the digits not used", unused), false;
    if (depth != 1) return snprintf(reason, 96, "%d numbers left over", depth), false;
    if (stack[0] != target)
        return snprintf(reason, 96, "it is %d, not %d", stack[0], target), false;
    return true;
}

bool fr_countdown_parse(const char *prompt, int bytes, char digits[MOST + 1], int *target) {
    int n = 0;
    while (n < bytes && n < MOST && prompt[n] >= '1' && prompt[n] <= '9') {
        digits[n] = prompt[n];
        n++;
    }
    digits[n] = 0;
    const char *p = prompt + n;
    if (n < LEAST || bytes != n + 6 || p[0] != ':' || (p[1] != '+' && p[1] != '-') || p[5] != ',')
        return false;
    *target = 0;
    for (int i = 2; i < 5; i++) {
        if (p[i] < '0' || p[i] > '9') return false;
        *target = *target * 10 + (p[i] - '0');
    }
    if (p[1] == '-') *target = -*target;
    return true;
}

/* Digits that stand in another order are the same problem. */
static uint64_t problem_of(const char *digits, int target) {
    unsigned char key[MOST + 1] = {0};
    int n = 0;
    for (char c = '1'; c <= '9'; c++)
        for (const char *d = digits; *d; d++)
            if (*d == c) key[n++] = (unsigned char)c;
    key[MOST] = (unsigned char)(target + FR_COUNTDOWN_TARGET);
    return fr_line_hash(key, sizeof key);
}

/* A postfix expression over the n digits in a random order: push while there is one, apply where two are. */
static int draw_expression(fr_rng *r, const char *digits, int n, char out[2 * MOST]) {
    char order[MOST];
    int stack[MOST] = {0}, depth = 0, pushed = 0, length = 0;
    memcpy(order, digits, (size_t)n);
    for (int i = n - 1; i > 0; i--) {
        int j = (int)fr_rng_below(r, (uint32_t)i + 1);
        char other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
    while (pushed < n || depth > 1) {
        bool push = depth < 2 || (pushed < n && fr_rng_below(r, 2));
        if (push) {
            out[length++] = order[pushed];
            stack[depth++] = order[pushed++] - '0';
        } else {
            out[length] = "+-*"[fr_rng_below(r, 3)];
            depth--;
            apply(out[length++], stack[depth - 1], stack[depth], &stack[depth - 1]);
        }
    }
    out[length] = 0;
    return stack[0];
}

uint64_t fr_line_countdown(fr_rng *r, fr_line *out) {
    char digits[MOST + 1] = {0}, answer[2 * MOST];
    int n = fr_rng_below(r, 2) ? MOST : LEAST, target;
    do {
        for (int i = 0; i < n; i++) digits[i] = (char)('1' + fr_rng_below(r, 9));
        target = draw_expression(r, digits, n, answer);
    } while (abs(target) > FR_COUNTDOWN_TARGET);
    fr_line_add_text(out, "%s:%c%03d,", digits, target < 0 ? '-' : '+', abs(target));
    out->prompt = out->bytes;
    fr_line_add_text(out, "%s", answer);
    return problem_of(digits, target);
}

bool fr_line_countdown_judge(const fr_line *asked, const char *said, char reason[96]) {
    char digits[MOST + 1];
    int target;
    if (fr_countdown_parse(asked->text, asked->prompt, digits, &target))
        return fr_countdown_check(digits, target, said, reason);
    snprintf(reason, 96, "not a countdown problem");
    return false;
}
