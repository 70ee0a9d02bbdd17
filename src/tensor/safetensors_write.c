/* safetensors_write.c: writing safetensors, as one file or as shards with an index.
 *
 * The header is padded with spaces so that the data begins at a multiple of 64. Gaps between
 * tensors are not allowed, so their order does the rest: see store.h. The same tensors give the
 * same bytes. */
#include "tensor/write_parts.h"

#include <string.h>
#include <unistd.h>

#include "tensor/scan.h"

/* ---- one file ---- */

static int rank_of(const fr_tensor *t) {
    return fr_bytes(t) % FR_ALIGN == 0 ? 64 : fr_dtype_get(t->dtype)->bytes;
}

/* The order of the data: whole lines of 64 first, then by falling value size. */
static void order(const fr_named_tensor *tensors, size_t count, const fr_named_tensor **out) {
    static const int ranks[] = {64, 8, 4, 2, 1};
    size_t n = 0;
    for (size_t k = 0; k < FR_COUNT(ranks); k++)
        for (size_t i = 0; i < count; i++)
            if (rank_of(tensors[i].tensor) == ranks[k]) out[n++] = &tensors[i];
}

static void put_meta(fr_text *h, const fr_meta_pair *meta, size_t metas) {
    fr_text_add(h, "\"__metadata__\":{");
    for (size_t i = 0; i < metas; i++) {
        if (i) fr_text_put(h, ",", 1);
        fr_text_quote(h, meta[i].key);
        fr_text_put(h, ":", 1);
        fr_text_quote(h, meta[i].value);
    }
    fr_text_put(h, "}", 1);
}

static void put_tensor(fr_text *h, const fr_named_tensor *n, uint64_t begin) {
    const fr_tensor *t = n->tensor;
    fr_text_quote(h, n->name);
    fr_text_add(h, ":{\"dtype\":\"%s\",\"shape\":[", fr_dtype_get(t->dtype)->safetensors);
    for (int i = 0; i < t->rank; i++) fr_text_add(h, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    fr_text_add(h, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
                (unsigned long long)(begin + fr_bytes(t)));
}

static void put_header(fr_text *h, const fr_named_tensor **tensors, size_t count,
                       const fr_meta_pair *meta, size_t metas) {
    uint64_t begin = 0;
    fr_text_put(h, "{", 1);
    if (metas) put_meta(h, meta, metas);
    for (size_t i = 0; i < count; i++) {
        if (i || metas) fr_text_put(h, ",", 1);
        put_tensor(h, tensors[i], begin);
        begin += fr_bytes(tensors[i]->tensor);
    }
    fr_text_put(h, "}", 1);
    while (!h->failed && (h->bytes + 8) % FR_ALIGN) fr_text_put(h, " ", 1);
}

static fr_status write_file(const char *path, const fr_named_tensor **tensors, size_t count,
                            const fr_text *header) {
    fr_writer *w;
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)header->bytes >> 8 * i);
    FR_TRY(fr_writer_open(path, &w));
    fr_status st = fr_writer_write(w, length, 8);
    if (st == FR_OK) st = fr_writer_write(w, header->data, header->bytes);
    for (size_t i = 0; st == FR_OK && i < count; i++) st = fr_write_values(w, tensors[i]->tensor);
    if (st == FR_OK) return fr_writer_commit(w);
    fr_writer_close(w);
    return st;
}

/* What this format cannot hold. */
static fr_status check(const char *path, const fr_named_tensor *tensors, size_t count,
                       const fr_meta_pair *meta, size_t metas) {
    char shown[FR_NAME_TEXT];
    FR_TRY(fr_write_check(path, tensors, count));
    for (size_t i = 0; i < count; i++) {
        const char *name = fr_name_text(tensors[i].name, shown);
        if (!fr_dtype_get(tensors[i].tensor->dtype)->safetensors)
            return fr_fail(FR_UNSUPPORTED,
                           "%s: safetensors has no number type for tensor '%s', which is %s.", path,
                           name, fr_dtype_name(tensors[i].tensor->dtype));
        if (strcmp(tensors[i].name, "__metadata__") == 0)
            return fr_fail(FR_INVALID, "%s: no tensor can be called __metadata__.", path);
    }
    for (size_t i = 0; i < metas; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(meta[i].key, meta[k].key) == 0)
                return fr_fail(FR_INVALID, "%s: the metadata key '%s' is to be written twice.",
                               path, fr_name_text(meta[i].key, shown));
    return FR_OK;
}

fr_status fr_safetensors_write(const char *path, const fr_named_tensor *tensors, size_t count,
                               const fr_meta_pair *meta, size_t metas) {
    FR_TRY(check(path, tensors, count, meta, metas));
    const fr_named_tensor **sorted = fr_alloc_array(FR_MEM_OTHER, count, sizeof *sorted);
    if (!sorted) return FR_NOMEM;
    fr_text header = {0};
    order(tensors, count, sorted);
    put_header(&header, sorted, count, meta, metas);
    fr_status st;
    if (header.failed)
        st = FR_NOMEM;
    else if (header.bytes > 100000000)
        st = fr_fail(FR_UNSUPPORTED,
                     "%s: %zu tensors need a header of %zu bytes, and the format allows 100 MB.",
                     path, count, header.bytes);
    else
        st = write_file(path, sorted, count, &header);
    fr_free(header.data);
    fr_free(sorted);
    return st;
}

/* ---- shards ---- */

#define SHARD_NAME 64
static char *shard_name(char buf[SHARD_NAME], size_t i, size_t shards) {
    snprintf(buf, SHARD_NAME, "model-%05zu-of-%05zu.safetensors", i + 1, shards);
    return buf;
}

/* first[i] becomes the first tensor of shard i; a tensor larger than a shard has one of its own. */
static size_t cut(const fr_named_tensor *tensors, size_t count, uint64_t shard_bytes,
                  size_t *first) {
    size_t shards = 0;
    uint64_t used = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = fr_bytes(tensors[i].tensor);
        if (shards == 0 || (used && bytes > shard_bytes - FR_MIN(used, shard_bytes))) {
            first[shards++] = i;
            used = 0;
        }
        used += bytes;
    }
    first[shards] = count;
    return shards;
}

static fr_status write_index(const char *path, const fr_named_tensor *tensors, const size_t *first,
                             size_t shards) {
    char file[SHARD_NAME];
    uint64_t total = 0;
    fr_text x = {0};
    for (size_t i = 0; i < first[shards]; i++) total += fr_bytes(tensors[i].tensor);
    fr_text_add(&x, "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": {",
                (unsigned long long)total);
    for (size_t k = 0; k < shards; k++)
        for (size_t i = first[k]; i < first[k + 1]; i++) {
            fr_text_add(&x, "%s\n    ", i ? "," : "");
            fr_text_quote(&x, tensors[i].name);
            fr_text_add(&x, ": \"%s\"", shard_name(file, k, shards));
        }
    fr_text_add(&x, "\n  }\n}\n");
    fr_status st = x.failed ? FR_NOMEM : fr_write_file(path, x.data, x.bytes);
    fr_free(x.data);
    return st;
}

static fr_status write_shards(const char *dir, const fr_named_tensor *tensors, const size_t *first,
                              size_t shards, const fr_meta_pair *meta, size_t metas) {
    for (size_t k = 0; k < shards; k++) {
        char file[SHARD_NAME];
        char *path = fr_path_join(dir, shard_name(file, k, shards));
        if (!path) return FR_NOMEM;
        fr_status st =
            fr_safetensors_write(path, tensors + first[k], first[k + 1] - first[k], meta, metas);
        fr_free(path);
        if (st != FR_OK) return st;
    }
    return FR_OK;
}

/* The index comes last: until it is there the shards are only files. What would be found in place
 * of the new model, from an earlier one in the same folder, goes away after that. */
static fr_status write_model(const char *dir, const char *single, const char *index,
                             const fr_named_tensor *tensors, const size_t *first, size_t shards,
                             const fr_meta_pair *meta, size_t metas) {
    if (shards <= 1) {
        FR_TRY(fr_safetensors_write(single, tensors, first[shards], meta, metas));
        unlink(index);
        return FR_OK;
    }
    FR_TRY(check(index, tensors, first[shards], meta, metas));
    FR_TRY(write_shards(dir, tensors, first, shards, meta, metas));
    FR_TRY(write_index(index, tensors, first, shards));
    unlink(single);
    return FR_OK;
}

fr_status fr_safetensors_write_sharded(const char *dir, const fr_named_tensor *tensors,
                                       size_t count, const fr_meta_pair *meta, size_t metas,
                                       uint64_t shard_bytes) {
    FR_TRY(fr_write_check(dir, tensors, count));
    FR_TRY(fr_make_dirs(dir));
    size_t *first = fr_alloc_array(FR_MEM_OTHER, count + 1, sizeof *first);
    char *single = fr_path_join(dir, "model.safetensors");
    char *index = fr_path_join(dir, "model.safetensors.index.json");
    fr_status st = FR_NOMEM;
    if (first && single && index)
        st = write_model(dir, single, index, tensors, first,
                         cut(tensors, count, shard_bytes, first), meta, metas);
    fr_free(first);
    fr_free(single);
    fr_free(index);
    return st;
}
