// SPDX-License-Identifier: Apache-2.0
/*
 * TLS that is looked into: an origin, our proxy, and a client that asks through any proxy there is.
 * bench/run.py puts them together, beside squid. Files of DIR: outside.pem, whom the origin's
 * certificate is from; inside.pem, whom our proxy's are from.
 *
 *   bench_egress_tls origin DIR ADDRESS     serves; prints its port
 *   bench_egress_tls proxy DIR ADDRESS PORT serves; prints its port
 *   bench_egress_tls ask PORT ADDRESS:PORT CA REQUESTS CONNECTIONS
 *       prints JSON: REQUESTS on one kept connection, then CONNECTIONS with one request each
 */
#include "base/clock.h"
#include "base/fd.h"
#include "egress/gate.h"
#include "policy/document.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(1);
}

static int listen_on(const char *address, unsigned *ret_port)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(inet_pton(AF_INET, address, &at.sin_addr) == 1, "address");
    must(bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 1024) == 0 &&
             getsockname(fd, (struct sockaddr *)&at, &len) == 0,
         "listen");
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void write_pem(const char *dir, const char *name, const char *text)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    must(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0, path);
}

static char *read_pem(const char *dir, const char *name)
{
    char path[512];
    char *text = NULL;
    size_t len = 0;
    struct osa_error err = { 0 };
    (void)snprintf(path, sizeof(path), "%s%s%s", dir, dir[0] != '\0' ? "/" : "", name);
    must(osa_read_file(AT_FDCWD, path, 1u << 20, &text, &len, &err) == OSA_OK, err.text);
    return text;
}

/* ---- TLS on a socket that blocks ---- */

struct pipe {
    int fd;
    struct tls *tls;
    struct osa_buf text;
};

static bool pipe_send(struct pipe *p)
{
    OSA_AUTO(osa_buf_done) struct osa_buf wire;
    osa_buf_init(&wire, 1 << 20);
    return tls_send(p->tls, &wire) &&
           (wire.len == 0 || osa_write_all(p->fd, wire.data, wire.len) == 0);
}

static bool pipe_receive(struct pipe *p)
{
    char wire[16384];
    bool end = false;
    ssize_t n = recv(p->fd, wire, sizeof(wire), 0);
    return n > 0 && tls_receive(p->tls, wire, (size_t)n, &p->text, &end) && pipe_send(p) && !end;
}

static bool pipe_greet(struct pipe *p)
{
    bool ok = pipe_send(p);
    while (ok && !tls_ready(p->tls))
        ok = pipe_receive(p);
    return ok;
}

static void pipe_done(struct pipe *p)
{
    tls_free(p->tls);
    osa_buf_done(&p->text);
    (void)close(p->fd);
}

/* ---- origin ---- */

struct visit {
    struct tls_authority *authority;
    const char *address;
    int fd;
};

static pthread_mutex_t authority_lock = PTHREAD_MUTEX_INITIALIZER;

static void *serve(void *arg)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    struct visit *visit = arg;
    struct pipe p = { .fd = visit->fd };
    const int one = 1;
    (void)setsockopt(p.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    osa_buf_init(&p.text, 1 << 20);
    (void)pthread_mutex_lock(&authority_lock);
    must(tls_accept(visit->authority, visit->address, TLS_HTTP1, &p.tls, NULL) == OSA_OK, "tls");
    (void)pthread_mutex_unlock(&authority_lock);
    free(visit);
    bool ok = pipe_greet(&p);
    while (ok) {
        while (ok && (p.text.len == 0 || strstr(p.text.data, "\r\n\r\n") == NULL))
            ok = pipe_receive(&p);
        osa_buf_reset(&p.text);
        ok = ok && tls_write(p.tls, answer, sizeof(answer) - 1) && pipe_send(&p);
    }
    pipe_done(&p);
    return NULL;
}

static void run_origin(const char *dir, const char *address)
{
    unsigned port;
    struct tls_authority *authority = NULL;
    int listener = listen_on(address, &port);
    must(tls_authority_new("Bench", "Outside", &authority, NULL) == OSA_OK, "authority");
    write_pem(dir, "outside.pem", tls_authority_pem(authority));
    (void)printf("%u\n", port);
    (void)fflush(stdout);
    for (;;) {
        pthread_t thread;
        struct visit *visit = calloc(1, sizeof(*visit));
        must(visit != NULL, "memory");
        *visit = (struct visit){ authority, address, accept(listener, NULL, NULL) };
        must(visit->fd >= 0 && pthread_create(&thread, NULL, serve, visit) == 0 &&
                 pthread_detach(thread) == 0,
             "thread");
    }
}

/* ---- proxy ---- */

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

static struct policy_live *make_policy(const char *address, const char *port)
{
    char text[512];
    struct osa_error err = { 0 };
    const struct policy_document *doc = NULL;
    struct policy_live *live = policy_live_new(POLICY_FAIL_CLOSED, NULL);
    (void)snprintf(text, sizeof(text),
                   "version: 1\nnetwork_policies:\n  r:\n    endpoints: [{host: '%s', port: %s, "
                   "protocol: rest, enforcement: enforce, access: full}]\n"
                   "    binaries: [{path: /usr/bin/app}]\n",
                   address, port);
    must(policy_document_parse_yaml(text, strlen(text), "bench", &doc, &err) == OSA_OK &&
             policy_live_publish(live, doc, 1, &err) == OSA_OK,
         err.text);
    policy_document_unref(doc);
    return live;
}

static void run_proxy(const char *dir, const char *address, const char *port)
{
    static struct gate_events events = { .identify = on_identify, .record = on_record };
    unsigned own;
    struct osa_loop *loop = NULL;
    struct dns *dns = NULL;
    struct gate *gate = NULL;
    struct gate_config config = { .events = &events, .limits = gate_limits_default() };
    config.fds[0] = listen_on("127.0.0.1", &own);
    config.fds[1] = -1;
    must(osa_loop_new(&loop, NULL) == OSA_OK && dns_open(loop, &dns, NULL) == OSA_OK &&
             osa_set_nonblocking(config.fds[0], true, NULL) == OSA_OK &&
             tls_authority_new("Bench", "Inside", &config.authority, NULL) == OSA_OK &&
             tls_trust_new(read_pem(dir, "outside.pem"), NULL, &config.trust, NULL) == OSA_OK,
         "proxy");
    write_pem(dir, "inside.pem", tls_authority_pem(config.authority));
    config.loop = loop;
    config.dns = dns;
    config.policy = make_policy(address, port);
    must(gate_new(&config, &gate, NULL) == OSA_OK, "gate");
    (void)printf("%u\n", own);
    (void)fflush(stdout);
    osa_loop_run(loop);
}

/* ---- client ---- */

struct question {
    struct sockaddr_in proxy;
    const char *target;
    char host[64];
    struct tls_trust *trust;
};

static struct pipe reach(const struct question *q)
{
    const int one = 1;
    char text[512];
    size_t len = 0;
    struct pipe p = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    osa_buf_init(&p.text, 1 << 20);
    must(connect(p.fd, (const struct sockaddr *)&q->proxy, sizeof(q->proxy)) == 0, "connect");
    (void)setsockopt(p.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    int n = snprintf(text, sizeof(text), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", q->target,
                     q->target);
    must(osa_write_all(p.fd, text, (size_t)n) == 0, "write");
    do {
        must(len + 1 < sizeof(text) && recv(p.fd, text + len, 1, 0) == 1, "CONNECT");
        text[++len] = '\0';
    } while (strstr(text, "\r\n\r\n") == NULL);
    must(strncmp(text, "HTTP/1.1 200", 12) == 0, text);
    must(tls_connect(q->trust, q->host, TLS_HTTP1, &p.tls, NULL) == OSA_OK && pipe_greet(&p),
         "TLS through the proxy");
    return p;
}

static void ask(struct pipe *p, const struct question *q)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", q->target);
    osa_buf_reset(&p->text);
    must(tls_write(p->tls, text, (size_t)n) && pipe_send(p), "request");
    while (p->text.len == 0 || strstr(p->text.data, "\r\n\r\nhello") == NULL)
        must(pipe_receive(p), "response");
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

static void run_client(char **argv)
{
    struct question q = { .proxy = { .sin_family = AF_INET }, .target = argv[1] };
    unsigned requests = (unsigned)strtoul(argv[3], NULL, 10);
    unsigned connections = (unsigned)strtoul(argv[4], NULL, 10);
    int64_t *taken = calloc(requests, sizeof(*taken));
    q.proxy.sin_port = htons((uint16_t)strtoul(argv[0], NULL, 10));
    q.proxy.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(taken != NULL && requests > 0, "memory");
    (void)snprintf(q.host, sizeof(q.host), "%.*s", (int)strcspn(q.target, ":"), q.target);
    must(tls_trust_new(read_pem("", argv[2]), NULL, &q.trust, NULL) == OSA_OK, "trust");
    struct pipe p = reach(&q);
    int64_t start = osa_now_ns();
    for (unsigned i = 0; i < requests; i++) {
        int64_t asked = osa_now_ns();
        ask(&p, &q);
        taken[i] = osa_now_ns() - asked;
    }
    double kept_s = (double)(osa_now_ns() - start) / 1e9;
    pipe_done(&p);
    start = osa_now_ns();
    for (unsigned i = 0; i < connections; i++) {
        p = reach(&q);
        ask(&p, &q);
        pipe_done(&p);
    }
    double fresh_s = (double)(osa_now_ns() - start) / 1e9;
    qsort(taken, requests, sizeof(*taken), by_value);
    (void)printf("{\"requests_s\":%.0f,\"request_p50_us\":%.1f,\"connections_s\":%.0f}\n",
                 requests / kept_s, (double)taken[requests / 2] / 1e3,
                 connections > 0 ? connections / fresh_s : 0);
}

int main(int argc, char **argv)
{
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, &ignore, NULL);
    if (argc == 4 && strcmp(argv[1], "origin") == 0)
        run_origin(argv[2], argv[3]);
    else if (argc == 5 && strcmp(argv[1], "proxy") == 0)
        run_proxy(argv[2], argv[3], argv[4]);
    else if (argc == 7 && strcmp(argv[1], "ask") == 0)
        run_client(argv + 2);
    else
        return 2;
    return 0;
}
