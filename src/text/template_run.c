/* template_run.c: a template is walked through and becomes text. Scopes are as Jinja has them: what a loop or a macro
 * sets is gone behind it, what a condition sets stays; a namespace carries values out. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/template_parts.h"

enum { MOST_STEPS = 5000000, MOST_DEEP = 300 };

fr_status fr_template_fail(const fr_run *r, const char *fmt, ...) {
    char what[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return fr_fail(FR_INVALID, "%s, line %d: %s.", r->t->name, r->line, what);
}

static fr_status eval(fr_run *r, const fr_node *n, fr_value *out);
static fr_status run_body(fr_run *r, const fr_node *n);

static fr_status step(fr_run *r) {
    if (++r->steps > MOST_STEPS)
        return fr_template_fail(r, "the template takes more than %d steps", MOST_STEPS);
    return FR_OK;
}

/* ---- names ---- */

static fr_value *find(const fr_run *r, const char *name) {
    for (fr_scope *s = r->scope; s; s = s->up) {
        fr_value *v = fr_map_find_text(&s->names, name, strlen(name));
        if (v) return v;
    }
    return NULL;
}

static fr_status set(fr_run *r, const char *name, fr_value v) {
    return fr_map_put(r, &r->scope->names, fr_value_text(name, strlen(name)), v);
}

static fr_status assign(fr_run *r, const fr_node *target, fr_value v) {
    if (target->kind == FR_NODE_NAME) return set(r, target->text, v);
    fr_value *space = find(r, target->a->text);
    if (!space || space->kind != FR_VALUE_MAP || !space->space)
        return fr_template_fail(r, "%s is no namespace", target->a->text);
    return fr_map_put(r, space->map, fr_value_text(target->text, strlen(target->text)), v);
}

/* One value to one name, or the items of one to several. */
static fr_status assign_all(fr_run *r, const fr_node *targets, const fr_value *v) {
    if (!targets->tuple) return assign(r, targets->body, *v);
    fr_value_list *items;
    FR_TRY(fr_value_items(r, v, &items));
    size_t i = 0, n = 0;
    for (const fr_node *t = targets->body; t; t = t->next) n++;
    if (items->count != n)
        return fr_template_fail(r, "%zu values do not go into %zu names", items->count, n);
    for (const fr_node *t = targets->body; t; t = t->next) FR_TRY(assign(r, t, items->items[i++]));
    return FR_OK;
}

/* ---- operators ---- */

static fr_status contains(fr_run *r, const fr_value *item, const fr_value *in, bool *out) {
    *out = false;
    if (in->kind == FR_VALUE_MAP) {
        *out = fr_map_find(in->map, item) != NULL;
    } else if (in->kind == FR_VALUE_LIST) {
        r->steps += in->list->count;
        for (size_t i = 0; i < in->list->count && !*out; i++)
            *out = fr_value_equal(item, &in->list->items[i]);
    } else if (in->kind == FR_VALUE_TEXT && item->kind == FR_VALUE_TEXT) {
        r->steps += in->bytes / 64;
        *out = memmem(in->text, in->bytes, item->text, item->bytes) != NULL || !item->bytes;
    } else if (in->kind != FR_VALUE_UNDEFINED) {
        return fr_template_fail(r, "nothing is in %s", fr_value_kind_name(in));
    }
    return FR_OK;
}

static fr_status join(fr_run *r, const fr_value *a, const fr_value *b, fr_value *out) {
    fr_text_sink s = {0};
    fr_status st = fr_value_write(r, a, false, &s);
    if (!st) st = fr_value_write(r, b, false, &s);
    if (!st) st = fr_value_copy_text(r, s.text ? s.text : "", s.bytes, out);
    fr_free(s.text);
    return st;
}

static fr_status join_lists(fr_run *r, const fr_value *a, const fr_value *b, fr_value *out) {
    FR_TRY(fr_value_new_list(r, out));
    for (size_t i = 0; i < a->list->count; i++)
        FR_TRY(fr_list_add(r, out->list, a->list->items[i]));
    for (size_t i = 0; i < b->list->count; i++)
        FR_TRY(fr_list_add(r, out->list, b->list->items[i]));
    return FR_OK;
}

static fr_status repeat_text(fr_run *r, const fr_value *text, int64_t times, fr_value *out) {
    fr_text_sink s = {0};
    fr_status st = FR_OK;
    for (int64_t i = 0; i < times && text->bytes && !st; i++)
        st = fr_sink_add(r, &s, text->text, text->bytes);
    if (!st) st = fr_value_copy_text(r, s.text ? s.text : "", s.bytes, out);
    fr_free(s.text);
    return st;
}

static fr_status of_ints(fr_run *r, fr_template_op op, int64_t a, int64_t b, fr_value *out) {
    int64_t v = 0;
    bool over = false;
    switch (op) {
    case FR_OP_ADD: over = __builtin_add_overflow(a, b, &v); break;
    case FR_OP_SUB: over = __builtin_sub_overflow(a, b, &v); break;
    case FR_OP_MUL: over = __builtin_mul_overflow(a, b, &v); break;
    default:
        over = a == INT64_MIN && b == -1;
        if (over) break;
        v = op == FR_OP_MOD ? a % b : a / b;
        if (a % b && (a < 0) != (b < 0)) v = op == FR_OP_MOD ? v + b : v - 1;
    }
    if (over) return fr_template_fail(r, "a number is too large");
    *out = fr_value_int(v);
    return FR_OK;
}

static fr_status of_numbers(fr_run *r, fr_template_op op, const fr_value *a, const fr_value *b,
                            fr_value *out) {
    double x, y;
    bool ints = a->kind != FR_VALUE_FLOAT && b->kind != FR_VALUE_FLOAT;
    fr_value_number(a, &x);
    fr_value_number(b, &y);
    if ((op == FR_OP_DIV || op == FR_OP_FLOOR || op == FR_OP_MOD) && y == 0)
        return fr_template_fail(r, "there is a division by zero");
    if (op == FR_OP_POW) {
        double v = pow(x, y);
        *out = ints && y >= 0 && fabs(v) < 1e15 ? fr_value_int((int64_t)v)
                                                : (fr_value){.kind = FR_VALUE_FLOAT, .f = v};
        return FR_OK;
    }
    if (ints && op != FR_OP_DIV) {
        int64_t i = a->kind == FR_VALUE_INT ? a->i : a->truth;
        return of_ints(r, op, i, b->kind == FR_VALUE_INT ? b->i : b->truth, out);
    }
    *out = (fr_value){.kind = FR_VALUE_FLOAT};
    out->f = op == FR_OP_ADD     ? x + y
             : op == FR_OP_SUB   ? x - y
             : op == FR_OP_MUL   ? x * y
             : op == FR_OP_DIV   ? x / y
             : op == FR_OP_FLOOR ? floor(x / y)
                                 : x - y * floor(x / y);
    return FR_OK;
}

static fr_status arithmetic(fr_run *r, fr_template_op op, const fr_value *a, const fr_value *b,
                            fr_value *out) {
    double x;
    if (op == FR_OP_CAT) return join(r, a, b, out);
    if (fr_value_number(a, &x) && fr_value_number(b, &x)) return of_numbers(r, op, a, b, out);
    if (op == FR_OP_ADD && a->kind == FR_VALUE_TEXT && b->kind == FR_VALUE_TEXT)
        return join(r, a, b, out);
    if (op == FR_OP_ADD && a->kind == FR_VALUE_LIST && b->kind == FR_VALUE_LIST)
        return join_lists(r, a, b, out);
    if (op == FR_OP_MUL && a->kind == FR_VALUE_TEXT && b->kind == FR_VALUE_INT)
        return repeat_text(r, a, b->i, out);
    if (op == FR_OP_MOD && a->kind == FR_VALUE_TEXT)
        return fr_template_fail(r, "texts with %% are not supported; join them with ~");
    if (a->kind == FR_VALUE_UNDEFINED || b->kind == FR_VALUE_UNDEFINED) {
        const fr_value *u = a->kind == FR_VALUE_UNDEFINED ? a : b;
        return fr_template_fail(r, "%.*s is undefined", (int)u->bytes, u->text);
    }
    return fr_template_fail(r, "%s and %s can not be put together like this", fr_value_kind_name(a),
                            fr_value_kind_name(b));
}

static fr_status binary(fr_run *r, const fr_node *n, fr_value *out) {
    fr_value a, b;
    bool in;
    int order;
    FR_TRY(eval(r, n->a, &a));
    if (n->op == FR_OP_OR || n->op == FR_OP_AND) {
        *out = a;
        return fr_value_true(&a) == (n->op == FR_OP_OR) ? FR_OK : eval(r, n->b, out);
    }
    FR_TRY(eval(r, n->b, &b));
    r->line = n->line;
    switch (n->op) {
    case FR_OP_EQ:
    case FR_OP_NE:
        *out = fr_value_bool(fr_value_equal(&a, &b) == (n->op == FR_OP_EQ));
        return FR_OK;
    case FR_OP_IN:
    case FR_OP_NOT_IN:
        FR_TRY(contains(r, &a, &b, &in));
        *out = fr_value_bool(in == (n->op == FR_OP_IN));
        return FR_OK;
    case FR_OP_LT:
    case FR_OP_LE:
    case FR_OP_GT:
    case FR_OP_GE:
        if (!fr_value_compare(&a, &b, &order))
            return fr_template_fail(r, "there is no order between %s and %s",
                                    fr_value_kind_name(&a), fr_value_kind_name(&b));
        *out = fr_value_bool(n->op == FR_OP_LT   ? order < 0
                             : n->op == FR_OP_LE ? order <= 0
                             : n->op == FR_OP_GT ? order > 0
                                                 : order >= 0);
        return FR_OK;
    default: return arithmetic(r, n->op, &a, &b, out);
    }
}

static fr_status unary(fr_run *r, const fr_node *n, fr_value *out) {
    fr_value v;
    FR_TRY(eval(r, n->a, &v));
    if (n->op == FR_OP_NOT) {
        *out = fr_value_bool(!fr_value_true(&v));
        return FR_OK;
    }
    fr_value zero = fr_value_int(0);
    return arithmetic(r, n->op == FR_OP_NEG ? FR_OP_SUB : FR_OP_ADD, &zero, &v, out);
}

/* ---- calls ---- */

static fr_status eval_args(fr_run *r, const fr_node *n, fr_args *a) {
    size_t count = 0;
    *a = (fr_args){0};
    for (const fr_node *c = n->body; c; c = c->next) count++;
    a->items = fr_run_alloc(r, (count + 1) * sizeof *a->items);
    a->names = fr_run_alloc(r, (count + 1) * sizeof *a->names);
    if (!a->items || !a->names) return FR_NOMEM;
    for (const fr_node *c = n->body; c; c = c->next) {
        FR_TRY(eval(r, c->a, &a->items[a->count]));
        a->names[a->count++] = c->text;
    }
    return FR_OK;
}

const fr_value *fr_arg(const fr_args *a, int place, const char *name) {
    int at = 0;
    for (size_t i = 0; i < a->count; i++) {
        if (a->names[i]) {
            if (name && !strcmp(a->names[i], name)) return &a->items[i];
        } else if (at++ == place) {
            return &a->items[i];
        }
    }
    return NULL;
}

/* Text of a body, apart from the rest. */
static fr_status capture(fr_run *r, const fr_node *n, fr_value *out) {
    fr_text_sink s = {0}, *before = r->out;
    r->out = &s;
    fr_status st = run_body(r, n->body);
    r->out = before;
    if (!st) st = fr_value_copy_text(r, s.text ? s.text : "", s.bytes, out);
    fr_free(s.text);
    return st;
}

static fr_status call_macro(fr_run *r, const fr_node *m, const fr_args *a, fr_value *out) {
    fr_scope own = {.up = r->top}, *before = r->scope;
    int place = 0;
    fr_status st = FR_OK;
    r->scope = &own;
    for (const fr_node *p = m->b->body; p && !st; p = p->next, place++) {
        const fr_value *given = fr_arg(a, place, p->text);
        fr_value v = {.kind = FR_VALUE_UNDEFINED, .text = p->text, .bytes = strlen(p->text)};
        if (given)
            v = *given;
        else if (p->a)
            st = eval(r, p->a, &v);
        if (!st) st = set(r, p->text, v);
    }
    if (!st) st = capture(r, m, out);
    r->scope = before;
    return st;
}

static fr_status call(fr_run *r, const fr_node *n, fr_value *out) {
    fr_args a;
    bool known = false;
    fr_value self;
    FR_TRY(eval_args(r, n, &a));
    r->line = n->line;
    if (n->a->kind == FR_NODE_NAME) {
        const fr_value *v = find(r, n->a->text);
        if (v && v->kind == FR_VALUE_MACRO) return call_macro(r, v->macro, &a, out);
        if (!v) FR_TRY(fr_template_function(r, n->a->text, &a, &known, out));
        return known ? FR_OK : fr_template_fail(r, "there is no function %s", n->a->text);
    }
    if (n->a->kind != FR_NODE_ATTR) return fr_template_fail(r, "this can not be called");
    FR_TRY(eval(r, n->a->a, &self));
    r->line = n->line;
    FR_TRY(fr_template_method(r, &self, n->a->text, &a, &known, out));
    if (known) return FR_OK;
    if (self.kind == FR_VALUE_UNDEFINED)
        return fr_template_fail(r, "%.*s is undefined", (int)self.bytes, self.text);
    return fr_template_fail(r, "%s has no method %s", fr_value_kind_name(&self), n->a->text);
}

/* ---- expressions ---- */

static fr_status make_list(fr_run *r, const fr_node *n, fr_value *out) {
    FR_TRY(fr_value_new_list(r, out));
    for (const fr_node *c = n->body; c; c = c->next) {
        fr_value v;
        FR_TRY(eval(r, c, &v));
        FR_TRY(fr_list_add(r, out->list, v));
    }
    return FR_OK;
}

static fr_status make_dict(fr_run *r, const fr_node *n, fr_value *out) {
    FR_TRY(fr_value_new_map(r, out));
    for (const fr_node *c = n->body; c; c = c->next->next) {
        fr_value key, v;
        FR_TRY(eval(r, c, &key));
        FR_TRY(eval(r, c->next, &v));
        FR_TRY(fr_map_put(r, out->map, key, v));
    }
    return FR_OK;
}

static fr_status slice(fr_run *r, const fr_node *n, fr_value *out) {
    fr_value v, part[3];
    const fr_node *nodes[] = {n->b, n->c, n->other};
    FR_TRY(eval(r, n->a, &v));
    for (int i = 0; i < 3; i++)
        if (nodes[i]) FR_TRY(eval(r, nodes[i], &part[i]));
    r->line = n->line;
    return fr_value_slice(r, &v, n->b ? &part[0] : NULL, n->c ? &part[1] : NULL,
                          n->other ? &part[2] : NULL, out);
}

static fr_status filter(fr_run *r, const fr_node *n, fr_value *out) {
    fr_value v;
    fr_args a;
    FR_TRY(eval(r, n->a, &v));
    FR_TRY(eval_args(r, n, &a));
    r->line = n->line;
    return fr_template_filter(r, n->text, &v, &a, out);
}

static fr_status test(fr_run *r, const fr_node *n, fr_value *out) {
    fr_value v;
    fr_args a;
    bool truth;
    FR_TRY(eval(r, n->a, &v));
    FR_TRY(eval_args(r, n, &a));
    r->line = n->line;
    FR_TRY(fr_template_test(r, n->text, &v, &a, &truth));
    *out = fr_value_bool(truth);
    return FR_OK;
}

static fr_status look_up(fr_run *r, const fr_node *n, fr_value *out) {
    fr_value v, key;
    FR_TRY(eval(r, n->a, &v));
    if (n->kind == FR_NODE_ATTR)
        key = fr_value_text(n->text, strlen(n->text));
    else
        FR_TRY(eval(r, n->b, &key));
    r->line = n->line;
    return fr_template_attr(r, &v, &key, out);
}

static fr_status condition(fr_run *r, const fr_node *n, fr_value *out) {
    fr_value v;
    FR_TRY(eval(r, n->a, &v));
    *out = (fr_value){.kind = FR_VALUE_UNDEFINED, .text = "this", .bytes = 4};
    const fr_node *which = fr_value_true(&v) ? n->b : n->c;
    return which ? eval(r, which, out) : FR_OK;
}

static fr_status eval_node(fr_run *r, const fr_node *n, fr_value *out) {
    const fr_value *v;
    switch (n->kind) {
    case FR_NODE_CONST: *out = n->value; return FR_OK;
    case FR_NODE_NAME:
        v = find(r, n->text);
        *out =
            v ? *v
              : (fr_value){.kind = FR_VALUE_UNDEFINED, .text = n->text, .bytes = strlen(n->text)};
        return FR_OK;
    case FR_NODE_ATTR:
    case FR_NODE_ITEM: return look_up(r, n, out);
    case FR_NODE_SLICE: return slice(r, n, out);
    case FR_NODE_CALL: return call(r, n, out);
    case FR_NODE_FILTER: return filter(r, n, out);
    case FR_NODE_TEST: return test(r, n, out);
    case FR_NODE_UNARY: return unary(r, n, out);
    case FR_NODE_BINARY: return binary(r, n, out);
    case FR_NODE_COND: return condition(r, n, out);
    case FR_NODE_LIST: return make_list(r, n, out);
    default: return make_dict(r, n, out);
    }
}

static fr_status eval(fr_run *r, const fr_node *n, fr_value *out) {
    FR_TRY(step(r));
    r->line = n->line;
    if (r->depth >= MOST_DEEP) return fr_template_fail(r, "it is nested too deep");
    r->depth++;
    fr_status st = eval_node(r, n, out);
    r->depth--;
    return st;
}

/* ---- statements ---- */

static fr_status put(fr_run *r, fr_value_map *m, const char *name, fr_value v) {
    return fr_map_put(r, m, fr_value_text(name, strlen(name)), v);
}

static fr_status describe_loop(fr_run *r, const fr_value_list *items, size_t i, fr_value *loop) {
    int64_t at = (int64_t)i, n = (int64_t)items->count;
    fr_value_map *m = loop->map;
    const fr_value none = {.kind = FR_VALUE_UNDEFINED, .text = "the item beside", .bytes = 15};
    FR_TRY(put(r, m, "index", fr_value_int(at + 1)));
    FR_TRY(put(r, m, "index0", fr_value_int(at)));
    FR_TRY(put(r, m, "first", fr_value_bool(at == 0)));
    FR_TRY(put(r, m, "last", fr_value_bool(at == n - 1)));
    FR_TRY(put(r, m, "length", fr_value_int(n)));
    FR_TRY(put(r, m, "revindex", fr_value_int(n - at)));
    FR_TRY(put(r, m, "revindex0", fr_value_int(n - at - 1)));
    FR_TRY(put(r, m, "previtem", i ? items->items[i - 1] : none));
    return put(r, m, "nextitem", at < n - 1 ? items->items[i + 1] : none);
}

/* Those of which the condition is true, which is asked before the first is worked on. */
static fr_status chosen(fr_run *r, const fr_node *n, fr_value_list **items) {
    fr_value list;
    fr_scope own = {.up = r->scope};
    if (!n->c) return FR_OK;
    FR_TRY(fr_value_new_list(r, &list));
    r->scope = &own;
    fr_status st = FR_OK;
    for (size_t i = 0; i < (*items)->count && !st; i++) {
        fr_value v;
        st = assign_all(r, n->b, &(*items)->items[i]);
        if (!st) st = eval(r, n->c, &v);
        if (!st && fr_value_true(&v)) st = fr_list_add(r, list.list, (*items)->items[i]);
    }
    r->scope = own.up;
    *items = list.list;
    return st;
}

static fr_status run_for(fr_run *r, const fr_node *n) {
    fr_value v, loop;
    fr_value_list *items;
    FR_TRY(eval(r, n->a, &v));
    r->line = n->line;
    FR_TRY(fr_value_items(r, &v, &items));
    FR_TRY(chosen(r, n, &items));
    FR_TRY(fr_value_new_map(r, &loop));
    fr_scope own = {.up = r->scope};
    r->scope = &own;
    fr_status st = FR_OK;
    for (size_t i = 0; i < items->count && !st && r->jump != FR_RUN_BREAK; i++) {
        own.names.count = 0;
        r->jump = FR_RUN_ON;
        st = step(r);
        if (!st) st = describe_loop(r, items, i, &loop);
        if (!st) st = set(r, "loop", loop);
        if (!st) st = assign_all(r, n->b, &items->items[i]);
        if (!st) st = run_body(r, n->body);
    }
    r->jump = FR_RUN_ON;
    r->scope = own.up;
    if (!st && !items->count && n->other) st = run_body(r, n->other->body);
    return st;
}

static fr_status run_set(fr_run *r, const fr_node *n) {
    fr_value v;
    FR_TRY(n->a ? eval(r, n->a, &v) : capture(r, n, &v));
    r->line = n->line;
    return assign_all(r, n->b, &v);
}

static fr_status run_if(fr_run *r, const fr_node *n) {
    fr_value v;
    FR_TRY(eval(r, n->a, &v));
    if (fr_value_true(&v)) return run_body(r, n->body);
    return n->other ? run_body(r, n->other->body) : FR_OK;
}

static fr_status run_one(fr_run *r, const fr_node *n) {
    fr_value v;
    switch (n->kind) {
    case FR_NODE_TEXT: return fr_sink_add(r, r->out, n->text, n->bytes);
    case FR_NODE_PRINT: FR_TRY(eval(r, n->a, &v)); return fr_value_write(r, &v, false, r->out);
    case FR_NODE_IF: return run_if(r, n);
    case FR_NODE_FOR: return run_for(r, n);
    case FR_NODE_SET: return run_set(r, n);
    case FR_NODE_MACRO: return set(r, n->text, (fr_value){.kind = FR_VALUE_MACRO, .macro = n});
    case FR_NODE_BREAK: r->jump = FR_RUN_BREAK; return FR_OK;
    case FR_NODE_CONTINUE: r->jump = FR_RUN_CONTINUE; return FR_OK;
    default: return run_body(r, n->body);
    }
}

static fr_status run_body(fr_run *r, const fr_node *n) {
    if (r->depth >= MOST_DEEP) return fr_template_fail(r, "it is nested too deep");
    r->depth++;
    fr_status st = FR_OK;
    for (; n && !st && r->jump == FR_RUN_ON; n = n->next) {
        r->line = n->line;
        st = step(r);
        if (!st) st = run_one(r, n);
    }
    r->depth--;
    return st;
}

/* ---- all of it ---- */

static fr_status run_all(fr_run *r, const fr_json *variables) {
    const char *key;
    fr_json *item;
    json_object_foreach((fr_json *)(uintptr_t)variables, key, item) {
        fr_value v, name;
        FR_TRY(fr_value_of_json(r, item, 0, &v));
        FR_TRY(fr_value_copy_text(r, key, strlen(key), &name));
        FR_TRY(fr_map_put(r, &r->top->names, name, v));
    }
    FR_TRY(fr_sink_add(r, r->out, "", 0));
    return run_body(r, r->t->root->body);
}

fr_status fr_template_apply(const fr_template *t, const fr_json *variables, int64_t now,
                            char **text, size_t *bytes) {
    fr_scope top = {0};
    fr_text_sink out = {0};
    fr_run r = {.t = t, .arena = fr_arena_new(), .now = now, .top = &top, .out = &out};
    r.scope = &top;
    *text = NULL;
    fr_status st = r.arena ? run_all(&r, variables) : FR_NOMEM;
    fr_arena_free(r.arena);
    if (st) {
        fr_free(out.text);
        return st;
    }
    *text = out.text;
    *bytes = out.bytes;
    return FR_OK;
}
