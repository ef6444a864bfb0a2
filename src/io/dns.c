// SPDX-License-Identifier: Apache-2.0
/*
 * c-ares opens and closes its sockets by itself and says what it wants to know of them; each has a
 * source here. It calls back from inside its own functions, so answers go through a task.
 */
#include "io/dns.h"

#include "base/clock.h"

#include <ares.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <utlist.h>

/* A name that is not answered after these is as good as unknown to somebody who waits. */
#define TIMEOUT_MS 2000
#define TRIES 2

struct watched {
    struct osa_source source;
    struct dns *dns;
    struct watched *next;
};

struct dns_query {
    struct osa_task task;
    struct dns *dns; /* NULL once it is closed */
    dns_fn done;     /* NULL: cancelled */
    void *ctx;
    bool finished; /* the task is posted */
    struct osa_error error;
    size_t count;
    struct sockaddr_storage addresses[DNS_ADDRESSES_MAX];
    struct dns_query *prev, *next;
};

struct dns {
    struct osa_loop *loop;
    ares_channel channel;
    struct osa_timer timer;
    struct watched *watched;
    struct dns_query *queries;
};

static void rearm(struct dns *dns)
{
    struct timeval room;
    const struct timeval *wait = ares_timeout(dns->channel, NULL, &room);
    if (wait == NULL)
        osa_timer_disarm(&dns->timer);
    else
        osa_timer_arm(dns->loop, &dns->timer,
                      osa_deadline_after((int64_t)wait->tv_sec * OSA_NS_PER_SEC +
                                         (int64_t)wait->tv_usec * OSA_NS_PER_US));
}

static void on_ready(struct osa_source *source, unsigned events)
{
    struct dns *dns = OSA_CONTAINER_OF(source, struct watched, source)->dns;
    int fd = source->fd; /* the source may go meanwhile */
    bool in = (events & (OSA_READ | OSA_HUP)) != 0;
    bool out = (events & (OSA_WRITE | OSA_HUP)) != 0;
    ares_process_fd(dns->channel, in ? fd : ARES_SOCKET_BAD, out ? fd : ARES_SOCKET_BAD);
    rearm(dns);
}

static void on_time(struct osa_timer *timer)
{
    struct dns *dns = OSA_CONTAINER_OF(timer, struct dns, timer);
    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    rearm(dns);
}

static void on_socket(void *data, ares_socket_t fd, int readable, int writable)
{
    struct dns *dns = data;
    struct watched *w;
    unsigned events = (readable ? (unsigned)OSA_READ : 0u) | (writable ? (unsigned)OSA_WRITE : 0u);
    LL_FOREACH(dns->watched, w)
    {
        if (w->source.fd == fd)
            break;
    }
    if (w != NULL && events != 0) {
        osa_source_set(&w->source, events);
    } else if (w != NULL) {
        osa_source_remove(&w->source);
        LL_DELETE(dns->watched, w);
        free(w);
    } else if (events != 0 && (w = calloc(1, sizeof(*w))) != NULL) {
        *w = (struct watched){ .source = { .fd = fd, .ready = on_ready }, .dns = dns };
        if (osa_source_add(dns->loop, &w->source, events, NULL) != OSA_OK) {
            free(w); /* the query times out */
            return;
        }
        LL_PREPEND(dns->watched, w);
    }
}

static void on_finished(struct osa_task *task)
{
    struct dns_query *query = OSA_CONTAINER_OF(task, struct dns_query, task);
    if (query->dns != NULL)
        DL_DELETE(query->dns->queries, query);
    if (query->done != NULL)
        query->done(query->ctx, query->addresses, query->count,
                    query->error.code == OSA_OK ? NULL : &query->error);
    free(query);
}

static void take_addresses(struct dns_query *query, const struct ares_addrinfo *found)
{
    for (const struct ares_addrinfo_node *node = found->nodes; node != NULL; node = node->ai_next) {
        if (query->count == DNS_ADDRESSES_MAX ||
            (node->ai_family != AF_INET && node->ai_family != AF_INET6))
            continue;
        memcpy(&query->addresses[query->count++], node->ai_addr, node->ai_addrlen);
    }
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    (void)timeouts;
    struct dns_query *query = arg;
    if (found != NULL)
        take_addresses(query, found);
    ares_freeaddrinfo(found);
    bool none = status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_SUCCESS ||
                status == ARES_EBADNAME;
    if (query->count == 0)
        (void)osa_fail(&query->error, none ? OSA_NOT_FOUND : OSA_UNAVAILABLE, 0, "%s",
                       status == ARES_SUCCESS ? "the name has no address" : ares_strerror(status));
    query->finished = true;
    if (query->dns != NULL)
        osa_loop_post(query->dns->loop, &query->task);
}

enum osa_code dns_open(struct osa_loop *loop, struct dns **ret_dns, struct osa_error *err)
{
    struct dns *dns = calloc(1, sizeof(*dns));
    if (dns == NULL)
        return osa_fail(err, OSA_RESOURCE_EXHAUSTED, 0, "no memory for name resolution");
    struct ares_options options = {
        .timeout = TIMEOUT_MS, .tries = TRIES, .sock_state_cb = on_socket, .sock_state_cb_data = dns
    };
    dns->loop = loop;
    dns->timer.fire = on_time;
    int rc = ares_library_init(ARES_LIB_INIT_ALL);
    if (rc == ARES_SUCCESS)
        rc = ares_init_options(&dns->channel, &options,
                               ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (rc != ARES_SUCCESS) {
        free(dns);
        return osa_fail(err, OSA_UNAVAILABLE, 0, "name resolution: %s", ares_strerror(rc));
    }
    *ret_dns = dns;
    return OSA_OK;
}

enum osa_code dns_set_servers(struct dns *dns, const char *const *servers, size_t count,
                              struct osa_error *err)
{
    char list[1024] = "";
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? "," : "",
                                 servers[i]);
    int rc = used < sizeof(list) ? ares_set_servers_ports_csv(dns->channel, list) : ARES_EBADSTR;
    if (rc == ARES_SUCCESS)
        return OSA_OK;
    return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                    "name servers '%.200s' are not a list of ADDRESS or ADDRESS:PORT: %s", list,
                    ares_strerror(rc));
}

void dns_close(struct dns *dns)
{
    if (dns == NULL)
        return;
    struct dns_query *query;
    struct dns_query *next;
    DL_FOREACH_SAFE(dns->queries, query, next)
    {
        query->done = NULL;
        query->dns = NULL; /* its answer, which comes now or is on its way, frees nothing of ours */
    }
    struct dns_query *queries = OSA_TAKE(dns->queries);
    DL_FOREACH_SAFE(queries, query, next)
    {
        if (query->finished) /* the task frees it */
            DL_DELETE(queries, query);
    }
    ares_destroy(dns->channel);
    DL_FOREACH_SAFE(queries, query, next)
    free(query);
    osa_timer_disarm(&dns->timer);
    while (dns->watched != NULL) { /* none is left by c-ares; but to be sure */
        struct watched *w = dns->watched;
        osa_source_remove(&w->source);
        LL_DELETE(dns->watched, w);
        free(w);
    }
    ares_library_cleanup();
    free(dns);
}

struct dns_query *dns_resolve(struct dns *dns, const char *name, dns_fn done, void *ctx)
{
    const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC,
                                               .ai_socktype = SOCK_STREAM,
                                               .ai_flags = ARES_AI_NOSORT };
    struct dns_query *query = calloc(1, sizeof(*query));
    if (query == NULL)
        abort();
    *query = (struct dns_query){ .dns = dns, .done = done, .ctx = ctx };
    query->task.run = on_finished;
    DL_APPEND(dns->queries, query);
    ares_getaddrinfo(dns->channel, name, NULL, &hints, on_answer, query);
    rearm(dns);
    return query;
}

void dns_cancel(struct dns_query *query)
{
    if (query != NULL)
        query->done = NULL;
}
