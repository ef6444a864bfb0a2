// SPDX-License-Identifier: Apache-2.0
#include "agent/gateway/debug_rpc.h"

#include "agent/gateway/claims.h"
#include "agent/gateway/gateway.h"
#include "base/fd.h"
#include "io/digest.h"
#include "io/json_value.h"
#include "rpc/rpc.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_NS (10 * OSA_NS_PER_SEC)
#define TOKEN_BYTES 16384
#define FINGERPRINT_BYTES 8

typedef Openshell__Sandbox__V1__GetSandboxConfigRequest ConfigRequest;
typedef Openshell__Sandbox__V1__GetSandboxConfigResponse Config;

static const char usage[] =
    "usage: openshell-sandbox debug-rpc COMMAND\n"
    "\n"
    "  get-sandbox-config --sandbox-id ID  what the gateway has configured for a sandbox\n"
    "  refresh                             have the token renewed\n"
    "  show-token                          fingerprint and expiry of the token\n"
    "  show-principal                      all that the token says\n"
    "\n"
    "The first two call OPENSHELL_ENDPOINT. The token is that of OPENSHELL_SANDBOX_TOKEN or\n"
    "OPENSHELL_SANDBOX_TOKEN_FILE; for calls also one for that of OPENSHELL_K8S_SA_TOKEN_FILE.\n";

/* ---- what is printed ---- */

static void print_token(const char *token, int64_t expires_ms, bool expiry_known)
{
    struct json_t *claims = claims_read(token);
    uint8_t digest[IO_SHA256_SIZE];
    const char *const names[] = { "sandbox_id", "sub", "iss" };
    const char *const labels[] = { "sandbox_id", "subject", "issuer" };
    io_sha256(token, strlen(token), digest);
    (void)printf("fingerprint=sha256:");
    for (size_t i = 0; i < FINGERPRINT_BYTES; i++)
        (void)printf("%02x", digest[i]);
    (void)printf("\nexpires_at_ms=%" PRId64 "\n",
                 expiry_known ? expires_ms : claims_expiry_ms(claims));
    for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++) {
        const char *text = io_json_text(claims, names[i]);
        (void)printf("%s=%s\n", labels[i], text != NULL ? text : "");
    }
    io_json_free(claims);
}

/* gRPC's names in the spelling that scripts know: PermissionDenied. */
static void print_error(const struct osa_error *err)
{
    bool begins = true;
    for (const char *p = osa_code_name(err->code); *p != '\0'; p++) {
        if (*p != '_')
            (void)fputc(begins ? *p : tolower((unsigned char)*p), stderr);
        begins = *p == '_';
    }
    (void)fprintf(stderr, ": %s\n", err->text);
}

static int complain(const char *text)
{
    (void)fprintf(stderr, "openshell-sandbox: debug-rpc: %s\n", text);
    return 1;
}

/* ---- commands that look at the token ---- */

/* Return: the token, free with free(); NULL after a complaint. */
static char *local_token(const struct gateway_config *config)
{
    struct osa_error err = { 0 };
    char *text = NULL;
    size_t len = 0;
    if (config->token != NULL && config->token[0] != '\0')
        return strdup(config->token);
    if (config->token_file == NULL || config->token_file[0] == '\0') {
        (void)complain("no token: set OPENSHELL_SANDBOX_TOKEN or OPENSHELL_SANDBOX_TOKEN_FILE");
        return NULL;
    }
    if (osa_read_file(AT_FDCWD, config->token_file, TOKEN_BYTES, &text, &len, &err) != OSA_OK) {
        (void)complain(err.text);
        return NULL;
    }
    char *start = text + strspn(text, " \t\r\n");
    size_t used = strlen(start);
    while (used > 0 && strchr(" \t\r\n", start[used - 1]) != NULL)
        used--;
    memmove(text, start, used);
    text[used] = '\0';
    return text;
}

static int show_token(struct gateway *gateway, const char *sandbox_id)
{
    (void)sandbox_id;
    char *token = local_token(gateway->config);
    if (token == NULL)
        return 1;
    print_token(token, 0, /* expiry_known= */ false);
    free(token);
    return 0;
}

static int show_principal(struct gateway *gateway, const char *sandbox_id)
{
    (void)sandbox_id;
    char *token = local_token(gateway->config);
    if (token == NULL)
        return 1;
    struct json_t *claims = claims_read(token);
    char *text = claims != NULL ? io_json_pretty(claims) : NULL;
    free(token);
    io_json_free(claims);
    if (text == NULL)
        return complain("the token is no JSON web token");
    (void)printf("%s\n", text);
    free(text);
    return 0;
}

/* ---- commands that call ---- */

static int get_config(struct gateway *gateway, const char *sandbox_id)
{
    ConfigRequest request = OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_REQUEST__INIT;
    ProtobufCMessage *reply = NULL;
    struct osa_error err = { 0 };
    if (sandbox_id == NULL)
        return complain("get-sandbox-config needs --sandbox-id ID");
    request.sandbox_id = (char *)(uintptr_t)sandbox_id;
    if (rpc_client_unary(gateway->channel, GATEWAY_METHOD("GetSandboxConfig"), &request.base,
                         &openshell__sandbox__v1__get_sandbox_config_response__descriptor,
                         osa_deadline_after(CALL_NS), &reply, &err) != OSA_OK) {
        print_error(&err);
        bool known = err.code == OSA_NOT_FOUND || err.code == OSA_PERMISSION_DENIED ||
                     err.code == OSA_UNAUTHENTICATED;
        return known ? (int)err.code : 1;
    }
    const Config *config = (const Config *)reply;
    (void)printf("version=%" PRIu32 " policy_hash=%s config_revision=%" PRIu64 "\n",
                 config->version, config->policy_hash, config->config_revision);
    protobuf_c_message_free_unpacked(reply, NULL);
    return 0;
}

static int refresh(struct gateway *gateway, const char *sandbox_id)
{
    (void)sandbox_id;
    GATEWAY(RefreshSandboxTokenRequest) request = GATEWAY_INIT(REFRESH_SANDBOX_TOKEN_REQUEST);
    ProtobufCMessage *reply = NULL;
    struct osa_error err = { 0 };
    if (rpc_client_unary(gateway->channel, GATEWAY_METHOD("RefreshSandboxToken"), &request.base,
                         &openshell__v1__refresh_sandbox_token_response__descriptor,
                         osa_deadline_after(CALL_NS), &reply, &err) != OSA_OK) {
        print_error(&err);
        return 1;
    }
    const GATEWAY(RefreshSandboxTokenResponse) *renewed =
        (const GATEWAY(RefreshSandboxTokenResponse) *)reply;
    print_token(renewed->token, renewed->expires_at_ms, /* expiry_known= */ true);
    protobuf_c_message_free_unpacked(reply, NULL);
    return 0;
}

static int call(struct gateway *gateway, int (*command)(struct gateway *, const char *),
                const char *sandbox_id)
{
    struct osa_error err = { 0 };
    int status = 1;
    if (gateway->config->endpoint == NULL)
        return complain("OPENSHELL_ENDPOINT must be set");
    rpc_init();
    if (osa_loop_new(&gateway->program.loop, &err) != OSA_OK ||
        gateway_connect(gateway, &err) != OSA_OK)
        print_error(&err);
    else
        status = command(gateway, sandbox_id);
    rpc_channel_free(gateway->channel);
    osa_loop_free(gateway->program.loop);
    return status;
}

/* ---- which ---- */

static const struct {
    const char *name;
    int (*run)(struct gateway *gateway, const char *sandbox_id);
    bool calls;
} commands[] = {
    { "get-sandbox-config", get_config, true },
    { "refresh", refresh, true },
    { "show-token", show_token, false },
    { "show-principal", show_principal, false },
};

static const char *flag_of(int argc, const char *const *argv)
{
    static const char flag[] = "--sandbox-id";
    const size_t len = sizeof(flag) - 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], flag) == 0)
            return i + 1 < argc ? argv[i + 1] : NULL;
        if (strncmp(argv[i], flag, len) == 0 && argv[i][len] == '=')
            return argv[i] + len + 1;
    }
    return NULL;
}

int debug_rpc(int argc, const char *const *argv)
{
    static struct gateway gateway;
    struct osa_error err = { 0 };
    const char *name = argc > 0 ? argv[0] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        (void)fputs(usage, stdout);
        return 0;
    }
    for (size_t i = 0; i < OSA_ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (gateway_config_load(0, argv, &gateway.config, &err) != OSA_OK)
            return complain(err.text);
        const char *id = flag_of(argc, argv);
        int status =
            commands[i].calls ? call(&gateway, commands[i].run, id) : commands[i].run(&gateway, id);
        gateway_config_free(gateway.config);
        return status;
    }
    if (argc > 0)
        (void)fprintf(stderr, "openshell-sandbox: debug-rpc: '%s' is not known\n\n", name);
    (void)fputs(usage, stderr);
    return 1;
}
