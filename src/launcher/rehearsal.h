// SPDX-License-Identifier: Apache-2.0
/*
 * A sandbox that is built to see whether it can be, and thrown away.
 *
 * What a host lets us do is no sum of kernel features: a missing capability, a security module or
 * the initramfs as root each end a set-up half way. So init's own steps are taken, in its order, in
 * a forked child; the first that fails says why the level does not hold here.
 */
#pragma once

#include "launcher/start.h"

#include <stdbool.h>
#include <stdint.h>

/**
 * rehearse() - Build a sandbox with @namespaces in a child and confine that child
 * Namespaces, maps, host name, loopback, root, keyring; then, as for every process, core dumps,
 * user, capabilities, no_new_privs, Landlock where the kernel has it. Not the filter. Then a signal.
 * @namespaces: PLAN_NS_* bits; 0: the confinement of a process alone
 * @ret_why:    on failure: the step and the errno, and a text or the file or call at fault
 * Thread: the only one; forks, waits, leaves nothing behind. Return: did all succeed?
 */
bool rehearse(uint32_t namespaces, struct start_report *ret_why);
