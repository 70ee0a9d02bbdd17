/* pickle.c: reading a pickle of tensors, as torch.save writes state dictionaries.
 *
 * A pickle is a program for a small machine with a stack, and can call anything. Here only the words are known that
 * a dictionary of tensors needs, and six names (collections.OrderedDict, torch._utils._rebuild_tensor_v2 ...), which
 * nothing is called for: they make values of the kinds of pickle.h. Every other name is refused, with the name. A word
 * makes one value at most, so memory is in proportion to the pickle. */
#include "tensor/pickle.h"

#include <string.h>

#include "tensor/scan.h"

enum { MOST_BYTES = 16 << 20 }; /* a hundred thousand tensors */
enum { ORDERED_DICT = 1, REBUILD_TENSOR, REBUILD_PARAMETER, STORAGE };

static const struct {
    const char *module, *name;
    int what;
    fr_dtype dtype;
} globals[] = {
    {"collections", "OrderedDict", ORDERED_DICT, FR_NOTYPE},
    {"torch._utils", "_rebuild_tensor_v2", REBUILD_TENSOR, FR_NOTYPE},
    {"torch._utils", "_rebuild_parameter", REBUILD_PARAMETER, FR_NOTYPE},
    {"torch", "FloatStorage", STORAGE, FR_F32},
    {"torch", "HalfStorage", STORAGE, FR_F16},
    {"torch", "BFloat16Storage", STORAGE, FR_BF16},
    {"torch", "DoubleStorage", STORAGE, FR_F64},
    {"torch", "LongStorage", STORAGE, FR_I64},
    {"torch", "IntStorage", STORAGE, FR_I32},
    {"torch", "ShortStorage", STORAGE, FR_I16},
    {"torch", "CharStorage", STORAGE, FR_I8},
    {"torch", "ByteStorage", STORAGE, FR_U8},
    {"torch", "BoolStorage", STORAGE, FR_BOOL},
};

typedef struct machine {
    const char *path;
    const uint8_t *at, *end;
    fr_arena *arena;
    fr_pickle **stack;
    size_t depth, stack_cap;
    fr_pickle **memo;
    size_t memos, memo_cap;
    bool stopped;
} machine;

static fr_status broken(const machine *m, const char *what) {
    fr_fail(FR_FORMAT, "%s: its list of tensors (a pickle) %s.", m->path, what);
    return FR_FORMAT; /* said here too, so that the compiler sees that it is not FR_OK */
}

/* ---- bytes, values, the stack ---- */

static fr_status take(machine *m, size_t bytes, const uint8_t **out) {
    if ((size_t)(m->end - m->at) < bytes) return broken(m, "ends too early");
    *out = m->at;
    m->at += bytes;
    return FR_OK;
}

static fr_status take_number(machine *m, int bytes, uint64_t *out) {
    const uint8_t *p;
    FR_TRY(take(m, (size_t)bytes, &p));
    *out = 0;
    for (int i = 0; i < bytes; i++) *out |= (uint64_t)p[i] << 8 * i;
    return FR_OK;
}

/* The text up to the end of the line, which is taken too. */
static fr_status take_line(machine *m, const char **text, size_t *bytes) {
    const uint8_t *stop = memchr(m->at, '\n', (size_t)(m->end - m->at));
    if (!stop) return broken(m, "ends too early");
    *text = (const char *)m->at;
    *bytes = (size_t)(stop - m->at);
    m->at = stop + 1;
    return FR_OK;
}

static fr_status push(machine *m, fr_pickle *v) {
    FR_TRY(fr_grow((void **)&m->stack, &m->stack_cap, m->depth + 1, sizeof(fr_pickle *)));
    m->stack[m->depth++] = v;
    return FR_OK;
}

static fr_status push_new(machine *m, fr_pickled kind, fr_pickle **out) {
    fr_pickle *v = fr_arena_alloc(m->arena, sizeof *v);
    if (!v) return FR_NOMEM;
    v->kind = (uint8_t)kind;
    if (out) *out = v;
    return push(m, v);
}

static fr_status push_number(machine *m, int64_t number) {
    fr_pickle *v;
    FR_TRY(push_new(m, FR_PICKLED_NUMBER, &v));
    v->number = number;
    return FR_OK;
}

static fr_status push_text(machine *m, int size_bytes) {
    uint64_t bytes;
    const uint8_t *p;
    fr_pickle *v;
    FR_TRY(take_number(m, size_bytes, &bytes));
    if (bytes > (uint64_t)(m->end - m->at)) return broken(m, "ends too early");
    FR_TRY(take(m, (size_t)bytes, &p));
    FR_TRY(push_new(m, FR_PICKLED_TEXT, &v));
    v->text = (const char *)p;
    v->bytes = (size_t)bytes;
    return FR_OK;
}

/* Above the mark, if one is asked for, else the top alone. */
static fr_status pop(machine *m, fr_pickle **out) {
    if (!m->depth || m->stack[m->depth - 1]->kind == FR_PICKLED_MARK)
        return broken(m, "takes more from its stack than there is");
    *out = m->stack[--m->depth];
    return FR_OK;
}

static fr_status find_mark(const machine *m, size_t *at) {
    for (size_t i = m->depth; i-- > 0;)
        if (m->stack[i]->kind == FR_PICKLED_MARK) {
            *at = i;
            return FR_OK;
        }
    return broken(m, "takes more from its stack than there is");
}

static fr_status append(machine *m, fr_pickle *to, const fr_pickle *v) {
    fr_pickle_cell *cell = fr_arena_alloc(m->arena, sizeof *cell);
    if (!cell) return FR_NOMEM;
    cell->value = v;
    if (to->last)
        to->last->next = cell;
    else
        to->first = cell;
    to->last = cell;
    to->count++;
    return FR_OK;
}

/* stack[from ..] become the items of the container below, or of a new tuple. */
static fr_status gather(machine *m, size_t from, fr_pickle *to) {
    for (size_t i = from; i < m->depth; i++) {
        if (m->stack[i]->kind == FR_PICKLED_MARK) return broken(m, "holds a mark as a value");
        FR_TRY(append(m, to, m->stack[i]));
    }
    m->depth = from;
    return FR_OK;
}

static fr_status make_tuple(machine *m, size_t from) {
    fr_pickle *v = fr_arena_alloc(m->arena, sizeof *v);
    if (!v) return FR_NOMEM;
    v->kind = FR_PICKLED_LIST;
    FR_TRY(gather(m, from, v));
    return push(m, v);
}

static fr_status top_items(machine *m, size_t count) {
    if (m->depth < count) return broken(m, "takes more from its stack than there is");
    return make_tuple(m, m->depth - count);
}

/* The container under stack[from ..]. */
static fr_status extend(machine *m, size_t from, fr_pickled kind) {
    if (!from || m->stack[from - 1]->kind != kind) return broken(m, "adds to what is no container");
    if (kind == FR_PICKLED_DICT && (m->depth - from) % 2)
        return broken(m, "adds a key without a value");
    return gather(m, from, m->stack[from - 1]);
}

/* ---- names, and what they make ---- */

static bool same(const char *text, size_t bytes, const char *word) {
    return bytes == strlen(word) && !memcmp(text, word, bytes);
}

static fr_status push_global(machine *m) {
    const char *module, *name;
    size_t a, b;
    fr_pickle *v;
    FR_TRY(take_line(m, &module, &a));
    FR_TRY(take_line(m, &name, &b));
    for (size_t i = 0; i < FR_COUNT(globals); i++) {
        if (!same(module, a, globals[i].module) || !same(name, b, globals[i].name)) continue;
        FR_TRY(push_new(m, FR_PICKLED_GLOBAL, &v));
        v->what = (uint8_t)globals[i].what;
        v->dtype = (uint8_t)globals[i].dtype;
        return FR_OK;
    }
    char full[80], shown[FR_NAME_TEXT];
    snprintf(full, sizeof full, "%.*s.%.*s", (int)FR_MIN(a, 30), module, (int)FR_MIN(b, 30), name);
    return fr_fail(FR_UNSUPPORTED,
                   "%s: the file asks to run '%s', which no file of weights needs; it was not run, "
                   "and the file is refused.",
                   m->path, fr_name_text(full, shown));
}

static const fr_pickle *item(const fr_pickle *list, size_t i) {
    const fr_pickle_cell *c = list->first;
    for (; c && i; i--) c = c->next;
    return c ? c->value : NULL;
}

/* ('storage', type, key, device, values) */
static fr_status push_storage(machine *m) {
    fr_pickle *id, *v;
    FR_TRY(pop(m, &id));
    bool good = id->kind == FR_PICKLED_LIST && id->count == 5;
    const fr_pickle *word = good ? item(id, 0) : NULL, *type = good ? item(id, 1) : NULL;
    const fr_pickle *key = good ? item(id, 2) : NULL, *values = good ? item(id, 4) : NULL;
    if (!good || word->kind != FR_PICKLED_TEXT || !same(word->text, word->bytes, "storage") ||
        type->kind != FR_PICKLED_GLOBAL || type->what != STORAGE || key->kind != FR_PICKLED_TEXT ||
        values->kind != FR_PICKLED_NUMBER || values->number < 0)
        return broken(m, "names a storage in a way that is not known");
    FR_TRY(push_new(m, FR_PICKLED_STORAGE, &v));
    v->dtype = type->dtype;
    v->text = key->text;
    v->bytes = key->bytes;
    v->number = values->number;
    return FR_OK;
}

static bool numbers(const fr_pickle *list, int64_t *out) {
    for (size_t i = 0; i < list->count; i++) {
        const fr_pickle *v = item(list, i);
        if (v->kind != FR_PICKLED_NUMBER || v->number < 0) return false;
        out[i] = v->number;
    }
    return true;
}

/* _rebuild_tensor_v2(storage, offset, size, stride, ...) */
static fr_status rebuild(machine *m, const fr_pickle *args) {
    fr_pickle *v;
    const fr_pickle *storage = item(args, 0), *offset = item(args, 1), *size = item(args, 2);
    const fr_pickle *stride = item(args, 3);
    if (!stride || storage->kind != FR_PICKLED_STORAGE || offset->kind != FR_PICKLED_NUMBER ||
        offset->number < 0 || size->kind != FR_PICKLED_LIST || stride->kind != FR_PICKLED_LIST ||
        size->count > FR_MAX_DIMS || stride->count != size->count)
        return broken(m, "makes a tensor in a way that is not known");
    int64_t *dim = fr_arena_alloc(m->arena, 2 * size->count * sizeof *dim);
    if (!dim) return FR_NOMEM;
    if (!numbers(size, dim) || !numbers(stride, dim + size->count))
        return broken(m, "makes a tensor in a way that is not known");
    FR_TRY(push_new(m, FR_PICKLED_TENSOR, &v));
    v->storage = storage;
    v->number = offset->number;
    v->dtype = storage->dtype;
    v->rank = (uint8_t)size->count;
    v->dim = dim;
    return FR_OK;
}

static fr_status reduce(machine *m) {
    fr_pickle *args, *what;
    FR_TRY(pop(m, &args));
    FR_TRY(pop(m, &what));
    if (what->kind != FR_PICKLED_GLOBAL || args->kind != FR_PICKLED_LIST)
        return broken(m, "calls what cannot be called");
    if (what->what == ORDERED_DICT) return push_new(m, FR_PICKLED_DICT, NULL);
    if (what->what == REBUILD_TENSOR) return rebuild(m, args);
    const fr_pickle *inner = item(args, 0);
    if (what->what == REBUILD_PARAMETER && inner && inner->kind == FR_PICKLED_TENSOR)
        return push(m, (fr_pickle *)(uintptr_t)inner); /* a parameter is its tensor */
    return broken(m, "calls what cannot be called");
}

/* ---- the words ---- */

static fr_status put_memo(machine *m, int bytes) {
    uint64_t i;
    FR_TRY(take_number(m, bytes, &i));
    if (!m->depth || i > m->memos) return broken(m, "keeps what is not there");
    FR_TRY(fr_grow((void **)&m->memo, &m->memo_cap, m->memos + 1, sizeof(fr_pickle *)));
    m->memo[i] = m->stack[m->depth - 1];
    m->memos += i == m->memos;
    return FR_OK;
}

static fr_status get_memo(machine *m, int bytes) {
    uint64_t i;
    FR_TRY(take_number(m, bytes, &i));
    if (i >= m->memos || m->memo[i]->kind == FR_PICKLED_MARK)
        return broken(m, "asks for what it has not kept");
    return push(m, m->memo[i]);
}

/* Whole numbers of up to eight bytes. */
static fr_status push_long(machine *m) {
    uint64_t bytes, x;
    FR_TRY(take_number(m, 1, &bytes));
    if (bytes > 8) return broken(m, "holds a number of more than 64 bits");
    FR_TRY(take_number(m, (int)bytes, &x));
    if (bytes && bytes < 8 && x >> (8 * bytes - 1)) x |= UINT64_MAX << 8 * bytes;
    return push_number(m, (int64_t)x);
}

static fr_status push_wide(machine *m, int bytes) {
    uint64_t x;
    FR_TRY(take_number(m, bytes, &x));
    return push_number(m, bytes == 4 ? (int32_t)x : (int64_t)x);
}

static fr_status until_mark(machine *m, uint8_t word) {
    size_t mark = 0;
    FR_TRY(find_mark(m, &mark));
    size_t from = mark + 1;
    memmove(m->stack + mark, m->stack + from, (m->depth - from) * sizeof *m->stack);
    m->depth--;
    if (word == 't') return make_tuple(m, mark);
    return extend(m, mark, word == 'u' ? FR_PICKLED_DICT : FR_PICKLED_LIST);
}

/* Attributes of an object: state dictionaries carry the versions of their modules, which nobody needs. */
static fr_status build(machine *m) {
    fr_pickle *state;
    FR_TRY(pop(m, &state));
    return m->depth ? FR_OK : broken(m, "takes more from its stack than there is");
}

static fr_status step(machine *m) {
    const uint8_t *word, *skipped;
    uint64_t number;
    FR_TRY(take(m, 1, &word));
    switch (*word) {
    case 0x80: return take(m, 1, &skipped); /* protocol */
    case 0x95: return take(m, 8, &skipped); /* frame */
    case '(': return push_new(m, FR_PICKLED_MARK, NULL);
    case '}': return push_new(m, FR_PICKLED_DICT, NULL);
    case ']':
    case ')': return push_new(m, FR_PICKLED_LIST, NULL);
    case 'N': return push_new(m, FR_PICKLED_NONE, NULL);
    case 0x88: return push_number(m, 1);
    case 0x89: return push_number(m, 0);
    case 'K': return push_wide(m, 1);
    case 'M': return push_wide(m, 2);
    case 'J': return push_wide(m, 4);
    case 0x8a: return push_long(m);
    case 'G': FR_TRY(take(m, 8, &skipped)); return push_new(m, FR_PICKLED_NONE, NULL);
    case 'X':
    case 'T': return push_text(m, 4);
    case 0x8c:
    case 'U': return push_text(m, 1);
    case 'c': return push_global(m);
    case 'q': return put_memo(m, 1);
    case 'r': return put_memo(m, 4);
    case 'h': return get_memo(m, 1);
    case 'j': return get_memo(m, 4);
    case 't':
    case 'e':
    case 'u': return until_mark(m, *word);
    case 0x85: return top_items(m, 1);
    case 0x86: return top_items(m, 2);
    case 0x87: return top_items(m, 3);
    case 'a': return m->depth ? extend(m, m->depth - 1, FR_PICKLED_LIST) : broken(m, "is broken");
    case 's':
        return m->depth > 1 ? extend(m, m->depth - 2, FR_PICKLED_DICT) : broken(m, "is broken");
    case 'Q': return push_storage(m);
    case 'R': return reduce(m);
    case 'b': return build(m);
    case '.': m->stopped = true; return FR_OK;
    default: break;
    }
    number = *word;
    return fr_fail(FR_UNSUPPORTED,
                   "%s: its list of tensors (a pickle) uses the instruction %llu, which weights do "
                   "not need; the file is refused.",
                   m->path, (unsigned long long)number);
}

fr_status fr_pickle_read(const char *path, const uint8_t *data, size_t bytes, fr_arena *arena,
                         fr_pickle **out) {
    machine m = {.path = path, .at = data, .end = data + bytes, .arena = arena};
    fr_status st = FR_OK;
    *out = NULL;
    if (bytes > MOST_BYTES) return broken(&m, "is longer than that of any model");
    while (!st && !m.stopped) st = step(&m);
    if (!st) st = pop(&m, out);
    fr_free(m.stack);
    fr_free(m.memo);
    return st;
}
