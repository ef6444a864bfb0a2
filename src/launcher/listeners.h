// SPDX-License-Identifier: Apache-2.0
/*
 * Answers to calls that a filter refuses by notification (seccomp_unotify(2)).
 *
 * A notification reaches whoever holds the filter's listener, tells the call, and waits for an
 * answer, which here is always EPERM: nothing is ever let through, so that nothing depends on
 * arguments that the caller may change meanwhile. Each process has a filter and so a listener of its
 * own, which its children share; that is how a refusal is known to be of its tree.
 *
 * The answer does not depend on the agent: who is refused waits for init (or its keeper) alone. The
 * agent is told as far as its socket has room, and of one process at most BURST at once and then one
 * each INTERVAL; the rest is counted.
 */
#pragma once

#include <stdint.h>

/**
 * listeners_open() - A set of listeners
 * Return: a descriptor that is readable when listeners_serve() has work, CLOEXEC; -1 with errno.
 */
int listeners_open(void);

/**
 * listeners_add() - Answer the notifications of @listener as those of process @key, until its tree
 * has ended
 * @listener: taken; -1: nothing is done. Without memory it is closed, and then refused calls give
 *            ENOSYS instead of EPERM.
 */
void listeners_add(int set, int listener, uint64_t key);

/**
 * listeners_serve() - Answer what waits, tell the agent by DENIED on @sock; blocks on neither
 * To be called before an exit is reported, so that what is told comes before it.
 */
void listeners_serve(int set, int sock);
