/* run_memory.c: see run_memory.h.
 *
 * Counted is what was asked for, at its most, of each kind; of pages only those that were written, since the system
 * gives the rest no memory. Weights that are read where they are mapped belong to the file and to the system's cache:
 * they are told beside it, and may be taken back at any time. */
#include "cli/run_memory.h"

#include <stdio.h>
#include <string.h>

static size_t most;

static const char *const words[] = {[FR_KV_BF16] = "bf16",
                                    [FR_KV_F16] = "f16",
                                    [FR_KV_F32] = "f32",
                                    [FR_KV_8] = "8",
                                    [FR_KV_4] = "4"};

bool fr_cli_kv(const char *word, fr_kv_kind *out) {
    for (size_t i = 0; i < FR_COUNT(words); i++)
        if (!strcmp(word, words[i])) {
            *out = (fr_kv_kind)i;
            return true;
        }
    return false;
}

const char *fr_cli_kv_word(fr_kv_kind kind) {
    return kind < (fr_kv_kind)FR_COUNT(words) ? words[kind] : NULL;
}

void fr_cli_memory_look(void) {
    most = FR_MAX_OF(most, fr_resident_own_bytes());
}

void fr_cli_memory_print(const fr_engine_stats *e) {
    char text[32];
    size_t pages = (size_t)e->peak * e->page, reserved = fr_memory_stat(FR_MEM_PAGES).peak;
    size_t counted = 0;
    fr_cli_memory_look();
    fprintf(stderr, "memory: ");
    for (fr_mem_kind k = 0; k < FR_MEM_KIND_COUNT; k++) {
        size_t peak = k == FR_MEM_PAGES ? pages : fr_memory_stat(k).peak;
        counted += peak;
        if (peak < 1024) continue;
        fprintf(stderr, "%s %s, ", fr_mem_kind_name(k), fr_show_bytes(text, (double)peak));
    }
    fprintf(stderr, "in all %s", fr_show_bytes(text, (double)counted));
    if (most) fprintf(stderr, "; the system counts %s", fr_show_bytes(text, (double)most));
    fprintf(stderr, " and %s of files", fr_show_bytes(text, (double)fr_resident_file_bytes()));
    fprintf(stderr, "\npages: at most %d of %d in use, of %s for %d tokens", e->peak, e->pages,
            fr_show_bytes(text, (double)e->page), FR_KV_TOKENS);
    fprintf(stderr, "; room for %s\n", fr_show_bytes(text, (double)reserved));
}
