// SPDX-License-Identifier: Apache-2.0
/*
 * Answers GETs in the loop: for metrics, which Prometheus asks for by HTTP. Small on purpose: one request
 * for each connection, no body in it, a bounded number of connections and of seconds.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/loop.h"

#include <stdint.h>

struct http_server;

/**
 * typedef http_server_fn - Write what stands at a path
 * @path: without its query; NUL-terminated; untrusted
 * @body: empty
 * @ret_type: the media type; set with 200
 * Return: an HTTP status: 200, 404.
 */
typedef unsigned (*http_server_fn)(void *ctx, const char *path, struct osa_buf *body,
                                   const char **ret_type);

/**
 * http_server_new() - Listen
 * @address: as for osa_tcp_parse()
 * Return: OSA_OK; INVALID_ARGUMENT; FAILED_PRECONDITION (the address is taken).
 */
OSA_MUST_CHECK enum osa_code http_server_new(struct osa_loop *loop, const char *address,
                                             http_server_fn answer, void *ctx,
                                             struct http_server **ret, struct osa_error *err);

/** http_server_port() - That it listens on */
uint16_t http_server_port(const struct http_server *server);

/** http_server_free() - Connections end where they are. NULL is fine */
void http_server_free(struct http_server *server);
