// SPDX-License-Identifier: Apache-2.0
/* Ways into a sandbox: byte streams to its loopback, files in and out. */
#include "backends/process/defer.h"
#include "backends/process/internal.h"

void sandbox_connect_op(struct backend_sandbox *base, const char *ip, uint16_t port, stream_fn done,
                        void *ctx)
{
    (void)ip;
    (void)port;
    struct osa_error error;
    (void)osa_fail(&error, OSA_UNIMPLEMENTED, 0, "the process backend cannot forward ports");
    defer_stream(OSA_CONTAINER_OF(base, struct sandbox, base)->backend->loop, done, ctx, &error);
}

void sandbox_copy_op(struct backend_sandbox *base, bool write, const char *path, const char *user,
                     stream_fn opened, done_fn done, void *ctx)
{
    (void)write;
    (void)path;
    (void)user;
    struct osa_loop *loop = OSA_CONTAINER_OF(base, struct sandbox, base)->backend->loop;
    struct osa_error error;
    (void)osa_fail(&error, OSA_UNIMPLEMENTED, 0, "the process backend cannot copy files");
    defer_stream(loop, opened, ctx, &error);
    defer_done(loop, done, ctx, &error);
}
