/* made_model.h: for tests of several rooms: a small decoder with random weights, in a folder. */
#ifndef FR_TESTS_MADE_MODEL_H
#define FR_TESTS_MADE_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/model.h"

static inline void ok(fr_status st) {
    if (st) fail_msg("%s", fr_message());
}

static inline void fails(fr_status st, const char *text) {
    assert_int_not_equal(st, FR_OK);
    if (!strstr(fr_message(), text)) fail_msg("no \"%s\" in: %s", text, fr_message());
}

/* deviation 0: to such a model all tokens are as likely. */
static inline void make_model(const char *dir, const fr_decoder *m, uint64_t seed,
                              float deviation) {
    fr_graph *g = fr_graph_new();
    fr_session *s;
    fr_output(g, "loss", fr_decoder_loss(g, m, NULL, 1, 2));
    ok(fr_session_new(g, &s));
    ok(fr_session_init_random(s, seed, deviation));
    ok(fr_decoder_save(dir, m, s, g));
    fr_session_free(s);
    fr_graph_free(g);
}

static inline int remove_folder(const char *dir) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

#endif
