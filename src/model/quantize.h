/* quantize.h: a decoder with weights in few bits, made from one in many (QoQ: Lin et al., QServe, 2024).
 *
 * One layer at a time, from the mapped file: rotate, reorder, smooth keys, smooth products, choose ranges, round. What
 * flows into a layer is kept for all calibration texts and goes on through the layers; so the memory is that, one
 * layer in f32, and the sums over the inputs of its linears (fr_quantize_bytes).
 *
 *     quantize_recipe.c   what is done, by name
 *     quantize.c          the way through the layers, and resuming
 *     quantize_flow.c     the calibration texts through one layer
 *     quantize_layer.c    the passes over one layer, and its rounding
 *     quantize_keys.c     how much of keys goes to queries
 *     quantize_files.c    what is written
 *
 * OUT/.partial keeps each layer that is done and what flows into the next one: a quantization that was stopped, in
 * whatever way, goes on from there when it is called again, and ends with the same bytes. */
#ifndef FR_MODEL_QUANTIZE_H
#define FR_MODEL_QUANTIZE_H

#include "model/folder.h"

typedef enum fr_keys { FR_KEYS_OFF, FR_KEYS_FIXED, FR_KEYS_GRID } fr_keys;
extern const char *const fr_keys_names[3]; /* "off", "fixed", "grid" */

typedef struct fr_quantize_recipe {
    const char *name;
    const char *what;   /* in a line, for people */
    const char *format; /* of linears in layers: the name of a number format */
    int kv;             /* bits of keys and values: 4, 8 or 16 */
    int head;           /* bits of the weight of the logits: 4, 8 or 16 */
    bool rotate, reorder, search, gptq;
    fr_keys keys;
    bool mixed; /* encoders: what attention takes of tokens, and what it gives back, in 8 bits */
    double alpha, beta; /* smoothing of what flows into down; both 0: none */
} fr_quantize_recipe;

/* By name; NULL: there is none. fr_quantize_recipes[i].name is NULL behind the last. */
extern const fr_quantize_recipe fr_quantize_recipes[];
const fr_quantize_recipe *fr_quantize_recipe_find(const char *name);
/* alpha, beta and keys as the paper's authors found them best for models of this shape. */
void fr_quantize_suit(fr_quantize_recipe *r, const fr_decoder *m);
/* Whether any step wants to see calibration texts. */
bool fr_quantize_wants_texts(const fr_quantize_recipe *r);

typedef struct fr_quantizing {
    fr_quantize_recipe recipe;
    /* Calibration: texts of ids, one after another; none of them longer than the model's context. */
    const int32_t *ids;
    const int32_t *length; /* of each text */
    size_t texts;
    bool through_original; /* what flows into a layer comes from the layers as they were */
    bool fresh;            /* what OUT/.partial holds is thrown away */
    fr_pool *pool;
    /* Called now and then with 0 .. layers; may be NULL. */
    void (*on_progress)(void *arg, double layers);
    void *arg;
} fr_quantizing;

typedef struct fr_layer_report {
    double weights;  /* dB: of all weights of the layer against what was rounded */
    double outputs;  /* dB: outputs of its linears for calibration rows; 0: none were needed */
    double worst;    /* the least of them, */
    char linear[48]; /* and whose: "mlp.down_proj" */
    double key_alpha, key_beta; /* of keys; 0 0: left as they are */
} fr_layer_report;

typedef struct fr_quantize_report {
    fr_layer_report *layer;  /* fr_free */
    int64_t layers, resumed; /* resumed: so many were done already */
    double linear_bits;      /* a weight in the linears of layers, with scales and all */
    double bytes;            /* of the weights in the folder */
    double values;           /* of the model */
} fr_quantize_report;

/* Bytes of memory that it takes at most, besides the mapped file. */
double fr_quantize_bytes(const fr_decoder *m, const fr_quantizing *o);
/* Writes the folder `out`. The model must be one in floats. */
fr_status fr_quantize_model(const fr_model *m, const char *out, const fr_quantizing *o,
                            fr_quantize_report *report);

#endif
