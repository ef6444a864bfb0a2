// SPDX-License-Identifier: Apache-2.0
/*
 * The egress proxy beside a bare relay of the same kind, in one run: bytes through a tunnel, round
 * trips of one byte, small requests on a kept-alive connection, and what an idle tunnel costs.
 * Prints one JSON object. Proxy and relay are one process, client and origin threads of another.
 * With fewer descriptors than the idle tunnels want there are fewer tunnels, as the output says.
 *
 *   bench_egress [MEBIBYTES [IDLE_TUNNELS]]
 */
#include "base/clock.h"
#include "base/fd.h"
#include "base/mover.h"
#include "egress/gate.h"
#include "policy/document.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 5000
#define TURNS 20u /* of bytes: the best of each is what the machine allows */
#define BLOCK (256 << 10)

static char ip[INET_ADDRSTRLEN];
static struct sockaddr_in origin_address;

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static int listen_on(const char *address, struct sockaddr_in *ret)
{
    socklen_t len = sizeof(*ret);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *ret = (struct sockaddr_in){ .sin_family = AF_INET };
    must(inet_pton(AF_INET, address, &ret->sin_addr) == 1, "address");
    must(bind(fd, (struct sockaddr *)ret, sizeof(*ret)) == 0 && listen(fd, 1024) == 0 &&
             getsockname(fd, (struct sockaddr *)ret, &len) == 0,
         "listen");
    return fd;
}

static int dial(const struct sockaddr_in *to)
{
    const int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0, "connect");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

/* ---- origin: 'b' N: that many MiB; 'e': echo; else HTTP with an answer of five bytes ---- */

static void serve_bytes(int fd)
{
    static char block[BLOCK];
    unsigned mib = 0;
    must(osa_read_full(fd, &mib, sizeof(mib)) == sizeof(mib), "read");
    for (size_t left = (size_t)mib << 20; left > 0; left -= BLOCK)
        must(osa_write_all(fd, block, BLOCK) == 0, "write");
}

static void serve_http(int fd)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    char head[2048];
    while (recv(fd, head, sizeof(head), 0) > 0)
        must(osa_write_all(fd, answer, sizeof(answer) - 1) == 0, "write");
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char what;
    char byte;
    const int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (recv(fd, &what, 1, MSG_PEEK) == 1 && (what == 'b' || what == 'e'))
        (void)!recv(fd, &what, 1, 0);
    else
        what = 'h';
    if (what == 'b')
        serve_bytes(fd);
    while (what == 'e' && recv(fd, &byte, 1, 0) == 1)
        must(send(fd, &byte, 1, MSG_NOSIGNAL) == 1, "send");
    if (what == 'h')
        serve_http(fd);
    (void)close(fd);
    return NULL;
}

/* The client makes connections that stay, one after the other: ten thousand threads would be another measurement. */
static atomic_bool staying;

static void keep(int fd)
{
    char said[2];
    must(osa_read_full(fd, said, 2) == 2 && send(fd, said + 1, 1, MSG_NOSIGNAL) == 1, "echo");
}

static void *origin(void *arg)
{
    int listener = (int)(intptr_t)arg;
    for (;;) {
        pthread_t thread;
        pthread_attr_t attr;
        int fd = accept(listener, NULL, NULL);
        must(fd >= 0, "accept");
        if (staying) {
            keep(fd);
            continue;
        }
        (void)pthread_attr_init(&attr);
        (void)pthread_attr_setstacksize(&attr, 65536 + BLOCK);
        (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        must(pthread_create(&thread, &attr, serve, (void *)(intptr_t)fd) == 0, "thread");
        (void)pthread_attr_destroy(&attr);
    }
    return NULL;
}

/* ---- the bare relay: the same loop and movers, and nothing else ---- */

struct relay {
    struct osa_loop *loop;
    struct osa_source sides[2];
    struct osa_mover movers[2];
};

static void relay_step(struct relay *r)
{
    unsigned want[2] = { 0, 0 };
    for (unsigned i = 0; i < 2; i++) {
        struct osa_mover *mover = &r->movers[i];
        for (unsigned round = 0; round < 16; round++) {
            ssize_t n = mover->held > 0 ? osa_mover_push(mover, r->sides[1 - i].fd)
                                        : osa_mover_pull(mover, r->sides[i].fd);
            if (n == 0 || (n < 0 && n != -EAGAIN)) {
                for (unsigned k = 0; k < 2; k++) {
                    osa_source_remove(&r->sides[k]);
                    osa_close_fd(&r->sides[k].fd);
                    osa_mover_done(&r->movers[k]);
                }
                free(r);
                return;
            }
            if (n < 0)
                break;
        }
        want[mover->held > 0 ? 1 - i : i] |= mover->held > 0 ? OSA_WRITE : OSA_READ;
    }
    for (unsigned i = 0; i < 2; i++)
        osa_source_set(&r->sides[i], want[i]);
}

static void on_left(struct osa_source *source, unsigned events)
{
    (void)events;
    relay_step(OSA_CONTAINER_OF(source, struct relay, sides[0]));
}

static void on_right(struct osa_source *source, unsigned events)
{
    (void)events;
    relay_step(OSA_CONTAINER_OF(source, struct relay, sides[1]));
}

struct relay_listener {
    struct osa_loop *loop;
    struct osa_source source;
};

static void on_visit(struct osa_source *source, unsigned events)
{
    (void)events;
    struct osa_loop *loop = OSA_CONTAINER_OF(source, struct relay_listener, source)->loop;
    struct relay *r = calloc(1, sizeof(*r));
    must(r != NULL, "memory");
    *r = (struct relay){ .loop = loop,
                         .sides = { { .fd = accept(source->fd, NULL, NULL), .ready = on_left },
                                    { .fd = dial(&origin_address), .ready = on_right } } };
    for (unsigned i = 0; i < 2; i++)
        must(osa_set_nonblocking(r->sides[i].fd, true, NULL) == OSA_OK &&
                 osa_source_add(loop, &r->sides[i], OSA_READ, NULL) == OSA_OK,
             "relay");
    const int one = 1;
    (void)setsockopt(r->sides[0].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* ---- the proxy ---- */

static void on_identify(struct gate_events *events, const struct sockaddr_storage *client,
                        const struct sockaddr_storage *proxy, gate_peer_fn done, void *ctx)
{
    const struct gate_peer peer = { .pid = 1, .exe = "/usr/bin/app" };
    (void)events;
    (void)client;
    (void)proxy;
    done(ctx, &peer, POLICY_REASON_NONE, NULL);
}

static void on_record(struct gate_events *events, const struct gate_record *record)
{
    (void)events;
    (void)record;
}

static struct policy_live *make_policy(void)
{
    char text[512];
    struct osa_error err = { 0 };
    const struct policy_document *doc = NULL;
    struct policy_live *live = policy_live_new(POLICY_FAIL_CLOSED, NULL);
    (void)snprintf(text, sizeof(text),
                   "version: 1\nnetwork_policies:\n  r:\n    endpoints: [{host: '%s', port: %u}]\n"
                   "    binaries: [{path: /usr/bin/app}]\n",
                   ip, ntohs(origin_address.sin_port));
    must(policy_document_parse_yaml(text, strlen(text), "bench", &doc, &err) == OSA_OK &&
             policy_live_publish(live, doc, 1, &err) == OSA_OK,
         err.text);
    policy_document_unref(doc);
    return live;
}

/* ---- the client ---- */

enum way { DIRECT, RELAY, PROXY, WAYS };
static struct sockaddr_in ways[WAYS];
static pid_t server; /* the process of proxy and relay */

static int reach(enum way way)
{
    int fd = dial(&ways[way]);
    if (way != PROXY)
        return fd;
    char text[128];
    int n = snprintf(text, sizeof(text), "CONNECT %s:%u HTTP/1.1\r\nHost: x\r\n\r\n", ip,
                     ntohs(origin_address.sin_port));
    must(osa_write_all(fd, text, (size_t)n) == 0, "write");
    must(osa_read_full(fd, text, 39) == 39, "read");
    must(memcmp(text, "HTTP/1.1 200", 12) == 0, text);
    return fd;
}

static double mib_per_second(enum way way, unsigned mib)
{
    static char block[BLOCK];
    int fd = reach(way);
    must(send(fd, "b", 1, 0) == 1 && send(fd, &mib, sizeof(mib), 0) == sizeof(mib), "send");
    int64_t start = osa_now_ns();
    size_t got = 0;
    ssize_t n;
    while ((n = recv(fd, block, sizeof(block), 0)) > 0)
        got += (size_t)n;
    must(got == (size_t)mib << 20, "bytes");
    (void)close(fd);
    return mib / ((double)(osa_now_ns() - start) / 1e9);
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Microseconds of a round trip at the median. */
static double median_us(int fd, const char *question, size_t len, size_t answer)
{
    static int64_t taken[ROUNDS];
    char text[512];
    for (unsigned i = 0; i < ROUNDS; i++) {
        int64_t start = osa_now_ns();
        must(osa_write_all(fd, question, len) == 0, "write");
        must(osa_read_full(fd, text, answer) == (ssize_t)answer, "read");
        taken[i] = osa_now_ns() - start;
    }
    qsort(taken, ROUNDS, sizeof(taken[0]), by_value);
    return (double)taken[ROUNDS / 2] / 1e3;
}

static double echo_us(enum way way)
{
    int fd = reach(way);
    must(send(fd, "e", 1, 0) == 1, "send");
    double us = median_us(fd, "x", 1, 1);
    (void)close(fd);
    return us;
}

static double request_us(enum way way)
{
    char text[256];
    int fd = dial(&ways[way]);
    int n = snprintf(text, sizeof(text), "GET %s%s%s%u/ HTTP/1.1\r\nHost: x\r\n\r\n",
                     way == PROXY ? "http://" : "/", way == PROXY ? ip : "",
                     way == PROXY ? ":" : "", ntohs(origin_address.sin_port));
    double us = median_us(fd, text, (size_t)n, 43);
    (void)close(fd);
    return us;
}

static size_t resident_bytes(void)
{
    unsigned long size = 0;
    unsigned long resident = 0;
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)server);
    FILE *file = fopen(path, "r");
    must(file != NULL && fscanf(file, "%lu %lu", &size, &resident) == 2, "statm");
    (void)fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Memory of the proxy's process that each takes. */
static double idle_bytes(unsigned count)
{
    int *fds = calloc(count, sizeof(*fds));
    must(fds != NULL, "memory");
    memset(fds, 0xff, count * sizeof(*fds));
    size_t before = resident_bytes();
    for (unsigned i = 0; i < count; i++) {
        fds[i] = reach(PROXY);
        must(send(fds[i], "ex", 2, 0) == 2 && recv(fds[i], &(char){ 0 }, 1, 0) == 1, "echo");
    }
    double each = (double)(resident_bytes() - before) / count;
    for (unsigned i = 0; i < count; i++)
        (void)close(fds[i]);
    free(fds);
    return each;
}

static bool find_address(void)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    must(getifaddrs(&all) == 0, "getifaddrs");
    for (struct ifaddrs *i = all; i != NULL && !found; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET ||
            (i->ifa_flags & IFF_LOOPBACK) != 0 || (i->ifa_flags & IFF_UP) == 0)
            continue;
        found =
            inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr,
                      ip, sizeof(ip)) != NULL;
    }
    freeifaddrs(all);
    return found;
}

/* The proxy and the relay, in a process of their own. Does not return. */
static void serve_ways(const int listeners[WAYS], unsigned idle)
{
    static struct relay_listener relay;
    static struct gate_events events = { .identify = on_identify, .record = on_record };
    struct osa_loop *loop = NULL;
    struct dns *dns = NULL;
    struct gate *gate = NULL;
    struct osa_error err = { 0 };
    (void)close(listeners[DIRECT]);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    must(osa_loop_new(&loop, NULL) == OSA_OK, "loop");
    relay = (struct relay_listener){ .loop = loop,
                                     .source = { .fd = listeners[RELAY], .ready = on_visit } };
    must(osa_source_add(loop, &relay.source, OSA_READ, &err) == OSA_OK &&
             dns_open(loop, &dns, &err) == OSA_OK,
         err.text);
    struct gate_config config = { .loop = loop,
                                  .dns = dns,
                                  .policy = make_policy(),
                                  .events = &events,
                                  .limits = gate_limits_default(),
                                  .fds = { listeners[PROXY], -1 } };
    config.limits.connections = idle + 64;
    must(osa_set_nonblocking(config.fds[0], true, NULL) == OSA_OK &&
             gate_new(&config, &gate, &err) == OSA_OK,
         err.text);
    osa_loop_run(loop);
    _exit(0);
}

static void start(unsigned idle)
{
    int listeners[WAYS];
    pthread_t thread;
    listeners[DIRECT] = listen_on(ip, &origin_address);
    listeners[RELAY] = listen_on("127.0.0.1", &ways[RELAY]);
    listeners[PROXY] = listen_on("127.0.0.1", &ways[PROXY]);
    ways[DIRECT] = origin_address;
    server = fork();
    must(server >= 0, "fork");
    if (server == 0)
        serve_ways(listeners, idle);
    (void)close(listeners[RELAY]);
    (void)close(listeners[PROXY]);
    must(pthread_create(&thread, NULL, origin, (void *)(intptr_t)listeners[DIRECT]) == 0, "thread");
}

/* Two descriptors for each idle tunnel, at both ends. Return: for how many there are some. */
static unsigned raise_limit(unsigned idle)
{
    struct rlimit files;
    const rlim_t others = 200;
    must(getrlimit(RLIMIT_NOFILE, &files) == 0, "getrlimit");
    files.rlim_cur = files.rlim_max;
    const struct rlimit wanted = { 2 * (rlim_t)idle + others, 2 * (rlim_t)idle + others };
    if (wanted.rlim_max > files.rlim_max && setrlimit(RLIMIT_NOFILE, &wanted) == 0)
        return idle;
    must(setrlimit(RLIMIT_NOFILE, &files) == 0, "setrlimit");
    return (unsigned)OSA_MIN((rlim_t)idle, (files.rlim_max - others) / 2);
}

int main(int argc, char **argv)
{
    unsigned mib = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2048;
    unsigned idle = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2000;
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, &ignore, NULL);
    idle = raise_limit(idle);
    if (!find_address()) {
        (void)fprintf(stderr, "no IPv4 address but loopback\n");
        return 77;
    }
    start(idle);
    /* Turn about, so that neither has the warmer machine. */
    double relay = 0;
    double proxy = 0;
    for (unsigned i = 0; i < TURNS; i++) {
        relay = OSA_MAX(relay, mib_per_second(RELAY, mib / TURNS));
        proxy = OSA_MAX(proxy, mib_per_second(PROXY, mib / TURNS));
    }
    double echo[WAYS];
    for (unsigned i = 0; i < WAYS; i++)
        echo[i] = echo_us((enum way)i);
    double direct = request_us(DIRECT);
    double through = request_us(PROXY);
    (void)printf("{\"tunnel_mib_s\":%.0f,\"relay_mib_s\":%.0f,\"tunnel_of_relay\":%.3f,"
                 "\"echo_direct_us\":%.1f,\"echo_relay_us\":%.1f,\"echo_tunnel_us\":%.1f,"
                 "\"request_direct_us\":%.1f,\"request_proxy_us\":%.1f,\"request_added_us\":%.1f,",
                 proxy, relay, proxy / relay, echo[DIRECT], echo[RELAY], echo[PROXY], direct,
                 through, through - direct);
    staying = true;
    (void)printf("\"idle_tunnels\":%u,\"idle_tunnel_bytes\":%.0f}\n", idle, idle_bytes(idle));
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    return 0;
}
