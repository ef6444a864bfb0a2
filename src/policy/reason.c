// SPDX-License-Identifier: Apache-2.0
#include "policy/reason.h"

#include "base/macros.h"

#include <assert.h>

static const struct {
    const char *name;
    const char *text;
} reasons[] = {
    [POLICY_REASON_NONE] = { "none", "allowed" },
    [POLICY_REASON_INPUT_MISSING] = { "input-missing",
                                      "the host, the port or the executable is not known" },
    [POLICY_REASON_HOST_INVALID] = { "host-invalid", "the host is not a name or an address" },
    [POLICY_REASON_NO_POLICIES] = { "no-policies", "the policy allows no network connections" },
    [POLICY_REASON_ENDPOINT_MISS] = { "endpoint-miss", "no rule lists this host and port" },
    [POLICY_REASON_BINARY_MISS] = { "binary-miss",
                                    "rules list this host and port, but not for this executable" },
    [POLICY_REASON_IDENTITY_PENDING] = { "identity-pending",
                                         "the first process of the sandbox is not known yet" },
    [POLICY_REASON_IDENTITY_FAILED] = { "identity-failed",
                                        "the process behind the connection was not found" },
    [POLICY_REASON_INTEGRITY] = { "integrity",
                                  "the executable is not the one that was used before" },
    [POLICY_REASON_SHARED_SOCKET] = { "shared-socket",
                                      "processes with different executables hold the socket" },
    [POLICY_REASON_EVALUATION] = { "eval-error", "the rules could not be applied to this" },
    [POLICY_REASON_QUARANTINE] = { "quarantine", "a new version of the policy was refused" },
    [POLICY_REASON_UNINSPECTED] = { "uninspected-credentials",
                                    "credentials would pass where nobody looks" },
    [POLICY_REASON_RESOLUTION] = { "resolution", "the host has no address" },
    [POLICY_REASON_GATEWAY] = { "trusted-gateway", "the address is not that of the host" },
    [POLICY_REASON_ALLOWED_IPS_BAD] = { "invalid-allowed-ips",
                                        "allowed_ips has an entry that cannot be used" },
    [POLICY_REASON_ALLOWED_IPS] = { "allowed-ips", "the address is outside allowed_ips" },
    [POLICY_REASON_DECLARED] = { "declared-endpoint", "the address is never allowed" },
    [POLICY_REASON_INTERNAL] = { "internal-address", "the address is not public" },
    [POLICY_REASON_ROUTE_MISS] = { "route-miss", "no endpoint of this host is for this path" },
    [POLICY_REASON_TARGET_INVALID] = { "target-invalid", "the request target is not acceptable" },
    [POLICY_REASON_UPGRADE_REQUIRED] = { "upgrade-required",
                                         "a websocket endpoint takes upgrades only" },
    [POLICY_REASON_GRAPHQL_INVALID] = { "graphql-invalid", "the GraphQL request is not valid" },
    [POLICY_REASON_GRAPHQL_UNREGISTERED] = { "graphql-unregistered",
                                             "the persisted query is not registered" },
    [POLICY_REASON_GRAPHQL_BLOCKED] = { "graphql-blocked", "the operation is blocked" },
    [POLICY_REASON_GRAPHQL_NOT_PERMITTED] = { "graphql-not-permitted",
                                              "no rule allows the operation" },
    [POLICY_REASON_RPC_INVALID] = { "rpc-invalid", "the JSON-RPC message is not valid" },
    [POLICY_REASON_RPC_RESPONSE] = { "jsonrpc-response", "a client sends no responses" },
    [POLICY_REASON_DENY_RULE] = { "deny-rule", "a deny rule matches the request" },
    [POLICY_REASON_NOT_PERMITTED] = { "not-permitted", "no rule allows the request" },
};
static_assert(OSA_ARRAY_LEN(reasons) == POLICY_REASON_COUNT, "each reason has a name and a text");

const char *policy_reason_name(enum policy_reason reason)
{
    return reasons[reason].name;
}

const char *policy_reason_text(enum policy_reason reason)
{
    return reasons[reason].text;
}
