// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"
#include "base/linux_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>

enum osa_code osa_read_file_in(const char *root, const char *path, size_t max_bytes,
                               char **ret_data, size_t *ret_len, struct osa_error *err)
{
    const struct open_how how = {
        .flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    struct stat st;
    char link[32];
    OSA_AUTO(osa_close_fd) int root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0)
        return osa_fail_errno(err, errno, "open %s", root);
    OSA_AUTO(osa_close_fd) int fd = osa_sys_openat2(root_fd, path, &how, sizeof(how));
    if (fd < 0) {
        int saved = errno;
        if (saved == ENOENT || saved == ENOTDIR)
            return osa_fail(err, OSA_NOT_FOUND, saved, "%s", path);
        return osa_fail_errno(err, saved, "open %s below %s", path, root);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "%s below %s is no regular file", path,
                        root);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    return osa_read_file(AT_FDCWD, link, max_bytes, ret_data, ret_len, err);
}
