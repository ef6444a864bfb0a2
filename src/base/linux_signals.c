// SPDX-License-Identifier: Apache-2.0
#include "base/signals.h"

#include "base/fd.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void on_ready(struct osa_source *source, unsigned events)
{
    struct osa_signals *self = OSA_CONTAINER_OF(source, struct osa_signals, source);
    struct signalfd_siginfo info;
    (void)events;
    if (read(source->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        self->received(self, (int)info.ssi_signo);
}

enum osa_code osa_signals_open(struct osa_loop *loop, struct osa_signals *self, const sigset_t *set,
                               struct osa_error *err)
{
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, &ignore, NULL);
    int failed = pthread_sigmask(SIG_BLOCK, set, NULL);
    if (failed != 0)
        return osa_fail_errno(err, failed, "signals cannot be blocked");
    OSA_AUTO(osa_close_fd) int fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return osa_fail_errno(err, errno, "signalfd");
    self->source = (struct osa_source){ .fd = fd, .ready = on_ready };
    enum osa_code code = osa_source_add(loop, &self->source, OSA_READ, err);
    if (code == OSA_OK)
        (void)osa_take_fd(&fd);
    return code;
}

void osa_signals_close(struct osa_signals *self)
{
    if (self->source.ready == NULL)
        return;
    osa_source_remove(&self->source);
    osa_replace_fd(&self->source.fd, -1);
    self->source.ready = NULL;
}
