/* learner.c: builds the model twice: once with gradients for the trainer, once forward alone. The parameters are
 * copied from the first to the second before it is asked, which costs nothing beside the asking. */
#include "train/learner.h"

#include <string.h>

#include "train/adapter.h"
#include "train/lines.h"

/* ---- making ---- */

static fr_status make_trainer(fr_learner *l, fr_pool *pool) {
    const fr_job *j = l->job;
    l->graph = fr_graph_new();
    if (!l->graph) return FR_NOMEM;
    fr_train_opts train = j->train;
    if (j->model_opts.lora_rank) train.trainable = fr_adapter_part;
    fr_val loss = fr_decoder_loss(l->graph, &l->model, &j->model_opts, j->rows, j->tokens);
    return fr_trainer_new(l->graph, loss, &train, pool, &l->trainer);
}

static fr_status make_look(fr_learner *l, fr_pool *pool) {
    const fr_job *j = l->job;
    fr_decoder_opts opts = j->model_opts;
    opts.recompute = false;
    l->look = fr_graph_new();
    if (!l->look) return FR_NOMEM;
    fr_output(l->look, "loss", fr_decoder_loss(l->look, &l->model, &opts, j->rows, j->tokens));
    return fr_session_new_with(l->look, &(fr_session_opts){.pool = pool, .train = true},
                               &l->looking);
}

/* The lines for validation are the same at every look, so they are made once. */
static fr_status make_unseen(fr_learner *l) {
    const fr_source *s = &l->unseen;
    size_t count = (size_t)l->job->validate_batches;
    l->batches = fr_alloc(FR_MEM_OTHER, count * (size_t)s->inputs * sizeof *l->batches);
    if (!l->batches) return FR_NOMEM;
    for (size_t b = 0; b < count; b++) {
        fr_tensor *in = l->batches + b * (size_t)s->inputs;
        for (int k = 0; k < s->inputs; k++) {
            in[k] = s->shape[k];
            in[k].data = fr_alloc(FR_MEM_OTHER, fr_bytes(&in[k]));
            if (!in[k].data) return FR_NOMEM;
        }
        FR_TRY(s->fill(s->self, b, in));
    }
    return FR_OK;
}

static fr_status make(fr_learner *l, fr_pool *pool) {
    const fr_job *j = l->job;
    fr_lines_opts lines = {.tokenizer = l->tokenizer,
                           .seed = j->seed,
                           .split = FR_LINES_TRAIN,
                           .rows = j->rows,
                           .tokens = j->tokens,
                           .apart = j->model_opts.apart,
                           .prompt_loss = j->prompt_loss};
    memcpy(lines.share, j->share, sizeof lines.share);
    FR_TRY(fr_lines_source(&lines, &l->data));
    lines.split = FR_LINES_VALIDATION;
    lines.prompt_loss = 0;
    FR_TRY(fr_lines_source(&lines, &l->unseen));
    FR_TRY(make_trainer(l, pool));
    if (j->validate_every) FR_TRY(make_unseen(l));
    return make_look(l, pool);
}

static fr_status fit_tokenizer(fr_learner *l) {
    int32_t size = fr_tokenizer_size(l->tokenizer);
    if (l->job->base && size > l->model.vocab)
        return fr_fail(FR_INVALID, "the tokenizer has %d tokens, and %s knows %lld", size,
                       l->job->base, (long long)l->model.vocab);
    if (!l->job->base) l->model.vocab = size;
    l->model.bos = fr_tokenizer_bos(l->tokenizer);
    l->model.eos[0] = fr_tokenizer_eos(l->tokenizer);
    l->model.eos_count = l->model.eos[0] >= 0;
    return FR_OK;
}

fr_status fr_learner_new(const fr_job *job, const fr_tokenizer *tokenizer, fr_pool *pool,
                         fr_learner **out) {
    *out = NULL;
    fr_learner *l = fr_alloc(FR_MEM_OTHER, sizeof *l);
    if (!l) return FR_NOMEM;
    l->job = job;
    l->tokenizer = tokenizer;
    l->model = job->model;
    fr_status st = fit_tokenizer(l);
    if (!st) st = make(l, pool);
    if (st) {
        fr_learner_free(l);
        return st;
    }
    *out = l;
    return FR_OK;
}

void fr_learner_free(fr_learner *l) {
    if (!l) return;
    size_t count = (size_t)l->job->validate_batches * (size_t)l->unseen.inputs;
    for (size_t i = 0; l->batches && i < count; i++) fr_free(l->batches[i].data);
    fr_free(l->batches);
    if (l->data.free) l->data.free(l->data.self);
    if (l->unseen.free) l->unseen.free(l->unseen.self);
    fr_session_free(l->looking);
    fr_trainer_free(l->trainer);
    fr_graph_free(l->look);
    fr_graph_free(l->graph);
    fr_free(l);
}

/* What a model of the same shape holds. The adapters are not in it. */
static fr_status begin_with(fr_learner *l, const fr_model *base) {
    fr_session *s = fr_trainer_session(l->trainer);
    for (size_t v = 0; v < l->graph->value_count; v++) {
        const fr_value *value = l->graph->values[v];
        if (value->kind != FR_VALUE_PARAM || fr_adapter_part(value->name, NULL)) continue;
        const fr_tensor *t = fr_store_find(base->store, value->name);
        if (!t) return fr_fail(FR_FORMAT, "%s does not hold %s", base->path, value->name);
        FR_TRY(fr_session_set(s, (fr_val)v, t));
    }
    return FR_OK;
}

fr_status fr_learner_start(fr_learner *l) {
    if (l->job->base) {
        fr_model base;
        FR_TRY(fr_model_open(l->job->base, &base));
        fr_status st = begin_with(l, &base);
        fr_model_close(&base);
        FR_TRY(st);
    }
    return fr_decoder_init(fr_trainer_session(l->trainer), l->graph, &l->model, l->job->seed);
}

/* ---- looking ---- */

static fr_status copy_each(fr_learner *l) {
    fr_session *from = fr_trainer_session(l->trainer);
    for (size_t v = 0; v < l->look->value_count; v++) {
        const fr_value *value = l->look->values[v];
        if (value->kind != FR_VALUE_PARAM) continue;
        const fr_tensor *t = fr_session_tensor(from, fr_graph_find(l->graph, value->name));
        if (!t) return fr_fail(FR_INVALID, "the training has no parameter %s", value->name);
        FR_TRY(fr_session_set(l->looking, (fr_val)v, t));
    }
    fr_session_params_changed(l->looking);
    return FR_OK;
}

/* What is looked at and written are the averages, where the recipe wants them. */
static fr_status copy_parameters(fr_learner *l) {
    bool averages = l->job->train.ema > 0;
    if (averages) FR_TRY(fr_trainer_swap_ema(l->trainer));
    fr_status st = copy_each(l);
    if (averages) {
        fr_status back = fr_trainer_swap_ema(l->trainer);
        if (!st) st = back;
    }
    return st;
}

static int64_t counted(const fr_tensor *target) {
    const int32_t *id = target->data;
    int64_t n = 0;
    for (int64_t i = 0; i < fr_values(target); i++) n += id[i] >= 0;
    return n;
}

fr_status fr_learner_validate(fr_learner *l, double *loss) {
    double sum = 0, tokens = 0;
    int inputs = l->unseen.inputs;
    FR_TRY(copy_parameters(l));
    for (int64_t b = 0; b < l->job->validate_batches; b++) {
        const fr_tensor *in = l->batches + b * inputs;
        float mean;
        FR_TRY(fr_session_run(l->looking, in, inputs));
        FR_TRY(fr_tensor_to_f32(fr_session_output(l->looking, "loss"), &mean));
        double n = (double)counted(&in[1]);
        sum += (double)mean * n;
        tokens += n;
    }
    *loss = tokens ? sum / tokens : 0;
    return FR_OK;
}

/* ---- the folder ---- */

/* {"bos_token": "<bos>"}, for those who have only the names of tokens. */
static fr_status add_name(fr_json *j, const char *key, const fr_tokenizer *t, int32_t id) {
    char *name;
    size_t bytes;
    if (id < 0) return FR_OK;
    FR_TRY(fr_tokenizer_decode(t, &id, 1, true, &name, &bytes));
    bool good = json_object_set_new(j, key, json_stringn(name, bytes)) == 0;
    fr_free(name);
    return good ? FR_OK : FR_NOMEM;
}

static fr_status write_names(const fr_learner *l, const char *path) {
    fr_json *j = json_pack("{s:s, s:I, s:b}", "tokenizer_class", "PreTrainedTokenizerFast",
                           "model_max_length", (json_int_t)l->model.context,
                           "clean_up_tokenization_spaces", 0);
    fr_status st = j ? add_name(j, "bos_token", l->tokenizer, l->model.bos) : FR_NOMEM;
    if (!st) st = add_name(j, "eos_token", l->tokenizer, l->model.eos[0]);
    if (!st) st = fr_json_save(j, path);
    fr_json_free(j);
    return st;
}

static fr_status write_tokenizer(const fr_learner *l, const char *folder) {
    char *path = fr_path_join(folder, "tokenizer.json");
    char *names = fr_path_join(folder, "tokenizer_config.json");
    fr_status st = path && names ? fr_tokenizer_save(l->tokenizer, path) : FR_NOMEM;
    if (!st) st = write_names(l, names);
    fr_free(path);
    fr_free(names);
    return st;
}

fr_status fr_learner_write(fr_learner *l, const char *model, const char *adapter) {
    FR_TRY(copy_parameters(l));
    if (l->job->model_opts.lora_rank) {
        FR_TRY(fr_adapter_write(l->job, l->looking, l->look, adapter));
        FR_TRY(fr_adapter_write_merged(l->job, &l->model, l->looking, l->look, model));
    } else {
        FR_TRY(fr_decoder_save(model, &l->model, l->looking, l->look));
    }
    return write_tokenizer(l, model);
}
