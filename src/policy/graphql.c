// SPDX-License-Identifier: Apache-2.0
/* What GraphQL documents travel in: HTTP bodies and queries, batches, messages of websockets. */
#include "policy/graphql.h"

#include "io/json_value.h"
#include "policy/query.h"

#include <string.h>
#include <strings.h>

static void free_json(struct json_t **value)
{
    io_json_free(*value);
}

/* One request, wherever its parts came from; NULL for parts that are not there. */
struct envelope {
    const char *document;
    const char *operation_name;
    const char *hash;
    const char *id;
};

static bool is_blank(const char *text)
{
    return text == NULL || text[strspn(text, " \t\r\n")] == '\0';
}

/* Return: NULL, or what is wrong */
static const char *classify(const struct envelope *envelope, struct osa_arena *arena,
                            struct policy_operation *ret)
{
    const char *key = envelope->hash != NULL ? envelope->hash : envelope->id;
    const char *name = envelope->operation_name != NULL ? envelope->operation_name : "";
    if (!is_blank(envelope->document)) {
        struct policy_graphql document;
        policy_graphql_document(policy_text(envelope->document), name, arena, &document);
        if (document.error != NULL)
            return document.error;
        *ret = document.operations[0];
    } else if (key != NULL) {
        *ret = (struct policy_operation){ .type = "", .name = osa_arena_strdup(arena, name) };
    } else {
        return "GraphQL request has neither a document nor the name of a persisted one";
    }
    ret->persisted = key != NULL;
    ret->key = osa_arena_strdup(arena, key);
    return NULL;
}

static const char *find_hash(const struct json_t *extensions)
{
    const char *hash = io_json_text(io_json_member(extensions, "persistedQuery"), "sha256Hash");
    return hash != NULL && hash[0] != '\0' ? hash : NULL;
}

static const char *classify_object(const struct json_t *object, struct osa_arena *arena,
                                   struct policy_operation *ret)
{
    static const char *const ids[] = { "id", "documentId", "queryId" };
    if (io_json_kind(object) != IO_JSON_OBJECT)
        return "GraphQL request is not a JSON object";
    struct envelope envelope = { .document = io_json_text(object, "query"),
                                 .operation_name = io_json_text(object, "operationName"),
                                 .hash = find_hash(io_json_member(object, "extensions")) };
    for (size_t i = 0; i < OSA_ARRAY_LEN(ids); i++) {
        if (io_json_member(object, ids[i]) == NULL)
            continue;
        envelope.id = io_json_text(object, ids[i]);
        break;
    }
    return classify(&envelope, arena, ret);
}

static void finish(struct policy_graphql *ret, const char *error,
                   struct policy_operation *operations, size_t count)
{
    *ret = (struct policy_graphql){ .error = error };
    if (error == NULL) {
        ret->operations = operations;
        ret->operation_count = count;
    }
}

static void read_body(struct policy_text body, struct osa_arena *arena, struct policy_graphql *ret)
{
    struct osa_error err = { 0 };
    OSA_AUTO(free_json) struct json_t *value = NULL;
    if (body.len == 0) {
        finish(ret, "GraphQL request has no body", NULL, 0);
        return;
    }
    if (io_json_parse(body.data, body.len, &value, &err) != OSA_OK) {
        finish(ret, osa_arena_printf(arena, "GraphQL request is %s", err.text), NULL, 0);
        return;
    }
    bool batch = io_json_kind(value) == IO_JSON_ARRAY;
    size_t count = batch ? io_json_count(value) : 1;
    struct policy_operation *operations = osa_arena_alloc(arena, sizeof(*operations) * count);
    const char *error = count == 0 ? "GraphQL batch is empty" : NULL;
    for (size_t i = 0; i < count && error == NULL; i++)
        error = classify_object(batch ? io_json_element(value, i) : value, arena, &operations[i]);
    finish(ret, error, operations, count);
}

/* The only value of a key. Return: NULL, or what is wrong; *ret is NULL without the key, or when empty */
static const char *find_parameter(struct policy_text query, const char *name,
                                  struct osa_arena *arena, const char **ret)
{
    struct policy_text key;
    struct policy_text value;
    bool found = false;
    *ret = NULL;
    while (policy_query_next(&query, &key, &value)) {
        if (!policy_query_is(key, name))
            continue;
        if (found)
            return osa_arena_printf(arena, "GraphQL parameter %s is given twice", name);
        found = true;
        char *text = osa_arena_alloc(arena, value.len + 1);
        size_t len = 0;
        if (!policy_query_decode(value, text, &len) || strlen(text) != len)
            return osa_arena_printf(arena, "GraphQL parameter %s is not text", name);
        *ret = len > 0 ? text : NULL;
    }
    return NULL;
}

static const char *read_id(struct policy_text query, struct osa_arena *arena, const char **ret)
{
    static const char *const ids[] = { "id", "documentId", "queryId" };
    *ret = NULL;
    for (size_t i = 0; i < OSA_ARRAY_LEN(ids); i++) {
        const char *value = NULL;
        const char *error = find_parameter(query, ids[i], arena, &value);
        if (error == NULL && value != NULL && *ret != NULL)
            error = "GraphQL request names a persisted query twice";
        if (error != NULL)
            return error;
        if (value != NULL)
            *ret = value;
    }
    return NULL;
}

static const char *read_get(struct policy_text query, struct osa_arena *arena,
                            struct policy_operation *ret)
{
    struct envelope envelope = { 0 };
    const char *extensions = NULL;
    OSA_AUTO(free_json) struct json_t *value = NULL;
    const char *error = find_parameter(query, "query", arena, &envelope.document);
    if (error == NULL)
        error = find_parameter(query, "operationName", arena, &envelope.operation_name);
    if (error == NULL)
        error = find_parameter(query, "extensions", arena, &extensions);
    if (error == NULL)
        error = read_id(query, arena, &envelope.id);
    if (error == NULL && extensions != NULL &&
        io_json_parse(extensions, strlen(extensions), &value, NULL) != OSA_OK)
        error = "GraphQL parameter extensions is not JSON";
    if (error != NULL)
        return error;
    envelope.hash = find_hash(value);
    return classify(&envelope, arena, ret);
}

/*
 * A server may prefer what stands in the URL to what stands in the body, or read both. Parts of a
 * request in the other place are refused, but for an operationName that says the same.
 */
static const char *find_second_place(struct policy_text query, struct osa_arena *arena,
                                     const struct policy_graphql *body)
{
    static const char *const names[] = { "query", "extensions", "documentId", "queryId" };
    const char *value = NULL;
    for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++) {
        const char *error = find_parameter(query, names[i], arena, &value);
        if (error != NULL || value != NULL)
            return "GraphQL request in the URL beside the one in the body";
    }
    const char *error = find_parameter(query, "operationName", arena, &value);
    if (error != NULL || value == NULL)
        return error;
    for (size_t i = 0; i < body->operation_count; i++)
        if (strcmp(body->operations[i].name, value) != 0)
            return "GraphQL operationName in the URL is not that of the body";
    return NULL;
}

static bool is_letters(struct policy_text a, const char *b)
{
    return a.len == strlen(b) && strncasecmp(a.data, b, a.len) == 0;
}

void policy_graphql_http(struct policy_text method, struct policy_text query,
                         struct policy_text content_type, struct policy_text content_encoding,
                         struct policy_text body, struct osa_arena *arena,
                         struct policy_graphql *ret)
{
    static const char multipart[] = "multipart/";
    if (content_encoding.len > 0 && !is_letters(content_encoding, "identity")) {
        finish(ret, "GraphQL request is compressed", NULL, 0);
    } else if (content_type.len >= sizeof(multipart) - 1 &&
               strncasecmp(content_type.data, multipart, sizeof(multipart) - 1) == 0) {
        finish(ret, "GraphQL request is multipart", NULL, 0);
    } else if (is_letters(method, "POST")) {
        read_body(body, arena, ret);
        const char *error = ret->error == NULL ? find_second_place(query, arena, ret) : ret->error;
        finish(ret, error, ret->operations, ret->operation_count);
    } else if (is_letters(method, "GET") && body.len > 0) {
        finish(ret, "GraphQL request by GET has a body", NULL, 0);
    } else if (is_letters(method, "GET")) {
        struct policy_operation *operation = osa_arena_alloc(arena, sizeof(*operation));
        finish(ret, read_get(query, arena, operation), operation, 1);
    } else {
        finish(ret, "GraphQL request is neither GET nor POST", NULL, 0);
    }
}

enum policy_graphql_message policy_graphql_message(struct policy_text text, struct osa_arena *arena,
                                                   struct policy_graphql *ret)
{
    static const char *const control[] = {
        "connection_init", "connection_terminate", "ping", "pong", "complete", "stop"
    };
    struct osa_error err = { 0 };
    OSA_AUTO(free_json) struct json_t *value = NULL;
    *ret = (struct policy_graphql){ 0 };
    if (io_json_parse(text.data, text.len, &value, &err) != OSA_OK) {
        ret->error = osa_arena_printf(arena, "GraphQL message is %s", err.text);
        return POLICY_MESSAGE_INVALID;
    }
    const char *type = io_json_text(value, "type");
    for (size_t i = 0; type != NULL && i < OSA_ARRAY_LEN(control); i++)
        if (strcmp(type, control[i]) == 0)
            return POLICY_MESSAGE_CONTROL;
    const char *id = io_json_text(value, "id");
    if (type == NULL || (strcmp(type, "subscribe") != 0 && strcmp(type, "start") != 0))
        ret->error = "GraphQL message has an unknown type";
    else if (id == NULL || id[0] == '\0')
        ret->error = "GraphQL message has no id";
    if (ret->error != NULL)
        return POLICY_MESSAGE_INVALID;
    struct policy_operation *operation = osa_arena_alloc(arena, sizeof(*operation));
    finish(ret, classify_object(io_json_member(value, "payload"), arena, operation), operation, 1);
    return ret->error != NULL ? POLICY_MESSAGE_INVALID : POLICY_MESSAGE_OPERATION;
}
