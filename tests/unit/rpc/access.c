// SPDX-License-Identifier: Apache-2.0
/* Who gets in: sockets, locks, tokens, roles, TLS with and without client certificates, reloads. */
#include "cmocka_all.h"
#include "pki.h"
#include "rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define OPERATOR "0123456789abcdef-operator"
#define VIEWER "0123456789abcdef-viewer"

static int setup(void **state)
{
    static struct rig rig;
    rig_init(&rig);
    rig_write(rig.token_file, OPERATOR "\n", 0600);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    rig_done(*state);
    return 0;
}

static const char *in_dir(const struct rig *rig, const char *name)
{
    static char paths[8][128];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, 128, "%s/%s", rig->dir, name);
    return path;
}

static void must_serve(struct rig *rig, struct rpc_server_config config)
{
    struct osa_error err = { 0 };
    enum osa_code code = rig_serve(rig, config, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(code, OSA_OK);
}

static void must_not_serve(struct rig *rig, const char *address,
                           const struct rpc_credentials *credentials, enum osa_code code,
                           const char *text)
{
    struct osa_error err = { 0 };
    struct rpc_listen listen = { .address = address };
    struct rpc_server_config config = { .listens = &listen,
                                        .listen_count = 1,
                                        .credentials = *credentials };
    enum osa_code got = rig_serve(rig, config, &err);
    assert_non_null(strstr(err.text, text));
    assert_int_equal(got, code);
    assert_null(rig->server);
}

/* Connects over TCP to 127.0.0.1, .2, …, the server's address @index, with that token file. */
static void connect_tcp(struct rig *rig, size_t index, const char *scheme,
                        struct rpc_channel_config config)
{
    char target[64];
    (void)snprintf(target, sizeof(target), "%s127.0.0.%zu:%u", scheme, index + 1,
                   rpc_server_port(rig->server, index));
    config.target = target;
    rig_connect(rig, config);
}

static void expect(struct rig *rig, const char *method, enum osa_code code, const char *text)
{
    struct probe probe = { 0 };
    probe_unary(rig, &probe, method, "x", 1);
    if (strstr(probe.error.text, text) == NULL)
        assert_string_equal(probe.error.text, text);
    assert_int_equal(probe.error.code, code);
}

/* ---- Unix sockets ---- */

static void test_socket_file(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    must_serve(rig, (struct rpc_server_config){ 0 });
    assert_int_equal(stat(in_dir(rig, "s"), &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(in_dir(rig, "s.new"), &st), -1);
    rig_shutdown(rig, 0);
    assert_int_equal(stat(in_dir(rig, "s"), &st), -1);
    assert_int_equal(stat(in_dir(rig, "s.lock"), &st), -1);
}

static void test_socket_mode(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    struct rpc_listen listen = { .address = rig->socket, .unix_mode = 0660 };
    must_serve(rig, (struct rpc_server_config){ .listens = &listen, .listen_count = 1 });
    assert_int_equal(stat(in_dir(rig, "s"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
}

static void test_second_server(void **state)
{
    struct rig *rig = *state;
    must_serve(rig, (struct rpc_server_config){ 0 });
    struct rpc_server *first = rig->server;
    rig->server = NULL;
    must_not_serve(rig, rig->socket, &(struct rpc_credentials){ 0 }, OSA_FAILED_PRECONDITION,
                   "is served by another process already");
    rig->server = first;
    rig_connect(rig, (struct rpc_channel_config){ 0 });
    expect(rig, ECHO "Unary", OSA_OK, ""); /* the first one still has its path */
}

static void bind_socket(const char *path, int *ret_fd)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    *ret_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void test_stale_and_foreign_sockets(void **state)
{
    struct rig *rig = *state;
    int fd;
    struct stat st;
    const struct rpc_credentials none = { 0 };
    bind_socket(in_dir(rig, "s"), &fd);
    assert_int_equal(listen(fd, 1), 0);
    must_not_serve(rig, rig->socket, &none, OSA_FAILED_PRECONDITION,
                   "is served by another program");
    (void)close(fd); /* now it is stale */
    must_serve(rig, (struct rpc_server_config){ 0 });
    rig_connect(rig, (struct rpc_channel_config){ 0 });
    expect(rig, ECHO "Unary", OSA_OK, "");
    /* Somebody else takes the path away: at the end their file stays. */
    assert_int_equal(unlink(in_dir(rig, "s")), 0);
    rig_write(in_dir(rig, "s"), "theirs", 0600);
    rig_shutdown(rig, 0);
    assert_int_equal(stat(in_dir(rig, "s"), &st), 0);
}

static void test_path_is_no_socket(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    const struct rpc_credentials none = { 0 };
    rig_write(in_dir(rig, "s"), "precious", 0600);
    must_not_serve(rig, rig->socket, &none, OSA_INVALID_ARGUMENT, "exists and is not a socket");
    assert_int_equal(stat(in_dir(rig, "s"), &st), 0);
    assert_int_equal(st.st_size, 8);
    must_not_serve(rig, "unix:/nonexistent/s", &none, OSA_INVALID_ARGUMENT,
                   "does the directory exist?");
    must_not_serve(rig, "unix:", &none, OSA_INVALID_ARGUMENT, "has 1 to 102 bytes, '' has 0");
    char address[160] = "unix:";
    memset(address + 5, 'x', 103);
    must_not_serve(rig, address, &none, OSA_INVALID_ARGUMENT, "has 103");
}

static void test_all_or_nothing(void **state)
{
    struct rig *rig = *state;
    struct stat st;
    struct osa_error err = { 0 };
    struct rpc_listen listens[] = { { .address = rig->socket },
                                    { .address = "unix:/nonexistent/s" } };
    assert_int_equal(
        rig_serve(rig, (struct rpc_server_config){ .listens = listens, .listen_count = 2 }, &err),
        OSA_INVALID_ARGUMENT);
    assert_int_equal(stat(in_dir(rig, "s"), &st), -1);
}

/* Root may become somebody else for the connect(2); others cannot show this one. */
static void test_other_user(void **state)
{
    struct rig *rig = *state;
    if (geteuid() != 0) {
        print_message("needs root to connect as another user\n");
        skip();
    }
    uint32_t uids[] = { 4242 };
    struct rpc_listen listen = { .address = rig->socket, .unix_mode = 0666 };
    must_serve(rig, (struct rpc_server_config){
                        .listens = &listen, .listen_count = 1, .uids = uids, .uid_count = 1 });
    assert_int_equal(chmod(rig->dir, 0755), 0);
    for (unsigned uid = 4241; uid <= 4242; uid++) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_dir(rig, "s"));
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(seteuid(uid), 0);
        int rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(rc, 0);
        struct timeval wait = { .tv_usec = 300000 };
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
        rig_run_for(rig, 50 * OSA_NS_PER_MS);
        char byte;
        ssize_t got = recv(fd, &byte, 1, 0);
        assert_int_equal(got, uid == 4242 ? 1 : 0); /* HTTP/2 settings, or the door */
        (void)close(fd);
    }
    assert_int_equal(rig->audits, 1);
    assert_int_equal(rig->audit.code, OSA_PERMISSION_DENIED);
    assert_int_equal(strncmp(rig->audit_peer.name, "uid:4241 pid:", 13), 0);
}

static bool is_this_process(uint32_t uid, int32_t pid)
{
    return uid == geteuid() && pid == getpid();
}

/* Whoever the owner knows for a stranger's process is turned away, even as a user who may connect. */
static void test_process_kept_out(void **state)
{
    struct rig *rig = *state;
    must_serve(rig, (struct rpc_server_config){ .keep_out = is_this_process });
    rig_connect(rig, (struct rpc_channel_config){ 0 });
    expect(rig, ECHO "Unary", OSA_UNAVAILABLE, "");
    assert_true(rig->audits >= 1);
    assert_int_equal(rig->audit.code, OSA_PERMISSION_DENIED);
    assert_string_equal(rig->audit_text, "processes of a sandbox may not connect");
    assert_int_equal(rig->starts, 0);
    /* However often it tries, the log is not filled. */
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_dir(rig, "s"));
    for (int i = 0; i < 200; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        rig_run_for(rig, OSA_NS_PER_MS);
        (void)close(fd);
    }
    assert_in_range(rig->audits, 20, 100);
}

/* With no descriptor left, the listener waits without spinning, and serves when there is one again. */
static void test_descriptors_run_out(void **state)
{
    struct rig *rig = *state;
    must_serve(rig, (struct rpc_server_config){ 0 });
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", in_dir(rig, "s"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = { .rlim_cur = (rlim_t)fd, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rounds = 0;
    for (int64_t end = osa_deadline_after(350 * OSA_NS_PER_MS); osa_now_ns() < end; rounds++)
        (void)osa_loop_run_once(rig->loop, end);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_in_range(rounds, 2, 40);
    char byte;
    ssize_t got = -1;
    for (int64_t end = osa_deadline_after(5 * OSA_NS_PER_SEC); got != 1 && osa_now_ns() < end;) {
        (void)osa_loop_run_once(rig->loop, osa_deadline_after(20 * OSA_NS_PER_MS));
        got = recv(fd, &byte, 1, MSG_DONTWAIT);
    }
    assert_int_equal(got, 1);
    (void)close(fd);
}

/* ---- TCP, tokens and roles ---- */

static void test_tcp_is_refused(void **state)
{
    struct rig *rig = *state;
    const struct rpc_credentials none = { 0 };
    const struct rpc_credentials token = { .token_file = rig->token_file };
    must_not_serve(rig, "127.0.0.1:0", &none, OSA_INVALID_ARGUMENT, "needs a token file");
    must_not_serve(rig, "0.0.0.0:0", &token, OSA_INVALID_ARGUMENT, "is not a loopback address");
    must_not_serve(rig, "[::]:0", &token, OSA_INVALID_ARGUMENT, "is not a loopback address");
    static const char *const malformed[] = { "",
                                             "1.2.3.4",
                                             ":80",
                                             "host:80",
                                             "::1:80",
                                             "[::1]",
                                             "127.0.0.1:",
                                             "127.0.0.1:x",
                                             "127.1:80",
                                             "127.0.0.1:65536",
                                             "127.0.0.1:-1",
                                             "127.0.0.1: 1",
                                             "0177.0.0.1:1",
                                             "[127.0.0.1:1",
                                             "2130706433:1" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(malformed); i++)
        must_not_serve(rig, malformed[i], &token, OSA_INVALID_ARGUMENT,
                       "is not unix:PATH, IPV4:PORT, [IPV6]:PORT or localhost:PORT");
}

static void test_tcp_port_taken(void **state)
{
    struct rig *rig = *state;
    const struct rpc_credentials token = { .token_file = rig->token_file };
    struct rpc_listen listen = { .address = "localhost:0" };
    must_serve(rig, (struct rpc_server_config){
                        .listens = &listen, .listen_count = 1, .credentials = token });
    char address[32];
    (void)snprintf(address, sizeof(address), "127.0.0.1:%u", rpc_server_port(rig->server, 0));
    struct rpc_server *first = rig->server;
    rig->server = NULL;
    must_not_serve(rig, address, &token, OSA_FAILED_PRECONDITION, "cannot be listened on");
    rig->server = first;
}

static void test_roles_by_token(void **state)
{
    struct rig *rig = *state;
    rig_write(in_dir(rig, "viewer"), VIEWER, 0400);
    rig_write(in_dir(rig, "wrong"), OPERATOR "x", 0600);
    struct rpc_listen listen = { .address = "127.0.0.1:0" };
    must_serve(rig, (struct rpc_server_config){
                        .listens = &listen,
                        .listen_count = 1,
                        .credentials = { .token_file = rig->token_file,
                                         .viewer_token_file = in_dir(rig, "viewer") } });
    connect_tcp(rig, 0, "", (struct rpc_channel_config){ .token_file = rig->token_file });
    expect(rig, ECHO "Unary", OSA_OK, "");
    rig_wait(rig, &rig->audits, 1);
    assert_string_equal(rig->audit_peer.name, "token:operator");
    assert_int_equal(strncmp(rig->audit_peer.address, "ipv4:127.0.0.1:", 15), 0);
    connect_tcp(rig, 0, "", (struct rpc_channel_config){ .token_file = in_dir(rig, "viewer") });
    expect(rig, ECHO "Look", OSA_OK, "");
    expect(rig, ECHO "Unary", OSA_PERMISSION_DENIED,
           "this method is for operators; 'token:viewer' is a viewer");
    expect(rig, "/no.Such/Thing", OSA_UNIMPLEMENTED, "this server has no method");
    connect_tcp(rig, 0, "", (struct rpc_channel_config){ 0 });
    expect(rig, ECHO "Look", OSA_UNAUTHENTICATED, "send metadata 'authorization: Bearer TOKEN'");
    expect(rig, "/no.Such/Thing", OSA_UNAUTHENTICATED, "this method needs a caller with a name");
    expect(rig, ECHO "Quick", OSA_OK, ""); /* for anyone */
    connect_tcp(rig, 0, "", (struct rpc_channel_config){ .token_file = in_dir(rig, "wrong") });
    expect(rig, ECHO "Look", OSA_UNAUTHENTICATED, "is not one that this server knows");
    expect(rig, ECHO "Quick", OSA_UNAUTHENTICATED, "is not one that this server knows");
    assert_int_equal(rig->starts, 1); /* nobody but the operator reached a handler */
}

/* A probe of another machine: no TLS, no token. The message asks for the health of a service "x". */
static void test_health_only(void **state)
{
    struct rig *rig = *state;
    struct rpc_listen listens[] = { { .address = "127.0.0.1:0" },
                                    { .address = "0.0.0.0:0", .health_only = true } };
    must_serve(rig, (struct rpc_server_config){ .listens = listens,
                                                .listen_count = 2,
                                                .health = RPC_ROLE_ANYONE,
                                                .reflection = RPC_ROLE_ANYONE,
                                                .credentials = { .token_file = rig->token_file } });
    static const char *const methods[] = { ECHO "Unary", ECHO "Look", ECHO "Quick",
                                           "/no.Such/Thing",
                                           "/grpc.reflection.v1.ServerReflection/"
                                           "ServerReflectionInfo" };
    connect_tcp(rig, 1, "", (struct rpc_channel_config){ .token_file = rig->token_file });
    for (size_t i = 0; i < OSA_ARRAY_LEN(methods); i++)
        expect(rig, methods[i], OSA_UNAUTHENTICATED, "answers health checks alone");
    expect(rig, "/grpc.health.v1.Health/Check", OSA_NOT_FOUND, "'x'");
    assert_int_equal(rig->starts, 0);
    connect_tcp(rig, 0, "", (struct rpc_channel_config){ .token_file = rig->token_file });
    expect(rig, ECHO "Unary", OSA_OK, "");
}

static void test_token_reload(void **state)
{
    struct rig *rig = *state;
    struct rpc_listen listen = { .address = "127.0.0.1:0" };
    rig_write(in_dir(rig, "client"), OPERATOR, 0600);
    must_serve(rig, (struct rpc_server_config){ .listens = &listen,
                                                .listen_count = 1,
                                                .credentials = { .token_file = rig->token_file } });
    connect_tcp(rig, 0, "", (struct rpc_channel_config){ .token_file = in_dir(rig, "client") });
    expect(rig, ECHO "Unary", OSA_OK, "");
    rig_write(rig->token_file, "another-token-0123", 0600);
    rig_run_for(rig, 1100 * OSA_NS_PER_MS);
    expect(rig, ECHO "Unary", OSA_UNAUTHENTICATED, "is not one that this server knows");
    rig_write(in_dir(rig, "client"), "another-token-0123", 0600); /* the client rereads, too */
    expect(rig, ECHO "Unary", OSA_OK, "");
    rig_write(rig->token_file, "yet-another-token-0123", 0644); /* not usable: the old one stays */
    rig_run_for(rig, 1100 * OSA_NS_PER_MS);
    expect(rig, ECHO "Unary", OSA_OK, "");
}

static void test_token_files_that_are_refused(void **state)
{
    struct rig *rig = *state;
    struct rpc_credentials token = { .token_file = rig->token_file };
    rig_write(rig->token_file, OPERATOR, 0640);
    must_not_serve(rig, rig->socket, &token, OSA_FAILED_PRECONDITION, "chmod it to 0600");
    rig_write(rig->token_file, "fifteen-chars-x\n", 0600);
    must_not_serve(rig, rig->socket, &token, OSA_INVALID_ARGUMENT, "holds 15 characters");
    rig_write(rig->token_file, "0123456789abcdef 0123", 0600);
    must_not_serve(rig, rig->socket, &token, OSA_INVALID_ARGUMENT, "no header can carry");
    token.token_file = in_dir(rig, "missing");
    must_not_serve(rig, rig->socket, &token, OSA_NOT_FOUND, "cannot be read");
    token.token_file = rig->dir;
    must_not_serve(rig, rig->socket, &token, OSA_INVALID_ARGUMENT, "is not a regular file");
}

static void test_token_is_not_sent_in_clear(void **state)
{
    struct rig *rig = *state;
    struct osa_error err = { 0 };
    struct rpc_channel *channel;
    struct rpc_channel_config config = { .loop = rig->loop,
                                         .target = "192.0.2.1:80",
                                         .token_file = rig->token_file };
    assert_int_equal(rpc_channel_new(&config, &channel, &err), OSA_INVALID_ARGUMENT);
    assert_string_equal(err.text, "the token would travel to '192.0.2.1:80' unencrypted; use "
                                  "https://HOST:PORT");
}

/* A server that is far away, or slow, is waited for: the attempt to connect is not given up at once. */
static void test_slow_server(void **state)
{
    struct rig *rig = *state;
    struct probe probe = { 0 };
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(address);
    char target[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(fd, 1), 0); /* the kernel answers; HTTP/2 nobody speaks */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(target, sizeof(target), "http://127.0.0.1:%u", ntohs(address.sin_port));
    rig_connect(rig, (struct rpc_channel_config){ .target = target });
    probe_start(rig, &probe, ECHO "Unary", OSA_NEVER);
    rig_run_for(rig, 600 * OSA_NS_PER_MS);
    assert_false(probe.done);
    rpc_client_cancel(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_CANCELLED);
    (void)close(fd);
}

/* ---- TLS ---- */

static struct rpc_server_config tls_config(const struct rig *rig, bool mutual,
                                           const struct rpc_listen *listen)
{
    return (struct rpc_server_config){
        .listens = listen,
        .listen_count = 1,
        .credentials = { .cert = in_dir(rig, "server.pem"),
                         .key = in_dir(rig, "server.key"),
                         .client_ca = mutual ? in_dir(rig, "ca.pem") : NULL,
                         .token_file = mutual ? NULL : rig->token_file },
    };
}

static void test_tls_with_token(void **state)
{
    struct rig *rig = *state;
    struct rpc_listen listen = { .address = "127.0.0.1:0" };
    pki_write(rig->dir);
    must_serve(rig, tls_config(rig, /* mutual= */ false, &listen));
    struct rpc_channel_config config = { .ca = in_dir(rig, "ca.pem"),
                                         .token_file = rig->token_file };
    connect_tcp(rig, 0, "https://", config);
    expect(rig, ECHO "Unary", OSA_OK, "");
    config.token_file = NULL;
    connect_tcp(rig, 0, "https://", config);
    expect(rig, ECHO "Unary", OSA_UNAUTHENTICATED, "this method needs a caller with a name");
    config.ca = in_dir(rig, "other-ca.pem");
    connect_tcp(rig, 0, "https://", config);
    expect(rig, ECHO "Unary", OSA_UNAVAILABLE, "");
    connect_tcp(rig, 0, "http://", (struct rpc_channel_config){ 0 });
    expect(rig, ECHO "Unary", OSA_UNAVAILABLE, "");
}

static void test_mutual_tls(void **state)
{
    struct rig *rig = *state;
    struct rpc_listen listen = { .address = "127.0.0.1:0" };
    pki_write(rig->dir);
    must_serve(rig, tls_config(rig, /* mutual= */ true, &listen));
    struct rpc_channel_config config = { .ca = in_dir(rig, "ca.pem"),
                                         .cert = in_dir(rig, "client.pem"),
                                         .key = in_dir(rig, "client.key") };
    connect_tcp(rig, 0, "https://", config);
    expect(rig, ECHO "Unary", OSA_OK, "");
    rig_wait(rig, &rig->audits, 1);
    assert_string_equal(rig->audit_peer.name, "tls:a client");
    config.cert = in_dir(rig, "stranger.pem"); /* signed by another CA */
    config.key = in_dir(rig, "stranger.key");
    connect_tcp(rig, 0, "https://", config);
    expect(rig, ECHO "Unary", OSA_UNAVAILABLE, "");
    config.cert = NULL;
    config.key = NULL;
    connect_tcp(rig, 0, "https://", config);
    expect(rig, ECHO "Unary", OSA_UNAVAILABLE, "");
    assert_int_equal(rig->starts, 1);
}

static void test_certificate_reload(void **state)
{
    struct rig *rig = *state;
    struct rpc_listen listen = { .address = "127.0.0.1:0" };
    pki_write(rig->dir);
    must_serve(rig, tls_config(rig, /* mutual= */ false, &listen));
    struct rpc_channel_config old = { .ca = in_dir(rig, "ca.pem"), .token_file = rig->token_file };
    struct rpc_channel_config fresh = { .ca = in_dir(rig, "other-ca.pem"),
                                        .token_file = rig->token_file };
    connect_tcp(rig, 0, "https://", old);
    expect(rig, ECHO "Unary", OSA_OK, "");
    /* Half of the new pair: the old one serves on. */
    assert_int_equal(rename(in_dir(rig, "other-server.pem"), in_dir(rig, "server.pem")), 0);
    connect_tcp(rig, 0, "https://", old);
    expect(rig, ECHO "Unary", OSA_OK, "");
    assert_int_equal(rename(in_dir(rig, "other-server.key"), in_dir(rig, "server.key")), 0);
    connect_tcp(rig, 0, "https://", fresh);
    expect(rig, ECHO "Unary", OSA_OK, "");
    connect_tcp(rig, 0, "https://", old);
    expect(rig, ECHO "Unary", OSA_UNAVAILABLE, "");
}

/* Each address reads the certificates for itself, at the start and when they change. */
static void test_two_tls_addresses(void **state)
{
    struct rig *rig = *state;
    const struct rpc_listen listens[] = { { .address = "127.0.0.1:0" },
                                          { .address = "127.0.0.2:0" } };
    pki_write(rig->dir);
    struct rpc_server_config server = tls_config(rig, /* mutual= */ false, listens);
    server.listen_count = OSA_ARRAY_LEN(listens);
    must_serve(rig, server);
    struct rpc_channel_config config = { .ca = in_dir(rig, "ca.pem"),
                                         .server_name = "127.0.0.1",
                                         .token_file = rig->token_file };
    for (size_t i = 0; i < OSA_ARRAY_LEN(listens); i++) {
        connect_tcp(rig, i, "https://", config);
        expect(rig, ECHO "Unary", OSA_OK, "");
    }
    assert_int_equal(rename(in_dir(rig, "other-server.pem"), in_dir(rig, "server.pem")), 0);
    assert_int_equal(rename(in_dir(rig, "other-server.key"), in_dir(rig, "server.key")), 0);
    config.ca = in_dir(rig, "other-ca.pem");
    for (size_t i = 0; i < OSA_ARRAY_LEN(listens); i++) {
        connect_tcp(rig, i, "https://", config);
        expect(rig, ECHO "Unary", OSA_OK, "");
    }
}

static void test_tls_that_is_refused(void **state)
{
    struct rig *rig = *state;
    pki_write(rig->dir);
    struct rpc_credentials credentials = { .cert = in_dir(rig, "server.pem"),
                                           .key = in_dir(rig, "client.key"),
                                           .token_file = rig->token_file };
    must_not_serve(rig, "127.0.0.1:0", &credentials, OSA_INVALID_ARGUMENT,
                   "does not belong to certificate");
    credentials.key = rig->token_file;
    must_not_serve(rig, "127.0.0.1:0", &credentials, OSA_INVALID_ARGUMENT, "holds no private key");
    credentials.cert = rig->token_file;
    credentials.key = in_dir(rig, "server.key");
    must_not_serve(rig, "127.0.0.1:0", &credentials, OSA_INVALID_ARGUMENT, "holds no certificate");
    credentials.cert = in_dir(rig, "missing");
    must_not_serve(rig, "127.0.0.1:0", &credentials, OSA_NOT_FOUND, "missing");
    credentials.cert = NULL;
    must_not_serve(rig, "127.0.0.1:0", &credentials, OSA_INVALID_ARGUMENT,
                   "TLS needs both a certificate and its key");
    credentials = (struct rpc_credentials){ .cert = in_dir(rig, "server.pem"),
                                            .key = in_dir(rig, "server.key") };
    must_not_serve(rig, "127.0.0.1:0", &credentials, OSA_INVALID_ARGUMENT,
                   "TLS alone keeps nobody out");
}

/* C core alone would close its listener for good at the first EMFILE; see accept_guard.c. */
static void test_descriptors_run_out_with_tls(void **state)
{
    struct rig *rig = *state;
#ifdef __SANITIZE_THREAD__
    print_message("needs C core's archives; this build links its shared library, unguarded\n");
    skip();
#endif
    struct rpc_listen listen = { .address = "127.0.0.1:0" };
    pki_write(rig->dir);
    must_serve(rig, tls_config(rig, /* mutual= */ false, &listen));
    struct rpc_channel_config config = { .ca = in_dir(rig, "ca.pem"),
                                         .token_file = rig->token_file };
    connect_tcp(rig, 0, "https://", config); /* opens no connection yet */
    int fd = pki_dial(rpc_server_port(rig->server, 0));
    rig_run_for(rig, 50 * OSA_NS_PER_MS);
    int victim = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit none = { .rlim_cur = (rlim_t)victim + 1, .rlim_max = before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    pki_connect(victim, rpc_server_port(rig->server, 0));
    rig_run_for(rig, 100 * OSA_NS_PER_MS);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    char byte;
    assert_true(recv(victim, &byte, 1, MSG_DONTWAIT) <= 0); /* turned away */
    (void)close(victim);
    (void)close(fd);
    expect(rig, ECHO "Unary", OSA_OK, ""); /* and the next one is welcome */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(socket_file),
        TEST(socket_mode),
        TEST(second_server),
        TEST(stale_and_foreign_sockets),
        TEST(path_is_no_socket),
        TEST(all_or_nothing),
        TEST(other_user),
        TEST(process_kept_out),
        TEST(descriptors_run_out),
        TEST(tcp_is_refused),
        TEST(tcp_port_taken),
        TEST(roles_by_token),
        TEST(health_only),
        TEST(token_reload),
        TEST(token_files_that_are_refused),
        TEST(token_is_not_sent_in_clear),
        TEST(slow_server),
        TEST(tls_with_token),
        TEST(mutual_tls),
        TEST(certificate_reload),
        TEST(two_tls_addresses),
        TEST(tls_that_is_refused),
        TEST(descriptors_run_out_with_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
