// SPDX-License-Identifier: Apache-2.0
/* Requests to the helper in a box, and their answers, none of which is believed without a look. */
#include "backends/boxlite/helper.h"

#include "base/fd.h"

#include <stdlib.h>

struct helper_request {
    uint64_t key;
    UT_hash_handle hh;
    struct helper_answer answer;
};

void helper_ask(struct helper *helper, enum guest_message type, struct osa_buf *body,
                const struct helper_answer *answer)
{
    struct helper_request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        abort();
    request->key = ++helper->next_key;
    request->answer = *answer;
    HASH_ADD(hh, helper->requests, key, sizeof(request->key), request);
    helper_send(helper, type, request->key, body);
}

static struct helper_answer take_request(struct helper *helper, struct helper_request *request)
{
    struct helper_answer answer = request->answer;
    HASH_DEL(helper->requests, request);
    free(request);
    return answer;
}

static void fail(const struct helper_answer *answer, const struct osa_error *error)
{
    if (answer->opened != NULL)
        answer->opened(answer->ctx, -1, error);
    else if (answer->done != NULL)
        answer->done(answer->ctx, error);
    else if (answer->stats != NULL)
        answer->stats(answer->ctx, NULL, error);
    else
        answer->owner(answer->ctx, NULL, error);
}

void helper_answer_all(struct helper *helper, const struct osa_error *why)
{
    struct helper_request *request, *next;
    HASH_ITER(hh, helper->requests, request, next)
    {
        const struct helper_answer answer = take_request(helper, request);
        fail(&answer, why);
    }
}

static bool makes_no_sense(struct osa_error *ret)
{
    (void)osa_fail(ret, OSA_INTERNAL, 0, "the helper's answer makes no sense");
    return true;
}

/* One end for who asked, the other for the stream. A copy is still to be done then. */
static void open_stream(struct helper *helper, struct helper_request *request)
{
    struct osa_error err = { 0 };
    const struct helper_answer answer = request->answer;
    uint64_t key = request->key;
    int pair[2];
    bool failed = osa_stream_pair(pair, &err) != OSA_OK;
    if (failed || answer.done == NULL)
        (void)take_request(helper, request);
    else
        request->answer.opened = NULL;
    if (failed) {
        conduit_refuse(&helper->conduits, key);
        answer.opened(answer.ctx, -1, &err);
        return;
    }
    conduit_begin(&helper->conduits, key, pair[0]);
    answer.opened(answer.ctx, pair[1], NULL);
}

static void take_owner(const struct helper_answer *answer, struct codec_reader *reader)
{
    struct guest_owner got;
    struct osa_error err;
    guest_read_owner(reader, &got);
    if (reader->failed && makes_no_sense(&err))
        answer->owner(answer->ctx, NULL, &err);
    else
        answer->owner(answer->ctx, &got.owner, NULL);
    guest_owner_done(&got);
}

static void take_usage(const struct helper_answer *answer, struct codec_reader *reader)
{
    struct usage_stats usage;
    struct osa_error err;
    codec_read_bytes(reader, &usage, sizeof(usage));
    if (reader->failed && makes_no_sense(&err))
        answer->stats(answer->ctx, NULL, &err);
    else
        answer->stats(answer->ctx, &usage, NULL);
}

/* The kind of answer that the request is to have now. */
static uint32_t expected(const struct helper_answer *answer)
{
    if (answer->opened != NULL)
        return GUEST_OPENED;
    if (answer->owner != NULL)
        return GUEST_OWNER;
    return answer->stats != NULL ? GUEST_USAGE : GUEST_DONE;
}

void helper_take_answer(struct helper *helper, const struct link_frame *frame)
{
    struct codec_reader reader = { frame->body, frame->len, false };
    struct helper_request *request;
    struct osa_error err;
    HASH_FIND(hh, helper->requests, &frame->key, sizeof(frame->key), request);
    if (request == NULL)
        return;
    bool failed = codec_read_error(&reader, &err);
    if (frame->type != expected(&request->answer) || reader.failed)
        failed = makes_no_sense(&err);
    if (!failed && frame->type == GUEST_OPENED) {
        open_stream(helper, request);
        return;
    }
    const struct helper_answer answer = take_request(helper, request);
    if (failed)
        fail(&answer, &err);
    else if (frame->type == GUEST_OWNER)
        take_owner(&answer, &reader);
    else if (frame->type == GUEST_USAGE)
        take_usage(&answer, &reader);
    else
        answer.done(answer.ctx, NULL);
}
