// SPDX-License-Identifier: Apache-2.0
/* The inside of an exchange, for exchange.c and what it is made of. */
#pragma once

#include "egress/call.h"
#include "egress/conn.h"

/**
 * struct exchange - A request and its response
 * @request, @response: follow the messages' framing
 * @call:      the request
 * @up_chunked, @down_chunked: bodies are sent on in chunks
 * @answered:  a final response's head has gone to the client
 * @down_done: the response is whole
 * @keep_client, @keep_server: they may serve another message
 */
struct exchange {
    struct http1 *request;
    struct http1 *response;
    struct call call;
    struct http1_framing framing;
    bool up_chunked;
    bool down_chunked;
    bool answered;
    bool down_done;
    bool keep_client;
    bool keep_server;
};
