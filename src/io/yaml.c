// SPDX-License-Identifier: Apache-2.0
/*
 * libyaml reports events; a stack of open collections turns them into the tree. Every node is one
 * allocation and hangs on a list of the document, so that freeing needs no recursion and a parse
 * that fails half-way frees what it has.
 */
#include "io/yaml.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

const struct io_yaml_limits io_yaml_default = { .bytes = 1u << 20, .depth = 32, .nodes = 65536 };

/* Levels that the stack below has room for; io_yaml_limits.depth is cut to it. */
#define STACK_DEPTH 64

struct item {
    struct io_yaml_node node;
    struct item *older; /* list of all nodes of the document */
    char text[];
};

struct io_yaml {
    char *source;       /* owned */
    struct item *items; /* owned, linked by older */
    const struct io_yaml_node *root;
};

struct level {
    struct io_yaml_node *node;
    struct io_yaml_node *last;      /* last child */
    const struct io_yaml_node *key; /* mapping: key whose value is awaited */
};

struct reader {
    struct io_yaml *doc;
    struct io_yaml_limits limits;
    yaml_parser_t parser;
    struct level stack[STACK_DEPTH];
    uint32_t depth;
    uint32_t nodes;
    bool any_document;
    struct osa_error *err;
};

static enum osa_code fail_at(struct reader *r, const yaml_mark_t *mark, const char *text)
{
    return osa_fail(r->err, OSA_INVALID_ARGUMENT, 0, "%s:%zu:%zu: %s", r->doc->source,
                    mark->line + 1, mark->column + 1, text);
}

static enum osa_code fail_bound(struct reader *r, const yaml_mark_t *mark, const char *what,
                                uint32_t bound)
{
    return osa_fail(r->err, OSA_RESOURCE_EXHAUSTED, 0, "%s:%zu:%zu: more than %u %s",
                    r->doc->source, mark->line + 1, mark->column + 1, bound, what);
}

static enum osa_code node_new(struct reader *r, enum io_yaml_kind kind, const yaml_mark_t *mark,
                              const char *text, size_t len, struct io_yaml_node **ret_node)
{
    if (++r->nodes > r->limits.nodes)
        return fail_bound(r, mark, "values", r->limits.nodes);
    struct item *item = calloc(1, sizeof(*item) + len + 1);
    if (item == NULL)
        return osa_fail_errno(r->err, ENOMEM, "%s", r->doc->source);
    if (len > 0)
        memcpy(item->text, text, len);
    item->node = (struct io_yaml_node){
        .kind = kind,
        .line = (uint32_t)(mark->line + 1),
        .column = (uint32_t)(mark->column + 1),
        .text = item->text,
        .len = len,
    };
    item->older = r->doc->items;
    r->doc->items = item;
    *ret_node = &item->node;
    return OSA_OK;
}

/* Puts a finished scalar or a collection that begins where it belongs. */
static enum osa_code place(struct reader *r, struct io_yaml_node *node, const yaml_mark_t *mark)
{
    if (r->depth == 0) {
        r->doc->root = node;
        return OSA_OK;
    }
    struct level *top = &r->stack[r->depth - 1];
    if (top->node->kind == IO_YAML_MAPPING && top->key == NULL) {
        if (node->kind != IO_YAML_SCALAR)
            return fail_at(r, mark, "a key must be a plain string");
        top->key = node;
        return OSA_OK;
    }
    node->key = top->key;
    top->key = NULL;
    if (top->last == NULL)
        top->node->first = node;
    else
        top->last->next = node;
    top->last = node;
    top->node->count++;
    return OSA_OK;
}

static enum osa_code on_scalar(struct reader *r, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(text, '\0', len) != NULL)
        return fail_at(r, &event->start_mark, "a NUL character is not allowed");
    if (r->depth + 1 > r->limits.depth)
        return fail_bound(r, &event->start_mark, "levels of nesting", r->limits.depth);
    struct io_yaml_node *node;
    enum osa_code code = node_new(r, IO_YAML_SCALAR, &event->start_mark, text, len, &node);
    if (code != OSA_OK)
        return code;
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return place(r, node, &event->start_mark);
}

static enum osa_code on_start(struct reader *r, enum io_yaml_kind kind, const yaml_mark_t *mark)
{
    struct io_yaml_node *node;
    if (r->depth + 1 > r->limits.depth)
        return fail_bound(r, mark, "levels of nesting", r->limits.depth);
    enum osa_code code = node_new(r, kind, mark, NULL, 0, &node);
    if (code == OSA_OK)
        code = place(r, node, mark);
    if (code == OSA_OK)
        r->stack[r->depth++] = (struct level){ .node = node };
    return code;
}

static int compare_keys(const void *a, const void *b)
{
    const struct io_yaml_node *left = *(const struct io_yaml_node *const *)a;
    const struct io_yaml_node *right = *(const struct io_yaml_node *const *)b;
    int order = strcmp(left->text, right->text);
    if (order != 0)
        return order;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    return (left->column > right->column) - (left->column < right->column);
}

/* Sorted, two equal keys are neighbours: n log n, where each against each would let a megabyte of
 * keys cost minutes. */
static enum osa_code check_duplicates(struct reader *r, const struct io_yaml_node *map)
{
    if (map->count < 2)
        return OSA_OK;
    OSA_AUTO(osa_free) const struct io_yaml_node **keys = calloc(map->count, sizeof(*keys));
    if (keys == NULL)
        return osa_fail_errno(r->err, ENOMEM, "%s", r->doc->source);
    size_t count = 0;
    for (const struct io_yaml_node *member = map->first; member != NULL; member = member->next)
        keys[count++] = member->key;
    qsort(keys, count, sizeof(*keys), compare_keys);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(keys[i - 1]->text, keys[i]->text) == 0)
            return osa_fail(r->err, OSA_INVALID_ARGUMENT, 0,
                            "%s:%u:%u: key '%s' is here twice, first in line %u", r->doc->source,
                            keys[i]->line, keys[i]->column, keys[i]->text, keys[i - 1]->line);
    }
    return OSA_OK;
}

static enum osa_code on_end(struct reader *r)
{
    const struct io_yaml_node *node = r->stack[--r->depth].node;
    return node->kind == IO_YAML_MAPPING ? check_duplicates(r, node) : OSA_OK;
}

static enum osa_code on_document(struct reader *r, const yaml_event_t *event)
{
    if (r->any_document)
        return fail_at(r, &event->start_mark, "a second document; one is allowed");
    r->any_document = true;
    if (event->data.document_start.version_directive != NULL ||
        event->data.document_start.tag_directives.start !=
            event->data.document_start.tag_directives.end)
        return fail_at(r, &event->start_mark, "a directive (%) is not allowed");
    return OSA_OK;
}

static const char *marks_of(const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL || event->type == YAML_ALIAS_EVENT)
        return "an anchor (&) or alias (*) is not allowed; write the value out, or quote it";
    if (tag != NULL)
        return "a tag (!) is not allowed; leave it out, or quote the value";
    return NULL;
}

static enum osa_code on_event(struct reader *r, const yaml_event_t *event)
{
    const char *refused = marks_of(event);
    if (refused != NULL)
        return fail_at(r, &event->start_mark, refused);
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return on_document(r, event);
    case YAML_SCALAR_EVENT:
        return on_scalar(r, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_start(r, IO_YAML_SEQUENCE, &event->start_mark);
    case YAML_MAPPING_START_EVENT:
        return on_start(r, IO_YAML_MAPPING, &event->start_mark);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_end(r);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    case YAML_ALIAS_EVENT: /* refused above */
        break;
    }
    return OSA_OK;
}

static enum osa_code fail_parser(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return osa_fail_errno(r->err, ENOMEM, "%s", r->doc->source);
    if (p->error == YAML_READER_ERROR)
        return osa_fail(r->err, OSA_INVALID_ARGUMENT, 0, "%s: %s at byte %zu", r->doc->source,
                        p->problem, p->problem_offset);
    return fail_at(r, &p->problem_mark, p->problem != NULL ? p->problem : "is not YAML");
}

static enum osa_code read_events(struct reader *r)
{
    enum osa_code code = OSA_OK;
    bool more = true;
    while (code == OSA_OK && more) {
        yaml_event_t event;
        if (!yaml_parser_parse(&r->parser, &event))
            return fail_parser(r);
        more = event.type != YAML_STREAM_END_EVENT;
        code = on_event(r, &event);
        yaml_event_delete(&event);
    }
    return code;
}

enum osa_code io_yaml_parse(const char *source, const void *data, size_t len,
                            const struct io_yaml_limits *limits, struct io_yaml **ret_doc,
                            struct osa_error *err)
{
    struct reader r = { .limits = limits != NULL ? *limits : io_yaml_default, .err = err };
    r.limits.depth = OSA_MIN(r.limits.depth, (uint32_t)STACK_DEPTH);
    if (len > r.limits.bytes)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "%s: has %zu bytes, more than %zu", source,
                        len, r.limits.bytes);
    OSA_AUTO(io_yaml_auto) struct io_yaml *doc = calloc(1, sizeof(*doc));
    if (doc == NULL || (doc->source = strdup(source)) == NULL)
        return osa_fail_errno(err, ENOMEM, "%s", source);
    r.doc = doc;
    if (!yaml_parser_initialize(&r.parser))
        return osa_fail_errno(err, ENOMEM, "%s", source);
    /* Named, or libyaml takes a text that begins with a UTF-16 mark for that. */
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, data != NULL ? data : (const void *)"", len);
    enum osa_code code = read_events(&r);
    yaml_parser_delete(&r.parser);
    if (code == OSA_OK)
        *ret_doc = OSA_TAKE(doc);
    return code;
}

enum osa_code io_yaml_load(const char *path, const struct io_yaml_limits *limits,
                           struct io_yaml **ret_doc, struct osa_error *err)
{
    OSA_AUTO(osa_free) char *data = NULL;
    size_t len = 0;
    size_t max_bytes = limits != NULL ? limits->bytes : io_yaml_default.bytes;
    enum osa_code code = osa_read_file(AT_FDCWD, path, max_bytes, &data, &len, err);
    return code != OSA_OK ? code : io_yaml_parse(path, data, len, limits, ret_doc, err);
}

void io_yaml_free(struct io_yaml *doc)
{
    if (doc == NULL)
        return;
    for (struct item *item = doc->items; item != NULL;) {
        struct item *older = item->older;
        free(item);
        item = older;
    }
    free(doc->source);
    free(doc);
}

void io_yaml_auto(struct io_yaml **doc)
{
    io_yaml_free(*doc);
}

const struct io_yaml_node *io_yaml_root(const struct io_yaml *doc)
{
    return doc->root;
}

const char *io_yaml_source(const struct io_yaml *doc)
{
    return doc->source;
}

const struct io_yaml_node *io_yaml_get(const struct io_yaml_node *map, const char *key)
{
    if (map == NULL || map->kind != IO_YAML_MAPPING)
        return NULL;
    for (const struct io_yaml_node *member = map->first; member != NULL; member = member->next) {
        if (strcmp(member->key->text, key) == 0)
            return member;
    }
    return NULL;
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(text, *words) == 0)
            return true;
    }
    return false;
}

bool io_yaml_is_null(const struct io_yaml_node *node)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    return node->kind == IO_YAML_SCALAR && !node->quoted && is_one_of(node->text, nulls);
}

enum osa_code io_yaml_fail(const struct io_yaml *doc, const struct io_yaml_node *node,
                           struct osa_error *err, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "%s:%u:%u: %s%s%s", doc->source, node->line,
                    node->column, node->key != NULL ? node->key->text : "",
                    node->key != NULL ? ": " : "", text);
}

enum osa_code io_yaml_string(const struct io_yaml *doc, const struct io_yaml_node *node,
                             const char **ret_text, struct osa_error *err)
{
    if (node->kind != IO_YAML_SCALAR || io_yaml_is_null(node))
        return io_yaml_fail(doc, node, err, "must be a string");
    *ret_text = node->text;
    return OSA_OK;
}

enum osa_code io_yaml_bool(const struct io_yaml *doc, const struct io_yaml_node *node,
                           bool *ret_value, struct osa_error *err)
{
    static const char *const yes[] = { "true", "True", "TRUE", NULL };
    static const char *const no[] = { "false", "False", "FALSE", NULL };
    bool plain = node->kind == IO_YAML_SCALAR && !node->quoted;
    if (plain && is_one_of(node->text, yes))
        *ret_value = true;
    else if (plain && is_one_of(node->text, no))
        *ret_value = false;
    else
        return io_yaml_fail(doc, node, err, "must be true or false");
    return OSA_OK;
}

enum osa_code io_yaml_i64(const struct io_yaml *doc, const struct io_yaml_node *node, int64_t min,
                          int64_t max, int64_t *ret_value, struct osa_error *err)
{
    const char *digits = node->text;
    bool negative = *digits == '-';
    if (negative || *digits == '+')
        digits++;
    int base = 10;
    if (strncmp(digits, "0x", 2) == 0)
        base = 16;
    else if (strncmp(digits, "0o", 2) == 0)
        base = 8;
    if (base != 10)
        digits += 2;
    /* strtoull would also take spaces and a second sign. */
    const char *allowed = base == 16 ? "0123456789abcdefABCDEF" : "0123456789";
    bool shaped = node->kind == IO_YAML_SCALAR && !node->quoted && *digits != '\0' &&
                  digits[strspn(digits, base == 8 ? "01234567" : allowed)] == '\0';
    if (!shaped)
        return io_yaml_fail(doc, node, err, "must be a whole number");
    errno = 0;
    unsigned long long magnitude = strtoull(digits, NULL, base);
    bool fits = errno == 0 && magnitude <= (unsigned long long)INT64_MAX;
    int64_t value = fits ? (int64_t)magnitude : 0;
    if (negative)
        value = -value;
    if (!fits || value < min || value > max)
        return io_yaml_fail(doc, node, err, "'%.40s' is out of range: %lld to %lld", node->text,
                            (long long)min, (long long)max);
    *ret_value = value;
    return OSA_OK;
}
