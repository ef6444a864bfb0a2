// SPDX-License-Identifier: Apache-2.0
/*
 * The network of a sandbox against the real kernel. The test process moves into a network namespace
 * of its own, which plays the host: nothing outside is touched, and nothing can be left behind.
 */
#include "cmocka_all.h"

#include "backends/process/network.h"
#include "base/clock.h"
#include "base/fd.h"
#include "io/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534
#define PROXY_PORT 3128
/* Refused or accepted by the first packet: TCP sends the second after one second (RFC 6298). */
#define AT_ONCE_NS (900 * OSA_NS_PER_MS)

/* ---- a process inside, which does what it is asked ---- */

struct request {
    int family;
    int type; /* SOCK_STREAM, SOCK_DGRAM */
    char address[INET6_ADDRSTRLEN];
    uint16_t port;
    bool listen_first; /* on the same address */
    int repeat;
};

struct reply {
    int error; /* errno of connect, or of send */
    int64_t took_ns;
};

struct inhabitant {
    pid_t pid;
    int fd;
    struct network_sockets sockets;
};

static socklen_t fill_address(int family, const char *text, uint16_t port,
                              struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        (void)inet_pton(AF_INET, text, &in->sin_addr);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    (void)inet_pton(AF_INET6, text, &in6->sin6_addr);
    return sizeof(*in6);
}

static int try_once(const struct request *ask)
{
    struct sockaddr_storage to;
    socklen_t len = fill_address(ask->family, ask->address, ask->port, &to);
    OSA_AUTO(osa_close_fd) int listener = -1;
    if (ask->listen_first) {
        const int on = 1;
        listener = socket(ask->family, SOCK_STREAM, 0);
        (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(listener, (struct sockaddr *)&to, len) < 0 || listen(listener, 1) < 0)
            return errno + 1000;
    }
    OSA_AUTO(osa_close_fd) int fd = socket(ask->family, ask->type, 0);
    const struct timeval limit = { .tv_sec = 2 };
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&to, len) < 0)
        return errno;
    if (ask->type == SOCK_DGRAM && send(fd, "x", 1, 0) < 0)
        return errno;
    char got;
    if (ask->type == SOCK_DGRAM && recv(fd, &got, 1, 0) < 0)
        return errno;
    return 0;
}

static void serve(int fd)
{
    struct request ask;
    while (recv(fd, &ask, sizeof(ask), 0) == (ssize_t)sizeof(ask)) {
        struct reply reply = { 0 };
        int64_t from = osa_now_ns();
        for (int i = 0; i < OSA_MAX(ask.repeat, 1); i++)
            reply.error = try_once(&ask);
        reply.took_ns = osa_now_ns() - from;
        (void)send(fd, &reply, sizeof(reply), 0);
    }
    _exit(0);
}

static void send_sockets(int fd)
{
    int fds[4] = {
        open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC),
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE),
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER),
        socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER),
    };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fds))] = { 0 };
    char byte = 's';
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    *cmsg = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS,
                              .cmsg_len = CMSG_LEN(sizeof(fds)) };
    memcpy(CMSG_DATA(cmsg), fds, sizeof(fds));
    if (sendmsg(fd, &msg, 0) != 1)
        _exit(103);
    for (size_t i = 0; i < OSA_ARRAY_LEN(fds); i++)
        osa_close_fd(&fds[i]);
}

static void receive_sockets(int fd, struct network_sockets *ret)
{
    int fds[4];
    char byte;
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(fds))];
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
    };
    assert_int_equal(recvmsg(fd, &msg, MSG_CMSG_CLOEXEC), 1);
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fds));
    *ret = (struct network_sockets){ fds[0], fds[1], fds[2], fds[3] };
}

static struct inhabitant settle(int namespaces)
{
    int pair[2];
    struct inhabitant in = { 0 };
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    in.pid = fork();
    if (in.pid == 0) {
        (void)close_range((unsigned)pair[1] + 1, ~0u, 0); /* another inhabitant's end, too */
        (void)close_range(3, (unsigned)pair[1] - 1, 0);
        if (unshare(namespaces) < 0)
            _exit(104);
        send_sockets(pair[1]);
        if ((namespaces & CLONE_NEWUSER) == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
            _exit(105);
        serve(pair[1]);
    }
    osa_close_fd(&pair[1]);
    in.fd = pair[0];
    receive_sockets(in.fd, &in.sockets);
    return in;
}

static void leave(struct inhabitant *in)
{
    osa_close_fd(&in->fd);
    int status;
    assert_int_equal(waitpid(in->pid, &status, 0), in->pid);
    assert_int_equal(status, 0);
}

static struct reply ask(const struct inhabitant *in, struct request request)
{
    struct reply reply = { .error = -1 };
    assert_int_equal(send(in->fd, &request, sizeof(request), 0), sizeof(request));
    assert_int_equal(recv(in->fd, &reply, sizeof(reply), 0), sizeof(reply));
    return reply;
}

static int tcp(const struct inhabitant *in, int family, const char *address, uint16_t port)
{
    struct request request = { .family = family, .type = SOCK_STREAM, .port = port };
    (void)snprintf(request.address, sizeof(request.address), "%s", address);
    struct reply reply = ask(in, request);
    /* A refusal comes at once. What is let through may lose its first packet to a pair that is not
     * running yet (network.h), which TCP sends again after a second. */
    if (reply.error != 0 && reply.took_ns >= AT_ONCE_NS)
        fail_msg("%s port %u took %lld ms", address, port, (long long)(reply.took_ns / 1000000));
    return reply.error;
}

/* ---- the host's side ---- */

struct fixture {
    struct osa_loop *loop;
    struct network *net;
    struct network_events events;
    struct network_denial denials[64];
    unsigned denied;
};

static void on_denied(struct network_events *self, const struct network_denial *denial)
{
    struct fixture *f = OSA_CONTAINER_OF(self, struct fixture, events);
    f->denials[f->denied++ % OSA_ARRAY_LEN(f->denials)] = *denial;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct osa_error err = { 0 };
    f->events.denied = on_denied;
    if (osa_loop_new(&f->loop, &err) != OSA_OK ||
        network_open(&(struct network_config){ .loop = f->loop }, &f->net, &err) != OSA_OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    network_close(f->net);
    osa_loop_free(f->loop);
    free(f);
    return 0;
}

static void run_loop(struct fixture *f)
{
    while (osa_loop_run_once(f->loop, osa_deadline_after(20 * OSA_NS_PER_MS)))
        ;
}

/* The kernel's link watch attaches the queue of the host's end by and by; network.h tells. */
static void wait_until_running(const struct network_link *link)
{
    struct in_addr v4;
    struct in6_addr v6;
    struct ifreq request = { 0 };
    assert_true(network_gateway(link, &v4, &v6));
    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "osa00v%03x",
                   (ntohl(v4.s_addr) & 0x7ff) / 2);
    OSA_AUTO(osa_close_fd) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int64_t deadline = osa_deadline_after(5 * OSA_NS_PER_SEC); osa_now_ns() < deadline;) {
        assert_int_equal(ioctl(fd, SIOCGIFFLAGS, &request), 0);
        if ((request.ifr_flags & IFF_RUNNING) != 0)
            break;
        (void)poll(NULL, 0, 1);
    }
    assert_int_not_equal(request.ifr_flags & IFF_RUNNING, 0);
    (void)poll(NULL, 0, 5); /* the flag is set just before the queue is */
}

static struct network_link *attach(struct fixture *f, struct network *net, struct inhabitant *in,
                                   const char *id, uint16_t proxy_port)
{
    struct network_link *link = NULL;
    struct osa_error err = { 0 };
    if (network_attach(net, f->loop, id, proxy_port, &in->sockets, &f->events, &link, &err) !=
        OSA_OK)
        fail_msg("%s", err.text);
    if (net != NULL)
        wait_until_running(link);
    return link;
}

static int listen_at(int family, const char *address, uint16_t port)
{
    struct sockaddr_storage at;
    const int on = 1;
    socklen_t len = fill_address(family, address, port, &at);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, 4) < 0)
        fail_msg("listen at %s: %s", address, strerror(errno));
    return fd;
}

static void gateway_text(const struct network_link *link, char v4[INET_ADDRSTRLEN],
                         char v6[INET6_ADDRSTRLEN])
{
    struct in_addr in;
    struct in6_addr in6;
    assert_true(network_gateway(link, &in, &in6));
    (void)inet_ntop(AF_INET, &in, v4, INET_ADDRSTRLEN);
    (void)inet_ntop(AF_INET6, &in6, v6, INET6_ADDRSTRLEN);
}

static void assert_denied(const struct fixture *f, uint8_t protocol, const char *address,
                          uint16_t port, uint32_t uid)
{
    for (unsigned i = 0; i < f->denied; i++) {
        const struct network_denial *denial = &f->denials[i];
        if (denial->protocol == protocol && strcmp(denial->address, address) == 0 &&
            denial->port == port && denial->uid == uid)
            return;
    }
    fail_msg("no record of protocol %u to %s port %u by uid %u among %u", protocol, address, port,
             uid, f->denied);
}

static void check_loopback(const struct inhabitant *in)
{
    struct request self = { .family = AF_INET,
                            .type = SOCK_STREAM,
                            .address = "127.0.0.1",
                            .port = 8080,
                            .listen_first = true };
    assert_int_equal(ask(in, self).error, 0);
    (void)snprintf(self.address, sizeof(self.address), "%s", "127.1.2.3");
    assert_int_equal(ask(in, self).error, 0);
    self.family = AF_INET6;
    (void)snprintf(self.address, sizeof(self.address), "%s", "::1");
    assert_int_equal(ask(in, self).error, 0);
    assert_int_equal(tcp(in, AF_INET, "127.0.0.1", 81), ECONNREFUSED); /* nobody listens */
}

static void denies_and_records(void **state)
{
    struct fixture *f = *state;
    struct inhabitant in = settle(CLONE_NEWNET);
    struct network_link *link = attach(f, f->net, &in, "deny", 0);
    check_loopback(&in);
    run_loop(f);
    assert_int_equal(f->denied, 0); /* loopback is no bypass, and the kernel does not chat */
    assert_int_equal(network_denied_total(link), 0);

    assert_int_equal(tcp(&in, AF_INET, "192.0.2.1", 443), ECONNREFUSED);
    assert_int_equal(tcp(&in, AF_INET6, "2001:db8::1", 853), ECONNREFUSED);
    struct request udp = {
        .family = AF_INET, .type = SOCK_DGRAM, .address = "192.0.2.53", .port = 53
    };
    struct reply reply = ask(&in, udp);
    assert_true(reply.error == EPERM || reply.error == ECONNREFUSED);
    assert_true(reply.took_ns < AT_ONCE_NS);
    udp = (struct request){
        .family = AF_INET6, .type = SOCK_DGRAM, .address = "2001:db8::53", .port = 443
    };
    reply = ask(&in, udp);
    assert_true(reply.error == EPERM || reply.error == ECONNREFUSED);
    run_loop(f);
    assert_denied(f, IPPROTO_TCP, "192.0.2.1", 443, NOBODY);
    assert_denied(f, IPPROTO_TCP, "2001:db8::1", 853, NOBODY);
    assert_denied(f, IPPROTO_UDP, "192.0.2.53", 53, NOBODY);
    assert_denied(f, IPPROTO_UDP, "2001:db8::53", 443, NOBODY);
    assert_int_equal(f->denied, 4);
    assert_int_equal(network_denied_total(link), 4);

    udp.repeat = 300; /* a flood is counted in full and told in part */
    (void)ask(&in, udp);
    run_loop(f);
    assert_int_equal(network_denied_total(link), 304);
    assert_in_range(f->denied, 8, 40);
    network_detach(link);
    leave(&in);
}

static void proxy_is_the_only_way_out(void **state)
{
    struct fixture *f = *state;
    struct inhabitant in = settle(CLONE_NEWNET);
    struct network_link *link = attach(f, f->net, &in, "proxy", PROXY_PORT);
    struct osa_error err;
    char v4[INET_ADDRSTRLEN];
    char v6[INET6_ADDRSTRLEN];
    gateway_text(link, v4, v6);
    int fds[4] = { listen_at(AF_INET, v4, PROXY_PORT), listen_at(AF_INET6, v6, PROXY_PORT),
                   listen_at(AF_INET, "0.0.0.0", 22), listen_at(AF_INET, v4, 8443) };
    assert_int_equal(tcp(&in, AF_INET, v4, PROXY_PORT), 0);
    assert_int_equal(tcp(&in, AF_INET6, v6, PROXY_PORT), 0);
    assert_int_equal(tcp(&in, AF_INET, v4, 22), ECONNREFUSED); /* listens, but is not the proxy */
    assert_int_equal(tcp(&in, AF_INET, v4, 8443), ECONNREFUSED);
    assert_int_equal(tcp(&in, AF_INET, "192.0.2.1", PROXY_PORT), ECONNREFUSED);
    struct request udp = { .family = AF_INET, .type = SOCK_DGRAM, .port = PROXY_PORT };
    (void)snprintf(udp.address, sizeof(udp.address), "%s", v4);
    int error = ask(&in, udp).error;
    assert_true(error == EPERM || error == ECONNREFUSED);
    run_loop(f);
    assert_denied(f, IPPROTO_TCP, v4, 22, NOBODY);
    assert_denied(f, IPPROTO_TCP, v4, 8443, NOBODY);

    assert_int_equal(network_set_proxy(link, 8443, &err), OSA_OK);
    assert_int_equal(tcp(&in, AF_INET, v4, 8443), 0);
    assert_int_equal(tcp(&in, AF_INET, v4, PROXY_PORT), ECONNREFUSED);
    assert_int_equal(network_set_proxy(link, 0, &err), OSA_OK);
    assert_int_equal(tcp(&in, AF_INET, v4, 8443), ECONNREFUSED);
    assert_int_equal(tcp(&in, AF_INET6, v6, PROXY_PORT), ECONNREFUSED);
    check_loopback(&in);
    for (size_t i = 0; i < OSA_ARRAY_LEN(fds); i++)
        osa_close_fd(&fds[i]);
    network_detach(link);
    leave(&in);
}

static void note_alias(uint16_t type, const void *body, size_t len, void *ctx)
{
    char *aliases = ctx; /* 256 bytes */
    size_t alias_len;
    const char *alias =
        netlink_attribute(body, len, sizeof(struct ifinfomsg), IFLA_IFALIAS, &alias_len);
    if (type == RTM_NEWLINK && alias != NULL)
        (void)snprintf(aliases + strlen(aliases), 256 - strlen(aliases), "%.*s;", (int)alias_len,
                       alias);
}

static void sandboxes_do_not_see_each_other(void **state)
{
    struct fixture *f = *state;
    struct inhabitant a = settle(CLONE_NEWNET);
    struct inhabitant b = settle(CLONE_NEWNET);
    struct network_link *link_a = attach(f, f->net, &a, "a", PROXY_PORT);
    struct network_link *link_b = attach(f, f->net, &b, "b", PROXY_PORT);
    char a4[INET_ADDRSTRLEN];
    char b4[INET_ADDRSTRLEN];
    char a6[INET6_ADDRSTRLEN];
    char b6[INET6_ADDRSTRLEN];
    gateway_text(link_a, a4, a6);
    gateway_text(link_b, b4, b6);
    assert_string_not_equal(a4, b4);
    assert_string_not_equal(a6, b6);
    int at_b = listen_at(AF_INET, b4, PROXY_PORT); /* the proxy's listener of the other one */
    assert_int_equal(tcp(&a, AF_INET, b4, PROXY_PORT), ECONNREFUSED);
    assert_int_equal(tcp(&b, AF_INET, b4, PROXY_PORT), 0);
    osa_close_fd(&at_b);

    struct osa_error err;
    struct netlink *route = NULL;
    struct ifinfomsg request = { 0 };
    char aliases[256] = "";
    assert_int_equal(netlink_open(NETLINK_ROUTE, &route, &err), OSA_OK);
    assert_int_equal(
        netlink_dump(route, RTM_GETLINK, &request, sizeof(request), note_alias, aliases, &err),
        OSA_OK);
    netlink_free(route);
    assert_string_equal(aliases, "openshell-agent sandbox a;openshell-agent sandbox b;");
    assert_int_not_equal(if_nametoindex("osa00v000"), 0);
    assert_int_not_equal(if_nametoindex("osa00v001"), 0);
    network_detach(link_a);
    network_detach(link_b);
    leave(&a);
    leave(&b);
    int64_t deadline = osa_deadline_after(5 * OSA_NS_PER_SEC);
    while ((if_nametoindex("osa00v000") != 0 || if_nametoindex("osa00v001") != 0) &&
           osa_now_ns() < deadline)
        (void)poll(NULL, 0, 5);
    assert_int_equal(if_nametoindex("osa00v000"), 0); /* they went with their namespaces */
    assert_int_equal(if_nametoindex("osa00v001"), 0);
}

static void dead_agents_are_cleaned_up_after(void **state)
{
    struct fixture *f = *state; /* holds block 0 */
    struct inhabitant in = settle(CLONE_NEWNET);
    pid_t agent = fork();
    if (agent == 0) {
        struct network *net = NULL;
        struct network_link *link = NULL;
        struct osa_error err;
        if (network_open(&(struct network_config){ .loop = f->loop }, &net, &err) != OSA_OK)
            _exit(1);
        if (network_attach(net, f->loop, "left", 0, &in.sockets, NULL, &link, &err) != OSA_OK)
            _exit(2);
        (void)kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_true(WIFSIGNALED(status));
    assert_int_not_equal(if_nametoindex("osa01v000"), 0); /* the sandbox still stands */
    assert_int_equal(tcp(&in, AF_INET, "192.0.2.1", 443), ECONNREFUSED); /* and is still shut */

    struct network *next = NULL;
    struct osa_error err;
    assert_int_equal(network_open(&(struct network_config){ .loop = f->loop }, &next, &err),
                     OSA_OK);
    assert_int_equal(if_nametoindex("osa01v000"), 0);
    network_close(next);
    osa_close_fd(&in.sockets.ns_fd);
    osa_close_fd(&in.sockets.route_fd);
    osa_close_fd(&in.sockets.rules_fd);
    osa_close_fd(&in.sockets.log_fd);
    leave(&in);
}

static void pool_is_used_up_and_given_back(void **state)
{
    struct fixture *f = *state;
    struct osa_error err = { 0 };
    struct network *net = NULL;
    struct network_config config = { .loop = f->loop, .ipv4_pool = "10.77.8.0/21" };
    assert_int_equal(network_open(&config, &net, &err), OSA_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err.text, "every block of the IPv4 address pool is used"));
    config.ipv4_pool = "10.77.8.0/24";
    assert_int_equal(network_open(&config, &net, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text,
                        "address pool '10.77.8.0/24' is not an IPv4 network from /8 to /21");
    config = (struct network_config){ .loop = f->loop, .ipv6_pool = "fd00::/64" };
    assert_int_equal(network_open(&config, &net, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "address pool 'fd00::/64' is not an IPv6 /48");
}

static void rootless_has_loopback_alone(void **state)
{
    struct fixture *f = *state;
    fflush(NULL);
    pid_t agent = fork();
    if (agent == 0) { /* an agent without any privilege */
        if (setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
            _exit(1);
        struct osa_error err = { 0 };
        struct network *net = NULL;
        if (network_open(&(struct network_config){ .loop = f->loop }, &net, &err) !=
                OSA_FAILED_PRECONDITION ||
            strstr(err.text, "nf_tables cannot be used without CAP_NET_ADMIN") == NULL)
            _exit(2);
        struct inhabitant in = settle(CLONE_NEWUSER | CLONE_NEWNET);
        struct network_link *link = NULL;
        if (network_attach(NULL, f->loop, "rootless", 0, &in.sockets, &f->events, &link, &err) !=
            OSA_OK) {
            print_error("%s\n", err.text);
            _exit(3);
        }
        struct in_addr v4;
        struct in6_addr v6;
        if (network_gateway(link, &v4, &v6))
            _exit(4);
        check_loopback(&in);
        run_loop(f);
        if (f->denied != 0)
            _exit(5);
        if (tcp(&in, AF_INET, "192.0.2.1", 443) != ECONNREFUSED ||
            tcp(&in, AF_INET6, "2001:db8::1", 443) != ECONNREFUSED)
            _exit(6);
        run_loop(f);
        if (f->denied != 2 || network_denied_total(link) != 2)
            _exit(7);
        assert_denied(f, IPPROTO_TCP, "192.0.2.1", 443, NOBODY);
        assert_denied(f, IPPROTO_TCP, "2001:db8::1", 443, NOBODY);
        network_detach(link);
        leave(&in);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(agent, &status, 0), agent);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void attaching_is_cheap(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 20 };
    struct inhabitant in[COUNT];
    struct network_link *links[COUNT];
    int64_t made_ns = 0;
    for (int i = 0; i < COUNT; i++) {
        in[i] = settle(CLONE_NEWNET);
        int64_t from = osa_now_ns();
        links[i] = attach(f, f->net, &in[i], "many", PROXY_PORT);
        made_ns += osa_now_ns() - from;
    }
    int64_t from = osa_now_ns();
    for (int i = 0; i < COUNT; i++)
        network_detach(links[i]);
    int64_t removed_ns = osa_now_ns() - from;
    print_message("configure: %lld us, remove: %lld us\n", (long long)(made_ns / COUNT / 1000),
                  (long long)(removed_ns / COUNT / 1000));
    for (int i = 0; i < COUNT; i++)
        leave(&in[i]);
}

int main(void)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
        print_message("skipped: needs root and network namespaces\n");
        return 77;
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(denies_and_records),
        TEST(proxy_is_the_only_way_out),
        TEST(sandboxes_do_not_see_each_other),
        TEST(dead_agents_are_cleaned_up_after),
        TEST(pool_is_used_up_and_given_back),
        TEST(rootless_has_loopback_alone),
        TEST(attaching_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
