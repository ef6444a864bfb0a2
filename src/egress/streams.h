// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/2 in a tunnel that is looked into: streams of the client and of the server, each pair one
 * request and its response, every one decided by itself. Bodies go under the flow control of both
 * ends: what one does not take, the other does not send.
 */
#pragma once

#include "egress/call.h"
#include "io/http2.h"

struct conn;
struct streams;

/** struct flow - Bytes of a body on their way; @at: those that have gone on */
struct flow {
    struct osa_buf bytes;
    size_t at;
    bool end; /* no more will come */
};

/**
 * struct lane - One request and its response; in its owner's list
 * @near, @far: ids of the streams; 0: not there yet, or gone
 * @size:     of the head so far
 * @method, @path, @scheme, @authority, @host: of the request, in @call's memory
 * @lines:    the other fields, in the form of HTTP/1
 * @read:     the request's head is whole; what follows are trailers
 * @te:       trailers are welcome
 * @holding:  the body is kept for the decision
 * @own:      the answer is ours
 * @final:    the final response's head has come, of @status
 * @fields:   of a response's head or of trailers, name and value by turns, each with a NUL
 */
struct lane {
    struct call call;
    struct streams *owner;
    struct lane *prev, *next;
    int32_t near;
    int32_t far;
    size_t size;
    struct head_span method, path, scheme, authority, host;
    struct osa_buf lines;
    bool read;
    bool te;
    bool holding;
    bool own;
    bool final;
    unsigned status;
    unsigned interims;
    struct flow up;
    struct flow down;
    struct osa_buf fields;
    struct osa_buf up_trailers;
    struct osa_buf down_trailers;
};

/**
 * struct streams - Of one connection
 * @near: the client's; we are its server
 * @far:  the server's; we are its client
 * @draining: no further requests are taken
 * @lost:     the server is gone, and no response is whole
 */
struct streams {
    struct conn *conn;
    struct http2 *near;
    struct http2 *far;
    struct lane *lanes;
    bool draining;
    bool lost;
};

/* ---- streams.c ---- */

/** streams_begin() - Both ends of the tunnel speak HTTP/2 from here on. Does not step */
void streams_begin(struct conn *conn);
/** streams_free() - NULL is fine */
void streams_free(struct streams *streams);
/** streams_step() - Move what can be moved. Return: false when @conn is gone */
bool streams_step(struct conn *conn);
/** streams_want() - Events that each side is to be watched for */
void streams_want(const struct conn *conn, unsigned *ret_client, unsigned *ret_server);

/* ---- lane.c: what happens to one, called from within http2_receive() and http2_send() ---- */

/** lane_new() - For the client's stream @near. Return: NULL without memory, or when the sandbox has too many */
struct lane *lane_new(struct streams *streams, int32_t near);
/** lane_free() - It is in no list any more */
void lane_free(struct lane *lane);
/** lane_client_events() - For struct streams as context, of its near end */
const struct http2_events *lane_client_events(void);
/** lane_server_events() - The same of its far end */
const struct http2_events *lane_server_events(void);
/** lane_lost() - The server is gone. Return: its response is whole, and may still go to the client */
bool lane_lost(struct lane *lane);
