// SPDX-License-Identifier: Apache-2.0
/*
 * ConnectSupervisor: the stream that makes the sandbox ready, and through which relays are asked for.
 *
 * The hello goes out before anything comes in, for the gateway answers only to it. A session that has
 * stood lets the next attempt follow at once; attempts that fail wait longer each time, up to half
 * a minute, and not all sandboxes of a gateway equally long. Whether the other side is there is a matter of HTTP/2 pings, not of heartbeats.
 */
#include "agent/gateway/gateway.h"
#include "base/id.h"
#include "base/log.h"

#include <stdlib.h>

#define BACKOFF_FIRST_NS OSA_NS_PER_SEC
#define BACKOFF_MAX_NS (30 * OSA_NS_PER_SEC)
#define AGAIN_NS (200 * OSA_NS_PER_MS) /* after a session that had stood for a while */
#define STOOD_NS                                                                                   \
    (5 * OSA_NS_PER_SEC) /* shorter ones count as failed: two may fight for one sandbox */
#define PATIENCE_NS (30 * OSA_NS_PER_SEC) /* for the answer to a hello */
#define HEARTBEAT_MIN_S 5

/**
 * struct session - @call is NULL between two attempts
 * @backoff_ns: before the next attempt, if this one fails
 */
struct session {
    struct gateway *gateway;
    struct rpc_client_call *call;
    struct rpc_client_events events;
    struct osa_timer retry;
    struct osa_timer heartbeat;
    struct osa_timer patience;
    int64_t heartbeat_ns;
    int64_t accepted_ns; /* when */
    int64_t backoff_ns;
    bool accepted;
    bool ended;
};

static void connect_now(struct session *session);

static void send_message(struct session *session, GATEWAY(SupervisorMessage) * message)
{
    if (session != NULL &&
        session->call != NULL) /* a relay may be answered after the session's end */
        (void)rpc_client_send(session->call, &message->base);
}

static void on_heartbeat(struct osa_timer *timer)
{
    struct session *session = OSA_CONTAINER_OF(timer, struct session, heartbeat);
    GATEWAY(SupervisorMessage) message = GATEWAY_INIT(SUPERVISOR_MESSAGE);
    GATEWAY(SupervisorHeartbeat) beat = GATEWAY_INIT(SUPERVISOR_HEARTBEAT);
    message.payload_case = OPENSHELL__V1__SUPERVISOR_MESSAGE__PAYLOAD_HEARTBEAT;
    message.heartbeat = &beat;
    send_message(session, &message);
    osa_timer_arm(session->gateway->program.loop, timer, osa_deadline_after(session->heartbeat_ns));
}

static void send_relay_result(struct gateway *gateway, const GATEWAY(RelayOpenResult) * result)
{
    GATEWAY(SupervisorMessage) message = GATEWAY_INIT(SUPERVISOR_MESSAGE);
    message.payload_case = OPENSHELL__V1__SUPERVISOR_MESSAGE__PAYLOAD_RELAY_OPEN_RESULT;
    message.relay_open_result = (GATEWAY(RelayOpenResult) *)(uintptr_t)result;
    send_message(gateway->session, &message);
}

/* ---- what the gateway says ---- */

static void accept_session(struct session *session, const GATEWAY(SessionAccepted) * accepted)
{
    uint32_t seconds = OSA_MAX(accepted->heartbeat_interval_secs, (uint32_t)HEARTBEAT_MIN_S);
    session->accepted = true;
    session->accepted_ns = osa_now_ns();
    osa_timer_disarm(&session->patience);
    session->heartbeat_ns = (int64_t)seconds * OSA_NS_PER_SEC;
    osa_log(OSA_LOG_INFO, "gateway", "session accepted", OSA_S("session", accepted->session_id),
            OSA_U("heartbeat_s", seconds));
    osa_timer_arm(session->gateway->program.loop, &session->heartbeat,
                  osa_deadline_after(session->heartbeat_ns));
}

static void on_first_message(struct session *session, const GATEWAY(GatewayMessage) * message)
{
    if (message->payload_case == OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_SESSION_ACCEPTED) {
        accept_session(session, message->session_accepted);
        return;
    }
    const char *reason =
        message->payload_case == OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_SESSION_REJECTED
            ? message->session_rejected->reason
            : "its first message is no answer to the hello";
    osa_log(OSA_LOG_WARN, "gateway", "the gateway refuses the session", OSA_S("reason", reason));
    rpc_client_cancel(session->call);
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    struct session *session = OSA_CONTAINER_OF(events, struct session, events);
    const GATEWAY(GatewayMessage) *message = (const GATEWAY(GatewayMessage) *)response;
    if (!session->accepted) {
        on_first_message(session, message);
        return;
    }
    switch (message->payload_case) {
    case OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_HEARTBEAT:
        break;
    case OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_RELAY_OPEN:
        relay_open(session->gateway, message->relay_open, send_relay_result);
        break;
    case OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_RELAY_CLOSE:
        osa_log(OSA_LOG_DEBUG, "gateway", "relay closed by the gateway",
                OSA_S("channel", message->relay_close->channel_id),
                OSA_S("reason", message->relay_close->reason));
        break;
    default: /* of a newer gateway, or out of turn */
        osa_log(OSA_LOG_WARN, "gateway", "a message of the gateway is not understood; ignored",
                OSA_I("payload", message->payload_case));
        break;
    }
}

static void on_patience(struct osa_timer *timer)
{
    struct session *session = OSA_CONTAINER_OF(timer, struct session, patience);
    osa_log(OSA_LOG_WARN, "gateway", "the gateway does not answer the hello",
            OSA_I("in_ms", PATIENCE_NS / OSA_NS_PER_MS));
    rpc_client_cancel(session->call);
}

/* Three quarters of it to all of it. */
static int64_t spread(int64_t ns)
{
    uint8_t random;
    osa_random(&random, sizeof(random));
    return ns - ns / 4 * random / UINT8_MAX;
}

/* How long to wait before the next attempt. */
static int64_t next_wait(struct session *session)
{
    if (session->accepted && osa_now_ns() - session->accepted_ns >= STOOD_NS) {
        session->backoff_ns = BACKOFF_FIRST_NS;
        return spread(AGAIN_NS);
    }
    int64_t wait_ns = spread(session->backoff_ns);
    session->backoff_ns = OSA_MIN(session->backoff_ns * 2, (int64_t)BACKOFF_MAX_NS);
    return wait_ns;
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct session *session = OSA_CONTAINER_OF(events, struct session, events);
    session->call = NULL;
    osa_timer_disarm(&session->heartbeat);
    osa_timer_disarm(&session->patience);
    if (session->ended)
        return;
    int64_t wait_ns = next_wait(session);
    osa_log(OSA_LOG_WARN, "gateway", "no session; connecting again",
            OSA_S("code", osa_code_name(status->error.code)), OSA_S("error", status->error.text),
            OSA_I("in_ms", wait_ns / OSA_NS_PER_MS));
    osa_timer_arm(session->gateway->program.loop, &session->retry, osa_deadline_after(wait_ns));
}

static void connect_now(struct session *session)
{
    struct gateway *gateway = session->gateway;
    GATEWAY(SupervisorMessage) message = GATEWAY_INIT(SUPERVISOR_MESSAGE);
    GATEWAY(SupervisorHello) hello = GATEWAY_INIT(SUPERVISOR_HELLO);
    hello.sandbox_id = (char *)(uintptr_t)gateway->config->sandbox_id;
    hello.instance_id = gateway->instance_id;
    message.payload_case = OPENSHELL__V1__SUPERVISOR_MESSAGE__PAYLOAD_HELLO;
    message.hello = &hello;
    session->accepted = false;
    session->call = rpc_client_start(gateway->channel, GATEWAY_METHOD("ConnectSupervisor"),
                                     &openshell__v1__gateway_message__descriptor, OSA_NEVER,
                                     /* wait_for_ready= */ false, &session->events);
    osa_timer_arm(gateway->program.loop, &session->patience, osa_deadline_after(PATIENCE_NS));
    send_message(session, &message);
}

static void on_retry(struct osa_timer *timer)
{
    connect_now(OSA_CONTAINER_OF(timer, struct session, retry));
}

void session_start(struct gateway *gateway)
{
    struct session *session = calloc(1, sizeof(*session));
    if (session == NULL)
        abort();
    session->gateway = gateway;
    session->events = (struct rpc_client_events){ .message = on_message, .done = on_done };
    session->retry.fire = on_retry;
    session->heartbeat.fire = on_heartbeat;
    session->patience.fire = on_patience;
    session->backoff_ns = BACKOFF_FIRST_NS;
    gateway->session = session;
    connect_now(session);
}

void session_end(struct gateway *gateway)
{
    struct session *session = gateway->session;
    if (session == NULL || session->ended)
        return;
    session->ended = true;
    osa_timer_disarm(&session->retry);
    osa_timer_disarm(&session->heartbeat);
    osa_timer_disarm(&session->patience);
    if (session->call != NULL)
        rpc_client_cancel(session->call);
}

void session_free(struct gateway *gateway)
{
    if (gateway->session == NULL)
        return;
    osa_timer_disarm(&gateway->session->retry);
    osa_timer_disarm(&gateway->session->heartbeat);
    osa_timer_disarm(&gateway->session->patience);
    free(gateway->session);
    gateway->session = NULL;
}
