/* speaker.c: a language model in a folder as a speaker: its tokenizer, a generator with a cache, and a weigher for
 * what it expected.
 *
 * A document is <bos>, the prompt, what is said, <eos>; prompt and rest become tokens apart from each other, as
 * in training. */
#include "eval/eval.h"

#include "model/model.h"
#include "text/text.h"

enum {
    BATCH = 64,
    TOKENS = 4096, /* of all rows of a run of the loss */
};

typedef struct model_speaker {
    fr_model model;
    fr_tokenizer *tokenizer;
    fr_generator *generator;
    fr_weigher *weigher;
} model_speaker;

static void close_model(void *self) {
    model_speaker *m = self;
    fr_generator_free(m->generator);
    fr_weigher_free(m->weigher);
    fr_tokenizer_free(m->tokenizer);
    fr_model_close(&m->model);
    fr_free(m);
}

/* ---- saying ---- */

static fr_status encode_prompt(const model_speaker *m, const fr_line *l, fr_tokens *out) {
    FR_TRY(fr_tokens_add(out, fr_tokenizer_bos(m->tokenizer)));
    return fr_tokenizer_encode(m->tokenizer, l->text, (size_t)l->prompt, 0, out);
}

/* Special tokens in the middle of a text stay to be seen, and a zero byte does not hide what is behind it. */
static fr_status decode(const model_speaker *m, const fr_tokens *t, char **said) {
    size_t bytes;
    FR_TRY(fr_tokenizer_decode(m->tokenizer, t->ids, t->count, true, said, &bytes));
    for (size_t i = 0; i < bytes; i++)
        if (!(*said)[i]) (*said)[i] = 1;
    return FR_OK;
}

static fr_status say_all(const model_speaker *m, const fr_line *lines, size_t count,
                         const fr_generate_opts *o, fr_tokens *prompts, fr_tokens *out,
                         fr_ended *why, char **said) {
    for (size_t i = 0; i < count; i++) FR_TRY(encode_prompt(m, &lines[i], &prompts[i]));
    FR_TRY(fr_generate(m->generator, prompts, count, o, out, why));
    for (size_t i = 0; i < count; i++)
        if (why[i] == FR_ENDED_STOP) FR_TRY(decode(m, &out[i], &said[i]));
    return FR_OK;
}

static fr_status say(void *self, const fr_line *lines, size_t count, const fr_sampling *how,
                     int64_t most, char **said) {
    const model_speaker *m = self;
    int32_t eos = fr_tokenizer_eos(m->tokenizer);
    fr_generate_opts o = {.sampling = *how, .most = most, .stop = &eos, .stops = 1};
    fr_tokens *texts = fr_alloc(FR_MEM_OTHER, 2 * count * sizeof *texts);
    fr_ended *why = fr_alloc_array(FR_MEM_OTHER, count, sizeof *why);
    fr_status st = FR_NOMEM;
    if (texts && why) st = say_all(m, lines, count, &o, texts, texts + count, why, said);
    for (size_t i = 0; texts && i < 2 * count; i++) fr_free(texts[i].ids);
    fr_free(texts);
    fr_free(why);
    return st;
}

/* ---- weighing ---- */

static fr_status add_document(const model_speaker *m, const fr_line *l, fr_texts *t) {
    FR_TRY(encode_prompt(m, l, &t->ids));
    const size_t prompt = t->ids.count - t->ended; /* <bos> among them */
    FR_TRY(fr_tokenizer_encode(m->tokenizer, l->text + l->prompt, (size_t)(l->bytes - l->prompt), 0,
                               &t->ids));
    FR_TRY(fr_tokens_add(&t->ids, fr_tokenizer_eos(m->tokenizer)));
    return fr_texts_end(t, prompt);
}

static fr_status weigh(void *self, const fr_line *lines, size_t count, fr_surprise *prompts,
                       fr_surprise *rest) {
    const model_speaker *m = self;
    fr_texts t = {0};
    fr_status st = FR_OK;
    for (size_t i = 0; i < count && !st; i++) {
        st = add_document(m, &lines[i], &t);
        prompts->bytes += lines[i].prompt;
        rest->bytes += lines[i].bytes - lines[i].prompt;
    }
    if (!st) st = fr_weigher_texts(m->weigher, &t, (fr_surprise *[]){prompts, rest});
    fr_texts_free(&t);
    return st;
}

/* ---- opening ---- */

static fr_status open_model(model_speaker *m, const char *name, fr_pool *pool) {
    FR_TRY(fr_model_open(name, &m->model));
    FR_TRY(fr_tokenizer_open(m->model.path, &m->tokenizer));
    if (fr_tokenizer_bos(m->tokenizer) < 0 || fr_tokenizer_eos(m->tokenizer) < 0)
        return fr_fail(FR_FORMAT,
                       "The tokenizer of %s does not say with what a document begins and ends.",
                       m->model.path);
    if (fr_tokenizer_size(m->tokenizer) > m->model.decoder.vocab)
        return fr_fail(FR_FORMAT, "The tokenizer of %s has %d tokens, its model only %lld.",
                       m->model.path, fr_tokenizer_size(m->tokenizer),
                       (long long)m->model.decoder.vocab);
    fr_generator_opts o = {.pool = pool, .batch = BATCH};
    FR_TRY(fr_generator_new(&m->model.decoder, m->model.store, &o, &m->generator));
    return fr_weigher_new(&m->model, m->model.pages, TOKENS, TOKENS, pool, &m->weigher);
}

fr_status fr_speaker_open(const char *model, fr_pool *pool, fr_speaker *out) {
    *out = (fr_speaker){0};
    model_speaker *m = fr_alloc(FR_MEM_OTHER, sizeof *m);
    if (!m) return FR_NOMEM;
    fr_status st = open_model(m, model, pool);
    if (st) {
        close_model(m);
        return st;
    }
    *out = (fr_speaker){.self = m, .say = say, .weigh = weigh, .close = close_model};
    return FR_OK;
}

void fr_speaker_close(fr_speaker *s) {
    if (s->close) s->close(s->self);
    *s = (fr_speaker){0};
}
