// SPDX-License-Identifier: Apache-2.0
/* The inside of an exchange, for exchange.c and judge.c. */
#pragma once

#include "egress/conn.h"

#include "policy/request.h"

/**
 * struct exchange - A request and its response
 * @request, @response: follow the messages' framing
 * @bytes:     the request's head as it came; @head and @path point into it
 * @up_chunked, @down_chunked: bodies are sent on in chunks
 * @up_more:   the request's body is not whole yet
 * @held:      it is, in @body, because the decision needed it
 * @answered:  a final response's head has gone to the client
 * @down_done: the response is whole
 * @upgrade:   the request asks for another protocol
 * @watch_text: and its text messages are to be refused
 * @keep_client, @keep_server: they may serve another message
 * @canonical: rules have looked at the request, as @target, whose path lies in @room
 * @audit:     why it would have been refused; "" when it is allowed
 */
struct exchange {
    struct http1 *request;
    struct http1 *response;
    struct osa_buf bytes;
    struct head head;
    struct head_span path;
    struct http1_framing framing;
    bool up_chunked;
    bool up_more;
    bool held;
    bool down_chunked;
    bool answered;
    bool down_done;
    bool upgrade;
    bool watch_text;
    bool keep_client;
    bool keep_server;
    bool canonical;
    struct osa_buf body;
    char *room; /* owned: POLICY_TARGET_ROOM bytes */
    struct policy_target target;
    char audit[256];
};

/** exchange_hold() - Read the request's body before anything else; conn_judged() follows */
void exchange_hold(struct conn *conn, size_t limit);

enum judged {
    JUDGED_PASS,
    JUDGED_REFUSED, /* and answered */
    JUDGED_BODY,    /* the body is needed: exchange_hold() was called */
};

/** exchange_judge() - Hold the request against the rules of its endpoint */
enum judged exchange_judge(struct conn *conn);
