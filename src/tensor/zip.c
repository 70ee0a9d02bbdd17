/* zip.c: the directory of a zip file, as PyTorch writes it: every member stored, 64-bit sizes where they are needed.
 *
 *     ... members ... directory, [64-bit end, locator of it], end of the directory: 22 bytes and a comment
 *
 * The directory is believed where it holds: each member's own header must begin as one, and its bytes lie inside the
 * file. APPNOTE.TXT of PKWARE. */
#include "tensor/zip.h"

#include <string.h>

enum { END = 22, END64 = 56, LOCATOR = 20, ENTRY = 46, LOCAL = 30, COMMENT = 65535 };

typedef struct reader {
    const char *path;
    const uint8_t *data;
    size_t bytes;
    fr_arena *arena;
    fr_zip *zip;
} reader;

static uint64_t number(const uint8_t *p, int bytes) {
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++) x |= (uint64_t)p[i] << 8 * i;
    return x;
}

static bool is(const uint8_t *p, uint32_t signature) {
    return number(p, 4) == signature;
}

static fr_status broken(const reader *r, const char *what) {
    return fr_fail(FR_FORMAT, "%s: the zip file is broken or cut off: %s.", r->path, what);
}

/* How many members there are and where the directory begins. */
static fr_status find_directory(const reader *r, uint64_t *count, uint64_t *at) {
    const uint8_t *end = NULL;
    for (size_t back = END; back <= r->bytes && back <= END + COMMENT && !end; back++)
        if (is(r->data + r->bytes - back, 0x06054b50)) end = r->data + r->bytes - back;
    if (!end) return broken(r, "it has no end of a directory");
    *count = number(end + 10, 2);
    *at = number(end + 16, 4);
    size_t before = (size_t)(end - r->data);
    if (before < LOCATOR || !is(end - LOCATOR, 0x07064b50)) return FR_OK;
    uint64_t at64 = number(end - LOCATOR + 8, 8);
    if (r->bytes < END64 || at64 > r->bytes - END64 || !is(r->data + at64, 0x06064b50))
        return broken(r, "its 64-bit directory is not where it says");
    *count = number(r->data + at64 + 32, 8);
    *at = number(r->data + at64 + 48, 8);
    return FR_OK;
}

/* Sizes of 64 bits stand in an extra field, only those whose 32 bits are all ones. */
static void take_wide(const uint8_t *extra, size_t bytes, uint64_t *size, uint64_t *packed,
                      uint64_t *offset) {
    uint64_t *want[] = {size, packed, offset};
    while (bytes >= 4) {
        size_t id = (size_t)number(extra, 2), n = (size_t)number(extra + 2, 2);
        if (n > bytes - 4) return;
        const uint8_t *p = extra + 4, *stop = p + n;
        for (int i = 0; id == 1 && i < 3; i++) {
            if (*want[i] != UINT32_MAX || stop - p < 8) continue;
            *want[i] = number(p, 8);
            p += 8;
        }
        extra += 4 + n;
        bytes -= 4 + n;
    }
}

static fr_status add(const reader *r, const uint8_t *name, size_t length, uint64_t offset,
                     uint64_t size) {
    fr_zip *z = r->zip;
    size_t number_of;
    bool was_there;
    if (r->bytes < LOCAL || offset > r->bytes - LOCAL || !is(r->data + offset, 0x04034b50))
        return broken(r, "a member is not where its directory says");
    uint64_t data =
        offset + LOCAL + number(r->data + offset + 26, 2) + number(r->data + offset + 28, 2);
    if (data > r->bytes || size > r->bytes - data)
        return broken(r, "a member goes on past its end");
    if (memchr(name, 0, length)) return broken(r, "a member's name holds a zero byte");
    char *text = fr_arena_alloc(r->arena, length + 1);
    if (!text) return FR_NOMEM;
    memcpy(text, name, length);
    FR_TRY(fr_grow((void **)&z->member, &z->cap, z->names.count + 1, sizeof *z->member));
    FR_TRY(fr_names_add(&z->names, text, &number_of, &was_there));
    if (was_there) return broken(r, "two members have one name");
    z->member[number_of] = (fr_zip_member){data, size};
    return FR_OK;
}

static fr_status read_entry(const reader *r, uint64_t *at) {
    if (r->bytes < ENTRY || *at > r->bytes - ENTRY || !is(r->data + *at, 0x02014b50))
        return broken(r, "its directory ends too early");
    const uint8_t *p = r->data + *at;
    size_t name = (size_t)number(p + 28, 2), extra = (size_t)number(p + 30, 2);
    size_t all = ENTRY + name + extra + (size_t)number(p + 32, 2);
    uint64_t packed = number(p + 20, 4), size = number(p + 24, 4), offset = number(p + 42, 4);
    if (all > r->bytes - *at) return broken(r, "its directory ends too early");
    take_wide(p + ENTRY + name, extra, &size, &packed, &offset);
    if (number(p + 8, 2) & 1 || number(p + 10, 2) != 0 || size != packed)
        return fr_fail(FR_UNSUPPORTED,
                       "%s: the zip file is compressed or encrypted; PyTorch's files are not.",
                       r->path);
    *at += all;
    return add(r, p + ENTRY, name, offset, size);
}

fr_status fr_zip_read(const char *path, const uint8_t *data, size_t bytes, fr_arena *arena,
                      fr_zip *out) {
    reader r = {path, data, bytes, arena, out};
    uint64_t count = 0, at = 0;
    *out = (fr_zip){0};
    FR_TRY(find_directory(&r, &count, &at));
    if (count > bytes / ENTRY) return broken(&r, "it claims more members than fit it");
    fr_status st = FR_OK;
    for (uint64_t i = 0; !st && i < count; i++) st = read_entry(&r, &at);
    if (st) fr_zip_free(out);
    return st;
}

void fr_zip_free(fr_zip *z) {
    fr_names_free(&z->names);
    fr_free(z->member);
    *z = (fr_zip){0};
}
