// SPDX-License-Identifier: Apache-2.0
/* Facts about this Linux host for GetInfo, probed and not guessed from version numbers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/**
 * struct host_info - Copied by value; what cannot be found out is empty, 0 or false
 * @kernel, @machine: as uname(2) has them: "6.1.0-40-amd64", "x86_64"
 * @cpus:          CPUs that this process may run on (sched_getaffinity(2))
 * @memory_bytes:  MemTotal of proc_meminfo(5)
 * @kvm:           /dev/kvm can be opened and speaks the stable API (kernel docs, virt/kvm/api.rst, 4.1)
 */
struct host_info {
    char kernel[65];
    char machine[65];
    uint32_t cpus;
    uint64_t memory_bytes;
    bool kvm;
};

/** host_info_probe() - Fill @ret_info. Thread: any */
void host_info_probe(struct host_info *ret_info);

/**
 * struct host_self - What this process uses
 * @cpu_ns:         user and system time of all threads
 * @resident_bytes: proc_pid_statm(5); 0: cannot be found out
 */
struct host_self {
    uint64_t cpu_ns;
    uint64_t resident_bytes;
    uint32_t descriptors;
    uint64_t descriptors_max;
};

/** host_self_probe() - Fill @ret_self. Thread: any */
void host_self_probe(struct host_self *ret_self);
