// SPDX-License-Identifier: Apache-2.0
/*
 * Executable GraphQL documents (October 2021 edition, section 2): the whole grammar is checked, and
 * of what it says only operations, fragments and their outermost selections are kept. The parser
 * descends as the document nests, within a bound. What a server would refuse anyway (two operations
 * or fragments of one name, a fragment that is nowhere) is refused here, so that nothing depends on
 * how it resolves that.
 */
#include "policy/graphql.h"
#include "policy/graphql_lexer.h"

#include <string.h>

/* A root selection: a field, or a fragment that is spread. */
struct selection {
    const char *name;
    bool spread;
    struct selection *next;
};

/* An operation or a fragment. */
struct definition {
    const char *type; /* "" of a fragment */
    const char *name; /* "" of an operation without one */
    struct selection *selections;
    struct definition *next;
    bool visited;
};

struct parser {
    struct osa_arena *arena;
    struct policy_text document;
    size_t at;
    struct graphql_token token; /* not taken yet */
    size_t tokens;
    unsigned depth;
    struct definition *operations;
    struct definition *fragments;
    size_t fragment_count;
    size_t selection_count;
    const char *fault;
};

static void fail(struct parser *p, const char *what)
{
    if (p->fault == NULL)
        p->fault = osa_arena_printf(p->arena, "GraphQL document: %s at byte %zu", what,
                                    p->at - p->token.text.len);
}

static void advance(struct parser *p)
{
    p->token = graphql_next_token(p->document, &p->at);
    if (++p->tokens > POLICY_GRAPHQL_MAX_TOKENS)
        fail(p, "too many tokens");
    else if (p->token.kind == GRAPHQL_BAD)
        fail(p, "an unknown token");
    if (p->fault != NULL)
        p->token.kind = GRAPHQL_END; /* everything that goes on ends soon */
}

static bool is_punctuator(const struct parser *p, char c)
{
    return p->token.kind == GRAPHQL_PUNCTUATOR && p->token.text.data[0] == c;
}

static bool take(struct parser *p, char c)
{
    if (!is_punctuator(p, c))
        return false;
    advance(p);
    return true;
}

static void expect(struct parser *p, char c)
{
    if (!take(p, c))
        fail(p, "an unexpected token");
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->token.kind == GRAPHQL_NAME && p->token.text.len == strlen(word) &&
           memcmp(p->token.text.data, word, p->token.text.len) == 0;
}

/* Return: a copy of the name that was taken */
static const char *take_name(struct parser *p)
{
    if (p->token.kind != GRAPHQL_NAME) {
        fail(p, "a name is missing");
        return "";
    }
    char *name = osa_arena_alloc(p->arena, p->token.text.len + 1);
    memcpy(name, p->token.text.data, p->token.text.len);
    advance(p);
    return name;
}

static void skip_name(struct parser *p)
{
    if (p->token.kind != GRAPHQL_NAME)
        fail(p, "a name is missing");
    else
        advance(p);
}

static bool enter(struct parser *p)
{
    if (p->depth == POLICY_GRAPHQL_MAX_DEPTH) {
        fail(p, "too deep");
        return false;
    }
    p->depth++;
    return true;
}

static void parse_value(struct parser *p)
{
    if (!enter(p))
        return;
    if (take(p, '$')) {
        skip_name(p);
    } else if (take(p, '[')) {
        while (!take(p, ']') && p->fault == NULL)
            parse_value(p);
    } else if (take(p, '{')) {
        while (!take(p, '}') && p->fault == NULL) {
            skip_name(p);
            expect(p, ':');
            parse_value(p);
        }
    } else if (p->token.kind == GRAPHQL_NAME || p->token.kind == GRAPHQL_NUMBER ||
               p->token.kind == GRAPHQL_STRING) {
        advance(p);
    } else {
        fail(p, "a value is missing");
    }
    p->depth--;
}

static void parse_arguments(struct parser *p)
{
    if (!take(p, '('))
        return;
    do {
        skip_name(p);
        expect(p, ':');
        parse_value(p);
    } while (!take(p, ')') && p->fault == NULL);
}

static void parse_directives(struct parser *p)
{
    while (take(p, '@') && p->fault == NULL) {
        skip_name(p);
        parse_arguments(p);
    }
}

static void parse_type(struct parser *p)
{
    if (!enter(p))
        return;
    if (take(p, '[')) {
        parse_type(p);
        expect(p, ']');
    } else {
        skip_name(p);
    }
    (void)take(p, '!');
    p->depth--;
}

static void parse_variables(struct parser *p)
{
    if (!take(p, '('))
        return;
    do {
        expect(p, '$');
        skip_name(p);
        expect(p, ':');
        parse_type(p);
        if (take(p, '='))
            parse_value(p);
        parse_directives(p);
    } while (!take(p, ')') && p->fault == NULL);
}

static void keep(struct parser *p, struct definition *root, const char *name, bool spread)
{
    if (root == NULL)
        return;
    struct selection *selection = osa_arena_alloc(p->arena, sizeof(*selection));
    *selection = (struct selection){ name, spread, root->selections };
    root->selections = selection;
    p->selection_count++;
}

static void parse_selections(struct parser *p, struct definition *root);

static void parse_field(struct parser *p, struct definition *root)
{
    const char *name = take_name(p);
    if (take(p, ':'))
        name = take_name(p); /* what came before is the client's alias */
    keep(p, root, name, /* spread= */ false);
    parse_arguments(p);
    parse_directives(p);
    if (is_punctuator(p, '{'))
        parse_selections(p, NULL);
}

static void parse_fragment_use(struct parser *p, struct definition *root)
{
    advance(p);
    if (p->token.kind == GRAPHQL_NAME && !is_word(p, "on")) {
        keep(p, root, take_name(p), /* spread= */ true);
        parse_directives(p);
        return;
    }
    if (is_word(p, "on")) {
        advance(p);
        skip_name(p);
    }
    parse_directives(p);
    parse_selections(p, root); /* its fields stand where it stands */
}

static void parse_selections(struct parser *p, struct definition *root)
{
    if (!enter(p))
        return;
    expect(p, '{');
    do {
        if (p->token.kind == GRAPHQL_SPREAD)
            parse_fragment_use(p, root);
        else
            parse_field(p, root);
    } while (!take(p, '}') && p->fault == NULL);
    p->depth--;
}

static struct definition *add(struct parser *p, struct definition **list, const char *type)
{
    struct definition *definition = osa_arena_alloc(p->arena, sizeof(*definition));
    *definition = (struct definition){ .type = type, .name = "", .next = *list };
    *list = definition;
    return definition;
}

static void parse_operation(struct parser *p, const char *type)
{
    struct definition *operation = add(p, &p->operations, type);
    advance(p);
    if (p->token.kind == GRAPHQL_NAME)
        operation->name = take_name(p);
    parse_variables(p);
    parse_directives(p);
    parse_selections(p, operation);
}

static void parse_definition(struct parser *p)
{
    static const char *const types[] = { "query", "mutation", "subscription" };
    if (is_punctuator(p, '{')) {
        parse_selections(p, add(p, &p->operations, "query"));
        return;
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(types); i++) {
        if (is_word(p, types[i])) {
            parse_operation(p, types[i]);
            return;
        }
    }
    if (!is_word(p, "fragment")) {
        fail(p, "neither an operation nor a fragment");
        return;
    }
    struct definition *fragment = add(p, &p->fragments, "");
    p->fragment_count++;
    advance(p);
    if (is_word(p, "on"))
        fail(p, "a name is missing");
    fragment->name = take_name(p);
    if (!is_word(p, "on"))
        fail(p, "an unexpected token");
    advance(p);
    skip_name(p);
    parse_directives(p);
    parse_selections(p, fragment);
}

/* ---- from definitions to one operation ---- */

static int compare_definitions(const void *a, const void *b)
{
    return strcmp((*(struct definition *const *)a)->name, (*(struct definition *const *)b)->name);
}

static int find_definition(const void *key, const void *element)
{
    return strcmp(key, (*(struct definition *const *)element)->name);
}

/* Return: the definitions of a list, by name; *ret_double when two have one name */
static struct definition **sort(struct parser *p, struct definition *list, size_t *ret_count,
                                bool *ret_double)
{
    size_t count = 0;
    for (struct definition *d = list; d != NULL; d = d->next)
        count++;
    struct definition **sorted =
        osa_arena_alloc(p->arena, sizeof(struct definition *) * (count + 1));
    count = 0;
    for (struct definition *d = list; d != NULL; d = d->next)
        sorted[count++] = d;
    if (count > 1)
        qsort(sorted, count, sizeof(struct definition *), compare_definitions);
    *ret_double = false;
    for (size_t i = 1; i < count; i++)
        *ret_double = *ret_double || strcmp(sorted[i - 1]->name, sorted[i]->name) == 0;
    *ret_count = count;
    return sorted;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *collect_fields(struct parser *p, struct definition *operation,
                                  struct definition **fragments, size_t fragment_count,
                                  struct policy_operation *ret)
{
    const char **fields = osa_arena_alloc(p->arena, sizeof(char *) * (p->selection_count + 1));
    struct definition **pending =
        osa_arena_alloc(p->arena, sizeof(struct definition *) * (fragment_count + 1));
    size_t count = 0;
    size_t left = 0;
    pending[left++] = operation;
    while (left > 0) {
        for (const struct selection *s = pending[--left]->selections; s != NULL; s = s->next) {
            if (!s->spread) {
                if (count == POLICY_GRAPHQL_MAX_FIELDS)
                    return "GraphQL operation has too many root fields";
                fields[count++] = s->name;
                continue;
            }
            struct definition **found = bsearch(s->name, fragments, fragment_count,
                                                sizeof(struct definition *), find_definition);
            if (found == NULL)
                return "GraphQL document uses a fragment that it does not define";
            if (!(*found)->visited)
                pending[left++] = *found;
            (*found)->visited = true;
        }
    }
    qsort(fields, count, sizeof(char *), compare_names);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || strcmp(fields[kept - 1], fields[i]) != 0)
            fields[kept++] = fields[i];
    ret->fields = fields;
    ret->field_count = kept;
    return NULL;
}

static const char *choose(struct parser *p, const char *name, struct policy_operation *ret)
{
    size_t operation_count = 0;
    size_t fragment_count = 0;
    bool twice = false;
    struct definition **operations = sort(p, p->operations, &operation_count, &twice);
    if (twice)
        return "GraphQL document has two operations of one name";
    struct definition **fragments = sort(p, p->fragments, &fragment_count, &twice);
    if (twice)
        return "GraphQL document has two fragments of one name";
    if (operation_count == 0)
        return "GraphQL document has no operation";
    struct definition *chosen = operations[0];
    if (name[0] != '\0') {
        struct definition **found = bsearch(name, operations, operation_count,
                                            sizeof(struct definition *), find_definition);
        if (found == NULL)
            return "GraphQL document has no operation of the name in operationName";
        chosen = *found;
    } else if (operation_count > 1) {
        return "GraphQL document has several operations, and the request no operationName";
    }
    ret->type = chosen->type;
    ret->name = chosen->name;
    ret->key = "";
    return collect_fields(p, chosen, fragments, fragment_count, ret);
}

void policy_graphql_document(struct policy_text document, const char *operation_name,
                             struct osa_arena *arena, struct policy_graphql *ret)
{
    *ret = (struct policy_graphql){ 0 };
    struct parser p = { .arena = arena, .document = document };
    advance(&p);
    while (p.token.kind != GRAPHQL_END && p.fault == NULL)
        parse_definition(&p);
    struct policy_operation *operation = osa_arena_alloc(arena, sizeof(*operation));
    ret->error = p.fault != NULL ? p.fault : choose(&p, operation_name, operation);
    if (ret->error != NULL)
        return;
    ret->operations = operation;
    ret->operation_count = 1;
}
