// SPDX-License-Identifier: Apache-2.0
/* Facts about this Linux host for GetInfo, probed and not guessed from version numbers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Bits of host_info.namespaces, in the order of /proc/self/ns; equal to NAMESPACE_* of backend.h. */
enum {
    HOST_NS_USER = 1u << 0,
    HOST_NS_MNT = 1u << 1,
    HOST_NS_PID = 1u << 2,
    HOST_NS_NET = 1u << 3,
    HOST_NS_IPC = 1u << 4,
    HOST_NS_UTS = 1u << 5,
    HOST_NS_CGROUP = 1u << 6,
};

/**
 * struct host_info - Copied by value
 * @kernel, @machine: as uname(2) has them: "6.1.0-40-amd64", "x86_64"
 * @cpus:          CPUs that this process may run on (sched_getaffinity(2))
 * @memory_bytes:  MemTotal
 * @landlock_abi:  0: not there or switched off
 * @seccomp:       filters can be installed
 * @namespaces:    HOST_NS_* that this process can create, those that need a user namespace of its
 *                 own first included
 * @namespaces_need_user: they need one: this process is not privileged
 * @kvm:           /dev/kvm can be opened and answers
 */
struct host_info {
    char kernel[65];
    char machine[65];
    uint32_t cpus;
    uint64_t memory_bytes;
    uint32_t landlock_abi;
    bool seccomp;
    unsigned namespaces;
    bool namespaces_need_user;
    bool kvm;
};

/**
 * host_info_probe() - Fill @ret_info; what cannot be found out stays 0 or false
 * Namespaces are probed by making children that exit at once, by a bare clone(2): allowed in a
 * process with threads, but SIGCHLD must not be reaped by another thread meanwhile. Takes about
 * 2 ms; call it once, at the start.
 */
void host_info_probe(struct host_info *ret_info);
