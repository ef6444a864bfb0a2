// SPDX-License-Identifier: Apache-2.0
#include "rpc/auth.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/peer.h"
#include "rpc/bytes.h"
#include "rpc/read_guard.h"
#include "rpc/token.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define RELOAD_INTERVAL_NS OSA_NS_PER_SEC
#define HEALTH_PORTS_MAX 8

/* Who bears which token. */
struct bearer {
    struct rpc_token token;
    const char *name; /* in the audit log */
    enum rpc_role role;
};

struct rpc_auth {
    const struct rpc_server_config *config;
    pthread_mutex_t lock;
    uint16_t health_ports[HEALTH_PORTS_MAX]; /* constant after the start */
    size_t health_port_count;
    struct bearer bearers[2]; /* text guarded by lock */
    int64_t next_reload_ns;   /* guarded by lock */
};

/* ---- tokens ---- */

/* With the lock held. */
static void reload(struct rpc_auth *auth)
{
    int64_t now = osa_now_ns();
    if (now < auth->next_reload_ns)
        return;
    auth->next_reload_ns = now + RELOAD_INTERVAL_NS;
    for (size_t i = 0; i < OSA_ARRAY_LEN(auth->bearers); i++) {
        struct rpc_token *token = &auth->bearers[i].token;
        struct osa_error err = { 0 };
        if (token->path == NULL || !rpc_token_changed(token))
            continue;
        if (rpc_token_read(token, &err) == OSA_OK)
            osa_log(OSA_LOG_INFO, "rpc", "token read again", OSA_S("file", token->path));
        else
            osa_log_error(OSA_LOG_WARN, "rpc", "token not replaced, the old one stays in force",
                          &err);
    }
}

enum osa_code rpc_auth_new(const struct rpc_server_config *config, struct rpc_auth **ret_auth,
                           struct osa_error *err)
{
    struct rpc_auth *auth = calloc(1, sizeof(*auth));
    if (auth == NULL)
        return osa_fail_errno(err, ENOMEM, "rpc server");
    auth->config = config;
    (void)pthread_mutex_init(&auth->lock, NULL);
    auth->bearers[0] = (struct bearer){ .name = "token:operator", .role = RPC_ROLE_OPERATOR };
    auth->bearers[1] = (struct bearer){ .name = "token:viewer", .role = RPC_ROLE_VIEWER };
    rpc_token_init(&auth->bearers[0].token, config->credentials.token_file);
    rpc_token_init(&auth->bearers[1].token, config->credentials.viewer_token_file);
    enum osa_code code = OSA_OK;
    for (size_t i = 0; i < OSA_ARRAY_LEN(auth->bearers) && code == OSA_OK; i++)
        if (auth->bearers[i].token.path != NULL)
            code = rpc_token_read(&auth->bearers[i].token, err);
    if (code != OSA_OK) {
        rpc_auth_free(auth);
        return code;
    }
    *ret_auth = auth;
    return OSA_OK;
}

void rpc_auth_free(struct rpc_auth *auth)
{
    if (auth == NULL)
        return;
    for (size_t i = 0; i < OSA_ARRAY_LEN(auth->bearers); i++)
        rpc_token_done(&auth->bearers[i].token);
    (void)pthread_mutex_destroy(&auth->lock);
    free(auth);
}

bool rpc_auth_has_token(const struct rpc_auth *auth)
{
    return auth->bearers[0].token.path != NULL;
}

enum osa_code rpc_auth_add_health_port(struct rpc_auth *auth, uint16_t port, struct osa_error *err)
{
    if (auth->health_port_count == HEALTH_PORTS_MAX)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "at most %d addresses can serve health alone",
                        HEALTH_PORTS_MAX);
    auth->health_ports[auth->health_port_count++] = port;
    return OSA_OK;
}

bool rpc_auth_uid_allowed(const struct rpc_auth *auth, uint32_t uid)
{
    if (uid == 0 || uid == (uint32_t)geteuid())
        return true;
    for (size_t i = 0; i < auth->config->uid_count; i++)
        if (auth->config->uids[i] == uid)
            return true;
    return false;
}

/* Every token is compared with every byte, whether or not an earlier one matched. */
static const struct bearer *find_bearer(const struct rpc_auth *auth, const uint8_t *text,
                                        size_t len)
{
    const struct bearer *found = NULL;
    for (size_t i = 0; i < OSA_ARRAY_LEN(auth->bearers); i++) {
        const struct rpc_token *token = &auth->bearers[i].token;
        if (token->len == len && len > 0 && osa_equal_secret(token->text, text, len))
            found = &auth->bearers[i];
    }
    return found;
}

/* ---- peers ---- */

/* Connections that the agent accepts itself are "fd:N" to core; everything else is core's own. */
static void identify_descriptor(int fd, struct rpc_peer *peer)
{
    struct sockaddr_storage address = { 0 };
    socklen_t len = sizeof(address);
    char host[INET6_ADDRSTRLEN] = "";
    uint32_t uid;
    int32_t pid;
    if (getpeername(fd, (struct sockaddr *)&address, &len) < 0)
        return;
    if (address.ss_family == AF_UNIX) {
        (void)snprintf(peer->address, sizeof(peer->address), "unix");
        if (osa_peer_credentials(fd, &uid, &pid, /* err= */ NULL) != OSA_OK)
            return;
        (void)snprintf(peer->name, sizeof(peer->name), "uid:%u pid:%d", uid, pid);
        peer->role = RPC_ROLE_OPERATOR; /* the listener lets nobody else in */
    } else if (address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        (void)snprintf(peer->address, sizeof(peer->address), "ipv4:%s:%u", host,
                       ntohs(in->sin_port));
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        (void)snprintf(peer->address, sizeof(peer->address), "ipv6:[%s]:%u", host,
                       ntohs(in6->sin6_port));
    }
}

/* Did the connection come through a door that is there for health alone? */
static bool came_for_health(const struct rpc_auth *auth, int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t len = sizeof(address);
    if (auth->health_port_count == 0 || getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        return false;
    uint16_t port = 0;
    if (address.ss_family == AF_INET)
        port = ntohs(((const struct sockaddr_in *)&address)->sin_port);
    else if (address.ss_family == AF_INET6)
        port = ntohs(((const struct sockaddr_in6 *)&address)->sin6_port);
    for (size_t i = 0; i < auth->health_port_count; i++)
        if (auth->health_ports[i] == port)
            return true;
    return false;
}

static void identify_certificate(grpc_call *call, struct rpc_peer *peer)
{
    grpc_auth_context *context = grpc_call_auth_context(call);
    if (context == NULL)
        return;
    if (grpc_auth_context_peer_is_authenticated(context) != 0) {
        grpc_auth_property_iterator names =
            grpc_auth_context_find_properties_by_name(context, GRPC_X509_CN_PROPERTY_NAME);
        const grpc_auth_property *name = grpc_auth_property_iterator_next(&names);
        (void)snprintf(peer->name, sizeof(peer->name), "tls:%s",
                       name != NULL ? name->value : "(no common name)");
        peer->role = RPC_ROLE_OPERATOR;
    }
    grpc_auth_context_release(context);
}

/*
 * Return: whether the caller may ask for health alone.
 * *ret_fd: the connection's descriptor, -1 for those that core has accepted itself
 */
static bool identify(const struct rpc_auth *auth, grpc_call *call, struct rpc_peer *peer,
                     int *ret_fd)
{
    bool health_only = false;
    *ret_fd = -1;
    *peer = (struct rpc_peer){ .role = RPC_ROLE_ANYONE, .name = "anonymous" };
    char *address = grpc_call_get_peer(call);
    if (strncmp(address, "fd:", 3) == 0) {
        /* The call keeps its connection, so the number still names the socket that was accepted. */
        *ret_fd = (int)strtol(address + 3, NULL, 10);
        identify_descriptor(*ret_fd, peer);
        health_only = came_for_health(auth, *ret_fd);
    } else {
        (void)snprintf(peer->address, sizeof(peer->address), "%s", address);
        identify_certificate(call, peer);
    }
    gpr_free(address);
    return health_only;
}

static enum osa_code apply_token(struct rpc_auth *auth, const grpc_metadata_array *metadata,
                                 struct rpc_peer *peer, struct osa_error *err)
{
    static const char scheme[] = "Bearer ";
    const size_t skip = sizeof(scheme) - 1;
    ptrdiff_t at = rpc_metadata_find(metadata, "authorization");
    if (at < 0 || (auth->bearers[0].token.path == NULL && auth->bearers[1].token.path == NULL))
        return OSA_OK;
    const uint8_t *text = GRPC_SLICE_START_PTR(metadata->metadata[at].value);
    size_t len = GRPC_SLICE_LENGTH(metadata->metadata[at].value);
    const struct bearer *bearer = NULL;
    (void)pthread_mutex_lock(&auth->lock);
    reload(auth);
    if (len > skip && strncasecmp((const char *)text, scheme, skip) == 0)
        bearer = find_bearer(auth, text + skip, len - skip);
    (void)pthread_mutex_unlock(&auth->lock);
    if (bearer == NULL) {
        peer->role = RPC_ROLE_NONE;
        return osa_fail(err, OSA_UNAUTHENTICATED, 0,
                        "the bearer token is not one that this server knows");
    }
    peer->role = bearer->role;
    if (strcmp(peer->name, "anonymous") == 0)
        (void)snprintf(peer->name, sizeof(peer->name), "%s", bearer->name);
    return OSA_OK;
}

enum osa_code rpc_auth_check(struct rpc_auth *auth, grpc_call *call,
                             const grpc_metadata_array *metadata, enum rpc_role needed, bool health,
                             struct rpc_peer *ret_peer, struct osa_error *err)
{
    int fd;
    if (identify(auth, call, ret_peer,
                 &fd)) /* a token that came in the clear is not even looked at */
        return health && needed <= RPC_ROLE_ANYONE
                   ? OSA_OK
                   : osa_fail(err, OSA_UNAUTHENTICATED, 0,
                              "this address answers health checks alone; use another one");
    enum osa_code code = apply_token(auth, metadata, ret_peer, err);
    if (code != OSA_OK)
        return code;
    if (ret_peer->role > RPC_ROLE_ANYONE)
        rpc_read_guard_known(fd);
    if (ret_peer->role >= needed)
        return OSA_OK;
    if (ret_peer->role <= RPC_ROLE_ANYONE)
        return osa_fail(err, OSA_UNAUTHENTICATED, 0,
                        "this method needs a caller with a name; send metadata "
                        "'authorization: Bearer TOKEN'");
    return osa_fail(err, OSA_PERMISSION_DENIED, 0, "this method is for operators; '%s' is a viewer",
                    ret_peer->name);
}
