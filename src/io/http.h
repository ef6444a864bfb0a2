// SPDX-License-Identifier: Apache-2.0
/*
 * An HTTP client for one server, from libcurl, in the agent's loop: nothing here blocks.
 *
 * Made for a server that may be broken or hostile: a call has one deadline for all of it, answers
 * have a bound, redirects are not followed, proxies of the environment are not used, and the bearer
 * token goes out in a header and nowhere else.
 */
#pragma once

#include "base/error.h"
#include "base/loop.h"

#include <stddef.h>
#include <stdint.h>

struct http_client;
struct http_call;

/**
 * struct http_config - Where the server is; copied
 * @url:   "http://HOST[:PORT][/PATH]" or https; no user, password, query or fragment
 * @token: sent as "Authorization: Bearer"; NULL for none
 * @open_socket: socket(2), CLOEXEC, for connections to the server, with @ctx; NULL: the usual one
 */
struct http_config {
    const char *url;
    const char *token;
    int (*open_socket)(void *ctx, int domain, int type, int protocol);
    void *ctx;
};

/**
 * struct http_request - One call; borrowed for the call of http_send()
 * @method:     "GET", "POST" …
 * @path:       appended to the client's URL, percent-encoded, begins with '/'
 * @body:       JSON of @body_len bytes; NULL for none
 * @timeout_ns: for all of it, from the connection to the last byte
 * @max_bytes:  of the answer's body; a longer one fails the call
 */
struct http_request {
    const char *method;
    const char *path;
    const char *body;
    size_t body_len;
    int64_t timeout_ns;
    size_t max_bytes;
};

/** struct http_reply - An answer of any status; @body is NUL-terminated, borrowed for the callback, never NULL */
struct http_reply {
    unsigned status;
    const char *body;
    size_t len;
};

/* Exactly once for each call that is not cancelled: a reply, or UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED. */
typedef void (*http_done_fn)(void *ctx, const struct http_reply *reply,
                             const struct osa_error *error);

/**
 * http_client_new() - A client; connects when it is first used
 * @loop: borrowed; outlives the client
 * Return: OSA_OK; INVALID_ARGUMENT: the URL; RESOURCE_EXHAUSTED. Thread: loop, or before it runs.
 */
OSA_MUST_CHECK enum osa_code http_client_new(struct osa_loop *loop,
                                             const struct http_config *config,
                                             struct http_client **ret, struct osa_error *err);

/** http_client_free() - All calls and WebSockets must have ended or been cancelled. NULL is fine */
void http_client_free(struct http_client *client);

/** http_client_url() - The URL as it may be shown: it holds no secret. Return: borrowed */
const char *http_client_url(const struct http_client *client);

/**
 * http_send() - Begin a call; @done is never called from inside
 * Return: the call, valid until @done or http_cancel()
 */
struct http_call *http_send(struct http_client *client, const struct http_request *request,
                            http_done_fn done, void *ctx);

/** http_cancel() - End a call without its callback. NULL is fine */
void http_cancel(struct http_call *call);
