// SPDX-License-Identifier: Apache-2.0
/*
 * A request on its way to a decision, whatever brought it: an HTTP/1 connection (exchange.c) or a
 * stream of HTTP/2 (streams.c). Heads of both are held in the form of HTTP/1, read by the same
 * strict reader.
 */
#pragma once

#include "base/arena.h"
#include "egress/head.h"
#include "policy/request.h"

struct conn;

/**
 * struct call - Embedded in its owner
 * @answer:  makes an answer of ours of @body, which is taken: JSON; @policy: of a header, NULL for none
 * @bytes:   the head as it came; @head and @path point into it
 * @path:    of its target, query included
 * @upgrade: it asks for another protocol
 * @watch_text: and the text messages of that are to be refused
 * @more:    its body is not whole yet
 * @held:    it is, in @body, because the decision needed it
 * @hold:    so long that body may be
 * @canonical: @target is the target as it goes on, but for placeholders; its path lies in @room
 * @shown:   the same as rules and logs see it: without placeholders
 * @sent:    the same with the values for them; what goes on when @canonical
 * @rewrite: placeholders in the body are exchanged, too
 * @guarded: a placeholder in the body ends the connection
 * @tail:    with @guarded: the end of what has passed
 * @caught:  a placeholder was in it: the connection is to end without an answer
 * @audit:   why it would have been refused; "" when it is allowed
 * @memory:  of the texts above
 */
struct call {
    struct conn *conn;
    void (*answer)(struct call *self, unsigned status, const char *policy, struct osa_buf *body);
    struct osa_buf bytes;
    struct head head;
    struct head_span path;
    bool upgrade;
    bool watch_text;
    bool more;
    bool held;
    bool canonical;
    bool rewrite;
    bool guarded;
    bool caught;
    size_t hold;
    struct osa_buf body;
    struct osa_buf tail;
    char *room; /* owned: POLICY_TARGET_ROOM bytes */
    struct policy_target target;
    struct policy_target shown;
    struct policy_target sent;
    char audit[256];
    struct osa_arena memory;
};

/** call_init() - All zero but for these */
void call_init(struct call *call, struct conn *conn,
               void (*answer)(struct call *self, unsigned status, const char *policy,
                              struct osa_buf *body));

/** call_reset() - Ready for the next head */
void call_reset(struct call *call);

/** call_done() - Free what it holds */
void call_done(struct call *call);

/** call_record() - conn_record() about this request; @reason NULL: it goes out */
void call_record(struct call *call, const char *reason, const char *detail);

/** call_refuse() - Record and answer a request that cannot be used: it "has" @fault */
void call_refuse(struct call *call, unsigned status, const char *error, const char *fault);

/**
 * call_check_tunnel() - In a tunnel a request is for the tunnel's target, and says so
 * Return: true, its path being set; false: answered.
 */
bool call_check_tunnel(struct call *call);

/** call_make_canonical() - Fill the three targets. Return: false: answered */
bool call_make_canonical(struct call *call);

/* ---- judge.c ---- */

enum judged {
    JUDGED_PASS,
    JUDGED_REFUSED, /* and answered */
    JUDGED_BODY,    /* the body is needed, up to @hold bytes; ask again when it is held */
};

/** call_judge() - Hold the request against the rules of its endpoint, then call_redeem() */
enum judged call_judge(struct call *call);

/* ---- redeem.c ---- */

/**
 * call_redeem() - Put values in place of placeholders: in what is sent of the target, in fields and a held body
 * @endpoint: of the request; NULL: none says anything about requests
 * Return: JUDGED_PASS; JUDGED_BODY; JUDGED_REFUSED: none is left in what would go out.
 */
enum judged call_redeem(struct call *call, const struct policy_endpoint *endpoint);

/** call_scan() - May these next bytes of a body pass? Records when not */
bool call_scan(struct call *call, const char *data, size_t len);

/* ---- reply.c ---- */

/** call_reply() - An error of ours as the answer; as conn_reply() */
void call_reply(struct call *call, unsigned status, const char *error, const char *detail,
                const char *reason);

/** call_refuse_request() - Answer a request that rules refuse, with all that the client can use; records it */
void call_refuse_request(struct call *call, const struct policy_answer *answer, const char *detail);
