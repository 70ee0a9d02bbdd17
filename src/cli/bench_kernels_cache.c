/* bench_kernels_cache.c: one new token attends to a long cache of keys and values in 16, 8 and 4 bits: 32 heads
 * of queries on 8 of keys, of 128. */
#include "cli/bench_kernels.h"

#include <string.h>

enum { HEADS = 32, KV_HEADS = 8, DIM = 128, OUT_OF_CACHE = 128 << 20 };

static const struct {
    const char *what;
    fr_kv_kind kind;
} kinds[] = {{"4-bit cache", FR_KV_4}, {"8-bit cache", FR_KV_8}, {"bf16 cache", FR_KV_BF16}};

/* One full page, which the others repeat. */
static fr_status fill_page(const fr_kv_layout *l, uint8_t *page, float *x) {
    for (int token = 0; token < FR_KV_TOKENS; token++) {
        fr_random_normal(3, (uint64_t)token, 0, x, (size_t)KV_HEADS * DIM);
        FR_TRY(fr_kv_page_write(l, page, token, x));
    }
    return FR_OK;
}

/* Keys and values of some caches, one after another, so that the next run finds its own out of the processor's
 * cache: u8 [pages, bytes of a page], the first of them. */
static fr_status pages_of(kb_group *g, fr_kv_kind kind, int64_t pages, int *caches,
                          fr_tensor *out) {
    fr_kv_layout l;
    FR_TRY(fr_kv_layout_of(kind, KV_HEADS, DIM, &l));
    size_t cache = (size_t)pages * l.bytes;
    *caches = (int)(OUT_OF_CACHE / (2 * cache) + 1);
    if (g->quick) *caches = 1;
    uint8_t *memory = kb_memory(g, (size_t)*caches * cache);
    float x[KV_HEADS * DIM];
    if (!memory) return FR_NOMEM;
    FR_TRY(fill_page(&l, memory, x));
    for (int64_t i = 1; i < *caches * pages; i++)
        memcpy(memory + (size_t)i * l.bytes, memory, l.bytes);
    *out = fr_tensor_make(FR_U8, 2, (int64_t[]){pages, (int64_t)l.bytes}, memory);
    return FR_OK;
}

static fr_graph *decode_graph(fr_kv_kind kind, const fr_tensor in[KB_INPUTS]) {
    static const char *const names[KB_INPUTS] = {"q", "k", "v", "table", "kv_len"};
    fr_graph *g = fr_graph_new();
    fr_val v[KB_INPUTS];
    for (int i = 0; i < KB_INPUTS; i++)
        v[i] = fr_input(g, names[i], in[i].dtype, in[i].rank, in[i].dim);
    fr_paged_attention_opts o = {.kind = kind};
    fr_output(g, "y", fr_paged_attention(g, v[0], v[1], v[2], v[3], v[4], &o));
    return g;
}

fr_status kb_fill_cache(kb_group *g, const kb_entry *e) {
    int64_t tokens = e->k, pages = tokens / FR_KV_TOKENS;
    fr_tensor q;
    int32_t *table = kb_memory(g, ((size_t)pages + 1) * sizeof *table);
    if (!table) return FR_NOMEM;
    for (int64_t i = 0; i < pages; i++) table[i] = (int32_t)i;
    table[pages] = (int32_t)tokens;
    FR_TRY(kb_random(g, FR_BF16, 4, (int64_t[]){1, 1, HEADS, DIM}, &q));
    for (size_t i = 0; i < FR_COUNT(kinds); i++) {
        fr_tensor in[KB_INPUTS] = {q};
        int caches;
        kb_model *model;
        FR_TRY(pages_of(g, kinds[i].kind, pages, &caches, &in[1]));
        FR_TRY(pages_of(g, kinds[i].kind, pages, &caches, &in[2]));
        in[3] = fr_tensor_make(FR_I32, 2, (int64_t[]){1, pages}, table);
        in[4] = fr_tensor_make(FR_I32, 1, (int64_t[]){1}, table + pages);
        FR_TRY(kb_model_of(g, decode_graph(kinds[i].kind, in), 1, &model));
        kb_run *r = kb_run_add(g, model, 1, 0, tokens, "%s", kinds[i].what);
        memcpy(r->in, in, sizeof r->in);
        r->ins = KB_INPUTS;
        r->turns = caches;
        r->step[1] = r->step[2] = fr_bytes(&in[1]);
        r->work = 2 * (double)fr_bytes(&in[1]);
        r->peak = KB_READ;
        if (kinds[i].kind == FR_KV_4) r->goal = KB_SHARE, r->target = 0.85;
        if (i) r->beside = 0;
        if (kinds[i].kind == FR_KV_BF16) r->goal = KB_AT_LEAST, r->target = 3;
    }
    return FR_OK;
}
