// SPDX-License-Identifier: Apache-2.0
#include "guest/linux_cgroup.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define ROOT "/sys/fs/cgroup"
/* Beside the container's own cgroup, which has members and so cannot hand controllers down. */
#define PARENT "/openshell"

const char *guest_cgroup_parent(void)
{
    struct statvfs fs;
    if (statvfs(ROOT, &fs) < 0 || (fs.f_flag & ST_RDONLY) == 0)
        return NULL;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount(NULL, ROOT, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return NULL;
    return mkdir(ROOT PARENT, 0755) == 0 || errno == EEXIST ? PARENT : NULL;
}
