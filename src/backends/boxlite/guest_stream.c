// SPDX-License-Identifier: Apache-2.0
/*
 * Streams into a box with a helper, and those that come out of it: copies, forwarded ports, and
 * visitors of the egress proxy. A box has no network card; a stream through the helper is its only
 * way out, and leads to the proxy of its sandbox and nowhere else.
 */
#include "backends/boxlite/helper.h"
#include "backends/defer.h"
#include "base/fd.h"

#include <stdio.h>

/* Twice what a helper of ours holds; one that is not ours is not believed. */
#define STREAMS_MAX 4096u
#define REQUEST_MAX ((size_t)16 << 10)
#define IDENTIFY_MAX ((size_t)128 << 10)

static struct box *box_of(struct backend_sandbox *s)
{
    return OSA_CONTAINER_OF(s, struct box, base);
}

/* Return: NULL, and @ret_error, when there is none (any more). */
static struct helper *helper_of(struct backend_sandbox *s, const char *what,
                                struct osa_error *ret_error)
{
    const struct box *box = box_of(s);
    if (box->state != BOX_READY)
        (void)osa_fail(ret_error, OSA_ABORTED, 0, "the sandbox has ended");
    else if (box->helper == NULL)
        (void)osa_fail(ret_error, OSA_UNIMPLEMENTED, 0,
                       "a boxlite sandbox without the helper cannot %s", what);
    else
        return box->helper;
    return NULL;
}

void guest_connect_op(struct backend_sandbox *s, const char *ip, uint16_t port, stream_fn done,
                      void *ctx)
{
    struct osa_error err = { 0 };
    struct osa_buf body;
    struct helper *helper = helper_of(s, "forward ports", &err);
    if (helper == NULL) {
        defer_stream(box_of(s)->backend->loop, done, ctx, &err);
        return;
    }
    osa_buf_init(&body, REQUEST_MAX);
    codec_text(&body, ip);
    codec_u64(&body, port);
    helper_ask(helper, GUEST_CONNECT, &body, &(struct helper_answer){ .opened = done, .ctx = ctx });
}

void guest_copy_op(struct backend_sandbox *s, bool write, const char *path, const char *user,
                   stream_fn opened, done_fn done, void *ctx)
{
    struct osa_error err = { 0 };
    struct osa_buf body;
    struct helper *helper = helper_of(s, "copy files", &err);
    if (helper == NULL) {
        defer_stream(box_of(s)->backend->loop, opened, ctx, &err);
        return;
    }
    osa_buf_init(&body, REQUEST_MAX);
    codec_u64(&body, write);
    codec_text(&body, path);
    codec_text(&body, user);
    helper_ask(helper, GUEST_COPY, &body,
               &(struct helper_answer){ .opened = opened, .done = done, .ctx = ctx });
}

/* ---- the egress proxy ---- */

enum osa_code guest_door_op(struct backend_sandbox *s, struct sandbox_door *ret_door,
                            struct osa_error *err)
{
    const struct helper *helper = helper_of(s, "reach a proxy", err);
    if (helper == NULL)
        return err->code;
    if (helper->door_port == 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the sandbox has no egress proxy");
    *ret_door = (struct sandbox_door){ .fds = { -1, -1 }, .port = helper->door_port };
    (void)snprintf(ret_door->hosts[0], sizeof(ret_door->hosts[0]), "%s", helper->door_host);
    return OSA_OK;
}

void guest_owner_op(struct backend_sandbox *s, const struct door_visit *visit, owner_fn done,
                    void *ctx)
{
    struct osa_error err = { 0 };
    struct osa_buf body;
    struct helper *helper = helper_of(s, "reach a proxy", &err);
    if (helper == NULL) {
        defer_owner(box_of(s)->backend->loop, done, ctx, &err);
        return;
    }
    osa_buf_init(&body, IDENTIFY_MAX);
    guest_write_visit(&body, visit);
    codec_list(&body, visit->names);
    if (body.failed) { /* a policy with more names than that has to give them without links */
        osa_buf_reset(&body);
        guest_write_visit(&body, visit);
        codec_list(&body, NULL);
    }
    helper_ask(helper, GUEST_IDENTIFY, &body, &(struct helper_answer){ .owner = done, .ctx = ctx });
}

void guest_visit(struct helper *helper, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    struct sandbox_events *events = helper->box->events;
    struct door_visit visit = { 0 };
    struct osa_error err;
    int pair[2];
    guest_read_visit(&reader, &visit);
    if (frame->key < GUEST_VISIT_KEYS || conduits_knows(&helper->conduits, frame->key))
        return;
    if (conduits_count(&helper->conduits) >= STREAMS_MAX) {
        helper_fail(helper, OSA_ABORTED, "the helper in the box opens more streams than it may");
        return;
    }
    if (reader.failed || helper->door_port == 0 || events->visitor == NULL ||
        osa_stream_pair(pair, &err) != OSA_OK) {
        conduit_refuse(&helper->conduits, frame->key);
        return;
    }
    conduit_begin(&helper->conduits, frame->key, pair[0]);
    events->visitor(events, pair[1], &visit);
}
