/* schema_number.c: numbers of a range, digit by digit. A range is cut into blocks whose last digits are free, as 17 .. 342
 * is 1[7-9], [2-9][0-9], [1-2][0-9][0-9], 3[0-3][0-9], 34[0-2]. */
#include "text/schema.h"

static void block(fr_growing *out, int64_t low, int64_t power, int64_t more, int free) {
    int64_t head = low / power / 10, digit = low / power % 10;
    fr_growing_add(out, " |");
    if (head) fr_growing_add(out, " \"%lld\"", (long long)head);
    fr_growing_add(out, " [%lld-%lld]", (long long)digit, (long long)(digit + more));
    if (free) fr_growing_add(out, " [0-9]{%d}", free);
}

/* Of numbers from 0 on. */
static void natural(fr_growing *out, int64_t low, int64_t high) {
    fr_growing_add(out, "(%s",
                   low ? "[]" : "\"0\""); /* [] is no character: an alternative that is none */
    if (!low) low = 1;
    while (low <= high) {
        int64_t power = 1;
        int free = 0;
        while (low % (power * 10) == 0 && low + power * 10 - 1 <= high) {
            power *= 10;
            free++;
        }
        int64_t more = 0, digit = low / power % 10;
        while (digit + more < 9 && low + (more + 2) * power - 1 <= high) more++;
        block(out, low, power, more, free);
        low += (more + 1) * power;
    }
    fr_growing_add(out, ")");
}

void fr_schema_whole(fr_growing *out, int64_t low, int64_t high) {
    fr_growing_add(out, "(");
    if (low < 0) {
        fr_growing_add(out, "\"-\" ");
        natural(out, high < 0 ? -high : 1, -low);
        if (high >= 0) fr_growing_add(out, " | ");
    }
    if (high >= 0) natural(out, low > 0 ? low : 0, high);
    fr_growing_add(out, ")");
}

/* With digits behind the point, but for the far end. */
static void between(fr_growing *out, int64_t low, int64_t high) {
    fr_growing_add(out, "(");
    if (low < high) {
        natural(out, low, high - 1);
        fr_growing_add(out, " (\".\" [0-9]{1,16})? | ");
    }
    fr_growing_add(out, "\"%lld\" (\".\" \"0\"{1,16})?)", (long long)high);
}

void fr_schema_number(fr_growing *out, int64_t low, int64_t high) {
    fr_growing_add(out, "(");
    if (low < 0) {
        fr_growing_add(out, "\"-\" ");
        between(out, high < 0 ? -high : 0, -low);
        if (high >= 0) fr_growing_add(out, " | ");
    }
    if (high >= 0) between(out, low > 0 ? low : 0, high);
    fr_growing_add(out, ")");
}
