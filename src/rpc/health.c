// SPDX-License-Identifier: Apache-2.0
#include "rpc/health.h"

#include <errno.h>
#include <grpc/health/v1/health.pb-c.h>
#include <stdatomic.h>
#include <string.h>
#include <utlist.h>

/* A name that can be asked for. The status is read by Check on the worker. */
struct entry {
    char *name; /* owned */
    atomic_bool serving;
};

/* A running Watch; the data of its call. */
struct watcher {
    struct watcher *prev;
    struct watcher *next;
    struct rpc_call *call;
    const struct entry *entry; /* NULL: no such service; it stays open, as the service may come */
};

/**
 * struct rpc_health - Owner: the loop thread; the entries are constant from the first call on
 * @entries: pointers, so that watchers and the worker can keep them
 */
struct rpc_health {
    struct rpc_method methods[2];
    struct rpc_service service;
    struct entry **entries;
    size_t entry_count;
    struct watcher *watchers;
};

static const struct entry *find(const struct rpc_health *health, const char *name)
{
    for (size_t i = 0; i < health->entry_count; i++)
        if (strcmp(health->entries[i]->name, name) == 0)
            return health->entries[i];
    return NULL;
}

static Grpc__Health__V1__HealthCheckResponse__ServingStatus status_of(const struct entry *entry)
{
    if (entry == NULL)
        return GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
    return atomic_load_explicit(&entry->serving, memory_order_relaxed)
               ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
               : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
}

/* ---- the methods ---- */

static void on_check(struct rpc_call *call, const ProtobufCMessage *request)
{
    const char *name = ((const Grpc__Health__V1__HealthCheckRequest *)request)->service;
    const struct entry *entry = find(rpc_call_service(call), name);
    if (entry == NULL) {
        struct osa_error err = { 0 };
        (void)osa_fail(&err, OSA_NOT_FOUND, 0, "this server has no service '%s'", name);
        rpc_call_fail(call, &err, /* detail= */ NULL);
        return;
    }
    Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    reply.status = status_of(entry);
    rpc_call_reply(call, &reply.base);
}

static void tell(const struct watcher *watcher)
{
    Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    reply.status = status_of(watcher->entry);
    (void)rpc_call_send(watcher->call,
                        &reply.base); /* two bytes at a change: nothing to hold back */
}

static void on_watch(struct rpc_call *call, const ProtobufCMessage *request)
{
    struct rpc_health *health = rpc_call_service(call);
    struct watcher *watcher = calloc(1, sizeof(*watcher));
    if (watcher == NULL) {
        struct osa_error err = { 0 };
        (void)osa_fail_errno(&err, ENOMEM, "watch");
        rpc_call_fail(call, &err, /* detail= */ NULL);
        return;
    }
    watcher->call = call;
    watcher->entry = find(health, ((const Grpc__Health__V1__HealthCheckRequest *)request)->service);
    rpc_call_set_data(call, watcher);
    DL_APPEND(health->watchers, watcher);
    tell(watcher);
}

static void on_watch_done(struct rpc_call *call)
{
    struct rpc_health *health = rpc_call_service(call);
    struct watcher *watcher = rpc_call_data(call);
    if (watcher != NULL)
        DL_DELETE(health->watchers, watcher);
    free(watcher);
}

static const struct rpc_method methods[] = {
    {
        .name = "Check",
        .kind = RPC_UNARY,
        .request = &grpc__health__v1__health_check_request__descriptor,
        .response = &grpc__health__v1__health_check_response__descriptor,
        .message = on_check,
    },
    {
        .name = "Watch",
        .kind = RPC_SERVER_STREAM,
        .request = &grpc__health__v1__health_check_request__descriptor,
        .response = &grpc__health__v1__health_check_response__descriptor,
        .message = on_watch,
        .done = on_watch_done,
    },
};

/* ---- the statuses ---- */

enum osa_code rpc_health_new(enum rpc_role role, struct rpc_health **ret_health,
                             struct osa_error *err)
{
    struct rpc_health *health = calloc(1, sizeof(*health));
    if (health == NULL)
        return osa_fail_errno(err, ENOMEM, "rpc server");
    _Static_assert(sizeof(health->methods) == sizeof(methods), "one row for each method");
    memcpy(health->methods, methods, sizeof(methods));
    for (size_t i = 0; i < OSA_ARRAY_LEN(methods); i++)
        health->methods[i].role = role;
    health->service = (struct rpc_service){ .name = "grpc.health.v1.Health",
                                            .methods = health->methods,
                                            .method_count = OSA_ARRAY_LEN(methods) };
    enum osa_code code = rpc_health_add(health, "", err);
    if (code == OSA_OK)
        code = rpc_health_add(health, health->service.name, err);
    if (code != OSA_OK) {
        rpc_health_free(health);
        return code;
    }
    *ret_health = health;
    return OSA_OK;
}

void rpc_health_free(struct rpc_health *health)
{
    if (health == NULL)
        return;
    for (size_t i = 0; i < health->entry_count; i++) {
        free(health->entries[i]->name);
        free(health->entries[i]);
    }
    free(health->entries);
    free(health);
}

const struct rpc_service *rpc_health_service(const struct rpc_health *health)
{
    return &health->service;
}

enum osa_code rpc_health_add(struct rpc_health *health, const char *name, struct osa_error *err)
{
    struct entry **entries =
        realloc(health->entries, (health->entry_count + 1) * sizeof(struct entry *));
    if (entries != NULL)
        health->entries = entries;
    struct entry *entry = calloc(1, sizeof(*entry));
    char *copy = strdup(name);
    if (entries == NULL || entry == NULL || copy == NULL) {
        free(entry);
        free(copy);
        return osa_fail_errno(err, ENOMEM, "rpc server");
    }
    entry->name = copy;
    atomic_init(&entry->serving, false);
    health->entries[health->entry_count++] = entry;
    return OSA_OK;
}

static void set(struct rpc_health *health, struct entry *entry, bool serving)
{
    if (atomic_exchange_explicit(&entry->serving, serving, memory_order_relaxed) == serving)
        return;
    struct watcher *watcher;
    DL_FOREACH(health->watchers, watcher)
    if (watcher->entry == entry)
        tell(watcher);
}

void rpc_health_set(struct rpc_health *health, const char *name, bool serving)
{
    for (size_t i = 0; i < health->entry_count; i++)
        if (strcmp(health->entries[i]->name, name) == 0)
            set(health, health->entries[i], serving);
}

void rpc_health_set_all(struct rpc_health *health, bool serving)
{
    for (size_t i = 0; i < health->entry_count; i++)
        set(health, health->entries[i], serving);
}

void rpc_health_shutdown(struct rpc_health *health)
{
    rpc_health_set_all(health, /* serving= */ false);
    struct osa_error err = { 0 };
    (void)osa_fail(&err, OSA_UNAVAILABLE, 0, "the server is shutting down");
    struct watcher *watcher;
    DL_FOREACH(health->watchers, watcher)
    rpc_call_fail(watcher->call, &err, /* detail= */ NULL);
}
