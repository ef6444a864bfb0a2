// SPDX-License-Identifier: Apache-2.0
/*
 * Relays: byte streams between the gateway and the sandbox. The target is connected first, the result
 * goes out on the session, and then the stream of bytes begins. Each direction waits for the other
 * side: a full socket stops reading from the gateway, a full send queue stops reading from the socket.
 */
#include "agent/gateway/gateway.h"
#include "agent/gateway/ssh.h"
#include "base/fd.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_BYTES 16384 /* the largest data frame that the gateway takes */
#define CHANNEL_BYTES 256
#define RELAYS_MAX 512 /* of the sandbox; the gateway itself lets 32 wait to be claimed */

/**
 * struct relay - One; frees itself when its call and its socket are done
 * @source:  the socket to the target
 * @pending, @pending_len: from the gateway, not yet taken by the target
 * @gateway_done: the call has ended; what is pending still goes out
 * @target_done: the target sends no more
 */
struct relay {
    struct gateway *gateway;
    void (*send)(struct gateway *gateway, const GATEWAY(RelayOpenResult) * result);
    char channel[CHANNEL_BYTES];
    struct osa_source source;
    struct rpc_client_call *call;
    struct rpc_client_events events;
    struct osa_buf pending;
    bool blocked; /* the send queue is full */
    bool gateway_done;
    bool target_done;
};

static void relay_free(struct relay *relay)
{
    osa_source_remove(&relay->source);
    osa_close_fd(&relay->source.fd);
    osa_buf_done(&relay->pending);
    relay->gateway->relays--;
    free(relay);
}

static void watch(struct relay *relay)
{
    unsigned events = relay->pending.len > 0 ? OSA_WRITE : 0;
    if (!relay->blocked && !relay->target_done && !relay->gateway_done)
        events |= OSA_READ;
    osa_source_set(&relay->source, events);
}

/* ---- gateway → target ---- */

/* Return: false when the target takes nothing any more. */
static bool push(struct relay *relay)
{
    ssize_t sent = osa_send_buf(relay->source.fd, &relay->pending);
    return sent >= 0 || sent == -EAGAIN;
}

static void target_gone(struct relay *relay)
{
    osa_buf_reset(&relay->pending);
    if (relay->gateway_done) {
        relay_free(relay);
        return;
    }
    relay->target_done = true;
    osa_source_remove(&relay->source);
    rpc_client_pause(relay->call, false); /* for its end */
    rpc_client_half_close(relay->call);
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct relay *relay = OSA_CONTAINER_OF(events, struct relay, events);
    const GATEWAY(RelayFrame) *frame = (const GATEWAY(RelayFrame) *)response;
    if (frame->payload_case != OPENSHELL__V1__RELAY_FRAME__PAYLOAD_DATA) {
        osa_log(OSA_LOG_WARN, "gateway", "a relay's frame is no data; the relay ends",
                OSA_S("channel", relay->channel));
        rpc_client_cancel(relay->call);
        return;
    }
    if (relay->source.loop == NULL)
        return; /* the target is gone */
    (void)osa_buf_add(&relay->pending, frame->data.data, frame->data.len);
    if (relay->pending.failed || !push(relay)) {
        target_gone(relay);
        return;
    }
    rpc_client_pause(relay->call, relay->pending.len > 0);
    watch(relay);
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct relay *relay = OSA_CONTAINER_OF(events, struct relay, events);
    (void)status;
    relay->call = NULL;
    relay->gateway_done = true;
    if (relay->source.loop == NULL || relay->pending.len == 0 || relay->gateway->finishing)
        relay_free(relay);
    else
        watch(relay);
}

/* ---- target → gateway ---- */

static void pull(struct relay *relay)
{
    uint8_t data[CHUNK_BYTES];
    GATEWAY(RelayFrame) frame = GATEWAY_INIT(RELAY_FRAME);
    ssize_t got = recv(relay->source.fd, data, sizeof(data), 0);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (got <= 0) {
        relay->target_done = true;
        rpc_client_half_close(relay->call);
        return;
    }
    frame.payload_case = OPENSHELL__V1__RELAY_FRAME__PAYLOAD_DATA;
    frame.data = (ProtobufCBinaryData){ (size_t)got, data };
    relay->blocked = !rpc_client_send(relay->call, &frame.base);
}

static void on_writable(struct rpc_client_events *events)
{
    struct relay *relay = OSA_CONTAINER_OF(events, struct relay, events);
    relay->blocked = false;
    if (relay->source.loop != NULL)
        watch(relay);
}

static void on_socket(struct osa_source *source, unsigned events)
{
    struct relay *relay = OSA_CONTAINER_OF(source, struct relay, source);
    if ((events & (OSA_READ | OSA_HUP)) != 0 && !relay->blocked && !relay->target_done &&
        !relay->gateway_done)
        pull(relay);
    bool takes = push(relay);
    if (relay->gateway_done && (!takes || relay->pending.len == 0)) {
        relay_free(relay);
        return;
    }
    /* A hang-up cannot be masked, so a socket of which nothing is expected is let go. */
    if (!takes || (relay->target_done && (events & OSA_HUP) != 0)) {
        target_gone(relay);
        return;
    }
    if (!relay->gateway_done)
        rpc_client_pause(relay->call, relay->pending.len > 0);
    watch(relay);
}

/* ---- opening ---- */

static void answer(struct relay *relay, const char *error)
{
    GATEWAY(RelayOpenResult) result = GATEWAY_INIT(RELAY_OPEN_RESULT);
    result.channel_id = relay->channel;
    result.success = error == NULL;
    if (error != NULL) {
        result.error = (char *)(uintptr_t)error;
        osa_log(OSA_LOG_INFO, "gateway", "relay refused", OSA_S("channel", relay->channel),
                OSA_S("error", error));
    }
    relay->send(relay->gateway, &result);
}

static void refuse(struct relay *relay, const char *error)
{
    answer(relay, error);
    relay_free(relay);
}

/* @fd: taken */
static void begin(struct relay *relay, int fd)
{
    struct gateway *gateway = relay->gateway;
    struct osa_error err = { 0 };
    GATEWAY(RelayFrame) frame = GATEWAY_INIT(RELAY_FRAME);
    GATEWAY(RelayInit) init = GATEWAY_INIT(RELAY_INIT);
    relay->source.fd = fd;
    if (gateway->ended ||
        osa_source_add(gateway->program.loop, &relay->source, OSA_READ, &err) != OSA_OK) {
        refuse(relay, gateway->ended ? "the sandbox ends" : err.text);
        return;
    }
    answer(relay, NULL);
    init.channel_id = relay->channel;
    frame.payload_case = OPENSHELL__V1__RELAY_FRAME__PAYLOAD_INIT;
    frame.init = &init;
    relay->call = rpc_client_start(gateway->channel, GATEWAY_METHOD("RelayStream"),
                                   &openshell__v1__relay_frame__descriptor, OSA_NEVER,
                                   /* wait_for_ready= */ false, &relay->events);
    (void)rpc_client_send(relay->call, &frame.base);
}

static void on_connected(void *ctx, int fd, const struct osa_error *error)
{
    struct relay *relay = ctx;
    if (error != NULL)
        refuse(relay, error->text);
    else
        begin(relay, fd);
}

bool relay_loopback(const char *host, char ret_ip[RELAY_LOOPBACK_SIZE])
{
    static const char mapped[] = "::ffff:";
    char text[64];
    struct in_addr in;
    struct in6_addr in6;
    host += strspn(host, " \t[");
    size_t len = strcspn(host, " \t]");
    if (len >= sizeof(text))
        return false;
    (void)snprintf(text, sizeof(text), "%.*s", (int)len, host);
    if (strcasecmp(text, "localhost") == 0)
        (void)snprintf(text, sizeof(text), "127.0.0.1");
    const char *ip =
        strncasecmp(text, mapped, sizeof(mapped) - 1) == 0 ? text + sizeof(mapped) - 1 : text;
    bool good = inet_pton(AF_INET, ip, &in) == 1
                    ? ntohl(in.s_addr) >> 24 == 127
                    : inet_pton(AF_INET6, text, &in6) == 1 && IN6_IS_ADDR_LOOPBACK(&in6);
    if (good)
        (void)snprintf(ret_ip, RELAY_LOOPBACK_SIZE, "%s", strchr(ip, ':') != NULL ? "::1" : ip);
    return good;
}

void relay_connect(struct gateway *gateway, const char *host, uint32_t port, stream_fn done,
                   void *ctx)
{
    struct agent *agent = gateway->program.agent;
    struct osa_error err = { 0 };
    char ip[RELAY_LOOPBACK_SIZE];
    struct sandbox *sandbox = NULL;
    if (!relay_loopback(host, ip))
        (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0,
                       "the host must be a loopback address of the sandbox or localhost");
    else if (port < 1 || port > 65535)
        (void)osa_fail(&err, OSA_INVALID_ARGUMENT, 0, "the port must be 1 to 65535");
    else
        sandbox = sandbox_find(agent, agent_state(agent).default_sandbox_id, &err);
    if (sandbox != NULL && sandbox_usable(sandbox, /* paused_too= */ false, &err) == OSA_OK)
        sandbox->backend->ops->sandbox_connect(sandbox->handle, ip, (uint16_t)port, done, ctx);
    else
        done(ctx, -1, &err);
}

static void open_ssh(struct relay *relay)
{
    struct osa_error err = { 0 };
    int fd = -1;
    if (sshd_connect(relay->gateway, &fd, &err) != OSA_OK)
        refuse(relay, err.text);
    else
        begin(relay, fd);
}

void relay_open(struct gateway *gateway, const GATEWAY(RelayOpen) * open,
                void (*send)(struct gateway *gateway, const GATEWAY(RelayOpenResult) * result))
{
    struct relay *relay = calloc(1, sizeof(*relay));
    if (relay == NULL)
        abort();
    gateway->relays++;
    relay->gateway = gateway;
    relay->send = send;
    relay->source = (struct osa_source){ .fd = -1, .ready = on_socket };
    relay->events = (struct rpc_client_events){ .message = on_message,
                                                .writable = on_writable,
                                                .done = on_done };
    osa_buf_init(&relay->pending, (size_t)8 << 20);
    if (strlen(open->channel_id) >= sizeof(relay->channel)) {
        osa_log(OSA_LOG_WARN, "gateway", "a relay's channel has too long a name; ignored",
                OSA_U("bytes", strlen(open->channel_id)));
        relay_free(relay);
        return;
    }
    (void)snprintf(relay->channel, sizeof(relay->channel), "%s", open->channel_id);
    if (gateway->relays > RELAYS_MAX)
        refuse(relay, "too many relays are open");
    else if (open->target_case == OPENSHELL__V1__RELAY_OPEN__TARGET_TCP)
        relay_connect(gateway, open->tcp->host, open->tcp->port, on_connected, relay);
    else
        open_ssh(relay);
}
