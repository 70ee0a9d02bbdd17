/* test_pages.c: the books of pages: what a sequence has written it reads again, whatever others fork, write, cut and
 * close; every page is held by as many as say so; what was promised is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "text/pages.h"

static void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}
static void fails(fr_status st, const char *text) {
    assert_int_not_equal(st, FR_OK);
    if (!strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
}

static const int32_t *row(const fr_pages *p, int32_t s) {
    return p->table + (int64_t)s * p->most;
}

static void test_books(void **state) {
    (void)state;
    fr_pages p;
    fr_page_copy c;
    ok(fr_pages_new(3, 3, 5, &p));
    assert_int_equal(fr_pages_open(&p, 0), 0);
    ok(fr_pages_write(&p, 0, 0, 65, &c));
    assert_true(row(&p, 0)[0] == 0 && row(&p, 0)[1] == 1 && row(&p, 0)[2] == -1 && c.from == -1);
    assert_int_equal(fr_pages_open(&p, 193), -1); /* more than a sequence may have */
    assert_int_equal(fr_pages_open(&p, 129), 1);  /* three pages: all that is left */
    fails(fr_pages_write(&p, 0, 65, 129, &c), "5 pages");
    fails(fr_pages_write(&p, 0, 65, 193, &c), "3 pages of 64");
    ok(fr_pages_write(&p, 0, 65, 128, &c));
    fr_pages_close(&p, 1);
    ok(fr_pages_write(&p, 0, 128, 192, &c));
    fr_pages_close(&p, 0);
    assert_true(p.open == 5 && p.spares == 5 && p.peak == 3);
    fr_pages_free(&p);
}

/* A fork costs nothing until one of the two writes into the page that is not full. */
static void test_fork(void **state) {
    (void)state;
    fr_pages p;
    fr_page_copy c;
    ok(fr_pages_new(3, 4, 8, &p));
    int32_t a = fr_pages_open(&p, 192), b;
    ok(fr_pages_write(&p, a, 0, 100, &c));
    b = fr_pages_fork(&p, a, 100, 192);
    assert_int_equal(p.spares, 6);
    assert_true(p.refs[row(&p, a)[0]] == 2 && p.refs[row(&p, a)[1]] == 2);
    int32_t shared = row(&p, a)[1];
    ok(fr_pages_write(&p, b, 100, 101, &c));
    assert_true(c.from == shared && c.to == row(&p, b)[1] && c.to != shared);
    assert_true(p.refs[shared] == 1 && p.refs[c.to] == 1 && p.refs[row(&p, a)[0]] == 2);
    ok(fr_pages_write(&p, a, 100, 101, &c)); /* alone again */
    assert_int_equal(c.from, -1);
    fr_pages_close(&p, a);
    assert_int_equal(p.refs[row(&p, b)[0]], 1);
    fr_pages_close(&p, b);
    assert_true(p.open == 8 && p.spares == 8);
    fr_pages_free(&p);
}

/* ---- any operations ---- */

enum { SEQUENCES = 9, MOST = 6, PAGES = 25, OPERATIONS = 100000, TOKENS = MOST * FR_KV_TOKENS };

typedef struct shadow {
    bool open;
    int64_t length, promise;
    uint32_t token[TOKENS];
} shadow;

typedef struct world {
    fr_pages p;
    shadow s[SEQUENCES];
    uint32_t memory[PAGES][FR_KV_TOKENS];
    uint32_t clock;
} world;

static void check_books(const world *w) {
    int32_t refs[PAGES] = {0}, held = 0, owed = 0;
    const fr_pages *p = &w->p;
    for (int32_t s = 0; s < SEQUENCES; s++) {
        assert_int_equal(p->held[s] >= 0, w->s[s].open);
        if (!w->s[s].open) continue;
        assert_int_equal(p->held[s], fr_pages_of(w->s[s].length));
        for (int32_t i = 0; i < MOST; i++) {
            if (i < p->held[s]) assert_in_range(row(p, s)[i], 0, PAGES - 1);
            if (i < p->held[s]) refs[row(p, s)[i]]++;
            if (i >= p->held[s]) assert_int_equal(row(p, s)[i], -1);
        }
        owed += p->owed[s];
        assert_true(p->owed[s] >= 0);
    }
    for (int32_t i = 0; i < PAGES; i++) {
        assert_int_equal(refs[i], p->refs[i]);
        held += refs[i] > 0;
    }
    for (int32_t i = 0; i < p->spares; i++) assert_int_equal(refs[p->spare[i]], 0);
    assert_int_equal(p->spares, PAGES - held);
    assert_int_equal(p->open, p->spares - owed);
    assert_true(p->open >= 0 && p->peak <= PAGES && p->peak >= held);
}

static void check_text(const world *w, int32_t s) {
    for (int64_t t = 0; t < w->s[s].length; t++)
        if (w->memory[row(&w->p, s)[t / FR_KV_TOKENS]][t % FR_KV_TOKENS] != w->s[s].token[t])
            fail_msg("token %d of sequence %d was overwritten", (int)t, s);
}

static void begin(world *w, fr_rng *r) {
    int64_t promise = fr_rng_below(r, 3) ? (int64_t)fr_rng_below(r, TOKENS + 1) : 0;
    int32_t s = fr_pages_open(&w->p, promise);
    if (s < 0) return;
    w->s[s].open = true;
    w->s[s].length = 0;
    w->s[s].promise = promise;
}

static void fork_one(world *w, fr_rng *r, int32_t from) {
    int64_t tokens = (int64_t)fr_rng_below(r, (uint32_t)w->s[from].length + 1);
    int64_t promise = fr_rng_below(r, 2) ? tokens + (int64_t)fr_rng_below(r, 100) : 0;
    if (promise > TOKENS) promise = TOKENS;
    int32_t s = fr_pages_fork(&w->p, from, tokens, promise);
    if (s < 0) return;
    w->s[s] = w->s[from];
    w->s[s].length = tokens;
    w->s[s].promise = promise;
}

static void write_some(world *w, fr_rng *r, int32_t s) {
    shadow *x = &w->s[s];
    int64_t end = x->length + (int64_t)fr_rng_below(r, fr_rng_below(r, 4) ? 3 : 150);
    fr_page_copy c;
    fr_status st = fr_pages_write(&w->p, s, x->length, end, &c);
    if (st) {
        assert_true(end > TOKENS || st == FR_NOMEM);
        return;
    }
    if (c.from >= 0) memcpy(w->memory[c.to], w->memory[c.from], sizeof w->memory[0]);
    for (int64_t t = x->length; t < end; t++) {
        int32_t page = row(&w->p, s)[t / FR_KV_TOKENS];
        assert_int_equal(w->p.refs[page], 1);
        x->token[t] = w->memory[page][t % FR_KV_TOKENS] = ++w->clock;
    }
    x->length = end;
}

/* One that nobody forked and that was never cut below what it shares gets what it was promised. */
static void test_any(void **state) {
    (void)state;
    static world w;
    fr_rng r = fr_rng_new(5, 0);
    ok(fr_pages_new(SEQUENCES, MOST, PAGES, &w.p));
    for (int i = 0; i < OPERATIONS; i++) {
        int32_t s = (int32_t)fr_rng_below(&r, SEQUENCES);
        uint32_t what = (uint32_t)fr_rng_below(&r, 16);
        if (!w.s[s].open) {
            begin(&w, &r);
        } else if (what == 0) {
            fr_pages_close(&w.p, s);
            w.s[s].open = false;
        } else if (what < 3) {
            fork_one(&w, &r, s);
        } else if (what < 5) {
            w.s[s].length -= (int64_t)fr_rng_below(&r, (uint32_t)FR_MIN(w.s[s].length, 90) + 1);
            fr_pages_cut(&w.p, s, w.s[s].length);
        } else {
            write_some(&w, &r, s);
        }
        check_books(&w);
        if (w.s[s].open && i % 8 == 0) check_text(&w, s);
    }
    for (int32_t s = 0; s < SEQUENCES; s++) {
        if (!w.s[s].open) continue;
        check_text(&w, s);
        fr_pages_close(&w.p, s);
    }
    assert_true(w.p.open == PAGES && w.p.spares == PAGES && w.clock > 100000);
    fr_pages_free(&w.p);
}

/* Forks of one text, each promised its pages: all of them, and what they came from, get there whoever writes first. */
static void test_promise(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        fr_rng r = fr_rng_new(seed, 1);
        fr_pages p;
        fr_page_copy c;
        int64_t start = 1 + (int64_t)fr_rng_below(&r, 150), length[5];
        ok(fr_pages_new(5, MOST, 20, &p));
        int32_t first = fr_pages_open(&p, 200), count = 1;
        ok(fr_pages_write(&p, first, 0, start, &c));
        while (count < 5 && fr_pages_fork(&p, first, start, 200) >= 0) count++;
        assert_true(count >= 4);
        for (int32_t s = 0; s < count; s++) length[s] = start;
        for (int i = 0; i < 2000; i++) {
            int32_t s = (int32_t)fr_rng_below(&r, (uint32_t)count);
            int64_t end = FR_MIN(length[s] + 1 + (int64_t)fr_rng_below(&r, 3), 200);
            ok(fr_pages_write(&p, s, length[s], end, &c));
            length[s] = end;
        }
        fr_pages_free(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_books),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_any),
        cmocka_unit_test(test_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
