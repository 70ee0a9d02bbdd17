/* job.c: from the keys of a recipe to the numbers of a training. */
#include "train/job.h"

#include <math.h>

#define MANY ((int64_t)1 << 40)

const char *const fr_job_free_keys[] = {"ahead",
                                        "log_every",
                                        "validate_every",
                                        "validate_batches",
                                        "checkpoint_every",
                                        "checkpoint_minutes",
                                        NULL};

/* Getters that fill in what they are given. */
#define WHOLE(key, fallback, lo, hi, out) FR_TRY(fr_recipe_i64(r, key, fallback, lo, hi, out))
static fr_status number(fr_recipe *r, const char *key, double fallback, double lo, double hi,
                        float *out) {
    double v;
    FR_TRY(fr_recipe_f64(r, key, fallback, lo, hi, &v));
    *out = (float)v;
    return FR_OK;
}

static fr_status read_tokenizer(fr_recipe *r, fr_job *j) {
    WHOLE("vocab", 1024, 258, 65536, &j->vocab);
    WHOLE("lines", 200000, 1, 100000000, &j->lines);
    return FR_OK;
}

static fr_status read_new_model(fr_recipe *r, fr_decoder *m) {
    WHOLE("width", 256, 8, 65536, &m->width);
    WHOLE("layers", 4, 1, 1000, &m->layers);
    WHOLE("heads", 8, 1, 1024, &m->heads);
    WHOLE("kv_heads", m->heads, 1, 1024, &m->kv_heads);
    WHOLE("head_dim", FR_MAX_OF(m->width / m->heads, 2), 2, 1024, &m->head_dim);
    WHOLE("hidden", 3 * m->width, 8, 1000000, &m->hidden);
    WHOLE("context", 256, 8, 1000000, &m->context);
    FR_TRY(number(r, "theta", 10000, 1, 1e9, &m->rope.theta));
    FR_TRY(number(r, "norm_eps", 1e-5, 1e-12, 0.1, &m->eps));
    FR_TRY(fr_recipe_bool(r, "tied", true, &m->tied));
    if (m->heads % m->kv_heads)
        return fr_fail(FR_FORMAT, "%s: heads (%lld) must be a multiple of kv_heads (%lld)",
                       fr_recipe_path(r), (long long)m->heads, (long long)m->kv_heads);
    if (m->head_dim % 2)
        return fr_fail(FR_FORMAT, "%s: head_dim is %lld; it must be even", fr_recipe_path(r),
                       (long long)m->head_dim);
    return FR_OK;
}

/* The shape is that of the model to begin with. */
static fr_status read_base(fr_recipe *r, fr_job *j) {
    fr_model base;
    int64_t rank;
    WHOLE("lora_rank", 0, 0, 4096, &rank);
    FR_TRY(number(r, "lora_alpha", 2.0 * (double)FR_MAX_OF(rank, 1), 1e-6, 1e6,
                  &j->model_opts.lora_alpha));
    j->model_opts.lora_rank = (int)rank;
    fr_status st = fr_model_open(j->base, &base);
    if (st) return fr_fail_in(st, "%s: base", fr_recipe_path(r));
    j->model = base.decoder;
    fr_model_close(&base);
    return FR_OK;
}

static fr_status read_model(fr_recipe *r, fr_job *j) {
    static const char *const types[] = {"f32", "bf16", NULL};
    int type;
    FR_TRY(fr_recipe_text(r, "tokenizer", NULL, &j->tokenizer));
    FR_TRY(fr_recipe_text(r, "base", NULL, &j->base));
    if (!j->tokenizer && !j->base)
        return fr_fail(FR_FORMAT,
                       "%s: there is no key tokenizer: a file, or a recipe that makes one",
                       fr_recipe_path(r));
    FR_TRY(j->base ? read_base(r, j) : read_new_model(r, &j->model));
    FR_TRY(fr_recipe_word(r, "weights", types, 1, &type));
    FR_TRY(fr_recipe_bool(r, "recompute", false, &j->model_opts.recompute));
    j->model_opts.weights = type ? FR_BF16 : FR_F32;
    return FR_OK;
}

/* share_add = 20, share_story = 15 ...: how often each task of the world of text comes. */
static fr_status read_shares(fr_recipe *r, fr_job *j) {
    for (int t = 0; t < FR_LINE_TASKS; t++) {
        char key[64];
        snprintf(key, sizeof key, "share_%s", fr_line_task_names[t]);
        FR_TRY(fr_recipe_f64(r, key, 0, 0, 1e6, &j->share[t]));
    }
    return FR_OK;
}

static fr_status read_data(fr_recipe *r, fr_job *j) {
    FR_TRY(read_shares(r, j));
    WHOLE("tokens", j->model.context, 8, j->model.context, &j->tokens);
    WHOLE("batch", 16, 1, 100000, &j->rows);
    WHOLE("ahead", 4, 1, 1000, &j->ahead);
    FR_TRY(fr_recipe_bool(r, "apart", true, &j->model_opts.apart));
    return fr_recipe_f64(r, "prompt_loss", 0, 0, 1, &j->prompt_loss);
}

static fr_status read_training(fr_recipe *r, fr_job *j) {
    static const char *const schedules[] = {"constant", "linear", "cosine", NULL};
    fr_train_opts *o = &j->train;
    int optimizer, schedule;
    FR_TRY(fr_recipe_word(r, "optimizer", fr_optimizer_names, FR_ADAMW, &optimizer));
    FR_TRY(fr_recipe_word(r, "schedule", schedules, FR_SCHEDULE_COSINE, &schedule));
    o->optimizer = (fr_optimizer_kind)optimizer;
    o->schedule = (fr_schedule_kind)schedule;
    bool came = o->optimizer == FR_CAME || o->optimizer == FR_CAME8;
    WHOLE("steps", 1000, 1, MANY, &o->steps);
    WHOLE("warmup", FR_MIN(o->steps / 20, (int64_t)200), 0, o->steps, &o->warmup);
    FR_TRY(number(r, "lr", 1e-3, 1e-12, 100, &o->lr));
    FR_TRY(number(r, "final_lr", 0, 0, 100, &o->final_lr));
    FR_TRY(number(r, "momentum", 0, 0, 0.9999, &o->momentum));
    FR_TRY(number(r, "beta1", 0.9, 0, 0.99999, &o->beta1));
    FR_TRY(number(r, "beta2", 0.95, 0, 0.9999999, &o->beta2));
    FR_TRY(number(r, "beta3", 0.9999, 0, 0.9999999, &o->beta3));
    FR_TRY(number(r, "eps", came ? 1e-30 : 1e-8, 1e-38, 1, &o->eps));
    FR_TRY(number(r, "eps2", 1e-16, 1e-38, 1, &o->eps2));
    FR_TRY(number(r, "ema", 0, 0, 0.9999999, &o->ema));
    WHOLE("accumulate", 1, 1, 10000, &j->accumulate);
    FR_TRY(number(r, "weight_decay", 0.1, 0, 100, &o->weight_decay));
    return number(r, "clip", 1, 0, 1e9, &o->clip);
}

static fr_status read_reports(fr_recipe *r, fr_job *j) {
    WHOLE("log_every", 10, 1, MANY, &j->log_every);
    WHOLE("validate_every", 500, 0, MANY, &j->validate_every);
    WHOLE("validate_batches", 16, 1, 10000, &j->validate_batches);
    WHOLE("checkpoint_every", 0, 0, MANY, &j->checkpoint_every);
    return fr_recipe_f64(r, "checkpoint_minutes", 10, 0, 1e6, &j->checkpoint_minutes);
}

fr_status fr_job_read(fr_recipe *r, fr_job *out) {
    static const char *const kinds[] = {"tokenizer", "llama", NULL};
    int kind;
    int64_t seed;
    *out = (fr_job){0};
    FR_TRY(fr_recipe_word(r, "kind", kinds, FR_JOB_LLAMA, &kind));
    WHOLE("seed", 1, 0, INT64_MAX, &seed);
    out->kind = (fr_job_kind)kind;
    out->seed = (uint64_t)seed;
    if (out->kind == FR_JOB_TOKENIZER) {
        FR_TRY(read_tokenizer(r, out));
    } else {
        FR_TRY(read_model(r, out));
        FR_TRY(read_data(r, out));
        FR_TRY(read_training(r, out));
        FR_TRY(read_reports(r, out));
    }
    return fr_recipe_done(r);
}
