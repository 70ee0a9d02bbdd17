/* quantize.c: the way through the layers; see quantize.h. */
#include "model/quantize.h"

#include <string.h>

#include "model/quantize_parts.h"
#include "model/rotate.h"

/* ---- what can be done ---- */

static fr_status check_store(const fr_model *m) {
    const char *key;
    json_t *value;
    json_object_foreach(
        (json_t *)(uintptr_t)fr_store_metadata(m->store), key,
        value) if (!strncmp(key, "frugal.format.",
                            14)) return fr_fail(FR_INVALID,
                                                "%s is in few bits already: %s. Quantize the model "
                                                "that it was made "
                                                "from.",
                                                m->path, json_string_value(value));
    return FR_OK;
}

static bool turns_stream(const fr_decoder *m, const fr_quantize_recipe *r) {
    return r->rotate && !m->around;
}

static fr_status check(const fr_model *m, const fr_quantizing *o) {
    const fr_quantize_recipe *r = &o->recipe;
    const fr_qformat *f = fr_format_find(r->format);
    if (!f) return fr_fail(FR_INVALID, "There is no number format '%s'.", r->format);
    FR_TRY(fr_grid_check(f));
    FR_TRY(check_store(m));
    if ((r->kv != 4 && r->kv != 8 && r->kv != 16) ||
        (r->head != 4 && r->head != 8 && r->head != 16))
        return fr_fail(FR_INVALID, "Keys, values and the weight of logits have 4, 8 or 16 bits.");
    if (fr_quantize_wants_texts(r) && !o->texts)
        return fr_fail(FR_INVALID, "The recipe %s wants texts to calibrate on.", r->name);
    fr_decoder untied = m->decoder;
    untied.tied = false;
    bool stream = turns_stream(&m->decoder, r);
    fr_rotate_opts turn = {.fold = stream, .residual = stream, .heads = r->rotate};
    return fr_rotate_check(&untied, &turn);
}

/* Numbers of the layer's linears, and the most that one of them has. */
static double linears(const fr_decoder *m, double *largest) {
    double w = (double)m->width, h = (double)m->hidden, d = (double)m->head_dim;
    double q = w * d * (double)m->heads, kv = w * d * (double)m->kv_heads;
    *largest = FR_MAX_OF(w * h * (m->fused ? 2 : 1), q + (m->fused ? 2 * kv : 0));
    return 2 * q + 2 * kv + 3 * w * h * (double)FR_MAX_OF(m->experts, (int64_t)1);
}

double fr_quantize_bytes(const fr_decoder *m, const fr_quantizing *o) {
    double tokens = 0, largest, all = linears(m, &largest), w = (double)m->width;
    double experts = (double)FR_MAX_OF(m->experts, (int64_t)1);
    double out = (double)(m->heads * m->head_dim), h = (double)m->hidden, longest = 2048;
    for (size_t i = 0; i < o->texts; i++) {
        tokens += o->length[i];
        longest = FR_MAX_OF(longest, (double)o->length[i]);
    }
    double flow = 4 * tokens * w, ends = flow + 3 * 4 * (double)m->vocab * w;
    double layer = flow + 4 * all + all; /* in f32, and what becomes of it */
    layer += 4 * longest * (4 * w + 3 * out + 4 * h + (experts - 1) * (w + h)); /* a run */
    layer += 4 * largest; /* packed for it, one at a time */
    if (fr_quantize_wants_texts(&o->recipe)) {
        layer +=
            2 * fr_hessian_bytes(m->width, 512) + fr_hessian_bytes(m->heads * m->head_dim, 512);
        layer += experts * (fr_hessian_bytes(m->hidden, 512));
        if (m->experts) layer += experts * fr_hessian_bytes(m->width, 512); /* rows of their own */
        layer += 14 * largest + (o->recipe.gptq ? 4 * h * h : 0);
    }
    return FR_MAX_OF(ends, layer);
}

/* ---- the ends ---- */

typedef struct ends {
    fr_tensor table, norm, head;
    fr_named_tensor list[3];
    size_t count;
} ends;

static fr_status take(const fr_store *s, const char *name, fr_tensor *out) {
    const fr_tensor *t = fr_store_find(s, name);
    if (!t) return fr_fail(FR_FORMAT, "%s has no tensor '%s'.", fr_store_path(s), name);
    *out = fr_tensor_make(FR_F32, t->rank, t->dim, NULL);
    out->data = fr_alloc_array(FR_MEM_WEIGHTS, (size_t)fr_values(t), sizeof(float));
    return out->data ? fr_tensor_to_f32(t, out->data) : FR_NOMEM;
}

static fr_status load_ends(const fr_model *m, const fr_decoder *made, ends *e) {
    const fr_decoder *d = &m->decoder;
    FR_TRY(take(m->store, "model.embed_tokens.weight", &e->table));
    FR_TRY(take(m->store, "model.norm.weight", &e->norm));
    if (e->table.rank != 2 || e->table.dim[0] != d->vocab || e->table.dim[1] != d->width)
        return fr_fail(FR_FORMAT, "The embedding of %s does not have %lld rows of %lld values.",
                       m->path, (long long)d->vocab, (long long)d->width);
    e->list[e->count++] = (fr_named_tensor){"model.embed_tokens.weight", &e->table};
    e->list[e->count++] = (fr_named_tensor){"model.norm.weight", &e->norm};
    if (made->tied) return FR_OK;
    FR_TRY(take(m->store, d->tied ? "model.embed_tokens.weight" : "lm_head.weight", &e->head));
    e->list[e->count++] = (fr_named_tensor){"lm_head.weight", &e->head};
    return FR_OK;
}

/* The weight of logits in few bits, or nothing. */
static fr_status round_head(const ends *e, const fr_quantize_recipe *r, fr_quantized *head) {
    const fr_tensor *w = e->head.data ? &e->head : &e->table;
    const fr_qformat *f = r->head == 8 ? &fr_int8_channel : fr_format_find(r->format);
    if (r->head == 16 || !fr_qlinear_takes(f->name, w->dim[0], w->dim[1])) return FR_OK;
    fr_status st = fr_quantize(f, NULL, w->data, w->dim[0], w->dim[1], head);
    return st ? fr_fail_in(st, "The weight of the logits") : FR_OK;
}

/* As the written model will find them: rounded to bf16. */
static void embed(const fr_decoder *m, const fr_quantizing *o, const ends *e, quant_flow *f) {
    float by = m->embed_scale != 0 ? m->embed_scale : 1;
    const float *table = e->table.data;
    for (int64_t i = 0; i < f->tokens; i++)
        for (int64_t c = 0; c < m->width; c++) {
            float x = table[o->ids[i] * m->width + c];
            f->x[i * m->width + c] = by * fr_bf16_to_f32(fr_f32_to_bf16(x));
        }
}

static fr_status make_ends(const fr_model *m, const fr_decoder *made, const char *out,
                           const fr_quantizing *o, quant_flow *f) {
    ends e = {0};
    fr_quantized head = {0};
    fr_status st = load_ends(m, made, &e);
    if (!st && turns_stream(&m->decoder, &o->recipe)) {
        fr_rotate_opts turn = {.fold = true, .residual = true};
        st = fr_rotate(made, &turn, e.list, e.count, -1, o->pool);
    }
    if (!st) st = round_head(&e, &o->recipe, &head);
    /* In few bits it needs no copy in bf16. */
    if (!st)
        st = quant_files_ends(out, e.list, head.format ? 2 : e.count, head.format ? &head : NULL);
    if (!st) embed(made, o, &e, f);
    if (!st) st = quant_files_put_flow(out, f, 0);
    if (head.format) fr_quantized_free(&head);
    fr_free(e.table.data);
    fr_free(e.norm.data);
    fr_free(e.head.data);
    return st;
}

/* ---- the layers ---- */

static fr_status make_layer(const fr_model *m, const char *out, const quant_steps *s, quant_flow *f,
                            int64_t number) {
    quant_layer l;
    quant_result r;
    FR_TRY(quant_layer_open(f, m->store, number, &l));
    fr_status st = quant_layer_make(f, s, &l, &r);
    if (!st) {
        st = quant_files_layer(out, &l, &r);
        quant_result_free(&r);
    }
    quant_layer_close(&l);
    return st ? st : quant_files_put_flow(out, f, number + 1);
}

static fr_status make_all(const fr_model *m, const fr_decoder *made, const char *out,
                          const fr_quantizing *o, int64_t done, fr_quantize_report *report) {
    quant_flow f;
    quant_steps s = {.o = o, .format = fr_format_find(o->recipe.format)};
    s.on_progress = o->on_progress, s.arg = o->arg;
    FR_TRY(quant_flow_new(made, o, &f));
    fr_status st = done < 0 ? make_ends(m, made, out, o, &f) : quant_files_take_flow(out, &f, done);
    report->resumed = FR_MAX_OF(done, (int64_t)0);
    for (int64_t i = report->resumed; i < made->layers && !st; i++) {
        if (o->on_progress) o->on_progress(o->arg, (double)i);
        st = make_layer(m, out, &s, &f, i);
    }
    quant_flow_free(&f);
    return st ? st : quant_files_finish(out, m, made, o, report);
}

fr_status fr_quantize_model(const fr_model *m, const char *out, const fr_quantizing *o,
                            fr_quantize_report *report) {
    int64_t done;
    fr_decoder made = m->decoder;
    *report = (fr_quantize_report){.values = (double)fr_decoder_params(&m->decoder)};
    FR_TRY(check(m, o));
    if (turns_stream(&m->decoder, &o->recipe))
        made.tied = false; /* the norm goes into the logits */
    FR_TRY(quant_files_open(out, m, o, &done));
    fr_status st = make_all(m, &made, out, o, done, report);
    if (st) {
        fr_free(report->layer);
        report->layer = NULL;
    }
    return st;
}
