// SPDX-License-Identifier: Apache-2.0
#include "backends/boxlite/channel.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

/* Anything in any box may connect; who says nothing is not kept. */
#define RETRY_NS (100 * OSA_NS_PER_MS)
#define STRANGERS_MAX 64u
#define PATIENCE_NS (10 * OSA_NS_PER_SEC)
#define BACKLOG 64

/* Somebody who has not said a secret yet. */
struct stranger {
    struct channel_hub *hub;
    struct stranger *prev, *next;
    struct osa_source source; /* fd owned */
    struct osa_timer patience;
    char said[OSA_ID_SIZE];
    size_t len;
};

struct channel_hub {
    struct osa_loop *loop;
    struct osa_source listener; /* fd owned */
    struct osa_timer retry;     /* while there are no descriptors */
    uint16_t port;
    struct channel_guest *awaited;
    struct stranger *strangers;
    unsigned stranger_count;
};

static void stranger_free(struct stranger *stranger)
{
    DL_DELETE(stranger->hub->strangers, stranger);
    stranger->hub->stranger_count--;
    osa_timer_disarm(&stranger->patience);
    osa_source_remove(&stranger->source);
    osa_close_fd(&stranger->source.fd);
    osa_wipe(stranger->said, sizeof(stranger->said));
    free(stranger);
}

/* In the same time whatever is wrong with it. */
static bool is_same(const char *a, const char *b, size_t len)
{
    unsigned char differs = 0;
    for (size_t i = 0; i < len; i++)
        differs |= (unsigned char)(a[i] ^ b[i]);
    return differs == 0;
}

static void admit(struct stranger *stranger)
{
    struct channel_guest *guest;
    struct channel_guest *found = NULL;
    DL_FOREACH(stranger->hub->awaited, guest)
    {
        if (is_same(guest->secret, stranger->said, sizeof(stranger->said) - 1))
            found = guest;
    }
    int fd = -1;
    if (found != NULL) {
        osa_source_remove(&stranger->source);
        fd = osa_take_fd(&stranger->source.fd);
    }
    stranger_free(stranger);
    if (found == NULL)
        return;
    channel_forget(found);
    found->arrived(found, fd);
}

/* The secret and a line's end; what follows belongs to the guest's owner. */
static void on_said(struct osa_source *source, unsigned events)
{
    struct stranger *stranger = OSA_CONTAINER_OF(source, struct stranger, source);
    (void)events;
    ssize_t got = recv(source->fd, stranger->said + stranger->len,
                       sizeof(stranger->said) - stranger->len, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        stranger_free(stranger);
        return;
    }
    stranger->len += (size_t)got;
    if (stranger->len < sizeof(stranger->said))
        return;
    if (stranger->said[stranger->len - 1] == '\n')
        admit(stranger);
    else
        stranger_free(stranger);
}

static void on_impatient(struct osa_timer *timer)
{
    stranger_free(OSA_CONTAINER_OF(timer, struct stranger, patience));
}

static void on_retry(struct osa_timer *timer)
{
    osa_source_set(&OSA_CONTAINER_OF(timer, struct channel_hub, retry)->listener, OSA_READ);
}

static void on_connection(struct osa_source *source, unsigned events)
{
    struct channel_hub *hub = OSA_CONTAINER_OF(source, struct channel_hub, listener);
    struct osa_error err;
    (void)events;
    OSA_AUTO(osa_close_fd) int fd = osa_accept(source->fd);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        osa_source_set(source, 0);
        osa_timer_arm(hub->loop, &hub->retry, osa_deadline_after(RETRY_NS));
    }
    if (fd < 0 || hub->stranger_count >= STRANGERS_MAX)
        return;
    struct stranger *stranger = calloc(1, sizeof(*stranger));
    if (stranger == NULL)
        return;
    stranger->hub = hub;
    stranger->source = (struct osa_source){ .fd = osa_take_fd(&fd), .ready = on_said };
    stranger->patience.fire = on_impatient;
    DL_APPEND(hub->strangers, stranger);
    hub->stranger_count++;
    osa_timer_arm(hub->loop, &stranger->patience, osa_deadline_after(PATIENCE_NS));
    if (osa_source_add(hub->loop, &stranger->source, OSA_READ, &err) != OSA_OK)
        stranger_free(stranger);
}

/* On all addresses: the namespace has loopback's alone. */
static enum osa_code listen_there(struct channel_hub *hub, const struct server *server,
                                  struct osa_error *err)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t len = sizeof(address);
    hub->listener.fd = server_socket(server, AF_INET, SOCK_STREAM, 0);
    if (hub->listener.fd < 0 ||
        bind(hub->listener.fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(hub->listener.fd, BACKLOG) < 0 ||
        getsockname(hub->listener.fd, (struct sockaddr *)&address, &len) < 0)
        return osa_fail_errno(err, errno, "the channel of boxes");
    hub->port = ntohs(address.sin_port);
    enum osa_code code = osa_set_nonblocking(hub->listener.fd, true, err);
    return code == OSA_OK ? osa_source_add(hub->loop, &hub->listener, OSA_READ, err) : code;
}

enum osa_code channel_hub_open(struct osa_loop *loop, const struct server *server,
                               struct channel_hub **ret, struct osa_error *err)
{
    struct channel_hub *hub = calloc(1, sizeof(*hub));
    if (hub == NULL)
        return osa_fail_errno(err, ENOMEM, "the channel of boxes");
    hub->loop = loop;
    hub->listener = (struct osa_source){ .fd = -1, .ready = on_connection };
    hub->retry.fire = on_retry;
    enum osa_code code = listen_there(hub, server, err);
    if (code != OSA_OK) {
        channel_hub_close(hub);
        return code;
    }
    *ret = hub;
    return OSA_OK;
}

void channel_hub_close(struct channel_hub *hub)
{
    if (hub == NULL)
        return;
    while (hub->strangers != NULL)
        stranger_free(hub->strangers);
    osa_timer_disarm(&hub->retry);
    osa_source_remove(&hub->listener);
    osa_close_fd(&hub->listener.fd);
    free(hub);
}

uint16_t channel_hub_port(const struct channel_hub *hub)
{
    return hub->port;
}

void channel_await(struct channel_hub *hub, struct channel_guest *guest)
{
    guest->hub = hub;
    memset(guest->secret, 0, sizeof(guest->secret));
    osa_id_new('c', guest->secret);
    DL_APPEND(hub->awaited, guest);
}

void channel_forget(struct channel_guest *guest)
{
    if (guest->hub == NULL)
        return;
    DL_DELETE(guest->hub->awaited, guest);
    guest->hub = NULL;
    osa_wipe(guest->secret, sizeof(guest->secret));
}
