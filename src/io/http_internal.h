// SPDX-License-Identifier: Apache-2.0
/* What http.c and websocket.c share: one multi handle, and easy handles that end in a callback. */
#pragma once

#include "base/loop.h"
#include "io/http.h"

#include "base/clock.h"

#include <curl/curl.h>
#include <stdbool.h>

/* A head longer than this is refused. */
#define HTTP_HEAD_MAX (64u << 10)
#define HTTP_CONNECT_NS (10 * OSA_NS_PER_SEC)

/** struct http_transfer - An easy handle in the multi; @ended is told its result, once, from the loop */
struct http_transfer {
    CURL *easy;
    void (*ended)(struct http_transfer *self, CURLcode result);
};

struct http_client {
    struct osa_loop *loop; /* borrowed */
    CURLM *multi;          /* owned */
    struct osa_timer timer;
    char *url;           /* owned */
    char *authorization; /* owned: the header's line; NULL: none */
    int (*open_socket)(void *ctx, int domain, int type, int protocol);
    void *ctx;
};

/**
 * http_transfer_open() - An easy handle with everything set that calls and WebSockets share
 * @path: as in struct http_request
 * Return: false without memory
 */
bool http_transfer_open(struct http_client *client, struct http_transfer *transfer,
                        const char *path, int64_t timeout_ns);

/** http_transfer_close() - Take it out and free the handle. One that was never opened is fine */
void http_transfer_close(struct http_client *client, struct http_transfer *transfer);

/** http_transfer_error() - What a result other than CURLE_OK means. @what: "GET /v1/boxes". Return: err->code */
enum osa_code http_transfer_error(const struct http_client *client, CURLcode result,
                                  const char *what, struct osa_error *err);
