// SPDX-License-Identifier: Apache-2.0
/* A channel of the client: target, credentials, limits. Its calls are in client.c. */
#include "base/fd.h"
#include "rpc/client_internal.h"
#include "rpc/pem.h"
#include "rpc/rpc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <string.h>

#define PEM_MAX_BYTES ((size_t)1024 * 1024)
#define DEFAULT_MESSAGE_BYTES ((size_t)4 * 1024 * 1024)
#define KEEPALIVE_MS 60000
#define KEEPALIVE_TIMEOUT_MS 20000
#define CONNECT_TIMEOUT_MS 20000 /* of one attempt, TLS included */
#define RECONNECT_FIRST_MS 100
#define RECONNECT_MAX_MS 5000

/* ---- what the target says ---- */

struct target {
    const char *address; /* as core wants it */
    bool tls;
    bool local; /* no wire between us and them */
};

static bool is_loopback(const char *address)
{
    struct in_addr in;
    char host[64];
    const char *colon = strrchr(address, ':');
    (void)snprintf(host, sizeof(host), "%.*s",
                   colon != NULL ? (int)(colon - address) : (int)strlen(address), address);
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &in) == 1 && ntohl(in.s_addr) >> 24 == 127);
}

static const char *non_empty(const char *path)
{
    return path != NULL && path[0] != '\0' ? path : NULL;
}

static enum osa_code parse_target(const struct rpc_channel_config *config, struct target *ret,
                                  struct osa_error *err)
{
    static const char https[] = "https://";
    static const char http[] = "http://";
    *ret = (struct target){ .address = config->target,
                            .tls = config->tls || non_empty(config->ca) != NULL ||
                                   non_empty(config->cert) != NULL };
    bool plain = false;
    if (strncmp(ret->address, https, sizeof(https) - 1) == 0) {
        ret->address += sizeof(https) - 1;
        ret->tls = true;
    } else if (strncmp(ret->address, http, sizeof(http) - 1) == 0) {
        ret->address += sizeof(http) - 1;
        plain = true;
    }
    bool is_unix = strncmp(ret->address, "unix:", 5) == 0;
    if (ret->address[0] == '\0' || (is_unix && ret->address[5] == '\0'))
        return osa_fail(
            err, OSA_INVALID_ARGUMENT, 0,
            "target '%s' names no server; use unix:PATH, HOST:PORT or https://HOST:PORT",
            config->target);
    const char *colon = strrchr(ret->address, ':');
    if (colon == NULL || colon[1] == '\0' || strchr(colon, ']') != NULL)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "target '%s' lacks a port; use unix:PATH, HOST:PORT or https://HOST:PORT",
                        config->target);
    if (ret->tls && (plain || is_unix))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0, "target '%s' does not take TLS",
                        config->target);
    ret->local = is_unix || is_loopback(ret->address);
    if (non_empty(config->token_file) != NULL && !ret->tls && !ret->local && !config->plain_token)
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "the token would travel to '%s' unencrypted; use https://HOST:PORT",
                        config->target);
    return OSA_OK;
}

/* ---- credentials ---- */

static enum osa_code read_pem(const char *path, char **ret_pem, struct osa_error *err)
{
    if (non_empty(path) == NULL)
        return OSA_OK;
    return osa_read_file(AT_FDCWD, path, PEM_MAX_BYTES, ret_pem, /* ret_len= */ NULL, err);
}

static enum osa_code create_credentials(const struct rpc_channel_config *config, bool tls,
                                        grpc_channel_credentials **ret, struct osa_error *err)
{
    if (!tls) {
        *ret = grpc_insecure_credentials_create();
        return OSA_OK;
    }
    OSA_AUTO(osa_free) char *ca = NULL;
    OSA_AUTO(osa_free) char *cert = NULL;
    OSA_AUTO(osa_free) char *key = NULL;
    enum osa_code code = read_pem(config->ca, &ca, err);
    if (code == OSA_OK)
        code = read_pem(config->cert, &cert, err);
    if (code == OSA_OK)
        code = read_pem(config->key, &key, err);
    if (code != OSA_OK)
        return code;
    if ((cert == NULL) != (key == NULL))
        return osa_fail(err, OSA_INVALID_ARGUMENT, 0,
                        "a client certificate needs its key, and a key its certificate");
    if (ca != NULL)
        code = rpc_pem_check_certificate(ca, config->ca, err);
    if (code == OSA_OK && cert != NULL)
        code = rpc_pem_check_pair(cert, config->cert, key, config->key, err);
    if (code != OSA_OK)
        return code;
    grpc_ssl_pem_key_cert_pair pair = { .private_key = key, .cert_chain = cert };
    *ret = grpc_ssl_credentials_create_ex(ca, cert != NULL ? &pair : NULL, NULL, NULL);
    if (key != NULL)
        osa_wipe(key, strlen(key));
    return OSA_OK;
}

/* ---- life ---- */

static grpc_arg int_arg(const char *key, int value)
{
    return (grpc_arg){ .type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value };
}

static grpc_channel *create_core(const struct rpc_channel_config *config, const char *address,
                                 grpc_channel_credentials *credentials)
{
    size_t max = config->max_message_bytes != 0 ? config->max_message_bytes : DEFAULT_MESSAGE_BYTES;
    grpc_arg args[] = {
        int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)OSA_MIN(max, (size_t)INT32_MAX)),
        int_arg(GRPC_ARG_KEEPALIVE_TIME_MS,
                config->keepalive_ms != 0 ? (int)config->keepalive_ms : KEEPALIVE_MS),
        int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0), /* as many as it takes */
        int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
        int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, RECONNECT_FIRST_MS),
        /* Its name misleads: it is how long core lets an attempt take before it gives it up. */
        int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_TIMEOUT_MS),
        int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_MAX_MS),
        int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0), /* http_proxy is meant for workloads */
        int_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
        { .type = GRPC_ARG_STRING,
          .key = (char *)GRPC_SSL_TARGET_NAME_OVERRIDE_ARG,
          .value.string = (char *)config->server_name },
    };
    size_t count = OSA_ARRAY_LEN(args);
    if (non_empty(config->server_name) == NULL)
        count--;
    return grpc_channel_create(address, credentials, &(grpc_channel_args){ count, args });
}

enum osa_code rpc_channel_new(const struct rpc_channel_config *config,
                              struct rpc_channel **ret_channel, struct osa_error *err)
{
    struct target target;
    enum osa_code code = parse_target(config, &target, err);
    if (code != OSA_OK)
        return code;
    rpc_init();
    grpc_channel_credentials *credentials = NULL;
    code = create_credentials(config, target.tls, &credentials, err);
    if (code != OSA_OK)
        return code;
    struct rpc_channel *channel = calloc(1, sizeof(*channel));
    if (channel == NULL)
        abort();
    channel->loop = config->loop;
    channel->core = create_core(config, target.address, credentials);
    grpc_channel_credentials_release(credentials);
    rpc_worker_init(&channel->worker);
    if (non_empty(config->token_file) != NULL) {
        channel->token_path = strdup(config->token_file);
        rpc_token_init(&channel->token, channel->token_path);
        code = rpc_token_read(&channel->token, err);
    }
    if (code == OSA_OK)
        code = rpc_worker_start(&channel->worker, "rpc-client", err);
    if (code != OSA_OK) {
        rpc_channel_free(channel);
        return code;
    }
    *ret_channel = channel;
    return OSA_OK;
}

enum osa_code rpc_channel_set_token(struct rpc_channel *channel, const char *token,
                                    struct osa_error *err)
{
    return rpc_token_set(&channel->token, token, err);
}
