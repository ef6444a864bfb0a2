// SPDX-License-Identifier: Apache-2.0
/*
 * A `boxlite serve` of the agent's own: with a home, a key, a user and a network namespace of its
 * own, started again when it ends, and stopped so that it stops its boxes.
 *
 * The namespace has loopback and nothing else. Whatever of a box's traffic the server lets out, as it
 * does in its own name, finds the server itself there, which asks for the key, and the agent's
 * channel (channel.h), which asks for a secret: no name is resolved, no host reached. An agent that
 * may not make namespaces starts the server beside itself; boxes have no network card then, as with
 * a server of others.
 *
 * Threads: the loop thread.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct server;

/**
 * struct server_config - Borrowed for the call
 * @program: path of `boxlite`
 * @home:    absolute; made, and given to @user. "HOME-serve.log" beside it has what the server says
 * @user:    "UID:GID" by whom it runs, with the groups that user has; NULL: as the agent
 * @env:     "NAME=VALUE" beside what the server needs; NULL-terminated
 */
struct server_config {
    const char *program;
    const char *home;
    const char *user;
    const char *const *env;
};

/**
 * server_open() - Start it, after the one that a crashed agent left on the same home has ended
 * Return: OSA_OK; INVALID_ARGUMENT: the user; NOT_FOUND, FAILED_PRECONDITION: the program cannot
 * be executed; INTERNAL: the home.
 */
OSA_MUST_CHECK enum osa_code server_open(struct osa_loop *loop, const struct server_config *config,
                                         struct server **ret, struct osa_error *err);

/** server_close() - Stop it with SIGINT and wait for its end, 20 s at most; then SIGKILL. NULL is fine */
void server_close(struct server *server);

/** server_url() - Where it listens. Return: borrowed */
const char *server_url(const struct server *server);

/** server_key() - Its API key, made for it. Return: borrowed */
const char *server_key(const struct server *server);

/** server_is_apart() - Has it a network namespace of its own? */
bool server_is_apart(const struct server *server);

/** server_is_young() - Was it started so lately that it may not listen yet? */
bool server_is_young(const struct server *server);

/** server_socket() - socket(2) from where it is reached. Return: as socket(2) */
int server_socket(const struct server *server, int domain, int type, int protocol);
