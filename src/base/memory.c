/* memory.c: aligned blocks that know their size, and the books of who holds what.
 *
 * A block is one piece from the C library with a small header right before the 64-byte aligned
 * address that the caller sees. The header keeps the size and the category, so that fr_free can
 * take them out of the books again. Big blocks ask for huge pages, which spares kernels the page
 * walks. */
#include "base/base.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct block_head {
    void *base; /* what the C library gave */
    size_t bytes;
    fr_mem_kind kind;
} block_head;

/* Room for the header, and for moving up to the next aligned address. */
#define BLOCK_EXTRA (sizeof(block_head) + FR_ALIGN)
/* More than a machine has: a size like this comes from a broken file. */
#define BLOCK_MOST ((size_t)1 << 40)
#define HUGE_PAGE  ((size_t)2 << 20)

/* One entry a category and one, the last, for all together. */
static struct { _Atomic size_t now, peak; } books[FR_MEM_KIND_COUNT + 1];
static atomic_long fail_after;

bool fr_size_mul(size_t a, size_t b, size_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}
bool fr_size_add(size_t a, size_t b, size_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

static void book_in(int entry, size_t bytes) {
    size_t now = atomic_fetch_add(&books[entry].now, bytes) + bytes;
    size_t peak = atomic_load(&books[entry].peak);
    while (now > peak && !atomic_compare_exchange_weak(&books[entry].peak, &peak, now)) {
    }
}

static bool told_to_fail(void) {
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) <= 0) return false;
    return atomic_fetch_sub(&fail_after, 1) == 1;
}

static void ask_for_huge_pages(void *p, size_t bytes) {
    uintptr_t from = fr_round_up((uintptr_t)p, HUGE_PAGE);
    uintptr_t to = ((uintptr_t)p + bytes) / HUGE_PAGE * HUGE_PAGE;
    if (to > from) madvise((void *)from, to - from, MADV_HUGEPAGE); /* a wish: may fail */
}

static void *block_new(fr_mem_kind kind, size_t bytes, bool zero) {
    if (bytes > BLOCK_MOST) {
        fr_fail(FR_NOMEM, "%zu bytes of memory were asked for, more than any machine has", bytes);
        return NULL;
    }
    size_t all = bytes + BLOCK_EXTRA;
    void *base = told_to_fail() ? NULL : zero ? calloc(1, all) : malloc(all);
    if (!base) {
        fr_fail(FR_NOMEM, "out of memory: no %zu bytes for %s", bytes, fr_mem_kind_name(kind));
        return NULL;
    }
    uint8_t *p = (uint8_t *)fr_round_up((uintptr_t)base + sizeof(block_head), FR_ALIGN);
    ((block_head *)p)[-1] = (block_head){base, bytes, kind};
    if (bytes >= 2 * HUGE_PAGE && kind != FR_MEM_PAGES) ask_for_huge_pages(p, bytes);
    book_in((int)kind, bytes);
    book_in(FR_MEM_KIND_COUNT, bytes);
    return p;
}

void *fr_alloc(fr_mem_kind kind, size_t bytes) {
    return block_new(kind, bytes, true);
}

void *fr_alloc_array(fr_mem_kind kind, size_t count, size_t size) {
    size_t bytes;
    if (!fr_size_mul(count, size, &bytes)) {
        fr_fail(FR_NOMEM, "%zu items of %zu bytes are more than memory can address", count, size);
        return NULL;
    }
    return block_new(kind, bytes, false);
}

void fr_free(void *p) {
    if (!p) return;
    block_head *head = (block_head *)p - 1;
    atomic_fetch_sub(&books[head->kind].now, head->bytes);
    atomic_fetch_sub(&books[FR_MEM_KIND_COUNT].now, head->bytes);
    free(head->base);
}

fr_status fr_grow(void **items, size_t *cap, size_t need, size_t size) {
    if (need <= *cap) return FR_OK;
    size_t more, bytes, old = *cap;
    if (!fr_size_mul(old, 2, &more) || more < need) more = need;
    if (more < 8) more = 8;
    if (!fr_size_mul(more, size, &bytes)) {
        return fr_fail(FR_NOMEM, "a list of %zu items of %zu bytes is too long", need, size);
    }
    void *bigger = fr_alloc(*items ? ((block_head *)*items)[-1].kind : FR_MEM_OTHER, bytes);
    if (!bigger) return FR_NOMEM;
    if (*items) memcpy(bigger, *items, old * size);
    fr_free(*items);
    *items = bigger;
    *cap = more;
    return FR_OK;
}

char *fr_strdup(const char *s) {
    size_t bytes = strlen(s) + 1;
    char *copy = fr_alloc_array(FR_MEM_OTHER, bytes, 1);
    if (copy) memcpy(copy, s, bytes);
    return copy;
}

char *fr_format(const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = length < 0 ? NULL : fr_alloc_array(FR_MEM_OTHER, (size_t)length + 1, 1);
    if (text) vsnprintf(text, (size_t)length + 1, fmt, again);
    va_end(again);
    return text;
}

/* ---- the books ---- */

const char *fr_mem_kind_name(fr_mem_kind kind) {
    static const char *const names[FR_MEM_KIND_COUNT] = {
        "other", "weights", "packed weights", "arena", "state", "images", "pages"};
    return (unsigned)kind < FR_MEM_KIND_COUNT ? names[kind] : "?";
}

static fr_mem_stat entry_stat(int entry) {
    return (fr_mem_stat){atomic_load(&books[entry].now), atomic_load(&books[entry].peak)};
}

fr_mem_stat fr_memory_stat(fr_mem_kind kind) {
    return entry_stat((int)kind);
}
fr_mem_stat fr_memory_total(void) {
    return entry_stat(FR_MEM_KIND_COUNT);
}

void fr_memory_reset_peak(void) {
    for (size_t i = 0; i < FR_COUNT(books); i++) {
        atomic_store(&books[i].peak, atomic_load(&books[i].now));
    }
}

void fr_memory_fail_after(long n) {
    atomic_store(&fail_after, n);
}

/* A line "VmRSS:   1234 kB" of /proc/self/status. */
static size_t status_field(const char *name) {
    FILE *f = fopen("/proc/self/status", "re");
    if (!f) return 0;
    char line[256];
    unsigned long long kilobytes = 0;
    size_t length = strlen(name);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, name, length) == 0) {
            kilobytes = strtoull(line + length, NULL, 10);
            break;
        }
    }
    fclose(f);
    return (size_t)kilobytes * 1024;
}

size_t fr_resident_bytes(void) {
    return status_field("VmRSS:");
}
size_t fr_resident_peak_bytes(void) {
    return status_field("VmHWM:");
}
size_t fr_resident_own_bytes(void) {
    return status_field("RssAnon:");
}
size_t fr_resident_file_bytes(void) {
    return status_field("RssFile:");
}
