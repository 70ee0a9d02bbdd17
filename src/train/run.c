/* run.c: the loop of a training, and what must survive it.
 *
 * A checkpoint is written beside the old one and then takes its place, so a crash, a full disk or kill -9 at any
 * moment leaves a good one. When one cannot be written, the training says so, keeps the old one and goes on;
 * only at the end, and after Ctrl-C, is that a failure. */
#include "train/run.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "op/op.h"
#include "train/learner.h"
#include "train/metrics.h"
#include "train/vocabulary.h"

typedef struct run {
    const fr_run_opts *o;
    fr_recipe *recipe;
    fr_job job;
    char *settings, *vocabulary, *checkpoint, *metrics_path, *curves, *model, *adapter; /* paths */
    fr_tokenizer *tokenizer;
    fr_learner *learner;
    fr_feeder *feeder;
    fr_metrics metrics;
    int lock; /* the folder */
    fr_progress progress;
    double peak;     /* operations a second that this machine can do in the type of the weights */
    double measured; /* when */
    double start, saved;       /* when the loop began; when the last checkpoint was written */
    int64_t first, saved_step; /* the step it began at */
    double loss_sum, aside;    /* since the last line: losses, and seconds not spent on steps */
    int64_t loss_count, timed; /* timed: of them, those of this process */
    double line_at;
} run;

static int64_t step_of(const run *r) {
    return fr_trainer_step_count(r->learner->trainer);
}

/* ---- the folder ---- */

static fr_status make_paths(run *r) {
    const char *out = r->o->out;
    r->settings = fr_path_join(out, "recipe");
    r->vocabulary = fr_path_join(out, "tokenizer.json");
    r->checkpoint = fr_path_join(out, "checkpoint.safetensors");
    r->metrics_path = fr_path_join(out, "metrics.jsonl");
    r->curves = fr_path_join(out, "curves.svg");
    r->model = fr_path_join(out, "model");
    r->adapter = fr_path_join(out, "adapter");
    bool all = r->settings && r->vocabulary && r->checkpoint && r->metrics_path && r->curves &&
               r->model && r->adapter;
    return all ? FR_OK : FR_NOMEM;
}

/* What a crash left of a checkpoint that was being written. */
static void remove_halves(const run *r) {
    char **names;
    size_t count;
    if (fr_list_dir(r->o->out, &names, &count)) return;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(names[i], "checkpoint.safetensors.tmp.", 27)) continue;
        char *path = fr_path_join(r->o->out, names[i]);
        if (path) unlink(path);
        fr_free(path);
    }
    fr_list_free(names, count);
}

/* Two trainings in one folder would take each other's checkpoint; the lock goes with the process. */
static fr_status lock_folder(run *r) {
    FR_TRY(fr_make_dirs(r->o->out));
    r->lock = open(r->o->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->lock >= 0 && flock(r->lock, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return fr_fail(FR_INVALID, "another training is at work in %s", r->o->out);
    return FR_OK; /* where the system has no such locks, it must do without */
}

static fr_status begin_folder(run *r) {
    if (fr_path_exists(r->checkpoint))
        return fr_fail(FR_INVALID,
                       "%s holds a training already: --resume %s goes on with it, and another "
                       "folder (-o) or removing it begins anew",
                       r->o->out, r->o->out);
    unlink(r->metrics_path);
    FR_TRY(fr_vocabulary_get(r->recipe, &r->job, &r->tokenizer));
    FR_TRY(fr_tokenizer_save(r->tokenizer, r->vocabulary));
    char *text = fr_recipe_print(r->recipe);
    fr_status st = text ? fr_write_file(r->settings, text, strlen(text)) : FR_NOMEM;
    fr_free(text);
    return st;
}

static fr_status resume_folder(run *r) {
    FR_TRY(fr_recipe_same(r->recipe, r->settings, fr_job_free_keys));
    remove_halves(r);
    return fr_tokenizer_open(r->vocabulary, &r->tokenizer);
}

/* ---- saying how it goes ---- */

static void write_head(run *r) {
    long long params = (long long)fr_decoder_params(&r->learner->model);
    size_t held = fr_trainer_state_bytes(r->learner->trainer);
    const char *optimizer = fr_optimizer_names[r->job.train.optimizer];
    if (!r->metrics.begun)
        fr_metrics_write(&r->metrics,
                         "{\"step\": 0, \"parameters\": %lld, \"optimizer\": \"%s\", "
                         "\"state_bytes\": %zu, \"peak\": %.4g, \"threads\": %d}",
                         params, optimizer, held, r->peak, fr_pool_threads(r->o->pool));
    if (fr_is_quiet()) return;
    char text[32], bytes[32], peak[32];
    printf("%s parameters, %lld steps of %lld tokens; %s holds %s; peak %sFLOP/s\n",
           fr_show_count(text, (double)params), (long long)r->job.train.steps,
           (long long)(r->job.rows * r->job.tokens * r->job.accumulate), optimizer,
           fr_show_bytes(bytes, (double)held), fr_show_count(peak, r->peak));
    fflush(stdout);
}

/* A line of figures over the steps since the last one. */
static void report(run *r, float norm) {
    double now = fr_now(), spent = now - r->line_at - r->aside;
    double tokens = (double)(r->timed * r->job.rows * r->job.tokens);
    double rate = spent > 0 ? tokens / spent : 0, loss = r->loss_sum / (double)r->loss_count;
    double flops = fr_decoder_train_flops(&r->learner->model, r->job.tokens);
    double share = r->peak > 0 ? rate * flops / r->peak : 0;
    int64_t step = step_of(r);
    fr_metrics_write(&r->metrics,
                     "{\"step\": %lld, \"loss\": %.6f, \"lr\": %.6g, \"norm\": %.5g, "
                     "\"tokens_per_second\": %.1f, \"share_of_peak\": %.4f, \"seconds\": %.2f}",
                     (long long)step, loss, (double)fr_learning_rate(&r->job.train, step - 1),
                     (double)norm, rate, share, r->metrics.seconds + now - r->start);
    char text[32];
    fr_progress_note(&r->progress, "loss %.4f  %s tokens/s, %.0f%% of peak", loss,
                     fr_show_count(text, rate), 100 * share);
    r->loss_sum = r->aside = 0;
    r->loss_count = r->timed = 0;
    r->line_at = now;
}

/* Of the type of the weights. On a machine that others use too, one reading may be far too low, so it is taken
 * again at looks that are a minute apart, and the largest counts. */
static void measure_peak(run *r) {
    fr_peaks peaks;
    if (r->peak > 0 && fr_now() - r->measured < 60) return;
    r->measured = fr_now();
    fr_peaks_measure_floats(r->o->pool, &peaks);
    bool pairs = r->job.model_opts.weights == FR_BF16 && peaks.bf16[1] > 0;
    r->peak = FR_MAX_OF(r->peak, pairs ? peaks.bf16[1] : peaks.f32[1]);
}

static fr_status draw(const run *r) {
    char params[32], title[200];
    const char *slash = strrchr(r->o->out, '/'), *name = slash && slash[1] ? slash + 1 : r->o->out;
    snprintf(title, sizeof title, "%.100s: %s parameters, %lld steps", name,
             fr_show_count(params, (double)fr_decoder_params(&r->learner->model)),
             (long long)step_of(r));
    return fr_metrics_plot(r->metrics_path, title, r->curves);
}

static fr_status validate(run *r) {
    double begin = fr_now();
    FR_TRY(fr_learner_validate(r->learner, &r->metrics.validation));
    r->metrics.validated = step_of(r);
    measure_peak(r);
    double now = fr_now();
    r->aside += now - begin;
    fr_metrics_write(
        &r->metrics,
        "{\"step\": %lld, \"validation_loss\": %.6f, \"seconds\": %.2f, \"peak\": %.4g}",
        (long long)step_of(r), r->metrics.validation, r->metrics.seconds + now - r->start, r->peak);
    /* Curves that cannot be drawn are a failure at the end only. */
    if (r->o->plot && step_of(r) >= r->job.log_every && draw(r)) fr_message_clear();
    return FR_OK;
}

/* ---- checkpoints ---- */

static fr_status save(run *r) {
    double begin = fr_now();
    fr_metrics_write(&r->metrics,
                     "{\"step\": %lld, \"checkpoint\": true, \"loss_sum\": %.17g, "
                     "\"loss_count\": %lld, \"seconds\": %.2f}",
                     (long long)step_of(r), r->loss_sum, (long long)r->loss_count,
                     r->metrics.seconds + begin - r->start);
    FR_TRY(fr_trainer_save(r->learner->trainer, r->checkpoint));
    r->saved = fr_now();
    r->saved_step = step_of(r);
    r->aside += r->saved - begin;
    return FR_OK;
}

static bool time_to_save(const run *r) {
    const fr_job *j = &r->job;
    if (j->checkpoint_every && step_of(r) % j->checkpoint_every == 0) return true;
    return j->checkpoint_minutes > 0 && fr_now() - r->saved >= 60 * j->checkpoint_minutes;
}

/* One that cannot be written must not cost the training. */
static void save_by_the_way(run *r) {
    if (!save(r)) return;
    r->saved = fr_now();
    fr_progress_clear();
    fr_log(FR_LOG_WARN,
           "the checkpoint of step %lld could not be written: %s; the training goes on",
           (long long)step_of(r), fr_message());
}

static fr_status stop(run *r) {
    fr_progress_end(&r->progress);
    fr_status st = save(r);
    if (st) return fr_fail_in(st, "stopped by Ctrl-C at step %lld", (long long)step_of(r));
    return fr_fail(FR_INTERRUPTED,
                   "Stopped by Ctrl-C at step %lld of %lld. To go on: frugal train --resume %s",
                   (long long)step_of(r), (long long)r->job.train.steps, r->o->out);
}

/* ---- the loop ---- */

/* Ctrl-C in the middle of it: then nothing has happened. */
static fr_status one_update(run *r, float *norm) {
    fr_trainer *t = r->learner->trainer;
    double sum = 0;
    for (int64_t i = 0; i < r->job.accumulate; i++) {
        const fr_tensor *batch;
        float loss;
        FR_TRY(fr_feeder_take(r->feeder, &batch));
        FR_TRY(fr_trainer_accumulate(t, batch, r->learner->data.inputs, &loss));
        sum += (double)loss;
    }
    FR_TRY(fr_trainer_update(t, norm));
    r->loss_sum += sum;
    r->loss_count += r->job.accumulate;
    r->timed += r->job.accumulate;
    return FR_OK;
}

/* Also where a stop came between a step and its look. */
static bool time_to_validate(const run *r) {
    int64_t step = step_of(r), every = r->job.validate_every;
    return every && step && r->metrics.validated != step &&
           (step % every == 0 || step == r->job.train.steps);
}

static fr_status one_step(run *r) {
    const fr_job *j = &r->job;
    float norm;
    FR_TRY(one_update(r, &norm));
    int64_t step = step_of(r);
    bool last = step == j->train.steps;
    if (last || step % j->log_every == 0) report(r, norm);
    if (time_to_validate(r)) FR_TRY(validate(r));
    if (!last && time_to_save(r)) save_by_the_way(r);
    fr_progress_update(&r->progress, (double)(step - r->first));
    return FR_OK;
}

static fr_status loop(run *r) {
    int64_t steps = r->job.train.steps;
    r->first = r->saved_step = step_of(r);
    r->start = r->line_at = r->saved = fr_now();
    r->loss_sum = r->metrics.loss_sum;
    r->loss_count = r->metrics.loss_count;
    r->progress = fr_progress_start("training", (double)(steps - r->first), "steps");
    fr_status st = time_to_validate(r) ? validate(r) : FR_OK;
    while (!st && step_of(r) < steps) st = fr_interrupted() ? FR_INTERRUPTED : one_step(r);
    if (st == FR_INTERRUPTED) return stop(r);
    fr_progress_end(&r->progress);
    FR_TRY(st);
    return r->saved_step < steps || !fr_path_exists(r->checkpoint) ? save(r) : FR_OK;
}

static fr_status finish(run *r) {
    FR_TRY(fr_learner_write(r->learner, r->model, r->adapter));
    if (r->o->plot) FR_TRY(draw(r));
    if (fr_is_quiet()) return FR_OK;
    char text[32], waited[32];
    printf("%s: the model after %lld steps", r->model, (long long)step_of(r));
    if (r->metrics.validated == step_of(r)) printf(", validation loss %.4f", r->metrics.validation);
    printf("; %s in all\ndata: waited %s\n",
           fr_show_time(text, r->metrics.seconds + fr_now() - r->start),
           fr_show_time(waited, fr_feeder_waited(r->feeder)));
    return FR_OK;
}

static fr_status train(run *r) {
    FR_TRY(make_paths(r));
    if (r->o->resume && !fr_path_exists(r->settings))
        return fr_fail(FR_IO, "%s holds no training that could go on", r->o->out);
    FR_TRY(lock_folder(r));
    FR_TRY(r->o->resume ? resume_folder(r) : begin_folder(r));
    FR_TRY(fr_learner_new(&r->job, r->tokenizer, r->o->pool, &r->learner));
    FR_TRY(fr_learner_start(r->learner));
    if (r->o->resume && fr_path_exists(r->checkpoint))
        FR_TRY(fr_trainer_resume(r->learner->trainer, r->checkpoint));
    int64_t step = step_of(r);
    FR_TRY(fr_metrics_open(r->metrics_path, step, &r->metrics));
    FR_TRY(fr_feeder_new(&r->learner->data, (uint64_t)(step * r->job.accumulate), (int)r->job.ahead,
                         &r->feeder));
    measure_peak(r);
    write_head(r);
    FR_TRY(loop(r));
    return finish(r);
}

static fr_status train_tokenizer(run *r) {
    char text[32];
    if (r->o->resume)
        return fr_fail(FR_INVALID, "a tokenizer is learned in one go; there is nothing to resume");
    FR_TRY(make_paths(r));
    FR_TRY(fr_make_dirs(r->o->out));
    FR_TRY(fr_vocabulary_learn(&r->job, &r->tokenizer));
    FR_TRY(fr_tokenizer_save(r->tokenizer, r->vocabulary));
    if (!fr_is_quiet())
        printf("%s: %d tokens, learned from %s lines\n", r->vocabulary,
               fr_tokenizer_size(r->tokenizer), fr_show_count(text, (double)r->job.lines));
    return FR_OK;
}

fr_status fr_train_run(fr_recipe *recipe, const fr_run_opts *o) {
    run r = {.o = o, .recipe = recipe, .lock = -1};
    FR_TRY(fr_job_read(recipe, &r.job));
    fr_status st = r.job.kind == FR_JOB_TOKENIZER ? train_tokenizer(&r) : train(&r);
    fr_feeder_free(r.feeder);
    fr_metrics_close(&r.metrics);
    fr_learner_free(r.learner);
    fr_tokenizer_free(r.tokenizer);
    if (r.lock >= 0) close(r.lock);
    char *const paths[] = {r.settings, r.vocabulary, r.checkpoint, r.metrics_path,
                           r.curves,   r.model,      r.adapter};
    for (size_t i = 0; i < FR_COUNT(paths); i++) fr_free(paths[i]);
    return st;
}
