/* recipe.c: reads recipes. Every getter notes what it was asked for and what it gave, so that the keys
 * which nobody asked for can be refused, and the settings in force be printed.
 *
 * The file is small and comes from anywhere: its size, the length of its lines and every byte are checked. */
#include "train/recipe.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES ((size_t)1 << 20)
#define MOST_KEYS  1000

typedef struct entry {
    char *key, *value; /* value NULL: not in the recipe, but asked for */
    char *inforce;     /* what the getter gave, written one way; NULL: not asked for, or nothing */
    int line;          /* 0: from --set */
    bool asked;
} entry;

struct fr_recipe {
    char *path, *folder;
    entry *entries;
    size_t count, cap;
};

/* ---- the list ---- */

static entry *find(const fr_recipe *r, const char *key) {
    for (size_t i = 0; i < r->count; i++)
        if (!strcmp(r->entries[i].key, key)) return &r->entries[i];
    return NULL;
}

static fr_status add(fr_recipe *r, const char *key, const char *value, int line) {
    FR_TRY(fr_grow((void **)&r->entries, &r->cap, r->count + 1, sizeof *r->entries));
    entry *e = &r->entries[r->count];
    *e = (entry){.key = fr_strdup(key), .value = value ? fr_strdup(value) : NULL, .line = line};
    if (!e->key || (value && !e->value)) {
        fr_free(e->key);
        fr_free(e->value);
        return FR_NOMEM;
    }
    r->count++;
    return FR_OK;
}

/* "file:7" or "--set lr=3", for messages. */
static const char *where(const fr_recipe *r, const entry *e, char buf[300]) {
    if (e->line)
        snprintf(buf, 300, "%.250s:%d", r->path, e->line);
    else
        snprintf(buf, 300, "--set %.100s=%.150s", e->key, e->value);
    return buf;
}

/* ---- lines ---- */

static bool key_char(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-';
}

static char *trim(char *s) {
    while (*s == ' ' || *s == '\t') s++;
    size_t n = strlen(s);
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\r')) s[--n] = 0;
    return s;
}

static bool has_control(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < ' ' && *text != '\t') return true;
    return false;
}

/* In place: "key = value" into its two parts; a word on what is wrong, or NULL. */
static const char *cut(char *text, char **key, char **value) {
    char *equals = strchr(text, '=');
    if (!equals) return "a line is \"key = value\"";
    *equals = 0;
    *key = trim(text);
    *value = trim(equals + 1);
    if (!**key) return "there is no key before the =";
    if (!**value) return "there is no value behind the =";
    for (const char *c = *key; *c; c++)
        if (!key_char(*c)) return "a key is made of letters, digits, _ . and -";
    return NULL;
}

static fr_status read_line(fr_recipe *r, char *text, int line) {
    char *key, *value, *hash = strchr(text, '#');
    if (hash) *hash = 0;
    text = trim(text);
    if (!*text) return FR_OK;
    const char *wrong =
        has_control(text) ? "there is a control character" : cut(text, &key, &value);
    if (wrong) return fr_fail(FR_FORMAT, "%s:%d: %s", r->path, line, wrong);
    const entry *before = find(r, key);
    if (before)
        return fr_fail(FR_FORMAT, "%s:%d: %s was set in line %d already", r->path, line, key,
                       before->line);
    if (r->count >= MOST_KEYS)
        return fr_fail(FR_FORMAT, "%s:%d: these are too many keys for a recipe", r->path, line);
    return add(r, key, value, line);
}

static fr_status read_text(fr_recipe *r, char *text, size_t bytes) {
    if (strlen(text) != bytes)
        return fr_fail(FR_FORMAT, "%s: this is no recipe: it holds a zero byte", r->path);
    int line = 1;
    for (char *at = text, *next; at; at = next, line++) {
        next = strchr(at, '\n');
        if (next) *next++ = 0;
        FR_TRY(read_line(r, at, line));
    }
    return FR_OK;
}

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return fr_strdup(".");
    return slash == path ? fr_strdup("/") : fr_format("%.*s", (int)(slash - path), path);
}

/* text: of one's own, for its lines are cut apart in it. */
static fr_status parse(char *text, size_t bytes, const char *path, fr_recipe **out) {
    fr_recipe *r = fr_alloc(FR_MEM_OTHER, sizeof *r);
    fr_status st = FR_NOMEM;
    *out = NULL;
    if (r) {
        r->path = fr_strdup(path);
        r->folder = folder_of(path);
        if (r->path && r->folder) st = read_text(r, text, bytes);
    }
    if (!st)
        *out = r;
    else
        fr_recipe_free(r);
    return st;
}

fr_status fr_recipe_parse(const char *text, size_t bytes, const char *path, fr_recipe **out) {
    char *copy = fr_alloc(FR_MEM_OTHER, bytes + 1);
    *out = NULL;
    if (!copy) return FR_NOMEM;
    memcpy(copy, text, bytes);
    fr_status st = parse(copy, bytes, path, out);
    fr_free(copy);
    return st;
}

fr_status fr_recipe_open(const char *path, fr_recipe **out) {
    char *text;
    size_t bytes;
    *out = NULL;
    FR_TRY(fr_read_file(path, MOST_BYTES, &text, &bytes));
    fr_status st = parse(text, bytes, path, out);
    fr_free(text);
    return st;
}

fr_status fr_recipe_set(fr_recipe *r, const char *assignment) {
    char *text = fr_strdup(assignment), *key, *value;
    if (!text) return FR_NOMEM;
    const char *wrong = strpbrk(text, "#\n") ? "there may be no # and no line end"
                        : has_control(text)  ? "there is a control character"
                                             : NULL;
    if (!wrong) wrong = cut(text, &key, &value);
    fr_status st = FR_OK;
    entry *e = wrong ? NULL : find(r, key);
    if (wrong) {
        st = fr_fail(FR_INVALID, "--set %s: it must be key=value: %s", assignment, wrong);
    } else if (e) {
        char *copy = fr_strdup(value);
        if (copy) fr_free(e->value), e->value = copy, e->line = 0;
        if (!copy) st = FR_NOMEM;
    } else {
        st = add(r, key, value, 0);
    }
    fr_free(text);
    return st;
}

void fr_recipe_free(fr_recipe *r) {
    if (!r) return;
    for (size_t i = 0; i < r->count; i++) {
        fr_free(r->entries[i].key);
        fr_free(r->entries[i].value);
        fr_free(r->entries[i].inforce);
    }
    fr_free(r->entries);
    fr_free(r->path);
    fr_free(r->folder);
    fr_free(r);
}

const char *fr_recipe_path(const fr_recipe *r) {
    return r->path;
}
const char *fr_recipe_folder(const fr_recipe *r) {
    return r->folder;
}

bool fr_recipe_holds(const fr_recipe *r, const char *key, size_t key_bytes) {
    for (size_t i = 0; i < r->count; i++)
        if (r->entries[i].value && strlen(r->entries[i].key) == key_bytes &&
            !strncmp(r->entries[i].key, key, key_bytes))
            return true;
    return false;
}

/* ---- getters ---- */

/* The entry of a key, made when the recipe does not hold it. */
static fr_status ask(fr_recipe *r, const char *key, entry **out) {
    *out = find(r, key);
    if (!*out) {
        FR_TRY(add(r, key, NULL, 0));
        *out = &r->entries[r->count - 1];
    }
    (*out)->asked = true;
    return FR_OK;
}

static fr_status give(entry *e, char *text) {
    fr_free(e->inforce);
    e->inforce = text;
    return text ? FR_OK : FR_NOMEM;
}

/* A fallback may follow from other keys, and so be out of what its own may be. */
static fr_status refuse_fallback(const fr_recipe *r, const char *key, double fallback, double lo,
                                 double hi) {
    return fr_fail(
        FR_FORMAT,
        "%s: %s is not there, and would be %.15g; it must be from %.15g to %.15g: set it, "
        "or what it follows from",
        r->path, key, fallback, lo, hi);
}

fr_status fr_recipe_i64(fr_recipe *r, const char *key, int64_t fallback, int64_t lo, int64_t hi,
                        int64_t *out) {
    entry *e;
    char at[300], *end;
    FR_TRY(ask(r, key, &e));
    *out = fallback;
    if (e->value) {
        errno = 0;
        long long n = strtoll(e->value, &end, 10);
        if (end == e->value || *end || errno)
            return fr_fail(FR_FORMAT, "%s: %s is \"%s\"; it must be a whole number",
                           where(r, e, at), key, e->value);
        if (n < lo || n > hi)
            return fr_fail(FR_FORMAT, "%s: %s is %lld; it must be from %lld to %lld",
                           where(r, e, at), key, n, (long long)lo, (long long)hi);
        *out = n;
    } else if (fallback < lo || fallback > hi) {
        return refuse_fallback(r, key, (double)fallback, (double)lo, (double)hi);
    }
    return give(e, fr_format("%lld", (long long)*out));
}

/* With as few digits as give the same number again. */
static char *shortest(double v) {
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    return fr_strdup(text);
}

fr_status fr_recipe_f64(fr_recipe *r, const char *key, double fallback, double lo, double hi,
                        double *out) {
    entry *e;
    char at[300], *end;
    FR_TRY(ask(r, key, &e));
    *out = fallback;
    if (e->value) {
        double v = strtod(e->value, &end);
        if (end == e->value || *end || !isfinite(v))
            return fr_fail(FR_FORMAT, "%s: %s is \"%s\"; it must be a number", where(r, e, at), key,
                           e->value);
        if (v < lo || v > hi)
            return fr_fail(FR_FORMAT, "%s: %s is %g; it must be from %g to %g", where(r, e, at),
                           key, v, lo, hi);
        *out = v;
    } else if (fallback < lo || fallback > hi) {
        return refuse_fallback(r, key, fallback, lo, hi);
    }
    return give(e, shortest(*out));
}

fr_status fr_recipe_text(fr_recipe *r, const char *key, const char *fallback, const char **out) {
    entry *e;
    FR_TRY(ask(r, key, &e));
    *out = e->value ? e->value : fallback;
    return *out ? give(e, fr_strdup(*out)) : FR_OK;
}

fr_status fr_recipe_word(fr_recipe *r, const char *key, const char *const *words, int fallback,
                         int *out) {
    entry *e;
    char at[300], list[300];
    size_t used = 0;
    FR_TRY(ask(r, key, &e));
    *out = fallback;
    list[0] = 0;
    for (int i = 0; e->value && words[i]; i++) {
        if (!strcmp(e->value, words[i])) {
            *out = i;
            return give(e, fr_strdup(words[i]));
        }
        int n = snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
        used = FR_MIN(used + (size_t)FR_MAX_OF(n, 0), sizeof list - 1);
    }
    if (e->value)
        return fr_fail(FR_FORMAT, "%s: %s is \"%s\"; it must be one of: %s", where(r, e, at), key,
                       e->value, list);
    return give(e, fr_strdup(words[fallback]));
}

fr_status fr_recipe_bool(fr_recipe *r, const char *key, bool fallback, bool *out) {
    static const char *const words[] = {"no", "yes", NULL};
    int n;
    FR_TRY(fr_recipe_word(r, key, words, fallback, &n));
    *out = n == 1;
    return FR_OK;
}

/* ---- what nobody asked for ---- */

/* Insertions, deletions and changes that make one word of the other. */
static int distance(const char *a, const char *b) {
    enum { MOST = 40 };
    int row[MOST + 1], n = (int)strlen(b);
    if (n > MOST || strlen(a) > MOST) return MOST;
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = FR_MIN(change, FR_MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

fr_status fr_recipe_done(const fr_recipe *r) {
    char at[300];
    for (size_t i = 0; i < r->count; i++) {
        const entry *e = &r->entries[i];
        if (e->asked) continue;
        const char *nearest = NULL;
        int best = 1 + (int)strlen(e->key) / 2; /* farther is no misspelling */
        for (size_t k = 0; k < r->count; k++) {
            int d = r->entries[k].asked ? distance(e->key, r->entries[k].key) : best;
            if (d < best) best = d, nearest = r->entries[k].key;
        }
        return fr_fail(FR_FORMAT, "%s: there is no key \"%.60s\" here%s%s%s", where(r, e, at),
                       e->key, nearest ? "; did you mean " : "", nearest ? nearest : "",
                       nearest ? "?" : "");
    }
    return FR_OK;
}

/* ---- the settings in force ---- */

static int by_key(const void *a, const void *b) {
    return strcmp((*(const entry *const *)a)->key, (*(const entry *const *)b)->key);
}

char *fr_recipe_print(const fr_recipe *r) {
    size_t bytes = 1, n = 0;
    const entry **list = fr_alloc_array(FR_MEM_OTHER, r->count + 1, sizeof *list);
    if (!list) return NULL;
    for (size_t i = 0; i < r->count; i++) {
        if (!r->entries[i].inforce) continue;
        list[n++] = &r->entries[i];
        bytes += strlen(r->entries[i].key) + strlen(r->entries[i].inforce) + 4;
    }
    qsort(list, n, sizeof *list, by_key);
    char *text = fr_alloc(FR_MEM_OTHER, bytes), *at = text;
    for (size_t i = 0; text && i < n; i++)
        at += sprintf(at, "%s = %s\n", list[i]->key, list[i]->inforce);
    fr_free(list);
    return text;
}
