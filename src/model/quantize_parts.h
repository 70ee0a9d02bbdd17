/* quantize_parts.h: what the files of quantization share; quantize.h says which file does what. */
#ifndef FR_MODEL_QUANTIZE_PARTS_H
#define FR_MODEL_QUANTIZE_PARTS_H

#include "format/format.h"
#include "model/quantize.h"
#include "quant/quant.h"

/* ---- what flows: quantize_flow.c ---- */

typedef struct quant_flow {
    const fr_decoder *m;
    fr_pool *pool;
    int64_t tokens; /* of all texts */
    float *x;       /* [tokens, width] */
    size_t texts;
    const int32_t *length;
    int64_t *first; /* of each text: its place in x */
    int32_t *order; /* texts by length, so that those that go through together are alike */
} quant_flow;

fr_status quant_flow_new(const fr_decoder *m, const fr_quantizing *o, quant_flow *out);
void quant_flow_free(quant_flow *f);

/* Texts of about the same length, padded to one width: they go through a layer together. */
typedef struct quant_batch {
    const quant_flow *f;
    size_t begin, end; /* of f->order */
    int64_t width;     /* tokens of a row */
    float *x;          /* [end - begin, width, f->m->width] */
} quant_batch;
int64_t quant_batch_most(const quant_flow *f); /* tokens of the largest; the flow has texts */
bool quant_batch_next(quant_batch *b);         /* starts with {.f, .x}; false: all were there */
void quant_batch_fill(const quant_batch *b);   /* x of what flows */
/* The rows of a value [.., width, n] that are text, one after another; how many. */
int64_t quant_batch_gather(const quant_batch *b, const float *from, int64_t n, float *rows);
void quant_batch_advance(const quant_batch *b, const float *y); /* what flows becomes y */

/* One layer as a graph whose parameters may be changed. */
typedef struct quant_layer {
    int64_t number;
    fr_graph *graph;
    fr_session *session;
    fr_taps taps;
    fr_named_tensor *list; /* its parameters, f32 */
    size_t count;
} quant_layer;

fr_status quant_layer_open(const quant_flow *f, const fr_store *store, int64_t number,
                           quant_layer *out);
void quant_layer_close(quant_layer *l);
fr_tensor *quant_layer_find(const quant_layer *l, const char *name);

/* Who looks at what flows: sums[slot] of a tap, NULL where nobody looks. */
typedef struct quant_looks {
    fr_hessian **sums; /* [taps.slots] */
    bool advance;      /* x becomes what the layer gives */
    void (*on_rows)(void *arg, double share);
    void *arg;
} quant_looks;
/* All texts through the layer. */
fr_status quant_flow_run(const quant_flow *f, const quant_layer *l, const quant_looks *k);

/* ---- one layer: quantize_layer.c, quantize_keys.c ---- */

typedef struct quant_result {
    fr_quantized *q; /* in the order of `name` */
    const char **name;
    size_t count;
    fr_layer_report report;
    double bits, values; /* of the linears */
} quant_result;

typedef struct quant_steps {
    const fr_quantizing *o;
    const fr_qformat *format;
    void (*on_progress)(void *arg, double layers);
    void *arg;
} quant_steps;

/* Passes and rounding; f->x becomes what the next layer is given. */
fr_status quant_layer_make(const quant_flow *f, const quant_steps *s, quant_layer *l,
                           quant_result *out);
void quant_result_free(quant_result *r);

/* alpha and beta of keys that make the least error in scores, of the rows that the sums kept. */
fr_status quant_keys_choose(const fr_decoder *m, int bits, const fr_hessian *keys,
                            const fr_hessian *queries, double *alpha, double *beta);

/* ---- files: quantize_files.c ---- */

/* What is to be written. Tensors are those of others, or made in the arena. */
typedef struct quant_list {
    fr_arena *arena;
    fr_named_tensor *tensor; /* room for as many as quant_list_new was told, */
    fr_meta_pair *meta;      /* of both */
    size_t count, metas;
} quant_list;
fr_status quant_list_new(size_t room, quant_list *l);
void quant_list_free(quant_list *l);
/* t is f32, and becomes bf16. */
fr_status quant_list_halved(quant_list *l, const char *name, const fr_tensor *t);
/* The files of the folder `path` that there are; none where it is a file itself. */
fr_status quant_files_copy(const char *path, const char *out, const char *const *names,
                           size_t count);

/* OUT/.partial, begun by the same call of the same program over the same things, or new. done: layers. */
fr_status quant_files_open(const char *out, const fr_model *m, const fr_quantizing *o,
                           int64_t *done);
fr_status quant_files_layer(const char *out, const quant_layer *l, const quant_result *r);
/* The embedding, the last norm and the weight of the logits. */
fr_status quant_files_ends(const char *out, const fr_named_tensor *list, size_t count,
                           const fr_quantized *head);
/* What flows into layer `next`. */
fr_status quant_files_put_flow(const char *out, const quant_flow *f, int64_t next);
fr_status quant_files_take_flow(const char *out, quant_flow *f, int64_t next);
/* All that is done becomes the folder, and .partial goes. */
fr_status quant_files_finish(const char *out, const fr_model *m, const fr_decoder *made,
                             const fr_quantizing *o, fr_quantize_report *report);

#endif
