// SPDX-License-Identifier: Apache-2.0
#include "launcher/mount_ops.h"

#include "base/fd.h"
#include "base/linux_sys.h"

#include <errno.h>
#include <fcntl.h>

int mount_ops_create(const char *type, const struct mount_option *options, size_t count,
                     unsigned attrs, int *ret_fd)
{
    OSA_AUTO(osa_close_fd) int fs_fd = osa_sys_fsopen(type, FSOPEN_CLOEXEC);
    if (fs_fd < 0)
        return -errno;
    for (size_t i = 0; i < count; i++) {
        unsigned cmd = options[i].value == NULL ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
        if (osa_sys_fsconfig(fs_fd, cmd, options[i].key, options[i].value, 0) < 0)
            return -errno;
    }
    if (osa_sys_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int fd = osa_sys_fsmount(fs_fd, FSMOUNT_CLOEXEC, attrs);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int mount_ops_set(int fd, bool recursive, unsigned attrs)
{
    struct mount_attr attr = { .attr_set = attrs };
    unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);
    return osa_sys_mount_setattr(fd, "", flags, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

int mount_ops_copy(int fd)
{
    int copy = osa_sys_open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    return copy < 0 ? -errno : copy;
}

int mount_ops_clone(int fd, bool recursive, unsigned attrs, int *ret_fd)
{
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    OSA_AUTO(osa_close_fd)
    int copy = osa_sys_open_tree(fd, "", flags | (recursive ? AT_RECURSIVE : 0u));
    if (copy < 0)
        return -errno;
    int failed = mount_ops_set(copy, recursive, attrs);
    if (failed == 0)
        *ret_fd = osa_take_fd(&copy);
    return failed;
}

int mount_ops_attach(int mount_fd, int target_fd)
{
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    return osa_sys_move_mount(mount_fd, "", target_fd, "", flags) < 0 ? -errno : 0;
}

int mount_ops_make_private(void)
{
    struct mount_attr attr = { .propagation = MS_PRIVATE };
    return osa_sys_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof(attr)) < 0 ? -errno : 0;
}
