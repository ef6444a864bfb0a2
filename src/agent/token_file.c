// SPDX-License-Identifier: Apache-2.0
#include "agent/token_file.h"

#include "base/fd.h"
#include "base/id.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_BYTES 32

static void make_directory(const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path || (size_t)(slash - path) >= sizeof(parent))
        return;
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    (void)mkdir(parent, 0700); /* what is wrong with it, open(2) says below */
}

static void make_text(char text[2 * TOKEN_BYTES + 2])
{
    uint8_t bits[TOKEN_BYTES];
    osa_random(bits, sizeof(bits));
    for (size_t i = 0; i < sizeof(bits); i++)
        (void)snprintf(text + 2 * i, 3, "%02x", bits[i]);
    memcpy(text + 2 * TOKEN_BYTES, "\n", 2);
    osa_wipe(bits, sizeof(bits));
}

enum osa_code token_file_make(const char *path, bool *ret_made, struct osa_error *err)
{
    char fresh[PATH_MAX];
    char text[2 * TOKEN_BYTES + 2];
    *ret_made = false;
    if (access(path, F_OK) == 0)
        return OSA_OK;
    if ((size_t)snprintf(fresh, sizeof(fresh), "%s.%ld", path, (long)getpid()) >= sizeof(fresh))
        return osa_fail(err, OSA_FAILED_PRECONDITION, ENAMETOOLONG, "token file '%s'", path);
    make_directory(path);
    (void)unlink(fresh); /* left by a crash under the same pid */
    OSA_AUTO(osa_close_fd)
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, errno, "token file '%s' cannot be made",
                        path);
    make_text(text);
    int failed = -osa_write_all(fd, text, sizeof(text) - 1);
    osa_wipe(text, sizeof(text));
    /* link(2) does not replace what another agent has put there meanwhile. */
    if (failed == 0 && link(fresh, path) != 0)
        failed = errno;
    (void)unlink(fresh);
    if (failed != 0 && failed != EEXIST)
        return osa_fail(err, OSA_FAILED_PRECONDITION, failed, "token file '%s' cannot be written",
                        path);
    *ret_made = failed == 0;
    return OSA_OK;
}
