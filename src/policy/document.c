// SPDX-License-Identifier: Apache-2.0
/*
 * A document owns a chain of memory blocks; everything that it points to lies in them, so that
 * building cannot leak and freeing is one loop. The chain is bounded: a YAML text of a few hundred
 * bytes can describe a document of gigabytes by aliases.
 */
#include "policy/document_internal.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    BLOCK_BYTES = 4096,
    /* Thirty-two times the largest text: enough for each of its bytes to become a list element. */
    MEMORY_MAX_BYTES = 8 << 20,
};

struct block {
    struct block *next;
    size_t used;
    size_t size;
    _Alignas(max_align_t) char data[];
};

struct policy_private {
    atomic_uint refs;
    struct block *blocks;
    size_t total;
    size_t dropped_warnings;
    bool refused;
};

struct policy_document *policy_document_new(void)
{
    struct policy_document *doc = calloc(1, sizeof(*doc));
    struct policy_private *priv = calloc(1, sizeof(*priv));
    if (doc == NULL || priv == NULL) {
        free(doc);
        free(priv);
        return NULL;
    }
    atomic_init(&priv->refs, 1);
    doc->priv = priv;
    return doc;
}

static void *refuse(struct policy_document *doc)
{
    doc->priv->refused = true;
    return NULL;
}

static struct block *add_block(struct policy_document *doc, size_t bytes)
{
    struct policy_private *priv = doc->priv;
    size_t size = OSA_MAX(bytes, (size_t)BLOCK_BYTES - sizeof(struct block));
    if (size > MEMORY_MAX_BYTES - priv->total)
        return refuse(doc);
    struct block *block = calloc(1, sizeof(*block) + size);
    if (block == NULL)
        return refuse(doc);
    block->size = size;
    block->next = priv->blocks;
    priv->blocks = block;
    priv->total += size;
    return block;
}

void *policy_alloc(struct policy_document *doc, size_t count, size_t size)
{
    size_t bytes;
    if (count == 0)
        return NULL;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > MEMORY_MAX_BYTES)
        return refuse(doc);
    bytes = (bytes + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    struct block *block = doc->priv->blocks;
    if (block == NULL || block->size - block->used < bytes)
        block = add_block(doc, bytes);
    if (block == NULL)
        return NULL;
    void *memory = block->data + block->used;
    block->used += bytes;
    return memory;
}

const char *policy_copy(struct policy_document *doc, const char *text, size_t len)
{
    char *copy = policy_alloc(doc, len + 1, 1);
    if (copy == NULL)
        return "";
    memcpy(copy, text, len);
    return copy;
}

const char *policy_copyf(struct policy_document *doc, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return policy_copy(doc, text, OSA_MIN((size_t)OSA_MAX(len, 0), sizeof(text) - 1));
}

/* The document is immutable for everyone else; its count of owners is not. */
static struct policy_private *owners(const struct policy_document *doc)
{
    return doc->priv;
}

bool policy_document_has_tcp(const struct policy_document *doc)
{
    for (size_t i = 0; i < doc->rule_count; i++) {
        for (size_t k = 0; k < doc->rules[i].endpoint_count; k++) {
            if (doc->rules[i].endpoints[k].protocol == POLICY_PROTOCOL_TCP)
                return true;
        }
    }
    return false;
}

const struct policy_document *policy_document_ref(const struct policy_document *doc)
{
    atomic_fetch_add_explicit(&owners(doc)->refs, 1, memory_order_relaxed);
    return doc;
}

const char *policy_binary_path(const struct policy_binary *binary, bool *ret_host)
{
    const size_t len = sizeof(POLICY_HOST_IDENTITY) - 1;
    bool host = strncmp(binary->path, POLICY_HOST_IDENTITY, len) == 0;
    if (ret_host != NULL)
        *ret_host = host;
    return host ? binary->path + len : binary->path;
}

void policy_document_unref(const struct policy_document *doc)
{
    if (doc == NULL)
        return;
    struct policy_private *priv = owners(doc);
    if (atomic_fetch_sub_explicit(&priv->refs, 1, memory_order_acq_rel) != 1)
        return;
    while (priv->blocks != NULL) {
        struct block *next = priv->blocks->next;
        free(priv->blocks);
        priv->blocks = next;
    }
    free(priv);
    free((void *)doc);
}

bool policy_was_refused(const struct policy_document *doc)
{
    return doc->priv->refused;
}

void policy_add_warning(struct policy_document *doc, const char *text)
{
    if (doc->warnings.items == NULL)
        doc->warnings.items = policy_alloc(doc, POLICY_MAX_WARNINGS + 1, sizeof(char *));
    if (doc->warnings.items == NULL)
        return;
    if (doc->warnings.count < POLICY_MAX_WARNINGS)
        doc->warnings.items[doc->warnings.count++] = text;
    else
        doc->priv->dropped_warnings++;
}

void policy_set_warnings(struct policy_document *doc)
{
    if (doc->priv->dropped_warnings > 0)
        doc->warnings.items[doc->warnings.count++] =
            policy_copyf(doc, "%zu more warnings are not shown", doc->priv->dropped_warnings);
}

static void list_fixed(struct policy_document *doc, struct policy_strings *list,
                       const char *const *items, size_t count)
{
    list->items = policy_alloc(doc, count, sizeof(*list->items));
    for (size_t i = 0; list->items != NULL && i < count; i++)
        list->items[list->count++] = items[i];
}

enum osa_code policy_document_default(const struct policy_document **ret, struct osa_error *err)
{
    static const char *const read_only[] = { "/usr", "/lib", "/proc",   "/dev/urandom",
                                             "/app", "/etc", "/var/log" };
    static const char *const read_write[] = { "/tmp", "/dev/null" };
    struct policy_document *doc = policy_document_new();
    if (doc == NULL)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "out of memory for a policy");
    doc->version = 1;
    doc->filesystem.given = true;
    doc->filesystem.include_workdir = true;
    list_fixed(doc, &doc->filesystem.read_only, read_only, OSA_ARRAY_LEN(read_only));
    list_fixed(doc, &doc->filesystem.read_write, read_write, OSA_ARRAY_LEN(read_write));
    doc->landlock.given = true;
    doc->landlock.compatibility = "best_effort";
    return policy_document_finish(doc, NULL, ret, err);
}

const char *policy_protocol_name(enum policy_protocol protocol)
{
    switch (protocol) {
    case POLICY_PROTOCOL_NONE:
    case POLICY_PROTOCOL_COUNT:
        return "";
    case POLICY_PROTOCOL_TCP:
        return "tcp";
    case POLICY_PROTOCOL_REST:
        return "rest";
    case POLICY_PROTOCOL_WEBSOCKET:
        return "websocket";
    case POLICY_PROTOCOL_GRAPHQL:
        return "graphql";
    case POLICY_PROTOCOL_SQL:
        return "sql";
    case POLICY_PROTOCOL_JSON_RPC:
        return "json-rpc";
    case POLICY_PROTOCOL_MCP:
        return "mcp";
    }
    return "";
}
