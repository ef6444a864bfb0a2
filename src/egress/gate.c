// SPDX-License-Identifier: Apache-2.0
/* Accepting for one sandbox, within its bounds, and the connections that came of it. */
#include "egress/conn.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/peer.h"

#include <errno.h>
#include <sys/socket.h>
#include <utlist.h>

/* One sandbox's rush does not keep the loop from the others for longer. */
#define ACCEPTS_AT_ONCE 32u
/* Without descriptors the listener would report itself ready for ever. */
#define RETRY_NS (100 * OSA_NS_PER_MS)

struct gate_limits gate_limits_default(void)
{
    return (struct gate_limits){ .connections = 1024,
                                 .head_ns = 30 * OSA_NS_PER_SEC,
                                 .idle_ns = 300 * OSA_NS_PER_SEC,
                                 .tunnel_idle_ns = 7200 * OSA_NS_PER_SEC,
                                 .dial_ns = 30 * OSA_NS_PER_SEC };
}

static void pause_accepting(struct gate *gate)
{
    for (unsigned i = 0; i < GATE_LISTENERS && !gate->paused; i++) {
        if (gate->listeners[i].fd >= 0)
            osa_source_remove(&gate->listeners[i]);
    }
    gate->paused = true;
}

static void resume_accepting(struct gate *gate)
{
    if (!gate->paused || gate->count >= gate->config.limits.connections)
        return;
    gate->paused = false;
    osa_timer_disarm(&gate->retry);
    for (unsigned i = 0; i < GATE_LISTENERS; i++) {
        if (gate->listeners[i].fd < 0 ||
            osa_source_add(gate->config.loop, &gate->listeners[i], OSA_READ, NULL) == OSA_OK)
            continue;
        pause_accepting(gate);
        osa_timer_arm(gate->config.loop, &gate->retry, osa_deadline_after(RETRY_NS));
        return;
    }
}

static void on_retry(struct osa_timer *timer)
{
    resume_accepting(OSA_CONTAINER_OF(timer, struct gate, retry));
}

static void accept_some(struct gate *gate, int listener, bool redirected)
{
    for (unsigned i = 0; i < ACCEPTS_AT_ONCE; i++) {
        if (gate->count >= gate->config.limits.connections) {
            pause_accepting(gate); /* until a connection ends */
            return;
        }
        int fd = osa_accept(listener);
        if (fd >= 0) {
            conn_new(gate, fd, redirected, /* ends= */ NULL);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(gate);
            osa_timer_arm(gate->config.loop, &gate->retry, osa_deadline_after(RETRY_NS));
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void on_first(struct osa_source *source, unsigned events)
{
    (void)events;
    accept_some(OSA_CONTAINER_OF(source, struct gate, listeners[0]), source->fd, false);
}

static void on_second(struct osa_source *source, unsigned events)
{
    (void)events;
    accept_some(OSA_CONTAINER_OF(source, struct gate, listeners[1]), source->fd, false);
}

static void on_redirected(struct osa_source *source, unsigned events)
{
    (void)events;
    accept_some(OSA_CONTAINER_OF(source, struct gate, listeners[GATE_REDIRECTED]), source->fd,
                /* redirected= */ true);
}

static void drop_listeners(struct gate *gate)
{
    for (unsigned i = 0; i < GATE_LISTENERS; i++)
        osa_replace_fd(&gate->listeners[i].fd, -1);
}

enum osa_code gate_new(const struct gate_config *config, struct gate **ret_gate,
                       struct osa_error *err)
{
    const int fds[GATE_LISTENERS] = { config->fds[0], config->fds[1],
                                      config->resolver != NULL ? config->tcp : -1 };
    static void (*const ready[GATE_LISTENERS])(struct osa_source *,
                                               unsigned) = { on_first, on_second, on_redirected };
    struct gate *gate = calloc(1, sizeof(*gate));
    if (gate == NULL)
        abort();
    gate->config = *config;
    gate->retry.fire = on_retry;
    for (unsigned i = 0; i < GATE_LISTENERS; i++)
        gate->listeners[i] = (struct osa_source){ .fd = fds[i], .ready = ready[i] };
    for (unsigned i = 0; i < GATE_LISTENERS; i++) {
        enum osa_code code = OSA_OK;
        if (fds[i] >= 0)
            code = osa_source_add(config->loop, &gate->listeners[i], OSA_READ, err);
        if (code != OSA_OK) {
            gate_free(gate);
            return code;
        }
    }
    *ret_gate = gate;
    return OSA_OK;
}

void gate_free(struct gate *gate)
{
    if (gate == NULL)
        return;
    pause_accepting(gate);
    while (gate->conns != NULL)
        conn_free(gate->conns);
    osa_timer_disarm(&gate->retry);
    drop_listeners(gate);
    free(gate);
}

void gate_visit(struct gate *gate, int fd, const struct sockaddr_storage *client,
                const struct sockaddr_storage *proxy)
{
    const struct sockaddr_storage ends[2] = { *client, *proxy };
    if (gate->count < gate->config.limits.connections)
        conn_new(gate, fd, /* redirected= */ false, ends);
    else
        osa_close_fd(&fd);
}

void gate_policy_changed(struct gate *gate)
{
    struct conn *conn;
    struct conn *next;
    DL_FOREACH_SAFE(gate->conns, conn, next)
    conn_recheck(conn);
}

unsigned gate_connections(const struct gate *gate)
{
    return gate->count;
}

void gate_conn_gone(struct gate *gate)
{
    gate->count--;
    /* The retry's own time is for descriptors; room is there at once. */
    resume_accepting(gate);
}
