// SPDX-License-Identifier: Apache-2.0
/*
 * The faster way to a helper: a connection that it makes to the agent's own server's namespace
 * (channel.h), in place of its exec's text pipe. The link goes over to it when it comes and back when
 * it breaks, and loses nothing by either.
 */
#include "backends/boxlite/helper.h"

#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static struct helper *helper_of(struct osa_source *source)
{
    return OSA_CONTAINER_OF(source, struct helper, tcp);
}

bool helper_tcp_is_open(const struct helper *helper)
{
    return helper->tcp.fd >= 0;
}

static void close_socket(struct helper *helper)
{
    osa_source_remove(&helper->tcp);
    osa_replace_fd(&helper->tcp.fd, -1);
    osa_buf_reset(&helper->tcp_out);
}

static void fall_back(struct helper *helper)
{
    close_socket(helper);
    osa_log(OSA_LOG_INFO, "boxlite", "a box's faster channel broke; its exec serves",
            OSA_S("box", helper->box->name));
    link_pause(&helper->link);
    if (helper->attached)
        link_resume(&helper->link);
}

static void push(struct helper *helper)
{
    (void)osa_send_buf(helper->tcp.fd, &helper->tcp_out); /* a broken one is told of by its end */
    osa_source_set(&helper->tcp, OSA_READ | (helper->tcp_out.len > 0 ? OSA_WRITE : 0u));
}

void helper_tcp_send(struct helper *helper, const char *text, size_t len)
{
    if (!osa_buf_add(&helper->tcp_out, text, len))
        helper_overrun(helper);
    push(helper);
}

static void on_socket(struct osa_source *source, unsigned events)
{
    static char chunk[128 << 10];
    struct helper *helper = helper_of(source);
    if ((events & OSA_WRITE) != 0)
        push(helper);
    if ((events & (OSA_READ | OSA_HUP)) == 0)
        return;
    ssize_t got = recv(source->fd, chunk, sizeof(chunk), MSG_DONTWAIT);
    if (got > 0)
        link_feed(&helper->link, chunk, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        fall_back(helper);
}

static void on_arrived(struct channel_guest *guest, int fd)
{
    struct helper *helper = OSA_CONTAINER_OF(guest, struct helper, channel);
    const int one = 1;
    struct osa_error err;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    helper->tcp = (struct osa_source){ .fd = fd, .ready = on_socket };
    if (osa_source_add(helper->box->backend->loop, &helper->tcp, OSA_READ, &err) != OSA_OK) {
        osa_replace_fd(&helper->tcp.fd, -1);
        return;
    }
    link_pause(&helper->link);
    osa_buf_reset(&helper->out);
    link_resume(&helper->link);
}

void helper_tcp_offer(struct helper *helper)
{
    struct channel_hub *hub = helper->box->backend->hub;
    struct osa_buf body;
    if (hub == NULL)
        return;
    helper->channel.arrived = on_arrived;
    channel_await(hub, &helper->channel);
    osa_buf_init(&body, 256);
    codec_text(&body, BOX_HOST_ALIAS);
    codec_u64(&body, channel_hub_port(hub));
    codec_bytes(&body, helper->channel.secret, sizeof(helper->channel.secret));
    helper_send(helper, GUEST_CHANNEL, 0, &body);
}

void helper_tcp_close(struct helper *helper)
{
    channel_forget(&helper->channel);
    close_socket(helper);
    osa_buf_done(&helper->tcp_out);
}
