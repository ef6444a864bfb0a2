// SPDX-License-Identifier: Apache-2.0
#include "agent/service/commands.h"

#include "base/clock.h"
#include "base/paths.h"
#include "rpc/client.h"

#include "grpc/health/v1/health.pb-c.h"
#include "openshell/agent/v1/agent.pb-c.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEALTH_TIMEOUT_NS (5 * OSA_NS_PER_SEC)
/* Longer than the longest drain that the server may be configured for is not known here: add slack. */
#define DRAIN_SLACK_NS (30 * OSA_NS_PER_SEC)
#define RESPONSE_BYTES ((size_t)1 << 20)

enum { EXIT_SERVING = 0, EXIT_NOT_SERVING = 1, EXIT_USAGE = 2, EXIT_NO_ANSWER = 3 };

struct client {
    struct agent_config *config;
    struct osa_loop *loop;
    struct rpc_channel *channel;
    char token_file[PATH_MAX];
    char address[PATH_MAX + 16]; /* the default one */
};

bool commands_show_help(const struct agent_config *config)
{
    struct osa_buf text;
    if (config->version)
        (void)printf("openshell-agent %s\n", OSA_VERSION);
    if (!config->help)
        return config->version;
    osa_buf_init(&text, 65536);
    agent_config_help(80, &text);
    (void)fputs(text.data != NULL ? text.data : "", stdout);
    osa_buf_done(&text);
    return true;
}

int commands_usage(const char *command)
{
    static const char text[] =
        "usage: openshell-agent serve [OPTIONS]   run the agent\n"
        "       openshell-agent sandbox [OPTIONS] run one sandbox for OpenShell's gateway; also "
        "under the name openshell-sandbox\n"
        "       openshell-agent health [OPTIONS]  ask whether it serves: exit status 0, else 1 or "
        "3\n"
        "       openshell-agent drain [OPTIONS]   let it finish its work and take no more\n"
        "       openshell-agent copy-self PATH    put this program there, for another image to "
        "start\n"
        "       openshell-agent man               print the man page: openshell-agent man | man -l "
        "-\n"
        "       openshell-agent serve --help      the options, which health and drain share\n";
    if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0) {
        (void)fputs(text, stdout);
        return 0;
    }
    if (strcmp(command, "--version") == 0 || strcmp(command, "-V") == 0) {
        (void)printf("openshell-agent %s\n", OSA_VERSION);
        return 0;
    }
    if (command[0] != '\0')
        (void)fprintf(stderr, "openshell-agent: '%s' is not a command\n", command);
    (void)fputs(text, stderr);
    return EXIT_USAGE;
}

static void client_done(struct client *client)
{
    rpc_channel_free(client->channel);
    osa_loop_free(client->loop);
    agent_config_free(client->config);
}

/* Where the server would put a token by itself; none when there is no such file. */
static const char *find_token(struct client *client)
{
    char dir[PATH_MAX - 8];
    if (client->config->token_file != NULL)
        return client->config->token_file;
    osa_runtime_dir(dir, sizeof(dir));
    (void)snprintf(client->token_file, sizeof(client->token_file), "%s/token", dir);
    return access(client->token_file, R_OK) == 0 ? client->token_file : NULL;
}

/*
 * A Unix socket where there is one: it needs neither a token nor a name in a certificate. Where
 * fd:NAME leads, only the service manager knows; its unit of ours is at the default address.
 */
static const char *choose_target(struct client *client)
{
    const struct osa_strings *listen = &client->config->listen;
    const char *tcp = NULL;
    for (size_t i = 0; i < listen->count; i++) {
        if (strncmp(listen->items[i], "unix:", 5) == 0)
            return listen->items[i];
        if (tcp == NULL && strncmp(listen->items[i], "fd:", 3) != 0)
            tcp = listen->items[i];
    }
    osa_default_address(client->address, sizeof(client->address));
    return tcp != NULL ? tcp : client->address;
}

/* Return: an exit status, or -1 when the client stands. */
static int client_open(struct client *client, int argc, const char *const *argv)
{
    struct osa_error err = { 0 };
    if (agent_config_load(argc, argv, &client->config, &err) != OSA_OK) {
        (void)fprintf(stderr, "openshell-agent: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (commands_show_help(client->config))
        return 0;
    /* What core has to say about a connection is in the error, too. */
    osa_log_setup(OSA_LOG_ERROR, OSA_LOG_TEXT, STDERR_FILENO);
    const char *target = choose_target(client);
    const struct agent_config *config = client->config;
    bool tls =
        strncmp(target, "unix:", 5) != 0 && (config->tls_cert != NULL || config->tls_ca != NULL);
    bool shows = tls && (config->tls_client_ca != NULL || config->tls_ca != NULL);
    const struct rpc_channel_config channel = {
        .target = target,
        .tls = tls,
        .ca = !tls                     ? NULL
              : config->tls_ca != NULL ? config->tls_ca
                                       : config->tls_cert,
        .cert = shows ? config->tls_cert : NULL,
        .key = shows ? config->tls_key : NULL,
        .server_name = tls ? config->tls_server_name : NULL,
        .token_file = strncmp(target, "unix:", 5) != 0 ? find_token(client) : NULL,
        .max_message_bytes = RESPONSE_BYTES,
    };
    enum osa_code code = osa_loop_new(&client->loop, &err);
    if (code == OSA_OK) {
        struct rpc_channel_config with_loop = channel;
        with_loop.loop = client->loop;
        code = rpc_channel_new(&with_loop, &client->channel, &err);
    }
    if (code == OSA_OK)
        return -1;
    (void)fprintf(stderr, "openshell-agent: %s\n", err.text);
    return EXIT_NO_ANSWER;
}

static int report(const struct osa_error *err)
{
    (void)fprintf(stderr, "openshell-agent: %s: %s\n", osa_code_name(err->code), err->text);
    return EXIT_NO_ANSWER;
}

static int ask_health(struct client *client)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct osa_error err = { 0 };
    if (rpc_client_unary(client->channel, "/grpc.health.v1.Health/Check", &request.base,
                         &grpc__health__v1__health_check_response__descriptor,
                         osa_deadline_after(HEALTH_TIMEOUT_NS), &reply, &err) != OSA_OK)
        return report(&err);
    bool serving = ((const Grpc__Health__V1__HealthCheckResponse *)reply)->status ==
                   GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    protobuf_c_message_free_unpacked(reply, NULL);
    (void)printf("%s\n", serving ? "SERVING" : "NOT_SERVING");
    return serving ? EXIT_SERVING : EXIT_NOT_SERVING;
}

int commands_health(int argc, const char *const *argv)
{
    struct client client = { 0 };
    int status = client_open(&client, argc, argv);
    if (status < 0)
        status = ask_health(&client);
    client_done(&client);
    return status;
}

static int ask_drain(struct client *client)
{
    Openshell__Agent__V1__DrainRequest request = OPENSHELL__AGENT__V1__DRAIN_REQUEST__INIT;
    Google__Protobuf__Duration timeout = GOOGLE__PROTOBUF__DURATION__INIT;
    ProtobufCMessage *reply = NULL;
    struct osa_error err = { 0 };
    int64_t timeout_ns = client->config->drain_timeout_ns;
    timeout.seconds = timeout_ns / OSA_NS_PER_SEC;
    timeout.nanos = (int32_t)(timeout_ns % OSA_NS_PER_SEC);
    request.timeout = &timeout;
    if (rpc_client_unary(client->channel, "/openshell.agent.v1.SandboxAgent/Drain", &request.base,
                         &openshell__agent__v1__drain_response__descriptor,
                         osa_deadline_after(timeout_ns + DRAIN_SLACK_NS), &reply, &err) != OSA_OK)
        return report(&err);
    const Openshell__Agent__V1__DrainResponse *drained =
        (const Openshell__Agent__V1__DrainResponse *)reply;
    (void)printf("drained: %u ended, %u killed\n", drained->ended, drained->killed);
    protobuf_c_message_free_unpacked(reply, NULL);
    return EXIT_SERVING;
}

int commands_drain(int argc, const char *const *argv)
{
    struct client client = { 0 };
    int status = client_open(&client, argc, argv);
    if (status < 0)
        status = ask_drain(&client);
    client_done(&client);
    return status;
}
