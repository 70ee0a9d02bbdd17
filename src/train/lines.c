/* lines.c: packs lines into the rows of a batch, whole lines only.
 *
 * The lines of batch b are those from b * 2^20 on, so a batch is a function of the seed and its number. Each line
 * goes into the first row that still has room; when a line fits into none, it is left out and a few more are tried.
 * So hardly a line in a hundred is left out, and long ones hardly more often than short ones. */
#include "train/lines.h"

#include <string.h>

#define LINES_A_BATCH ((uint64_t)1 << 20)
#define TRIES         16 /* lines that may fit nowhere before the batch is done */

typedef struct lines {
    fr_lines_opts o;
    int32_t eos;
    uint64_t lot;      /* the stream of random numbers that says which prompts count, */
    uint64_t task_lot; /* and that which says the tasks, where the recipe has its own mix */
    double shares;     /* their sum */
} lines;

fr_status fr_lines_encode(const fr_tokenizer *t, const fr_line *line, fr_tokens *out,
                          size_t *prompt) {
    size_t given = (size_t)line->prompt, first = out->count;
    FR_TRY(fr_tokens_add(out, fr_tokenizer_bos(t)));
    FR_TRY(fr_tokenizer_encode(t, line->text, given, 0, out));
    *prompt = out->count - first;
    FR_TRY(fr_tokenizer_encode(t, line->text + given, (size_t)line->bytes - given, 0, out));
    return fr_tokens_add(out, fr_tokenizer_eos(t));
}

/* The task of a line; -1: the world decides. */
static int task_of(const lines *l, uint64_t index) {
    if (l->shares <= 0) return -1;
    float u;
    fr_random_uniform(l->o.seed, l->task_lot, index, &u, 1);
    double left = (double)u * l->shares;
    int last = 0;
    for (int t = 0; t < FR_LINE_TASKS; t++) {
        if (l->o.share[t] <= 0) continue;
        if (left < l->o.share[t]) return t;
        left -= l->o.share[t];
        last = t;
    }
    return last;
}

/* Captions and stories are to be said whole; of a question, what is asked is learned now and then. */
static bool prompt_counts(const lines *l, const fr_line *line, uint64_t index) {
    if (line->task == FR_LINE_CAPTION || line->task == FR_LINE_STORY) return true;
    float u;
    fr_random_uniform(l->o.seed, l->lot, index, &u, 1);
    return (double)u < l->o.prompt_loss;
}

/* Where a line goes: the place of its first token in a row, and from there on what belongs to it. */
typedef struct slot {
    int64_t at;
    int32_t *tokens, *target, *first; /* first: NULL where lines see one another */
} slot;

/* Each token is to be followed by the next; behind the last of a line nothing counts. */
static void place(const fr_tokens *t, size_t uncounted, const slot *s) {
    for (size_t i = 0; i < t->count; i++) {
        s->tokens[i] = t->ids[i];
        s->target[i] = i + 1 < t->count && i + 1 >= uncounted ? t->ids[i + 1] : -1;
        if (s->first) s->first[i] = (int32_t)s->at;
    }
}

static int64_t first_with_room(const int64_t *used, int64_t rows, int64_t tokens, int64_t need) {
    for (int64_t r = 0; r < rows; r++)
        if (tokens - used[r] >= need) return r;
    return -1;
}

static fr_status pack(const lines *l, uint64_t number, const slot *all, int64_t *used,
                      fr_tokens *line_tokens) {
    int misses = 0;
    for (uint64_t i = 0; i < LINES_A_BATCH && misses < TRIES; i++) {
        fr_line line;
        size_t prompt;
        uint64_t index = number * LINES_A_BATCH + i;
        fr_line_make(l->o.seed, index, task_of(l, index), l->o.split, &line);
        line_tokens->count = 0;
        FR_TRY(fr_lines_encode(l->o.tokenizer, &line, line_tokens, &prompt));
        int64_t row = first_with_room(used, l->o.rows, l->o.tokens, (int64_t)line_tokens->count);
        if (row < 0) {
            misses++;
            continue;
        }
        int64_t at = row * l->o.tokens + used[row];
        slot here = {used[row], all->tokens + at, all->target + at,
                     all->first ? all->first + at : NULL};
        place(line_tokens, prompt_counts(l, &line, index) ? 0 : prompt, &here);
        used[row] += (int64_t)line_tokens->count;
    }
    return FR_OK;
}

static fr_status fill(void *self, uint64_t number, fr_tensor *inputs) {
    const lines *l = self;
    slot all = {0, inputs[0].data, inputs[1].data, l->o.apart ? inputs[3].data : NULL};
    int32_t *pos = inputs[2].data;
    int64_t values = l->o.rows * l->o.tokens;
    fr_tokens line = {0};
    int64_t *used = fr_alloc(FR_MEM_OTHER, (size_t)l->o.rows * sizeof *used);
    if (!used) return FR_NOMEM;
    for (int64_t i = 0; i < values; i++) {
        all.tokens[i] = l->eos, all.target[i] = -1;
        if (all.first) all.first[i] = (int32_t)(i % l->o.tokens); /* what stays empty sees itself */
    }
    for (int64_t i = 0; i < l->o.tokens; i++) pos[i] = (int32_t)i;
    fr_status st = pack(l, number, &all, used, &line);
    fr_free(line.ids);
    fr_free(used);
    return st;
}

fr_status fr_lines_source(const fr_lines_opts *o, fr_source *out) {
    if (o->rows < 1 || o->tokens < 8)
        return fr_fail(FR_INVALID, "a batch of text wants rows of 8 tokens or more");
    if (fr_tokenizer_bos(o->tokenizer) < 0 || fr_tokenizer_eos(o->tokenizer) < 0)
        return fr_fail(FR_INVALID,
                       "the tokenizer has no tokens for the begin and the end of a text");
    lines *l = fr_alloc(FR_MEM_OTHER, sizeof *l);
    if (!l) return FR_NOMEM;
    *l = (lines){.o = *o,
                 .eos = fr_tokenizer_eos(o->tokenizer),
                 .lot = fr_random_stream("train/prompt"),
                 .task_lot = fr_random_stream("train/task")};
    for (int t = 0; t < FR_LINE_TASKS; t++) l->shares += o->share[t];
    fr_tensor grid = fr_tensor_make(FR_I32, 2, (int64_t[]){o->rows, o->tokens}, NULL);
    fr_tensor pos = fr_tensor_make(FR_I32, 2, (int64_t[]){o->tokens, 1}, NULL);
    *out = (fr_source){.self = l,
                       .inputs = o->apart ? 4 : 3,
                       .shape = {grid, grid, pos, grid},
                       .fill = fill,
                       .free = fr_free};
    return FR_OK;
}
