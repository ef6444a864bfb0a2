// SPDX-License-Identifier: Apache-2.0
/*
 * The agent unpacks into a directory that is there. Whether the target is one cannot be asked, so it
 * is tried; the refusal names the request's path as what is wrong, and comes before anything was
 * unpacked. Then the target's name is given to the copy, and its parent is the directory.
 */
#include "base/clock.h"
#include "base/fd.h"
#include "cli/arena.h"
#include "cli/copy.h"
#include "cli/output.h"
#include "tar/pack.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* One message; below the least limit of an agent. */
#define CHUNK_BYTES 32768

struct push {
    struct rpc_client_events events;
    struct osa_source input; /* standard input that can be polled */
    struct osa_task pump;    /* anything else: a piece, and again */
    struct cli *cli;
    struct rpc_client_call *call; /* NULL once it is over */
    struct tar_pack *pack;        /* owned; NULL: standard input */
    struct osa_error failure;     /* on this side */
    bool welcome;                 /* the stream takes more */
    bool ended;                   /* nothing more to send */
    bool polled;                  /* .input is with the loop */
    bool posted;                  /* .pump is with the loop */
    bool cannot_poll;
    bool not_a_directory; /* the target: give the copy its name instead */
    int status;
};

/* ---- from here ---- */

static enum osa_code read_piece(struct push *self, void *data, size_t *ret_len,
                                struct osa_error *err)
{
    if (self->pack != NULL)
        return tar_pack_read(self->pack, data, CHUNK_BYTES, ret_len, err);
    ssize_t got;
    do
        got = read(STDIN_FILENO, data, CHUNK_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return osa_fail_errno(err, errno, "standard input");
    *ret_len = (size_t)got;
    return OSA_OK;
}

static void send_piece(struct push *self)
{
    static uint8_t data[CHUNK_BYTES];
    API(CopyInRequest) request = API_INIT(COPY_IN_REQUEST);
    size_t len = 0;
    if (read_piece(self, data, &len, &self->failure) != OSA_OK) {
        self->ended = true;
        rpc_client_cancel(self->call);
        return;
    }
    if (len == 0) {
        self->ended = true;
        rpc_client_half_close(self->call);
        return;
    }
    request.message_case = API_VALUE(COPY_IN_REQUEST__MESSAGE_DATA);
    request.data = (ProtobufCBinaryData){ .len = len, .data = data };
    self->welcome = rpc_client_send(self->call, &request.base);
}

/* The loop reads standard input exactly while its bytes are wanted; what is always there is taken in
 * pieces, with the loop between them. */
static void watch(struct push *self)
{
    struct osa_error err;
    bool want = self->call != NULL && self->welcome && !self->ended;
    if (self->pack != NULL || self->cannot_poll) {
        if (want && !self->posted) {
            self->posted = true;
            osa_loop_post(self->cli->loop, &self->pump);
        }
        return;
    }
    if (want == self->polled)
        return;
    if (!want)
        osa_source_remove(&self->input);
    else
        self->cannot_poll = osa_source_add(self->cli->loop, &self->input, OSA_READ, &err) != OSA_OK;
    self->polled = want && !self->cannot_poll;
    if (self->cannot_poll)
        watch(self);
}

static void on_pump(struct osa_task *task)
{
    struct push *self = OSA_CONTAINER_OF(task, struct push, pump);
    self->posted = false;
    if (self->call != NULL && self->welcome && !self->ended)
        send_piece(self);
    watch(self);
}

static void on_input(struct osa_source *source, unsigned events)
{
    struct push *self = OSA_CONTAINER_OF(source, struct push, input);
    (void)events;
    send_piece(self);
    watch(self);
}

/* ---- from the agent ---- */

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *message)
{
    struct push *self = OSA_CONTAINER_OF(events, struct push, events);
    if (self->cli->global.json)
        self->status = cli_put_json(message, /* pretty= */ false);
}

static void on_writable(struct rpc_client_events *events)
{
    struct push *self = OSA_CONTAINER_OF(events, struct push, events);
    self->welcome = true;
    watch(self);
}

/* Is it the target's path that is at fault, and not what lies below? */
static bool is_no_directory(const struct rpc_status *status)
{
    if (status->error.code != OSA_NOT_FOUND && status->error.code != OSA_FAILED_PRECONDITION)
        return false;
    API(ErrorDetail) *detail = cli_detail(status);
    if (detail == NULL)
        return false;
    bool result = strcmp(detail->field, "path") == 0;
    protobuf_c_message_free_unpacked(&detail->base, NULL);
    return result;
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct push *self = OSA_CONTAINER_OF(events, struct push, events);
    self->call = NULL;
    watch(self);
    if (self->failure.code != OSA_OK || status->error.code == OSA_OK)
        return;
    self->status = self->cli->command->failed;
    if (self->not_a_directory && is_no_directory(status))
        return;
    self->not_a_directory = false;
    cli_report_status(self->cli, status);
}

/* ---- the copy ---- */

/*
 * One try. @name: of the copy's top, NULL for the source's own. @fallback: on a target that is no
 * directory tell nothing and leave self->not_a_directory set.
 */
static void push_to(struct push *self, const struct cli_place *from, const struct cli_place *to,
                    const char *path, const char *name, bool fallback, const char *user)
{
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    API(CopyInStart) start = API_INIT(COPY_IN_START);
    API(CopyInRequest) request = API_INIT(COPY_IN_REQUEST);
    self->status = CLI_DONE;
    self->ended = false;
    self->not_a_directory = fallback;
    if (from->kind == CLI_PLACE_LOCAL &&
        tar_pack_open(from->path, name, &self->pack, &self->failure) != OSA_OK)
        return;
    start.sandbox_id = cli_string(&arena, to->sandbox);
    start.path = cli_string(&arena, path);
    start.user = cli_string(&arena, user);
    request.message_case = API_VALUE(COPY_IN_REQUEST__MESSAGE_START);
    request.start = &start;
    self->call = rpc_client_start(self->cli->channel, API_METHOD("CopyIn"),
                                  API_TYPE(copy_in_response), OSA_NEVER,
                                  /* wait_for_ready= */ false, &self->events);
    self->welcome = rpc_client_send(self->call, &request.base);
    watch(self);
    while (self->call != NULL || self->posted)
        (void)osa_loop_run_once(self->cli->loop, OSA_NEVER);
    tar_pack_free(OSA_TAKE(self->pack));
    if (self->status == CLI_DONE)
        self->not_a_directory = false;
}

static void push_with_new_name(struct push *self, const struct cli_place *from,
                               const struct cli_place *to, const char *user)
{
    size_t len;
    const char *begin = cli_place_name(to->path, &len);
    size_t parent_len = (size_t)(begin - to->path);
    OSA_AUTO(osa_free) char *name = strndup(begin, len);
    OSA_AUTO(osa_free) char *parent = strndup(to->path, OSA_MAX(parent_len, (size_t)1));
    if (name == NULL || parent == NULL) {
        (void)osa_fail_errno(&self->failure, ENOMEM, "cp");
        return;
    }
    for (size_t at = strlen(parent); at > 1 && parent[at - 1] == '/'; at--)
        parent[at - 1] = '\0';
    push_to(self, from, to, parent, name, /* fallback= */ false, user);
}

int cli_copy_in(struct cli *cli, const struct cli_place *from, const struct cli_place *to,
                const char *user)
{
    struct push self = {
        .events = { .message = on_message, .writable = on_writable, .done = on_done },
        .input = { .fd = STDIN_FILENO, .ready = on_input },
        .pump = { .run = on_pump },
        .cli = cli,
        .status = CLI_DONE,
    };
    size_t len;
    (void)cli_place_name(to->path, &len);
    bool may_be_new =
        from->kind == CLI_PLACE_LOCAL && len > 0 && to->path[strlen(to->path) - 1] != '/';
    if (cli_connect(cli, &self.failure) == OSA_OK) {
        push_to(&self, from, to, to->path, NULL, may_be_new, user);
        if (self.not_a_directory && self.failure.code == OSA_OK)
            push_with_new_name(&self, from, to, user);
    }
    if (self.failure.code == OSA_OK)
        return self.status;
    cli_report(cli, &self.failure, NULL);
    return cli->command->failed;
}
