// SPDX-License-Identifier: Apache-2.0
/* Why a connection or request is refused: one reason for each decision, with a name and a text. */
#pragma once

/*
 * Order is not by importance. IDENTITY_PENDING to SHARED_SOCKET are found by whoever looks up the
 * process that owns a connection, and handed in; all others are found here.
 */
enum policy_reason {
    POLICY_REASON_NONE, /* allowed */
    /* connections */
    POLICY_REASON_INPUT_MISSING,    /* no host, port or executable to decide on */
    POLICY_REASON_HOST_INVALID,     /* not ASCII, or not a host name or address */
    POLICY_REASON_NO_POLICIES,      /* the document has no network_policies */
    POLICY_REASON_ENDPOINT_MISS,    /* no rule lists host:port */
    POLICY_REASON_BINARY_MISS,      /* a rule lists host:port, none for this executable */
    POLICY_REASON_IDENTITY_PENDING, /* the sandbox's first process is not known yet */
    POLICY_REASON_IDENTITY_FAILED,  /* the process behind the connection was not found */
    POLICY_REASON_INTEGRITY,        /* an executable's bytes changed since its first use */
    POLICY_REASON_SHARED_SOCKET,    /* several processes with differing identity hold the socket */
    POLICY_REASON_EVALUATION,       /* the decision could not be made: a limit of the matcher */
    POLICY_REASON_QUARANTINE,       /* a new policy was refused, and the sandbox fails closed */
    POLICY_REASON_UNINSPECTED,      /* credentials would travel where nobody looks */
    /* destinations */
    POLICY_REASON_RESOLUTION,      /* the name has no address */
    POLICY_REASON_GATEWAY,         /* an alias of the host that is not the trusted gateway */
    POLICY_REASON_ALLOWED_IPS_BAD, /* allowed_ips has an entry that cannot be used */
    POLICY_REASON_ALLOWED_IPS,     /* an address outside allowed_ips */
    POLICY_REASON_DECLARED,        /* a declared host at an address that is never allowed */
    POLICY_REASON_INTERNAL,        /* an address that is not public */
    /* requests */
    POLICY_REASON_ROUTE_MISS,            /* no endpoint of this host is for this path */
    POLICY_REASON_TARGET_INVALID,        /* request target that cannot be made canonical */
    POLICY_REASON_UPGRADE_REQUIRED,      /* not an upgrade, on a websocket endpoint */
    POLICY_REASON_GRAPHQL_INVALID,       /* the document was not understood */
    POLICY_REASON_GRAPHQL_UNREGISTERED,  /* persisted query that is not in the registry */
    POLICY_REASON_GRAPHQL_BLOCKED,       /* an operation that a rule denies, or none allows */
    POLICY_REASON_GRAPHQL_NOT_PERMITTED, /* no rule allows the operation */
    POLICY_REASON_RPC_INVALID,           /* the JSON-RPC or MCP message was not understood */
    POLICY_REASON_RPC_RESPONSE,          /* a JSON-RPC response from the client's side */
    POLICY_REASON_DENY_RULE,             /* a deny rule */
    POLICY_REASON_NOT_PERMITTED,         /* no rule allows the request */
    POLICY_REASON_COUNT
};

/** policy_reason_name() - "endpoint-miss" and so on; "none" for NONE. Return: a constant */
const char *policy_reason_name(enum policy_reason reason);

/** policy_reason_text() - One clause for a person, without names of the case at hand. Return: a constant */
const char *policy_reason_text(enum policy_reason reason);
