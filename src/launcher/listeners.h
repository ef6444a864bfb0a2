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
 *
 * Answering costs time of init, which no limit of the sandbox is charged for. So whoever makes tens
 * of thousands of refused calls waits for the answers: ANSWERS at once, then one each ANSWER_NS.
 */
#pragma once

#include "base/rate.h"

#include <stdbool.h>
#include <stdint.h>

struct listener;

/**
 * struct listeners - A set of them; embedded in its owner
 * @fd:    owned; readable when listeners_serve() has work; -1: not open
 * @first: owned; most recent first
 * @pace:  of the answers
 */
struct listeners {
    int fd;
    struct osa_rate pace;
    bool waiting; /* for the next answer that is allowed */
    struct listener *first;
};

/** listeners_open() - An empty set, whose descriptor is CLOEXEC. Return: false with errno */
bool listeners_open(struct listeners *set);

/** listeners_forget() - Drop what a fork has copied: its parent answers those */
void listeners_forget(struct listeners *set);

/**
 * listeners_add() - Answer the notifications of @listener as those of process @key, until its tree
 * has ended
 * @listener: taken; -1: nothing is done. Without memory it is closed, and then refused calls give
 *            ENOSYS instead of EPERM.
 */
void listeners_add(struct listeners *set, int listener, uint64_t key);

/** listeners_serve() - Answer what waits, tell the agent by DENIED on @sock; blocks on neither */
void listeners_serve(struct listeners *set, int sock);

/**
 * listeners_timeout_ms() - When to call listeners_serve() even though nothing is readable, for poll(2)
 * Return: -1 for never; else @set->fd need not be polled meanwhile, for it stays readable.
 */
int listeners_timeout_ms(const struct listeners *set);

/** listeners_exiting() - Tell what was only counted of process @key, before its exit is reported */
void listeners_exiting(const struct listeners *set, int sock, uint64_t key);
