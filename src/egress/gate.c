// SPDX-License-Identifier: Apache-2.0
/* Accepting for one sandbox, within its bounds, and the connections that came of it. */
#include "egress/conn.h"

#include "base/clock.h"
#include "base/fd.h"

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
    for (unsigned i = 0; i < 2 && !gate->paused; i++) {
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
    for (unsigned i = 0; i < 2; i++) {
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

static void accept_some(struct gate *gate, int listener)
{
    for (unsigned i = 0; i < ACCEPTS_AT_ONCE; i++) {
        if (gate->count >= gate->config.limits.connections) {
            pause_accepting(gate); /* until a connection ends */
            return;
        }
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            conn_new(gate, fd);
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
    accept_some(OSA_CONTAINER_OF(source, struct gate, listeners[0]), source->fd);
}

static void on_second(struct osa_source *source, unsigned events)
{
    (void)events;
    accept_some(OSA_CONTAINER_OF(source, struct gate, listeners[1]), source->fd);
}

enum osa_code gate_new(const struct gate_config *config, struct gate **ret_gate,
                       struct osa_error *err)
{
    int fds[2] = { config->fds[0], config->fds[1] };
    struct gate *gate = calloc(1, sizeof(*gate));
    if (gate == NULL) {
        osa_close_fd(&fds[0]);
        osa_close_fd(&fds[1]);
        return osa_fail_errno(err, ENOMEM, "egress proxy");
    }
    gate->config = *config;
    gate->retry.fire = on_retry;
    gate->listeners[0] = (struct osa_source){ .fd = fds[0], .ready = on_first };
    gate->listeners[1] = (struct osa_source){ .fd = fds[1], .ready = on_second };
    for (unsigned i = 0; i < 2; i++) {
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
    osa_close_fd(&gate->listeners[0].fd);
    osa_close_fd(&gate->listeners[1].fd);
    free(gate);
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
