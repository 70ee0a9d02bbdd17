/* memory.h: aligned memory with sizes that cannot overflow, arenas, and the books of who holds what.
 *
 * Sizes that come from a file are multiplied with fr_size_mul, which says when they overflow.
 * Every allocation carries a category; peak and current bytes are kept for each (fr_memory_*). */
#ifndef FR_BASE_MEMORY_H
#define FR_BASE_MEMORY_H

#include <frugal/types.h>

typedef enum fr_mem_kind {
    FR_MEM_OTHER = 0,
    FR_MEM_WEIGHTS,
    FR_MEM_PACKED, /* weights in the layout of a kernel */
    FR_MEM_ARENA,  /* activations of a plan */
    FR_MEM_STATE,  /* values that live between runs: optimizer moments */
    FR_MEM_IMAGE,
    FR_MEM_PAGES, /* keys and values: there only as far as they were written, page by page */
    FR_MEM_KIND_COUNT
} fr_mem_kind;

#define FR_ALIGN 64

/* false when a * b or a + b does not fit. */
bool fr_size_mul(size_t a, size_t b, size_t *out);
bool fr_size_add(size_t a, size_t b, size_t *out);
static inline size_t fr_round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

/* 64-byte aligned, zeroed; NULL (and a message) when there is none. Zero bytes give a valid block. */
void *fr_alloc(fr_mem_kind kind, size_t bytes);
/* count * size with the overflow check; not zeroed. */
void *fr_alloc_array(fr_mem_kind kind, size_t count, size_t size);
void fr_free(void *p); /* NULL is fine */

/* For lists that grow: doubles *items (of `size` each) until `need` fit. */
fr_status fr_grow(void **items, size_t *cap, size_t need, size_t size);
char *fr_strdup(const char *s);
char *fr_format(const char *fmt, ...) FR_PRINTF(1, 2); /* fr_free it */

/* Many small things that die together. */
typedef struct fr_arena fr_arena;
fr_arena *fr_arena_new(void);
void fr_arena_free(fr_arena *a);
void *fr_arena_alloc(fr_arena *a, size_t bytes); /* zeroed, 16-byte aligned */
char *fr_arena_strdup(fr_arena *a, const char *s);

typedef struct fr_mem_stat {
    size_t now, peak;
} fr_mem_stat;
const char *fr_mem_kind_name(fr_mem_kind kind);
fr_mem_stat fr_memory_stat(fr_mem_kind kind);
fr_mem_stat fr_memory_total(void);
void fr_memory_reset_peak(void);
/* Resident bytes of the process, and the most it ever had (0 when the system does not say). */
size_t fr_resident_bytes(void);
size_t fr_resident_peak_bytes(void);
/* Of the resident bytes: those of the process itself, and those of mapped files. */
size_t fr_resident_own_bytes(void);
size_t fr_resident_file_bytes(void);

/* For tests: the n-th allocation from now on fails (0: none). */
void fr_memory_fail_after(long n);

#endif
