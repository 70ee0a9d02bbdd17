/* template_parts.h: what a template is made of, and the values it works with. */
#ifndef FR_TEXT_TEMPLATE_PARTS_H
#define FR_TEXT_TEMPLATE_PARTS_H

#include "text/template.h"

/* ---- the tree ---- */

typedef enum fr_node_kind {
    /* statements: children are the body */
    FR_NODE_TEXT,
    FR_NODE_PRINT, /* a */
    FR_NODE_IF,    /* a; body; other: more statements */
    FR_NODE_FOR,   /* targets in b; a: what goes through; c: condition; body; other */
    FR_NODE_SET,   /* targets in b; a: value, or NULL: the body */
    FR_NODE_MACRO, /* text: its name; b: parameters (names with a default in a); body */
    FR_NODE_BREAK,
    FR_NODE_CONTINUE,
    FR_NODE_BLOCK, /* body only */
    /* expressions */
    FR_NODE_CONST,
    FR_NODE_NAME,
    FR_NODE_ATTR,   /* a . text */
    FR_NODE_ITEM,   /* a [ b ] */
    FR_NODE_SLICE,  /* a [ b : c : other ] */
    FR_NODE_CALL,   /* a ( body ): arguments; those with a text are named */
    FR_NODE_FILTER, /* a | text ( body ) */
    FR_NODE_TEST,   /* a is text ( body ) */
    FR_NODE_UNARY,  /* op a */
    FR_NODE_BINARY, /* a op b */
    FR_NODE_COND,   /* b if a else c */
    FR_NODE_LIST,   /* body */
    FR_NODE_DICT,   /* body: keys and values in turn */
} fr_node_kind;

typedef enum fr_template_op {
    FR_OP_NONE,
    FR_OP_NOT,
    FR_OP_NEG,
    FR_OP_POS,
    FR_OP_OR,
    FR_OP_AND,
    FR_OP_EQ,
    FR_OP_NE,
    FR_OP_LT,
    FR_OP_LE,
    FR_OP_GT,
    FR_OP_GE,
    FR_OP_IN,
    FR_OP_NOT_IN,
    FR_OP_ADD,
    FR_OP_SUB,
    FR_OP_CAT,
    FR_OP_MUL,
    FR_OP_DIV,
    FR_OP_FLOOR,
    FR_OP_MOD,
    FR_OP_POW
} fr_template_op;

/* ---- values ---- */

typedef enum fr_value_kind {
    FR_VALUE_UNDEFINED,
    FR_VALUE_NONE,
    FR_VALUE_BOOL,
    FR_VALUE_INT,
    FR_VALUE_FLOAT,
    FR_VALUE_TEXT,
    FR_VALUE_LIST,
    FR_VALUE_MAP,
    FR_VALUE_MACRO
} fr_value_kind;

typedef struct fr_value {
    fr_value_kind kind;
    bool space; /* of a map: a namespace, which may be written to */
    union {
        bool truth;
        int64_t i;
        double f;
        struct {
            const char *text; /* also: the name of what is undefined */
            size_t bytes;
        };
        struct fr_value_list *list;
        struct fr_value_map *map;
        const struct fr_node *macro;
    };
} fr_value;

typedef struct fr_value_list {
    fr_value *items;
    size_t count, cap;
} fr_value_list;

typedef struct fr_value_map { /* in the order of adding */
    fr_value *keys, *values;
    size_t count, cap;
} fr_value_map;

typedef struct fr_node {
    fr_node_kind kind;
    fr_template_op op;
    int32_t line;
    bool tuple; /* of targets: (a, b) */
    const char *text;
    size_t bytes;
    fr_value value;
    struct fr_node *a, *b, *c;
    struct fr_node *body, *last, *other, *next;
} fr_node;

struct fr_template {
    fr_arena *arena;
    char *name;
    fr_node *root;
};

/* ---- running ---- */

typedef struct fr_text_sink {
    char *text;
    size_t bytes, cap;
} fr_text_sink;

typedef struct fr_scope {
    fr_value_map names;
    struct fr_scope *up;
} fr_scope;

typedef struct fr_run {
    const fr_template *t;
    fr_arena *arena;
    size_t memory, steps; /* so far */
    int depth;
    int32_t line;
    int64_t now;
    fr_scope *top, *scope;
    fr_text_sink *out;
    enum { FR_RUN_ON, FR_RUN_BREAK, FR_RUN_CONTINUE } jump;
} fr_run;

/* "NAME, line N: ..." */
fr_status fr_template_fail(const fr_run *r, const char *fmt, ...) FR_PRINTF(2, 3);
void *fr_run_alloc(fr_run *r, size_t bytes); /* NULL, with a message: too much */
fr_status fr_sink_add(fr_run *r, fr_text_sink *s, const char *text, size_t bytes);

/* Arguments of a call, evaluated. */
typedef struct fr_args {
    fr_value *items;
    const char **names; /* NULL: by place */
    size_t count;
} fr_args;
/* The one with this name or at this place (-1: only by name); NULL: not given. */
const fr_value *fr_arg(const fr_args *a, int place, const char *name);

/* values (template_value.c) */
static inline fr_value fr_value_bool(bool v) {
    return (fr_value){.kind = FR_VALUE_BOOL, .truth = v};
}
static inline fr_value fr_value_int(int64_t v) {
    return (fr_value){.kind = FR_VALUE_INT, .i = v};
}
static inline fr_value fr_value_text(const char *text, size_t bytes) {
    return (fr_value){.kind = FR_VALUE_TEXT, .text = text, .bytes = bytes};
}
bool fr_value_true(const fr_value *v);
bool fr_value_equal(const fr_value *a, const fr_value *b);
/* -1, 0, 1; false: there is no order between them. */
bool fr_value_compare(const fr_value *a, const fr_value *b, int *out);
bool fr_value_number(const fr_value *v, double *out);
const char *fr_value_kind_name(const fr_value *v);
fr_status fr_value_copy_text(fr_run *r, const char *text, size_t bytes, fr_value *out);
fr_status fr_value_new_list(fr_run *r, fr_value *out);
fr_status fr_value_new_map(fr_run *r, fr_value *out);
fr_status fr_list_add(fr_run *r, fr_value_list *l, fr_value v);
fr_value *fr_map_find(const fr_value_map *m, const fr_value *key);
fr_value *fr_map_find_text(const fr_value_map *m, const char *key, size_t bytes);
fr_status fr_map_put(fr_run *r, fr_value_map *m, fr_value key, fr_value v);
fr_status fr_value_of_json(fr_run *r, const fr_json *j, int depth, fr_value *out);
/* As Python's str() and repr(); as json.dumps with an indent (< 0: one line). */
fr_status fr_value_write(fr_run *r, const fr_value *v, bool quoted, fr_text_sink *out);
fr_status fr_value_write_json(fr_run *r, const fr_value *v, int indent, int deep, bool sorted,
                              fr_text_sink *out);
fr_status fr_value_to_text(fr_run *r, const fr_value *v, fr_value *out);
/* What a loop goes over, as a list: of a map its keys, of a text its characters. */
fr_status fr_value_items(fr_run *r, const fr_value *v, fr_value_list **out);
size_t fr_text_length(const char *text, size_t bytes); /* in characters */
/* Characters from `first` to `end`, each `step`-th. */
fr_status fr_value_slice(fr_run *r, const fr_value *v, const fr_value *from, const fr_value *to,
                         const fr_value *step, fr_value *out);

/* what is called by name (template_call.c, template_filter.c) */
fr_status fr_template_function(fr_run *r, const char *name, const fr_args *a, bool *known,
                               fr_value *out);
fr_status fr_template_method(fr_run *r, const fr_value *self, const char *name, const fr_args *a,
                             bool *known, fr_value *out);
fr_status fr_template_filter(fr_run *r, const char *name, const fr_value *v, const fr_args *a,
                             fr_value *out);
fr_status fr_template_test(fr_run *r, const char *name, const fr_value *v, const fr_args *a,
                           bool *out);
/* v.name or v[name] */
fr_status fr_template_attr(fr_run *r, const fr_value *v, const fr_value *key, fr_value *out);

#endif
