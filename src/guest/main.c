// SPDX-License-Identifier: Apache-2.0
/*
 * openshell-guest probe | serve FILE
 *
 * The helper inside of a box: the process backend, driven over standard input and output. The agent
 * sends it into the box as FILE, which goes as soon as it runs. `probe` only shows that it can.
 */
#include "backends/process/process.h"
#include "base/log.h"
#include "guest/linux_cgroup.h"
#include "guest/serve.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int serve(const char *file)
{
    struct osa_error err = { 0 };
    struct osa_loop *loop = NULL;
    struct backend *backend = NULL;
    osa_log_setup(OSA_LOG_WARN, OSA_LOG_TEXT, STDERR_FILENO);
    (void)unlink(file);
    const struct process_backend_config config = { .cgroup_parent = guest_cgroup_parent() };
    int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (in < 0 || out < 0 || process_backend_start_launcher(&err) != OSA_OK ||
        osa_loop_new(&loop, &err) != OSA_OK ||
        process_backend_open(loop, &config, &backend, &err) != OSA_OK ||
        guest_serve(loop, backend, in, out, &err) != OSA_OK) {
        osa_log_error(OSA_LOG_ERROR, "guest", "cannot serve", &err);
        return 1;
    }
    return 0; /* the launcher sees the end of its socket and kills what runs */
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "probe") == 0)
        return 0;
    return argc == 3 && strcmp(argv[1], "serve") == 0 ? serve(argv[2]) : 2;
}
