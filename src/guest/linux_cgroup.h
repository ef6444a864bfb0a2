// SPDX-License-Identifier: Apache-2.0
/* Cgroups of the guest, which a container has read-only. */
#pragma once

/**
 * guest_cgroup_parent() - Make cgroups of the guest writable to this process and its children, if they are not
 * In a mount namespace of its own; the container's other processes keep what they have. Needs
 * CAP_SYS_ADMIN, which the agent has asked the server for.
 * Return: the parent for the process backend; NULL: it finds its own
 * Source: mount(2), "remounting"; cgroups(7)
 */
const char *guest_cgroup_parent(void);
