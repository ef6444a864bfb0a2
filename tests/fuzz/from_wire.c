// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a Spawn or a CreateSandbox: what the scan lets through becomes a domain struct or a refusal. */
#include "fuzz/target.h"

#include "agent/service/service_internal.h"
#include "rpc/message.h"
#include "wire/policy_wire.h"

#include <stdlib.h>
#include <string.h>

static const struct spec_rules rules = { .max_exec_bytes = 1 << 20,
                                         .output_retain_bytes = 1 << 20 };

/* A refusal is the client's fault and says why. */
static void check_verdict(enum osa_code code, const struct osa_error *err)
{
    if (code != OSA_OK && (code != OSA_INVALID_ARGUMENT || err->text[0] == '\0'))
        abort();
}

static void check_environment(const struct process_request *request)
{
    struct osa_arena scratch = { 0 };
    const struct spec_pairs none = { 0 };
    strlist env = spec_environment(&scratch, &none, &none, request);
    for (size_t i = 0; env[i] != NULL; i++)
        if (strchr(env[i], '=') == NULL)
            abort();
    osa_arena_done(&scratch);
}

static void spawn(const ProtobufCMessage *message)
{
    struct process_request *request = NULL;
    struct osa_error err = { 0 };
    enum osa_code code =
        process_request_from_wire((const V1(SpawnRequest) *)message, &request, &err);
    check_verdict(code, &err);
    if (code != OSA_OK)
        return;
    code = process_request_check(request, &rules, &err);
    check_verdict(code, &err);
    if (code == OSA_OK)
        check_environment(request);
    process_request_free(request);
}

static void create(const ProtobufCMessage *message)
{
    struct sandbox_request *request = NULL;
    struct osa_error err = { 0 };
    enum osa_code code =
        sandbox_request_from_wire((const V1(CreateSandboxRequest) *)message, &request, &err);
    check_verdict(code, &err);
    if (code != OSA_OK)
        return;
    check_verdict(sandbox_request_check(request, &rules, &err), &err);
    sandbox_request_free(request);
}

static void unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t size,
                   void (*use)(const ProtobufCMessage *message))
{
    ProtobufCMessage *message = NULL;
    if (rpc_message_unpack(type, &rpc_scan_default, data, size, &message, NULL) != OSA_OK)
        return;
    use(message);
    protobuf_c_message_free_unpacked(message, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unpack(&openshell__agent__v1__spawn_request__descriptor, data, size, spawn);
    unpack(&openshell__agent__v1__create_sandbox_request__descriptor, data, size, create);
    return 0;
}
