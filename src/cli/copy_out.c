// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/fd.h"
#include "cli/arena.h"
#include "cli/copy.h"
#include "cli/terminal.h"
#include "tar/path.h"
#include "tar/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Links that are told by name; the rest is counted. */
#define LINKS_TOLD 10

struct fetch {
    struct rpc_client_events events;
    struct osa_source signals;
    struct cli *cli;
    struct rpc_client_call *call; /* NULL once it is over */
    struct tar_unpack *unpack;    /* NULL: to standard output */
    struct osa_error failure;     /* on this side */
    unsigned left_out;
    int signo; /* that ended it; 0: none */
    int status;
};

static void stop(struct fetch *self)
{
    if (self->call != NULL)
        rpc_client_cancel(self->call);
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *message)
{
    struct fetch *self = OSA_CONTAINER_OF(events, struct fetch, events);
    const ProtobufCBinaryData *data = &((const API(CopyOutResponse) *)(const void *)message)->data;
    if (self->failure.code != OSA_OK || self->signo != 0)
        return;
    if (self->unpack != NULL) {
        if (tar_unpack_feed(self->unpack, data->data, data->len, &self->failure) != OSA_OK)
            stop(self);
        return;
    }
    int rc = osa_write_all(STDOUT_FILENO, data->data, data->len);
    if (rc == 0)
        return;
    if (rc == -EPIPE)
        self->signo = SIGPIPE;
    else
        (void)osa_fail_errno(&self->failure, -rc, "standard output");
    stop(self);
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct fetch *self = OSA_CONTAINER_OF(events, struct fetch, events);
    self->call = NULL;
    if (self->failure.code != OSA_OK || self->signo != 0 || status->error.code == OSA_OK)
        return;
    self->status = self->cli->command->failed;
    cli_report_status(self->cli, status);
}

static void on_signals(struct osa_source *source, unsigned events)
{
    struct fetch *self = OSA_CONTAINER_OF(source, struct fetch, signals);
    unsigned char signo;
    (void)events;
    if (read(source->fd, &signo, 1) == 1)
        self->signo = signo;
    stop(self);
}

static void on_left_out(void *ctx, const char *path, const char *target)
{
    struct fetch *self = ctx;
    if (self->left_out++ < LINKS_TOLD)
        cli_note("left out: %s leads out of the copy, to %s", path, target);
}

/* ---- where to ---- */

/* What to unpack into, and the name that the top of the copy gets there. */
struct target {
    int dir;    /* owned */
    char *name; /* owned; NULL: contents alone, of the root */
};

static void target_done(struct target *target)
{
    osa_close_fd(&target->dir);
    free(target->name);
}

static enum osa_code open_dir(const char *path, int *ret_fd, struct osa_error *err)
{
    *ret_fd = open(path, TAR_OPEN_PATH | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd >= 0 ? OSA_OK
                        : tar_fail_path(err, errno, path, "cannot be opened as a directory");
}

static enum osa_code copy_name(const char *name, size_t len, struct target *target,
                               struct osa_error *err)
{
    target->name = len > 0 ? strndup(name, len) : NULL;
    return len > 0 && target->name == NULL ? osa_fail_errno(err, ENOMEM, "cp") : OSA_OK;
}

/* The sandbox's root has no name: its contents go into a directory that is there or made. */
static enum osa_code open_root_target(const char *to, struct target *target, struct osa_error *err)
{
    if (mkdir(to, 0777) != 0 && errno != EEXIST)
        return tar_fail_path(err, errno, to, "cannot be made");
    return open_dir(to, &target->dir, err);
}

static enum osa_code open_target(const char *from, const char *to, struct target *target,
                                 struct osa_error *err)
{
    struct stat st;
    size_t name_len;
    const char *name = cli_place_name(from, &name_len);
    if (name_len == 0)
        return open_root_target(to, target, err);
    bool exists = stat(to, &st) == 0;
    size_t new_len;
    const char *new_name = cli_place_name(to, &new_len);
    if ((exists && S_ISDIR(st.st_mode)) || to[strlen(to) - 1] == '/' || new_len == 0) {
        enum osa_code code = open_dir(to, &target->dir, err);
        return code == OSA_OK ? copy_name(name, name_len, target, err) : code;
    }
    OSA_AUTO(osa_free)
    char *parent = new_name == to ? strdup(".") : strndup(to, (size_t)(new_name - to));
    if (parent == NULL)
        return osa_fail_errno(err, ENOMEM, "cp");
    enum osa_code code = open_dir(parent, &target->dir, err);
    return code == OSA_OK ? copy_name(new_name, new_len, target, err) : code;
}

/* ---- the copy ---- */

static enum osa_code prepare(struct fetch *self, const char *from, const struct cli_place *to,
                             struct target *target, struct osa_error *err)
{
    if (to->kind == CLI_PLACE_STREAM)
        return isatty(STDOUT_FILENO) ? osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                                                "standard output is a terminal, and an archive "
                                                "would come; write it to a file or a pipe")
                                     : OSA_OK;
    enum osa_code code = open_target(from, to->path, target, err);
    if (code != OSA_OK)
        return code;
    mode_t mask = umask(0);
    (void)umask(mask);
    const struct tar_unpack_options options = { .dir_fd = target->dir,
                                                .mask = (uint32_t)mask,
                                                .rename = target->name,
                                                .inner_links = true,
                                                .left_out = on_left_out,
                                                .ctx = self };
    self->unpack = tar_unpack_new(&options);
    return self->unpack == NULL ? osa_fail_errno(err, ENOMEM, "cp") : OSA_OK;
}

static void run(struct fetch *self, const struct cli_place *from, const char *user)
{
    OSA_AUTO(cli_arena_done) struct cli_arena arena = { 0 };
    API(CopyOutRequest) request = API_INIT(COPY_OUT_REQUEST);
    request.sandbox_id = cli_string(&arena, from->sandbox);
    request.path = cli_string(&arena, from->path);
    request.user = cli_string(&arena, user);
    self->call = rpc_client_start(self->cli->channel, API_METHOD("CopyOut"),
                                  API_TYPE(copy_out_response), OSA_NEVER,
                                  /* wait_for_ready= */ false, &self->events);
    (void)rpc_client_send(self->call, &request.base);
    rpc_client_half_close(self->call);
    while (self->call != NULL)
        (void)osa_loop_run_once(self->cli->loop, OSA_NEVER);
}

int cli_copy_out(struct cli *cli, const struct cli_place *from, const struct cli_place *to,
                 const char *user)
{
    static const int caught[] = { SIGHUP, SIGINT, SIGTERM, 0 };
    struct fetch self = { .events = { .message = on_message, .done = on_done },
                          .signals = { .fd = -1, .ready = on_signals },
                          .cli = cli,
                          .status = CLI_DONE };
    OSA_AUTO(target_done) struct target target = { .dir = -1 };
    struct osa_error *err = &self.failure;
    enum osa_code code = cli_connect(cli, err);
    if (code == OSA_OK)
        code = prepare(&self, from->path, to, &target, err);
    if (code == OSA_OK)
        code = cli_signals_open(caught, &self.signals.fd, err);
    if (code == OSA_OK)
        code = osa_source_add(cli->loop, &self.signals, OSA_READ, err);
    if (code == OSA_OK)
        run(&self, from, user);
    osa_source_remove(&self.signals);
    bool complete = self.failure.code == OSA_OK && self.signo == 0 && self.status == CLI_DONE;
    if (complete && self.unpack != NULL)
        (void)!tar_unpack_finish(self.unpack, err);
    tar_unpack_free(self.unpack);
    if (self.signo != 0)
        return CLI_SIGNAL_BASE + self.signo;
    if (self.failure.code != OSA_OK) {
        cli_report(cli, err, NULL);
        return cli->command->failed;
    }
    if (self.left_out == 0)
        return self.status;
    cli_note("symbolic links left out: %u; copy to - and unpack with tar to have them",
             self.left_out);
    return CLI_FAILED;
}
