// SPDX-License-Identifier: Apache-2.0
#include "launcher/listeners.h"

#include "base/fd.h"
#include "base/rate.h"
#include "launcher/wire.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#define BURST 10
#define INTERVAL_NS 200000000ll /* five a second */
/* Some 10 us of init's time each: a fiftieth of a CPU at most, over time. */
#define ANSWERS 10000
#define ANSWER_NS 500000ll /* two thousand a second */
#define WAIT_MS 5
/* Of the socket's buffer (some 200 KiB); the rest is for exits, which must not wait for the agent. */
#define UNREAD_BYTES_MAX (32 << 10)

struct listener {
    struct listener *prev;
    struct listener *next;
    int fd; /* owned */
    uint32_t missed;
    uint64_t key;
    struct osa_rate rate;
};

bool listeners_open(struct listeners *set)
{
    *set = (struct listeners){ .fd = epoll_create1(EPOLL_CLOEXEC) };
    return set->fd >= 0;
}

/*
 * Closing alone would not do: epoll forgets a descriptor when the last copy of it is closed, and a fork of
 * init may hold one for a while. Its next event would be about freed memory. epoll(7), Q6.
 */
static void drop(struct listeners *set, struct listener *listener)
{
    if (set->fd >= 0)
        (void)epoll_ctl(set->fd, EPOLL_CTL_DEL, listener->fd, NULL);
    DL_DELETE(set->first, listener);
    osa_close_fd(&listener->fd);
    free(listener);
}

void listeners_forget(struct listeners *set)
{
    osa_replace_fd(&set->fd, -1); /* it is the parent's as well: nothing may be taken out of it */
    while (set->first != NULL)
        drop(set, set->first);
}

void listeners_add(struct listeners *set, int listener, uint64_t key)
{
    OSA_AUTO(osa_close_fd) int fd = listener;
    if (fd < 0)
        return;
    struct listener *entry = malloc(sizeof(*entry));
    if (entry == NULL)
        return;
    *entry = (struct listener){ .fd = fd, .key = key };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = entry };
    if (epoll_ctl(set->fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        free(entry);
        return;
    }
    (void)osa_take_fd(&fd);
    DL_PREPEND(set->first, entry);
}

static int64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool may_tell(struct listener *listener, int sock)
{
    int unread = 0;
    return ioctl(sock, SIOCOUTQ, &unread) == 0 && unread <= UNREAD_BYTES_MAX &&
           osa_rate_take(&listener->rate, now_ns(), BURST, INTERVAL_NS);
}

static bool tell(struct listener *listener, int sock, struct launcher_denied *denied)
{
    struct launcher_message head = { .type = LAUNCHER_DENIED, .key = listener->key };
    denied->missed = listener->missed;
    if (wire_send(sock, &head, denied, sizeof(*denied), NULL, 0, MSG_DONTWAIT) < 0)
        return false;
    listener->missed = 0;
    return true;
}

/* A caller that has been killed meanwhile leaves nothing to receive or to answer: ENOENT. */
static void answer(struct listener *listener, int sock)
{
    struct seccomp_notif call;
    memset(&call, 0, sizeof(call)); /* or EINVAL */
    if (ioctl(listener->fd, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
        return;
    struct seccomp_notif_resp refusal = { .id = call.id, .error = -EPERM };
    (void)ioctl(listener->fd, SECCOMP_IOCTL_NOTIF_SEND, &refusal);
    struct launcher_denied denied = { .nr = call.data.nr, .pid = (int32_t)call.pid };
    for (unsigned i = 0; i < 6; i++)
        denied.args[i] = call.data.args[i];
    if (!may_tell(listener, sock) || !tell(listener, sock, &denied))
        listener->missed++;
}

static void tell_missed(struct listener *listener, int sock)
{
    struct launcher_denied denied = { .nr = -1 };
    if (listener->missed > 0)
        (void)tell(listener, sock, &denied);
}

void listeners_exiting(const struct listeners *set, int sock, uint64_t key)
{
    struct listener *listener = set->first;
    while (listener != NULL && listener->key != key)
        listener = listener->next;
    if (listener != NULL)
        tell_missed(listener, sock);
}

int listeners_timeout_ms(const struct listeners *set)
{
    return set->waiting ? WAIT_MS : -1;
}

void listeners_serve(struct listeners *set, int sock)
{
    struct epoll_event events[16];
    int count = epoll_wait(set->fd, events, OSA_ARRAY_LEN(events), 0);
    int64_t now = now_ns();
    set->waiting = false;
    for (int i = 0; i < count; i++) {
        struct listener *listener = events[i].data.ptr;
        bool asks = (events[i].events & EPOLLIN) != 0;
        bool allowed = asks && osa_rate_take(&set->pace, now, ANSWERS, ANSWER_NS);
        set->waiting = set->waiting || (asks && !allowed);
        if (allowed)
            answer(listener, sock);
        if (asks)
            continue;
        tell_missed(listener, sock); /* the last of the tree has ended */
        drop(set, listener);
    }
}
