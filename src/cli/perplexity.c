/* perplexity.c: `frugal eval MODEL --perplexity FILE`. */
#include "cli/perplexity.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/run_memory.h"

enum { MOST_TEXT = 1 << 30 };

static fr_status read_ids(const fr_weighing *w, const fr_model *m, fr_tokens *ids, int64_t *bytes) {
    fr_tokenizer *t;
    char *text;
    size_t n;
    FR_TRY(fr_read_file(w->file, MOST_TEXT, &text, &n));
    *bytes = (int64_t)n;
    fr_status st = fr_tokenizer_open(m->path, &t);
    if (!st) {
        st = fr_tokenizer_encode(t, text, n, FR_ENCODE_BOS, ids);
        fr_tokenizer_free(t);
    }
    fr_free(text);
    return st;
}

static void on_chunk(void *arg, int64_t done, int64_t of) {
    (void)of;
    fr_progress_update(arg, (double)done);
}

static fr_status write_json(const fr_weighing *w, const char *kv, const fr_perplexity *p) {
    fr_json *j = json_object();
    bool good = json_object_set_new(j, "model", json_string(w->model)) == 0 &&
                json_object_set_new(j, "file", json_string(w->file)) == 0 &&
                json_object_set_new(j, "kv", json_string(kv)) == 0 &&
                json_object_set_new(j, "perplexity", json_real(p->value)) == 0 &&
                json_object_set_new(j, "error", json_real(p->error)) == 0 &&
                json_object_set_new(j, "bits_a_byte", json_real(p->bits_a_byte)) == 0 &&
                json_object_set_new(j, "chunks", json_integer(p->chunks)) == 0 &&
                json_object_set_new(j, "tokens", json_integer(p->tokens)) == 0;
    fr_status st = good ? fr_json_save(j, w->json)
                        : fr_fail(FR_NOMEM, "There is no memory to write the scores as JSON.");
    fr_json_free(j);
    return st;
}

static void print(const fr_weighing *w, const char *kv, const fr_perplexity *p) {
    char time[32];
    printf("perplexity %.4f +- %.4f a token, %.4f bits a byte\n", p->value, p->error,
           p->bits_a_byte);
    printf("%s on %s: %lld tokens in %lld chunks, keys and values in %s%s, in %s (%.0f tokens/s)\n",
           w->model, w->file, (long long)p->tokens, (long long)p->chunks, kv,
           strlen(kv) == 1 ? " bits" : "", fr_show_time(time, p->seconds),
           p->seconds > 0 ? (double)p->tokens / p->seconds : 0);
}

static fr_status weigh(fr_weighing *w, const fr_model *m) {
    fr_tokens ids = {0};
    fr_pool *pool;
    fr_progress bar;
    fr_perplexity p;
    int64_t bytes;
    fr_kv_kind kind = m->pages;
    if (w->kv) fr_cli_kv(w->kv, &kind);
    FR_TRY(fr_cli_pool(&pool));
    fr_status st = read_ids(w, m, &ids, &bytes);
    if (!st) {
        int64_t n = w->o.context ? w->o.context : FR_MIN(m->decoder.context, (int64_t)2048);
        int64_t chunks = FR_MAX_OF((int64_t)ids.count / FR_MAX_OF(n, (int64_t)1), (int64_t)1);
        if (w->o.chunks) chunks = FR_MIN(chunks, w->o.chunks);
        bar = fr_progress_start("reading", (double)chunks, "chunks");
        w->o.on_chunk = on_chunk, w->o.arg = &bar;
        st = fr_perplexity_of(m, kind, pool, ids.ids, (int64_t)ids.count, bytes, &w->o, &p);
        fr_progress_end(&bar);
    }
    fr_free(ids.ids);
    FR_TRY(st);
    const char *word = fr_cli_kv_word(kind), *kv = word ? word : "pages of QServe";
    print(w, kv, &p);
    return w->json ? write_json(w, kv, &p) : FR_OK;
}

fr_status fr_weigh_file(fr_weighing *w) {
    fr_model m;
    FR_TRY(fr_model_open(w->model, &m));
    fr_status st = weigh(w, &m);
    fr_model_close(&m);
    return st;
}
