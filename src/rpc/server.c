// SPDX-License-Identifier: Apache-2.0
/*
 * The server: its life from new to free, its method table, its limits. What happens to one call is
 * in server_call.c, where connections come from in listener.c, who may call in auth.c.
 */
#include "base/log.h"
#include "rpc/credentials.h"
#include "rpc/health.h"
#include "rpc/listener.h"
#include "rpc/reflection.h"
#include "rpc/rpc.h"
#include "rpc/server_internal.h"

#include <errno.h>
#include <grpc/compression.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_MESSAGE_BYTES ((size_t)4 * 1024 * 1024) /* gRPC's own default */
#define DEFAULT_QUEUE_BYTES ((size_t)256 * 1024)
#define DEFAULT_STREAMS 256
#define METADATA_BYTES (16 * 1024)
#define QUOTA_MIN_BYTES ((size_t)64 * 1024 * 1024) /* of what is being received, all connections */
#define QUOTA_MESSAGES 8                           /* at least so many of the largest */
#define KEEPALIVE_MS 60000 /* a peer that vanished is found after this and the timeout */
#define KEEPALIVE_TIMEOUT_MS 20000
#define CLIENT_PING_MIN_MS 10000 /* clients that ping more often are sent away */
#define HANDSHAKE_TIMEOUT_MS 20000
#define REQUESTS_PER_METHOD 2 /* calls that can arrive before the worker has asked for more */
#define REQUESTS_INLINE 16

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value };
}

/*
 * Core counts what it reads against the quota, and when that is used up it closes connections that
 * have no call yet, then cancels calls. Without one, headers that never end (CONTINUATION without
 * END_HEADERS) and thousands of messages that are never complete are kept as long as memory lasts,
 * and all of that before anybody has shown a token.
 */
static grpc_resource_quota *create_quota(const struct rpc_server_config *config)
{
    grpc_resource_quota *quota = grpc_resource_quota_create("rpc-server");
    size_t bytes = OSA_MAX(QUOTA_MIN_BYTES, config->max_message_bytes * QUOTA_MESSAGES);
    grpc_resource_quota_resize(quota, bytes);
    return quota;
}

static grpc_server *create_core(const struct rpc_server_config *config)
{
    grpc_resource_quota *quota = create_quota(config);
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, (int)config->max_streams),
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)config->max_message_bytes),
        int_arg(GRPC_ARG_MAX_METADATA_SIZE, METADATA_BYTES),
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS),
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
        int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, CLIENT_PING_MIN_MS),
        int_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS),
        int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0), /* a second agent must fail, not share the port */
        int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
        /* Messages are never inflated: a small one could become any size. See rpc_bytes_unpack(). */
        int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE),
        int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0),
        { .type = GRPC_ARG_POINTER,
          .key = (char *)GRPC_ARG_RESOURCE_QUOTA,
          .value.pointer = { quota, grpc_resource_quota_arg_vtable() } },
    };
    grpc_server *core = grpc_server_create(&(grpc_channel_args){ OSA_ARRAY_LEN(args), args }, NULL);
    grpc_resource_quota_unref(quota);
    return core;
}

void rpc_server_audit(const struct rpc_server *server, const struct rpc_audit *record)
{
    if (server->config.audit != NULL)
        server->config.audit(server->config.audit_ctx, record);
}

/* ---- making ---- */

static enum osa_code add_standard_services(struct rpc_server *server, struct osa_error *err)
{
    enum osa_code code = rpc_health_new(server->config.health, &server->health, err);
    if (code == OSA_OK && server->config.reflection != RPC_ROLE_NONE)
        code = rpc_reflection_new(&server->config, &server->reflection, err);
    if (code == OSA_OK && server->config.health != RPC_ROLE_NONE)
        code =
            rpc_server_add_service(server, rpc_health_service(server->health), server->health, err);
    for (int alpha = 0; alpha < 2 && code == OSA_OK && server->reflection != NULL; alpha++)
        code = rpc_server_add_service(server, rpc_reflection_service(server->reflection, alpha),
                                      server->reflection, err);
    return code;
}

static enum osa_code fill(struct rpc_server *server, struct osa_error *err)
{
    server->listeners = calloc(server->config.listen_count, sizeof(struct rpc_listener *));
    if (server->listeners == NULL)
        return osa_fail_errno(err, ENOMEM, "rpc server");
    enum osa_code code = rpc_auth_new(&server->config, &server->auth, err);
    if (code == OSA_OK)
        code = rpc_credentials_new(&server->config.credentials, &server->credentials, err);
    return code == OSA_OK ? add_standard_services(server, err) : code;
}

enum osa_code rpc_server_new(const struct rpc_server_config *config, struct rpc_server **ret_server,
                             struct osa_error *err)
{
    if (config->listen_count == 0)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "there is no address to listen on");
    if (config->max_message_bytes > INT32_MAX)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "messages can have at most 2 GiB");
    rpc_init();
    struct rpc_server *server = calloc(1, sizeof(*server));
    if (server == NULL)
        return osa_fail_errno(err, ENOMEM, "rpc server");
    server->config = *config;
    if (config->max_message_bytes == 0)
        server->config.max_message_bytes = DEFAULT_MESSAGE_BYTES;
    if (config->send_queue_bytes == 0)
        server->config.send_queue_bytes = DEFAULT_QUEUE_BYTES;
    if (config->max_streams == 0)
        server->config.max_streams = DEFAULT_STREAMS;
    server->loop = config->loop;
    atomic_init(&server->accepting, false);
    atomic_init(&server->live_calls, 0);
    rpc_worker_init(&server->worker);
    server->core = create_core(&server->config);
    grpc_server_register_completion_queue(server->core, server->worker.queue, NULL);
    enum osa_code code = fill(server, err);
    if (code != OSA_OK) {
        rpc_server_free(server);
        return code;
    }
    *ret_server = server;
    return OSA_OK;
}

static enum osa_code add_method(struct rpc_server *server, const struct rpc_service *service,
                                const struct rpc_method *method, void *ctx, struct osa_error *err)
{
    struct rpc_entry *entry = calloc(1, sizeof(*entry));
    struct rpc_entry **entries =
        realloc(server->entries, (server->entry_count + 1) * sizeof(struct rpc_entry *));
    if (entries != NULL)
        server->entries = entries;
    if (entry == NULL || entries == NULL ||
        asprintf(&entry->path, "/%s/%s", service->name, method->name) < 0) {
        free(entry);
        return osa_fail_errno(err, ENOMEM, "rpc service '%s'", service->name);
    }
    entry->method = method;
    entry->refuse = service->refuse;
    entry->ctx = ctx;
    server->entries[server->entry_count++] = entry;
    bool with_payload = method->kind == RPC_UNARY || method->kind == RPC_SERVER_STREAM;
    entry->handle = grpc_server_register_method(
        server->core, entry->path, /* host= */ NULL,
        with_payload ? GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER : GRPC_SRM_PAYLOAD_NONE,
        /* flags= */ 0);
    if (entry->handle == NULL)
        return osa_fail(err, OSA_INTERNAL, 0, "method %s is there twice", entry->path);
    return OSA_OK;
}

enum osa_code rpc_server_add_service(struct rpc_server *server, const struct rpc_service *service,
                                     void *ctx, struct osa_error *err)
{
    if (server->state != SERVER_NEW)
        return osa_fail(err, OSA_INTERNAL, 0, "service '%s' comes after the start", service->name);
    for (size_t i = 0; i < service->method_count; i++) {
        enum osa_code code = add_method(server, service, &service->methods[i], ctx, err);
        if (code != OSA_OK)
            return code;
    }
    enum osa_code code = rpc_health_add(server->health, service->name, err);
    if (code == OSA_OK && server->reflection != NULL)
        code = rpc_reflection_add(server->reflection, service->name, err);
    return code;
}

/* ---- serving ---- */

static void request_calls(struct rpc_server *server)
{
    atomic_store_explicit(&server->accepting, true, memory_order_release);
    for (size_t i = 0; i < server->entry_count; i++) {
        const struct rpc_entry *entry = server->entries[i];
        int wanted = entry->method->inline_ok ? REQUESTS_INLINE : REQUESTS_PER_METHOD;
        for (int k = 0; k < wanted; k++)
            rpc_call_request(server, entry);
    }
    for (int k = 0; k < REQUESTS_PER_METHOD; k++)
        rpc_call_request(server, &server->unknown);
}

enum osa_code rpc_server_open(struct rpc_server *server, struct osa_error *err)
{
    enum osa_code code = OSA_OK;
    for (size_t i = 0; i < server->config.listen_count && code == OSA_OK; i++)
        code = rpc_listener_open(
            server->core, server->auth, &server->config, &server->config.listens[i],
            rpc_credentials_core(server->credentials), &server->listeners[i], err);
    server->open = code == OSA_OK;
    return code;
}

enum osa_code rpc_server_start(struct rpc_server *server, struct osa_error *err)
{
    enum osa_code code = server->open ? OSA_OK : rpc_server_open(server, err);
    if (code == OSA_OK)
        code = rpc_worker_start(&server->worker, "rpc-server", err);
    if (code != OSA_OK)
        return code;
    grpc_server_start(server->core);
    server->state = SERVER_SERVING;
    rpc_health_set_all(server->health, /* serving= */ true);
    request_calls(server);
    for (size_t i = 0; i < server->config.listen_count && code == OSA_OK; i++)
        code = rpc_listener_start(server->listeners[i], err);
    return code;
}

uint16_t rpc_server_port(const struct rpc_server *server, size_t index)
{
    return rpc_listener_port(server->listeners[index]);
}

void rpc_server_set_serving(struct rpc_server *server, const char *service, bool serving)
{
    rpc_health_set(server->health, service, serving);
}

/* ---- ending ---- */

static void close_listeners(struct rpc_server *server)
{
    for (size_t i = 0; i < server->config.listen_count; i++) {
        rpc_listener_close(server->listeners[i]);
        server->listeners[i] = NULL;
    }
}

static void finish_drain(struct rpc_server *server)
{
    osa_timer_disarm(&server->drain_timer);
    rpc_worker_done(&server->worker);
    server->state = SERVER_DRAINED;
    if (server->on_drained != NULL)
        server->on_drained(server->on_drained_ctx);
}

static void on_drained(struct rpc_step *step)
{
    struct rpc_server *server = OSA_CONTAINER_OF(step, struct rpc_server, drained);
    server->core_drained = true;
    if (atomic_load_explicit(&server->live_calls, memory_order_acquire) == 0)
        finish_drain(server);
}

void rpc_server_call_done(struct rpc_server *server)
{
    size_t before = atomic_fetch_sub_explicit(&server->live_calls, 1, memory_order_acq_rel);
    if (before == 1 && server->core_drained)
        finish_drain(server);
}

static void on_drain_timeout(struct osa_timer *timer)
{
    struct rpc_server *server = OSA_CONTAINER_OF(timer, struct rpc_server, drain_timer);
    grpc_server_cancel_all_calls(server->core);
}

void rpc_server_shutdown(struct rpc_server *server, int64_t deadline_ns, void (*done)(void *ctx),
                         void *ctx)
{
    if (server->state == SERVER_NEW && done != NULL)
        done(ctx);
    if (server->state != SERVER_SERVING)
        return;
    server->state = SERVER_DRAINING;
    server->on_drained = done;
    server->on_drained_ctx = ctx;
    close_listeners(server);
    rpc_health_shutdown(server->health);
    if (server->reflection != NULL)
        rpc_reflection_shutdown(server->reflection);
    atomic_store_explicit(&server->accepting, false, memory_order_release);
    rpc_step_init(&server->drained, server->loop, on_drained);
    server->drain_timer.fire = on_drain_timeout;
    osa_timer_arm(server->loop, &server->drain_timer, deadline_ns);
    rpc_step_hand_over(&server->drained);
    grpc_server_shutdown_and_notify(server->core, server->worker.queue,
                                    rpc_step_tag(&server->drained));
}

static void run_until_drained(struct rpc_server *server)
{
    rpc_server_shutdown(server, osa_now_ns(), /* done= */ NULL, /* ctx= */ NULL);
    while (server->state == SERVER_DRAINING)
        (void)osa_loop_run_once(server->loop, OSA_NEVER);
}

static bool ignore_step(struct rpc_step *step)
{
    (void)step;
    return false;
}

void rpc_server_free(struct rpc_server *server)
{
    if (server == NULL)
        return;
    if (server->listeners != NULL)
        close_listeners(server);
    if (server->state == SERVER_NEW) {
        /* Core wants its shutdown even from a server that never ran; nobody waits for its event. */
        server->drained.on_worker = ignore_step;
        rpc_step_hand_over(&server->drained);
        grpc_server_shutdown_and_notify(server->core, server->worker.queue,
                                        rpc_step_tag(&server->drained));
        rpc_worker_done(&server->worker);
    } else if (server->state != SERVER_DRAINED) {
        run_until_drained(server);
    }
    grpc_server_destroy(server->core);
    rpc_reflection_free(server->reflection);
    rpc_health_free(server->health);
    rpc_credentials_free(server->credentials);
    rpc_auth_free(server->auth);
    for (size_t i = 0; i < server->entry_count; i++) {
        free(server->entries[i]->path);
        free(server->entries[i]);
    }
    free(server->entries);
    free(server->listeners);
    free(server);
}
