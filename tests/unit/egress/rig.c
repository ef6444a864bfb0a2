// SPDX-License-Identifier: Apache-2.0
#include "unit/egress/rig.h"

#include "base/clock.h"
#include "base/fd.h"
#include "policy/document.h"
#include "policy/provider.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

struct rig rig;

bool find_address(char ip[INET_ADDRSTRLEN])
{
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) < 0)
        return false;
    for (struct ifaddrs *i = all; i != NULL && !found; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET ||
            (i->ifa_flags & IFF_LOOPBACK) != 0 || (i->ifa_flags & IFF_UP) == 0)
            continue;
        const struct sockaddr_in *a = (const void *)i->ifa_addr;
        found = inet_ntop(AF_INET, &a->sin_addr, ip, INET_ADDRSTRLEN) != NULL;
    }
    freeifaddrs(all);
    return found;
}

static int listen_somewhere(in_addr_t address, struct sockaddr_in *ret)
{
    socklen_t len = sizeof(*ret);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(address) } };
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof(*ret)), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &len), 0);
    return fd;
}

/* ---- what the gate's owner does ---- */

static void on_identify(struct gate_events *events, const struct sockaddr_storage *client,
                        const struct sockaddr_storage *proxy, gate_peer_fn done, void *ctx)
{
    static const char *const ancestors[] = { "/usr/bin/shell" };
    const struct gate_peer peer = {
        .pid = 42, .exe = "/usr/bin/app", .ancestors = ancestors, .ancestor_count = 1
    };
    (void)events;
    assert_int_equal(client->ss_family, AF_INET);
    assert_int_equal(((const struct sockaddr_in *)(const void *)proxy)->sin_port,
                     rig.proxy.sin_port);
    if (rig.fault == POLICY_REASON_NONE)
        done(ctx, &peer, POLICY_REASON_NONE, NULL);
    else
        done(ctx, NULL, rig.fault, "nobody there");
}

static void on_record(struct gate_events *events, const struct gate_record *r)
{
    (void)events;
    rig.records++;
    rig.last_allowed = r->allowed;
    (void)snprintf(rig.last, sizeof(rig.last), "%s %s %s%s|%s|%s", r->kind, r->method, r->target,
                   r->path, r->rule, r->reason);
}

void publish_document(const char *text)
{
    struct osa_error err = { 0 };
    const struct policy_document *doc = NULL;
    if (policy_document_parse_yaml(text, strlen(text), "test", &doc, &err) != OSA_OK)
        fail_msg("%s", err.text);
    assert_int_equal(policy_live_publish(rig.policy, doc, 1, &err), OSA_OK);
    policy_document_unref(doc);
}

/* The origin as an endpoint with more to it, in flow style. */
void publish_endpoint(const char *more)
{
    char text[2048];
    (void)snprintf(text, sizeof(text),
                   "version: 1\nnetwork_policies:\n  main:\n    endpoints:\n"
                   "    - {host: '%s', port: %u, enforcement: enforce, %s}\n"
                   "    binaries: [{path: /usr/bin/app}]\n",
                   rig.ip, rig.port, more);
    publish_document(text);
}

/* One rule: the origin, for @binary. */
void publish(const char *binary)
{
    char text[2048];
    (void)snprintf(text, sizeof(text),
                   "version: 1\nnetwork_policies:\n  main:\n    endpoints:\n"
                   "    - {host: '%s', port: %u}\n    binaries: [{path: %s}]\n",
                   rig.ip, rig.port, binary);
    publish_document(text);
}

void open_gate(struct gate_limits limits)
{
    struct osa_error err = { 0 };
    int fd = listen_somewhere(INADDR_LOOPBACK, &rig.proxy);
    const struct gate_config config = { .loop = rig.loop,
                                        .dns = rig.dns,
                                        .policy = rig.policy,
                                        .events = &rig.events,
                                        .limits = limits,
                                        .authority = rig.authority,
                                        .trust = rig.trust,
                                        .providers = rig.providers,
                                        .fds = { fd, -1 } };
    assert_int_equal(gate_new(&config, &rig.gate, &err), OSA_OK);
}

int rig_setup(void **state)
{
    (void)state;
    struct sockaddr_in address;
    struct osa_error err;
    rig = (struct rig){ .events = { .identify = on_identify, .record = on_record } };
    if (!find_address(rig.ip) || osa_loop_new(&rig.loop, &err) != OSA_OK ||
        dns_open(rig.loop, &rig.dns, &err) != OSA_OK)
        return -1;
    assert_int_equal(tls_authority_new("Org", "Inside", &rig.authority, &err), OSA_OK);
    assert_int_equal(tls_authority_new("Org", "Outside", &rig.outside, &err), OSA_OK);
    assert_int_equal(tls_trust_new(tls_authority_pem(rig.outside), NULL, &rig.trust, &err), OSA_OK);
    rig.policy = policy_live_new(POLICY_FAIL_CLOSED, NULL);
    rig.origin = listen_somewhere(INADDR_ANY, &address);
    rig.port = ntohs(address.sin_port);
    publish(ALLOW);
    open_gate(gate_limits_default());
    return 0;
}

int rig_teardown(void **state)
{
    (void)state;
    gate_free(rig.gate);
    provider_env_free(rig.providers);
    policy_live_free(rig.policy);
    dns_close(rig.dns);
    osa_loop_free(rig.loop);
    tls_authority_free(rig.authority);
    tls_authority_free(rig.outside);
    tls_trust_free(rig.trust);
    osa_close_fd(&rig.origin);
    return 0;
}

/* ---- client and origin ---- */

void turn(void)
{
    (void)osa_loop_run_once(rig.loop, osa_deadline_after(OSA_NS_PER_MS));
}

int client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&rig.proxy, sizeof(rig.proxy)), 0);
    assert_int_equal(osa_set_nonblocking(fd, true, NULL), OSA_OK);
    return fd;
}

int origin_accept(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        int fd = accept4(rig.origin, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        turn();
    }
    fail_msg("the proxy did not come");
    return -1;
}

void no_origin(void)
{
    for (unsigned i = 0; i < 20; i++)
        turn();
    assert_true(accept4(rig.origin, NULL, NULL, SOCK_CLOEXEC) < 0 && errno == EAGAIN);
}

void say(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else {
            assert_int_equal(errno, EAGAIN);
        }
        turn();
    }
}

void say_text(int fd, const char *text)
{
    say(fd, text, strlen(text));
}

char heard[4 << 20];
size_t heard_len;

/* Until @text is there, @len bytes are, or the end (@text NULL and @len 0). Return: true at the end of file. */
bool hear(int fd, const char *text, size_t len)
{
    heard_len = 0;
    heard[0] = '\0';
    for (unsigned idle = 0; idle < 3000;) {
        ssize_t n = recv(fd, heard + heard_len, sizeof(heard) - heard_len - 1, 0);
        if (n > 0) {
            heard_len += (size_t)n;
            heard[heard_len] = '\0';
            idle = 0;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            return true;
        } else {
            idle++;
            turn();
        }
        if ((text != NULL && strstr(heard, text) != NULL) || (len > 0 && heard_len >= len))
            return false;
    }
    fail_msg("nothing came; so far: %s", heard);
    return true;
}

void hear_end(int fd)
{
    assert_true(hear(fd, NULL, 0));
}

int tunnel(int *ret_origin)
{
    char text[128];
    int fd = client();
    (void)snprintf(text, sizeof(text), "CONNECT %s:%u HTTP/1.1\r\nHost: x\r\n\r\n", rig.ip,
                   rig.port);
    say_text(fd, text);
    *ret_origin = origin_accept();
    (void)hear(fd, "\r\n\r\n", 0);
    assert_string_equal(heard, "HTTP/1.1 200 Connection Established\r\n\r\n");
    return fd;
}

void get(int fd, const char *path, const char *more)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "GET http://%s:%u%s HTTP/1.1\r\nHost: other\r\n%s\r\n",
                   rig.ip, rig.port, path, more);
    say_text(fd, text);
}

/* ---- tunnels ---- */

void expect_refusal(int fd, const char *status, const char *error, const char *reason)
{
    char want[128];
    hear_end(fd);
    (void)snprintf(want, sizeof(want), "HTTP/1.1 %s\r\n", status);
    assert_int_equal(strncmp(heard, want, strlen(want)), 0);
    assert_non_null(strstr(heard, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(heard, "\r\nConnection: close\r\n"));
    (void)snprintf(want, sizeof(want), "{\"error\":\"%s\",\"", error);
    assert_non_null(strstr(heard, want));
    (void)snprintf(want, sizeof(want), "\"reason\":\"%s\"", reason);
    if (strstr(heard, want) == NULL)
        fail_msg("no %s in: %s", want, heard);
}

void refused(const char *request, const char *status, const char *error, const char *reason)
{
    int fd = client();
    unsigned before = rig.records;
    say_text(fd, request);
    expect_refusal(fd, status, error, reason);
    assert_true(rig.records > before);
    assert_false(rig.last_allowed);
    osa_close_fd(&fd);
}

void pump(struct secure *s)
{
    char wire[16384];
    struct osa_buf out;
    osa_buf_init(&out, 1 << 20);
    assert_true(tls_send(s->tls, &out));
    if (out.len > 0)
        say(s->fd, out.data, out.len);
    osa_buf_done(&out);
    ssize_t n = recv(s->fd, wire, sizeof(wire), 0);
    if (n > 0)
        s->failed |= !tls_receive(s->tls, wire, (size_t)n, &s->text, &s->ended);
    s->ended |= n == 0;
    turn();
}

void until_text(struct secure *a, struct secure *b, const struct secure *who, const char *text)
{
    for (unsigned i = 0; i < 3000; i++) {
        if (who->text.len > 0 && strstr(who->text.data, text) != NULL)
            return;
        pump(a);
        if (b != NULL)
            pump(b);
    }
    fail_msg("no '%s'; so far: %s", text, who->text.len > 0 ? who->text.data : "");
}

void secure_pair(struct secure *near, struct secure *far, struct tls_authority *served)
{
    struct osa_error err = { 0 };
    struct tls_trust *trust = NULL;
    *near = *far = (struct secure){ 0 };
    osa_buf_init(&near->text, 1 << 20);
    osa_buf_init(&far->text, 1 << 20);
    near->fd = tunnel(&far->fd);
    assert_int_equal(tls_trust_new(tls_authority_pem(rig.authority), NULL, &trust, &err), OSA_OK);
    assert_int_equal(tls_connect(trust, rig.ip, TLS_HTTP1, &near->tls, &err), OSA_OK);
    assert_int_equal(tls_accept(served, rig.ip, TLS_HTTP1, &far->tls, &err), OSA_OK);
    tls_trust_free(trust);
    for (unsigned i = 0; i < 200 && !tls_ready(near->tls); i++)
        pump(near);
    assert_true(tls_ready(near->tls));
}

void secure_done(struct secure *s)
{
    tls_free(s->tls);
    osa_buf_done(&s->text);
    osa_close_fd(&s->fd);
}
