/* op_test.c: how a case is checked; see op_test.h. */
#include "op_test.h"

static const int threads[] = {1, 2, 3, 8};

/* ---- values ---- */

static size_t values_of(const op_in *in) {
    size_t n = 1;
    for (int d = 0; d < in->rank; d++) n *= (size_t)in->dim[d];
    return n;
}

/* What went in, as doubles: exactly the values that the operator sees. */
static void fill_inputs(const op_case *c, int nin, fr_dtype real, op_f64 *in, fr_tensor *t) {
    for (int i = 0; i < nin; i++) {
        const op_in *d = &c->in[i];
        size_t n = values_of(d);
        fr_dtype type = d->dtype == FR_F32 ? real : d->dtype;
        float *f = fr_alloc_array(FR_MEM_OTHER, n + 1, sizeof *f);
        in[i].v = fr_alloc_array(FR_MEM_OTHER, n + 1, sizeof(double));
        t[i] = fr_tensor_make(type, d->rank, d->dim, NULL);
        t[i].data = fr_alloc(FR_MEM_OTHER, fr_bytes(&t[i]));
        in[i].desc = t[i];
        if (d->dtype == FR_I32) {
            int32_t *out = t[i].data;
            int64_t lo = (int64_t)d->lo, span = (int64_t)(d->hi - d->lo);
            fr_rng r = fr_rng_new(77, (uint64_t)i);
            for (size_t k = 0; k < n; k++) {
                out[k] = d->ints
                             ? d->ints[k]
                             : (int32_t)(lo + (span > 0 ? fr_rng_below(&r, (uint32_t)span) : 0));
                in[i].v[k] = out[k];
            }
        } else {
            if (d->lo == 0 && d->hi == 0) {
                fr_random_normal(77, (uint64_t)i, 0, f, n);
            } else {
                fr_random_uniform(77, (uint64_t)i, 0, f, n);
                for (size_t k = 0; k < n; k++) f[k] = (float)(d->lo + (d->hi - d->lo) * f[k]);
            }
            assert_int_equal(fr_encode(type, f, n, t[i].data), FR_OK);
            fr_decode(type, t[i].data, n, f);
            for (size_t k = 0; k < n; k++) in[i].v[k] = f[k];
        }
        fr_free(f);
    }
}

/* ---- one graph, ready to run ---- */

typedef struct rig {
    fr_graph *g;
    fr_session *s;
    fr_val in[OP_MAX], out[OP_MAX], grad[OP_MAX];
    int nin, nout, nstate;
    fr_tensor feed[OP_MAX + 1];
    int nfeed;
    bool grads;
} rig;

static int count_inputs(const op_case *c) {
    int n = 0;
    while (n < OP_MAX && c->in[n].dtype != FR_NOTYPE) n++;
    return n;
}

/* The weights of the scalar that is differentiated: never near zero, so that nothing hides. */
static float loss_weight(size_t i) {
    uint32_t w[4];
    fr_philox(5, 6, i, w);
    float u = 0.5f + (float)(w[0] >> 8) * 0x1p-24f;
    return w[1] & 1 ? u : -u;
}

static void rig_build(rig *r, const op_case *c, fr_dtype real, const fr_tensor *t, fr_pool *pool,
                      bool grads) {
    *r = (rig){.g = fr_graph_new(), .nin = count_inputs(c)};
    for (int i = 0; i < r->nin; i++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        const op_in *d = &c->in[i];
        fr_dtype type = d->dtype == FR_F32 ? real : d->dtype;
        if (d->state) {
            r->in[i] = fr_state(r->g, name, type, d->rank, d->dim);
        } else {
            r->in[i] = fr_input(r->g, name, type, d->rank, d->dim);
            r->feed[r->nfeed++] = t[i];
        }
    }
    r->nout = c->build(r->g, r->in, c->arg, r->out);
    if (fr_graph_check(r->g) != FR_OK) fail_msg("%s: %s", c->name, fr_message());
    for (int i = 0; i < r->nout; i++) {
        char name[16];
        snprintf(name, sizeof name, "out%d", i);
        fr_output(r->g, name, r->out[i]);
    }
    fr_val wrt[OP_MAX];
    int nwrt = 0;
    for (int i = 0; i < r->nin; i++)
        if (grads && c->in[i].grad) wrt[nwrt++] = r->in[i];
    if (nwrt) {
        fr_tensor w = *fr_desc(r->g, r->out[0]);
        w.dtype = FR_F32;
        fr_set_contiguous(&w);
        w.data = fr_alloc(FR_MEM_OTHER, fr_bytes(&w));
        for (size_t k = 0; k < (size_t)fr_values(&w); k++) ((float *)w.data)[k] = loss_weight(k);
        fr_val loss = fr_mul(r->g, r->out[0], fr_constant(r->g, &w));
        if (w.rank) loss = fr_reduce(r->g, loss, FR_SUM, (1u << w.rank) - 1, false);
        fr_free(w.data);
        fr_val grad[OP_MAX];
        if (fr_gradients(r->g, loss, nwrt, wrt, grad) != FR_OK)
            fail_msg("%s: %s", c->name, fr_message());
        for (int i = 0, k = 0; i < r->nin; i++) {
            if (!c->in[i].grad) continue;
            char name[16];
            snprintf(name, sizeof name, "grad%d", i);
            fr_output(r->g, name, grad[k++]);
        }
        r->grads = true;
    }
    if (fr_session_new_with(r->g, &(fr_session_opts){.pool = pool}, &r->s) != FR_OK)
        fail_msg("%s: %s", c->name, fr_message());
}

static void rig_run(rig *r, const op_case *c, const fr_tensor *t) {
    for (int i = 0; i < r->nin; i++)
        if (c->in[i].state)
            memcpy(fr_session_tensor(r->s, r->in[i])->data, t[i].data, fr_bytes(&t[i]));
    if (fr_session_run(r->s, r->feed, r->nfeed) != FR_OK) fail_msg("%s: %s", c->name, fr_message());
}

static void rig_free(rig *r) {
    fr_session_free(r->s);
    fr_graph_free(r->g);
}

/* ---- comparing ---- */

static void compare(const char *name, const char *what, int index, const fr_tensor *got,
                    const op_f64 *want, double tol) {
    size_t n = (size_t)fr_values(&want->desc);
    assert_int_equal(fr_values(got), (int64_t)n);
    float *f = fr_alloc_array(FR_MEM_OTHER, n + 1, sizeof *f);
    double scale = 0;
    if (got->dtype == FR_I32)
        for (size_t k = 0; k < n; k++) f[k] = (float)((const int32_t *)got->data)[k];
    else
        assert_int_equal(fr_tensor_to_f32(got, f), FR_OK);
    for (size_t k = 0; k < n; k++)
        if (isfinite(want->v[k]) && fabs(want->v[k]) > scale) scale = fabs(want->v[k]);
    if (scale < 1e-3) scale = 1e-3;
    for (size_t k = 0; k < n; k++) {
        bool bad = isnan(want->v[k])   ? !isnan(f[k])
                   : isinf(want->v[k]) ? (double)f[k] != want->v[k]
                                       : !(fabs(f[k] - want->v[k]) <= tol * scale);
        if (bad)
            fail_msg(
                "%s (%s, %s): %s %d value %zu of %zu is %.9g, expected %.9g (tolerance %g of %g)",
                name, fr_kernel()->name, fr_dtype_name(got->dtype), what, index, k, n, f[k],
                want->v[k], tol, scale);
    }
    fr_free(f);
}

/* The reference for the current inputs; outputs are shaped as the graph says. */
static void reference(const op_case *c, const rig *r, const op_f64 *in, op_f64 *out) {
    for (int i = 0; i < r->nout; i++) {
        out[i].desc = *fr_desc(r->g, r->out[i]);
        if (!out[i].v)
            out[i].v =
                fr_alloc_array(FR_MEM_OTHER, (size_t)fr_values(&out[i].desc) + 1, sizeof(double));
        memset(out[i].v, 0, (size_t)fr_values(&out[i].desc) * sizeof(double));
    }
    c->ref(c->arg, in, out);
}

static double weighted(const op_f64 *out) {
    double sum = 0;
    for (size_t k = 0; k < (size_t)fr_values(&out->desc); k++) sum += out->v[k] * loss_weight(k);
    return sum;
}

/* Which values of an input are looked at: at most 64, spread; fewer of a large case, whose reference
 * takes long; one or two in short. */
static size_t spread(size_t n) {
    if (op_short()) return n / 2 + 1;
    size_t most = n > 2000 ? 13 : 61;
    return n > most + 3 ? n / most : 1;
}

/* Central differences of the f64 reference at these values. They do not depend on the kernels, so
 * they are taken once a case. */
static double *differences(const op_case *c, const rig *r, op_f64 *in, op_f64 *out, int which) {
    size_t n = (size_t)fr_values(&in[which].desc), step = spread(n), at = 0;
    double *want = fr_alloc_array(FR_MEM_OTHER, n + 1, sizeof *want);
    for (size_t k = 0; k < n; k += step) {
        double x = in[which].v[k], h = 1e-5 * fmax(1, fabs(x));
        in[which].v[k] = x + h;
        reference(c, r, in, out);
        double up = weighted(&out[0]);
        in[which].v[k] = x - h;
        reference(c, r, in, out);
        want[at++] = (up - weighted(&out[0])) / (2 * h);
        in[which].v[k] = x;
    }
    return want;
}

static void check_gradient(const op_case *c, const rig *r, const op_f64 *in, const double *want,
                           int which) {
    char name[16];
    snprintf(name, sizeof name, "grad%d", which);
    const fr_tensor *t = fr_session_output(r->s, name);
    assert_non_null(t);
    const float *g = t->data;
    size_t n = (size_t)fr_values(&in[which].desc), step = spread(n), worst_at = 0;
    assert_int_equal(fr_values(t), (int64_t)n);
    double tol = c->grad_tol > 0 ? c->grad_tol : 1e-4, scale = 1e-3, worst = 0;
    for (size_t k = 0; k < n; k++) scale = fmax(scale, fabs(g[k]));
    for (size_t k = 0, at = 0; k < n; k += step, at++) {
        scale = fmax(scale, fabs(want[at]));
        double error = fabs(g[k] - want[at]);
        if (!(error <= worst)) worst = error, worst_at = at;
    }
    if (!(worst <= tol * scale))
        fail_msg(
            "%s (%s): gradient of input %d value %zu is %.9g, expected %.9g (tolerance %g of %g)",
            c->name, fr_kernel()->name, which, worst_at * step, (double)g[worst_at * step],
            want[worst_at], tol, scale);
}

/* ---- the checks ---- */

/* What is kept from one table of kernels to the next: it does not depend on them. */
typedef struct kept {
    op_f64 out[OP_MAX];     /* the reference's */
    double *slopes[OP_MAX]; /* differences of each input */
} kept;

static void kept_free(kept *k) {
    for (int i = 0; i < OP_MAX; i++) fr_free(k->out[i].v), fr_free(k->slopes[i]);
}

static void check_values(const op_case *c, fr_dtype real, double tol, bool grads, kept *k) {
    op_f64 in[OP_MAX] = {0}, out[OP_MAX] = {0};
    fr_tensor t[OP_MAX];
    int nin = count_inputs(c);
    fill_inputs(c, nin, real, in, t);
    rig r;
    rig_build(&r, c, real, t, NULL, grads);
    rig_run(&r, c, t);
    if (!k->out[0].v) reference(c, &r, in, k->out);
    for (int i = 0; i < r.nout; i++) {
        char name[16];
        snprintf(name, sizeof name, "out%d", i);
        compare(c->name, "output", i, fr_session_output(r.s, name), &k->out[i], tol);
    }
    for (int i = 0; i < nin; i++) {
        if (!r.grads || !c->in[i].grad) continue;
        if (!k->slopes[i]) k->slopes[i] = differences(c, &r, in, out, i);
        check_gradient(c, &r, in, k->slopes[i], i);
    }
    rig_free(&r);
    for (int i = 0; i < nin; i++) fr_free(in[i].v), fr_free(t[i].data);
    for (int i = 0; i < OP_MAX; i++) fr_free(out[i].v);
}

/* Pools are made once a program and end with it. */
fr_pool *op_pool(int count) {
    static fr_pool *pools[9];
    if (!pools[count]) assert_int_equal(fr_pool_new(count, &pools[count]), FR_OK);
    return pools[count];
}

/* Output and gradient bytes must not depend on the number of threads. */
static void check_threads(const op_case *c, fr_dtype real) {
    op_f64 in[OP_MAX] = {0};
    fr_tensor t[OP_MAX];
    int nin = count_inputs(c);
    fill_inputs(c, nin, real, in, t);
    void *first[2 * OP_MAX] = {0};
    for (size_t k = 0; k < FR_COUNT(threads); k++) {
        if (op_short() && threads[k] % 2 == 0) continue;
        rig r;
        rig_build(&r, c, real, t, op_pool(threads[k]), real == FR_F32);
        rig_run(&r, c, t);
        for (int i = 0; i < r.nout + nin; i++) {
            char name[16];
            snprintf(name, sizeof name, i < r.nout ? "out%d" : "grad%d",
                     i < r.nout ? i : i - r.nout);
            const fr_tensor *o = fr_session_output(r.s, name);
            if (!o) continue;
            if (!first[i]) {
                first[i] = fr_alloc(FR_MEM_OTHER, fr_bytes(o) + 1);
                memcpy(first[i], o->data, fr_bytes(o));
            } else if (memcmp(first[i], o->data, fr_bytes(o))) {
                fail_msg("%s (%s): %s differs between 1 and %d threads", c->name, fr_kernel()->name,
                         name, threads[k]);
            }
        }
        rig_free(&r);
    }
    for (int i = 0; i < nin; i++) fr_free(in[i].v), fr_free(t[i].data);
    for (size_t i = 0; i < FR_COUNT(first); i++) fr_free(first[i]);
}

void op_each_table(void (*fn)(void *), void *arg) {
    static const unsigned levels[] = {0, FR_CPU_AVX2 | FR_CPU_NEON, FR_CPU_AVX2 | FR_CPU_AVXVNNI,
                                      FR_CPU_AVX2 | FR_CPU_AVX512, ~0u};
    unsigned done = ~0u;
    for (size_t i = 0; i < FR_COUNT(levels); i++) {
        unsigned cpu = fr_cpu_flags() & levels[i];
        if (cpu == done) continue;
        done = cpu;
        fr_kernels table;
        fr_kernels_fill(cpu, &table);
        fr_kernel_use(&table);
        fn(arg);
        fr_kernel_use(NULL);
    }
}

typedef struct under_table {
    const op_case *c;
    kept f32, bf16;
} under_table;

static void check_table(void *arg) {
    under_table *u = arg;
    const op_case *c = u->c;
    check_values(c, FR_F32, c->tol > 0 ? c->tol : 2e-5, true, &u->f32);
    check_threads(c, FR_F32);
    if (!c->bf16) return;
    check_values(c, FR_BF16, c->bf16_tol > 0 ? c->bf16_tol : 1.6e-2, false, &u->bf16);
    check_threads(c, FR_BF16);
}

void op_check(const op_case *c) {
    under_table u = {.c = c};
    op_each_table(check_table, &u);
    kept_free(&u.f32);
    kept_free(&u.bf16);
}

void op_check_refused(const op_in *in,
                      int (*build)(fr_graph *, const fr_val *, const void *, fr_val *),
                      const void *arg, const char *words) {
    fr_graph *g = fr_graph_new();
    fr_val v[OP_MAX], out[OP_MAX];
    for (int i = 0; i < OP_MAX && in[i].dtype != FR_NOTYPE; i++) {
        char name[16];
        snprintf(name, sizeof name, "in%d", i);
        v[i] = in[i].state ? fr_state(g, name, in[i].dtype, in[i].rank, in[i].dim)
                           : fr_input(g, name, in[i].dtype, in[i].rank, in[i].dim);
    }
    build(g, v, arg, out);
    if (fr_graph_check(g) == FR_OK) fail_msg("accepted what should be refused with \"%s\"", words);
    if (!strstr(fr_message(), words))
        fail_msg("the refusal says \"%s\", without \"%s\"", fr_message(), words);
    fr_graph_free(g);
}
