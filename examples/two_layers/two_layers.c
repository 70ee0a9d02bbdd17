/* two_layers.c: the smallest whole program: describe a network of two layers, take its weights from
 * a safetensors file, run it, print what comes out.
 *
 *     y = relu(x w1T + b1) w2T + b2        x has 4 values, the hidden layer 8, y has 3 */
#include <stdio.h>

#include <frugal/frugal.h>

enum { IN = 4, HIDDEN = 8, OUT = 3 };

static fr_graph *describe(void) {
    fr_graph *g = fr_graph_new();
    if (!g) return NULL;
    fr_val x = fr_input(g, "x", FR_F32, 2, (int64_t[]){1, IN});
    fr_val w1 = fr_param(g, "fc1.weight", FR_F32, 2, (int64_t[]){HIDDEN, IN});
    fr_val b1 = fr_param(g, "fc1.bias", FR_F32, 1, (int64_t[]){HIDDEN});
    fr_val w2 = fr_param(g, "fc2.weight", FR_F32, 2, (int64_t[]){OUT, HIDDEN});
    fr_val b2 = fr_param(g, "fc2.bias", FR_F32, 1, (int64_t[]){OUT});
    fr_val hidden = fr_linear(g, x, w1, b1, FR_NONE, FR_FN_RELU);
    fr_output(g, "y", fr_linear(g, hidden, w2, b2, FR_NONE, FR_FN_NONE));
    return g;
}

/* The first call that fails ends the chain; what it has to say is in fr_message(). */
static fr_status run(const char *path, fr_graph *g, fr_store **store, fr_session **session) {
    fr_status st;
    if ((st = fr_store_open(path, store)) != FR_OK) return st;
    if ((st = fr_session_new(g, session)) != FR_OK) return st;
    if ((st = fr_session_load(*session, *store)) != FR_OK) return st;

    float x[IN] = {1, -2, 3, 0.5f};
    fr_tensor input = {.dtype = FR_F32, .rank = 2, .dim = {1, IN}, .stride = {IN, 1}, .data = x};
    if ((st = fr_session_run(*session, &input, 1)) != FR_OK) return st;

    const fr_tensor *y = fr_session_output(*session, "y");
    for (int i = 0; i < OUT; i++) printf("%s%.4f", i ? " " : "y = ", ((const float *)y->data)[i]);
    printf("\n");
    return FR_OK;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: two_layers WEIGHTS.safetensors\n");
        return 2;
    }
    fr_graph *g = describe();
    fr_store *store = NULL;
    fr_session *session = NULL;
    fr_status st = g ? run(argv[1], g, &store, &session) : FR_NOMEM;
    if (st != FR_OK) fprintf(stderr, "two_layers: %s\n", fr_message());
    fr_session_free(session);
    fr_store_close(store);
    fr_graph_free(g);
    return st == FR_OK ? 0 : 1;
}
