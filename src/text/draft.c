/* draft.c: see draft.h. */
#include "text/draft.h"

enum { LONGEST = 4, SHORTEST = 2 };

/* How many tokens before `a` and before `b` agree, up to LONGEST. */
static int agree(const int32_t *ids, size_t a, size_t b) {
    int n = 0;
    while (n < LONGEST && a > 0 && ids[a - 1] == ids[b - 1]) {
        n++;
        a--;
        b--;
    }
    return n;
}

int32_t fr_draft_lookup(const int32_t *ids, size_t count, int32_t most, int32_t *out) {
    size_t best = 0;
    int longest = SHORTEST - 1, n;
    for (size_t at = count; at-- > 1 && longest < LONGEST;) {
        if (ids[at - 1] != ids[count - 1]) continue;
        if ((n = agree(ids, at, count)) <= longest) continue;
        longest = n;
        best = at;
    }
    if (!best) return 0;
    for (size_t i = 0; i < (size_t)most; i++) /* what repeats itself goes on so */
        out[i] = best + i < count ? ids[best + i] : out[best + i - count];
    return most;
}
