// SPDX-License-Identifier: Apache-2.0
/* The SandboxAgent service: between the wire and the agent. */
#pragma once

#include "agent/agent.h"
#include "rpc/server.h"

/**
 * struct service_host - The host, as GetInfo tells it; filled by main, which knows the system
 * @os:          "linux"
 * @namespaces:  NAMESPACE_* that can be made
 * @denial_sources, @denial_gaps: as in struct backend_info
 * @controllers: names of usable cgroup controllers, separated by blanks
 */
struct service_host {
    char os[32];
    char kernel[65];
    char machine[65];
    uint32_t cpus;
    uint64_t memory_bytes;
    uint32_t landlock_abi;
    bool seccomp;
    unsigned namespaces;
    uint32_t cgroup_version;
    char controllers[64];
    bool kvm;
    char denial_sources[64];
    char denial_gaps[384];
};

/**
 * struct service - What the handlers work on: the ctx of rpc_server_add_service(); outlives the server
 * @version: of the program
 */
struct service {
    struct osa_loop *loop;
    struct agent *agent;
    const char *version;
    struct service_host host;
};

/* Its table of methods. */
extern const struct rpc_service service_sandbox_agent;
