/* test_matmul.c: batched products with broadcasting and transposed operands, and their gradients. */
#include "op_test.h"

typedef struct variant {
    bool ta, tb;
    float scale;
    bool heads; /* operands are [batch, tokens, heads, dim] seen as [batch, heads, tokens, dim] */
} variant;

static int build(fr_graph *g, const fr_val *in, const void *arg, fr_val *out) {
    const variant *v = arg;
    fr_val a = in[0], b = in[1];
    if (v->heads) {
        const int perm[] = {0, 2, 1, 3};
        a = fr_permute(g, a, perm), b = fr_permute(g, b, perm);
    }
    out[0] = fr_matmul(g, a, b, v->ta, v->tb, v->scale);
    return 1;
}

/* The value of t (its last two axes swapped when flipped) at the leading index of y. */
static double at(const op_f64 *t, const fr_tensor *y, const int64_t *lead, bool heads, bool flip,
                 int64_t i, int64_t j) {
    int64_t dim[FR_MAX_DIMS], index = 0;
    int rank = t->desc.rank, skip = y->rank - rank;
    memcpy(dim, t->desc.dim, sizeof dim);
    if (flip) {
        int64_t swap = i;
        i = j, j = swap;
    }
    if (heads) /* stored [batch, token, head, dim] */
        return t->v[((lead[0] * dim[1] + i) * dim[2] + lead[1]) * dim[3] + j];
    for (int k = 0; k < rank - 2; k++) index = index * dim[k] + (dim[k] == 1 ? 0 : lead[k + skip]);
    return t->v[(index * dim[rank - 2] + i) * dim[rank - 1] + j];
}

static void reference(const void *arg, const op_f64 *in, op_f64 *out) {
    const variant *v = arg;
    const fr_tensor *y = &out->desc, *a = &in[0].desc;
    int64_t m = y->dim[y->rank - 2], n = y->dim[y->rank - 1], batch = 1;
    int64_t k = a->dim[a->rank - (v->ta ? 2 : 1)];
    for (int i = 0; i < y->rank - 2; i++) batch *= y->dim[i];
    for (int64_t x = 0; x < batch; x++) {
        int64_t lead[FR_MAX_DIMS] = {0}, left = x;
        for (int i = y->rank - 3; i >= 0; i--) lead[i] = left % y->dim[i], left /= y->dim[i];
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t q = 0; q < k; q++)
                    sum += at(&in[0], y, lead, v->heads, v->ta, i, q) *
                           at(&in[1], y, lead, v->heads, v->tb, q, j);
                out[0].v[(x * m + i) * n + j] = (double)v->scale * sum;
            }
    }
}

#define F32(rank_, ...)                                                                            \
    { .dtype = FR_F32, .rank = rank_, .dim = {__VA_ARGS__}, .grad = true }

static void check(const char *name, const variant *v, op_in a, op_in b) {
    op_check(&(op_case){
        .name = name, .in = {a, b}, .arg = v, .build = build, .ref = reference, .bf16 = true});
}

static void test_transposes(void **state) {
    (void)state;
    for (int t = 0; t < 4; t++) {
        const variant v = {.ta = t & 1, .tb = t & 2, .scale = 0.5f};
        op_in a = F32(2, 3, 4), b = F32(2, 4, 5), at4 = F32(2, 4, 3), bt4 = F32(2, 5, 4);
        check("two axes", &v, t & 1 ? at4 : a, t & 2 ? bt4 : b);
        op_in a3 = F32(3, 2, 3, 4), b3 = F32(3, 2, 4, 5), a3t = F32(3, 2, 4, 3),
              b3t = F32(3, 2, 5, 4);
        check("a batch", &v, t & 1 ? a3t : a3, t & 2 ? b3t : b3);
        check("one b for all", &v, t & 1 ? a3t : a3, t & 2 ? bt4 : b);
        check("one a for all", &v, t & 1 ? at4 : a, t & 2 ? b3t : b3);
    }
}

static void test_broadcast(void **state) {
    (void)state;
    const variant v = {.scale = 1};
    check("both ways", &v, (op_in)F32(4, 2, 1, 3, 4), (op_in)F32(4, 1, 3, 4, 2));
    check("an inner axis", &v, (op_in)F32(4, 2, 3, 2, 4), (op_in)F32(4, 2, 1, 4, 2));
    check("single rows", &v, (op_in)F32(4, 2, 3, 1, 4), (op_in)F32(3, 1, 4, 2));
    check("five axes", &v, (op_in)F32(5, 2, 1, 2, 2, 3), (op_in)F32(3, 2, 3, 2));
}

static void test_heads(void **state) {
    (void)state;
    const variant v = {.tb = true, .scale = 0.25f, .heads = true};
    check("permuted views", &v, (op_in)F32(4, 2, 3, 2, 4), (op_in)F32(4, 2, 5, 2, 4));
}

static void test_larger(void **state) {
    (void)state;
    const variant v = {.scale = 0.1f};
    op_in a = {.dtype = FR_F32, .rank = 3, .dim = {5, 40, 70}},
          b = {.dtype = FR_F32, .rank = 3, .dim = {5, 70, 66}};
    check("larger", &v, a, b);
    op_in a2 = {.dtype = FR_F32, .rank = 2, .dim = {90, 700}},
          b2 = {.dtype = FR_F32, .rank = 2, .dim = {700, 75}};
    check("long sums", &v, a2, b2);
}

static void test_nothing(void **state) {
    (void)state;
    const variant v = {.scale = 2}, zero = {.scale = 0};
    op_in none = {.dtype = FR_F32, .rank = 2, .dim = {3, 0}},
          wide = {.dtype = FR_F32, .rank = 2, .dim = {0, 4}};
    check("k is 0", &v, none, wide);
    op_in a = {.dtype = FR_F32, .rank = 2, .dim = {3, 2}},
          b = {.dtype = FR_F32, .rank = 2, .dim = {2, 4}};
    check("scale is 0", &zero, a, b);
}

static void test_refused(void **state) {
    (void)state;
    const variant v = {.scale = 1};
    op_check_refused((op_in[OP_MAX]){F32(2, 3, 4), F32(2, 5, 6)}, build, &v, "inner dimensions");
    op_check_refused((op_in[OP_MAX]){F32(1, 4), F32(2, 4, 6)}, build, &v, "two axes");
    op_check_refused((op_in[OP_MAX]){F32(3, 2, 3, 4), F32(3, 3, 4, 5)}, build, &v, "broadcast");
    op_check_refused(
        (op_in[OP_MAX]){{.dtype = FR_I32, .rank = 2, .dim = {3, 4}, .hi = 9}, F32(2, 4, 5)}, build,
        &v, "f32 or bf16");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transposes), cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_heads),      cmocka_unit_test(test_larger),
        cmocka_unit_test(test_nothing),    cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
