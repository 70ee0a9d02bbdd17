/* inspect_print.c: what `frugal inspect` prints, for a person or as JSON. */
#include "cli/inspect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- for a person ---- */

static const char *file_name(const fr_store *s, size_t i) {
    const char *path = fr_store_file(s, i), *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void shape_cell(fr_table *table, const fr_tensor *t) {
    char text[FR_SHAPE_TEXT];
    fr_shape_text(t, text);
    fr_table_cell(table, "%s", strchr(text, '[')); /* without the type */
}

static void row(fr_table *table, const fr_inspect *in, size_t k, const fr_tensor_stats *s) {
    size_t i = in->chosen[k];
    const fr_tensor *t = fr_store_shape(in->store, i);
    char text[32];
    fr_table_cell(table, "%s", fr_store_name(in->store, i));
    fr_table_cell(table, "%s", fr_dtype_name(t->dtype));
    shape_cell(table, t);
    fr_table_cell(table, "%s", fr_show_bytes(text, (double)fr_bytes(t)));
    if (in->offsets) {
        fr_table_cell(table, "%llu", (unsigned long long)fr_store_offset(in->store, i));
        fr_table_cell(table, "%s", file_name(in->store, i));
    }
    if (!s) return;
    fr_table_cell(table, "%.4g", s->min);
    fr_table_cell(table, "%.4g", s->max);
    fr_table_cell(table, "%.4g", s->mean);
    fr_table_cell(table, "%.4g", s->std);
    fr_table_cell(table, "%.0f", s->nans);
    fr_table_cell(table, "%.0f", s->infinities);
}

static fr_status print_tensors(const fr_inspect *in, const fr_tensor_stats *stats) {
    char columns[160];
    snprintf(columns, sizeof columns, "name|type|shape|>bytes%s%s",
             in->offsets ? "|>offset|file" : "", stats ? "|>min|>max|>mean|>std|>NaN|>inf" : "");
    size_t shown = FR_MIN(in->count, in->limit);
    if (shown == 0) return FR_OK;
    fr_table *table = fr_table_new(columns);
    if (!table) return FR_NOMEM;
    for (size_t k = 0; k < shown; k++) row(table, in, k, stats ? &stats[k] : NULL);
    fr_table_print(table, stdout);
    fr_table_free(table);
    if (shown < in->count) printf("... and %zu more\n", in->count - shown);
    printf("\n");
    return FR_OK;
}

static void total_row(fr_table *table, const char *name, const fr_inspect_total *t) {
    char text[32];
    fr_table_cell(table, "%s", name);
    fr_table_cell(table, "%zu", t->tensors);
    fr_table_cell(table, "%s", fr_show_count(text, t->values));
    fr_table_cell(table, "%.0f", t->values);
    fr_table_cell(table, "%s", fr_show_bytes(text, t->bytes));
}

static fr_status print_totals(const fr_inspect *in) {
    fr_inspect_total total[FR_DTYPE_COUNT], all = {0};
    fr_table *table = fr_table_new("type|>tensors|>parameters|>exactly|>bytes");
    if (!table) return FR_NOMEM;
    int kinds = 0;
    fr_inspect_totals(in, total);
    for (int t = 0; t < FR_DTYPE_COUNT; t++) {
        if (!total[t].tensors) continue;
        total_row(table, fr_dtype_name((fr_dtype)t), &total[t]);
        all.tensors += total[t].tensors;
        all.values += total[t].values;
        all.bytes += total[t].bytes;
        kinds++;
    }
    if (kinds > 1) fr_table_rule(table);
    if (kinds != 1) total_row(table, "all", &all);
    fr_table_print(table, stdout);
    fr_table_free(table);
    if (in->count < fr_store_count(in->store))
        printf("(the %zu of %zu tensors whose name is like '%s')\n", in->count,
               fr_store_count(in->store), in->names);
    return FR_OK;
}

/* A value on one line: a long text is cut. */
static void meta_cell(fr_table *table, const json_t *v) {
    enum { MOST = 100 };
    char *text = json_is_string(v) ? fr_format("%.*s", MOST * 4, json_string_value(v)) : NULL;
    char *dumped =
        text ? NULL : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(7));
    const char *all = text ? text : dumped ? dumped : "";
    size_t n = strlen(all), cut = FR_MIN(n, (size_t)MOST);
    while (cut < n && cut > 0 && (all[cut] & 0xc0) == 0x80) cut--; /* whole characters */
    if (cut < n && json_is_string(v))
        fr_table_cell(table, "%.*s... (%zu bytes)", (int)cut, all, json_string_length(v));
    else
        fr_table_cell(table, "%.*s%s", (int)cut, all, cut < n ? "..." : "");
    fr_free(text);
    free(dumped);
}

static fr_status print_metadata(const fr_inspect *in) {
    const fr_json *meta = fr_store_metadata(in->store);
    size_t arrays = fr_store_array_count(in->store);
    if (json_object_size(meta) + arrays == 0) return FR_OK;
    fr_table *table = fr_table_new("metadata|value");
    if (!table) return FR_NOMEM;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)meta, key, v) {
        fr_table_cell(table, "%s", key);
        meta_cell(table, v);
    }
    for (size_t i = 0; i < arrays; i++) {
        const fr_meta_array *a = fr_store_array(in->store, i);
        fr_table_cell(table, "%s", a->key);
        fr_table_cell(table, "list of %zu %s", a->count,
                      a->is_string ? "texts" : fr_dtype_name(a->dtype));
    }
    printf("\n");
    fr_table_print(table, stdout);
    fr_table_free(table);
    return FR_OK;
}

typedef struct config_list {
    const fr_inspect *in;
    fr_table *table;
} config_list;

/* What a config says about itself; the large ones (a tokenizer) are not opened. */
static void config_row(void *user, const char *name) {
    static const char *const says[] = {"model_type", "_class_name"};
    config_list *list = user;
    const char *kind = "", *base = strrchr(name, '/');
    base = base ? base + 1 : name;
    if (!strcmp(base, "config.json") || !strcmp(base, "model_index.json")) {
        const fr_json *j = fr_store_config(list->in->store, name);
        if (!j) kind = "cannot be read";
        for (size_t i = 0; i < FR_COUNT(says) && !*kind; i++) {
            const char *text = json_string_value(fr_json_get(j, says[i]));
            if (text) kind = text;
        }
    }
    fr_table_cell(list->table, "%s", name);
    fr_table_cell(list->table, "%s", kind);
}

static void note(void *user, const char *name) {
    (void)name;
    *(bool *)user = true;
}

static fr_status print_configs(const fr_inspect *in) {
    bool any = false;
    fr_inspect_configs(in, note, &any);
    if (!any) return FR_OK;
    config_list list = {in, fr_table_new("configs|what")};
    if (!list.table) return FR_NOMEM;
    fr_inspect_configs(in, config_row, &list);
    printf("\n");
    fr_table_print(list.table, stdout);
    fr_table_free(list.table);
    return FR_OK;
}

fr_status fr_inspect_print(const fr_inspect *in, const fr_tensor_stats *stats) {
    FR_TRY(print_tensors(in, stats));
    FR_TRY(print_totals(in));
    FR_TRY(print_metadata(in));
    return print_configs(in);
}

/* ---- as JSON, piece by piece: a hundred thousand tensors need no tree ---- */

static void put_json_text(const char *text) {
    json_t *j = json_string(text);
    if (!j || json_dumpf(j, stdout, JSON_ENCODE_ANY) != 0) fputs("null", stdout);
    json_decref(j);
}

static void put_json_number(const char *key, double x) {
    if (isfinite(x))
        printf(",\"%s\":%.17g", key, x);
    else
        printf(",\"%s\":null", key);
}

static void put_json_tensor(const fr_inspect *in, size_t k, const fr_tensor_stats *s) {
    size_t i = in->chosen[k];
    const fr_tensor *t = fr_store_shape(in->store, i);
    printf("%s\n{\"name\":", k ? "," : "");
    put_json_text(fr_store_name(in->store, i));
    printf(",\"dtype\":\"%s\",\"shape\":[", fr_dtype_name(t->dtype));
    for (int d = 0; d < t->rank; d++) printf("%s%lld", d ? "," : "", (long long)t->dim[d]);
    printf("],\"bytes\":%zu,\"offset\":%llu,\"file\":", fr_bytes(t),
           (unsigned long long)fr_store_offset(in->store, i));
    put_json_text(fr_store_file(in->store, i));
    if (s) {
        printf(",\"stats\":{\"finite\":%.0f,\"nan\":%.0f,\"inf\":%.0f", s->finite, s->nans,
               s->infinities);
        put_json_number("min", s->min);
        put_json_number("max", s->max);
        put_json_number("mean", s->mean);
        put_json_number("std", s->std);
        printf("}");
    }
    printf("}");
}

static void put_json_totals(const fr_inspect *in) {
    fr_inspect_total total[FR_DTYPE_COUNT], all = {0};
    bool first = true;
    fr_inspect_totals(in, total);
    printf("\"by_dtype\":{");
    for (int t = 0; t < FR_DTYPE_COUNT; t++) {
        if (!total[t].tensors) continue;
        printf("%s\"%s\":{\"tensors\":%zu,\"parameters\":%.0f,\"bytes\":%.0f}", first ? "" : ",",
               fr_dtype_name((fr_dtype)t), total[t].tensors, total[t].values, total[t].bytes);
        all.tensors += total[t].tensors;
        all.values += total[t].values;
        all.bytes += total[t].bytes;
        first = false;
    }
    printf("},\n\"total\":{\"tensors\":%zu,\"parameters\":%.0f,\"bytes\":%.0f}", all.tensors,
           all.values, all.bytes);
}

static void put_json_arrays(const fr_inspect *in) {
    printf("\"lists\":[");
    for (size_t i = 0; i < fr_store_array_count(in->store); i++) {
        const fr_meta_array *a = fr_store_array(in->store, i);
        printf("%s{\"key\":", i ? "," : "");
        put_json_text(a->key);
        printf(",\"type\":\"%s\",\"count\":%zu}", a->is_string ? "text" : fr_dtype_name(a->dtype),
               a->count);
    }
    printf("]");
}

static void put_json_config(void *user, const char *name) {
    bool *first = user;
    printf("%s", *first ? "" : ",");
    put_json_text(name);
    *first = false;
}

fr_status fr_inspect_print_json(const fr_inspect *in, const fr_tensor_stats *stats) {
    size_t shown = FR_MIN(in->count, in->limit);
    bool first = true;
    printf("{\"path\":");
    put_json_text(in->path);
    printf(",\n\"format\":\"%s\",\n\"tensors\":[", fr_store_format(in->store));
    for (size_t k = 0; k < shown; k++) put_json_tensor(in, k, stats ? &stats[k] : NULL);
    printf("],\n");
    put_json_totals(in);
    printf(",\n\"metadata\":");
    json_dumpf(fr_store_metadata(in->store), stdout, 0);
    printf(",\n");
    put_json_arrays(in);
    printf(",\n\"configs\":[");
    fr_inspect_configs(in, put_json_config, &first);
    printf("]}\n");
    return FR_OK;
}
