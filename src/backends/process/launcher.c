// SPDX-License-Identifier: Apache-2.0
#include "backends/process/launcher.h"

#include "backends/process/process.h"
#include "base/fd.h"
#include "base/peer.h"
#include "launcher/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3; before it every memfd can be executed */
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020 /* Linux 6.3 */
#endif

/* The one launcher of this process; written before threads exist, then by the loop thread alone. */
static struct {
    pid_t pid;
    int sock; /* owned until taken */
} started = { .pid = 0, .sock = -1 };

/* Where an unlinked file may be made if memfds cannot be executed; those mounted noexec fall out. */
static const char *const image_dirs[] = { "/run", "/dev/shm", "/tmp", "/var/tmp", "." };

static enum osa_code write_image(int fd, struct osa_error *err)
{
    size_t size = (size_t)((uintptr_t)launcher_image_end - (uintptr_t)launcher_image);
    int rc = osa_write_all(fd, launcher_image, size);
    if (rc < 0)
        return osa_fail_errno(err, -rc, "launcher's executable cannot be written");
    return OSA_OK;
}

static int image_memfd(void)
{
    struct osa_error ignored;
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    OSA_AUTO(osa_close_fd) int fd = memfd_create("openshell-launcher", flags | MFD_EXEC);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("openshell-launcher", flags);
    if (fd < 0 || write_image(fd, &ignored) != OSA_OK)
        return -1;
    int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    if (fcntl(fd, F_ADD_SEALS, seals | F_SEAL_EXEC) < 0 && fcntl(fd, F_ADD_SEALS, seals) < 0)
        return -1;
    return osa_take_fd(&fd);
}

/* A file that is open for writing cannot be executed (ETXTBSY), so it is opened once more. */
static int image_file(const char *dir)
{
    struct osa_error ignored;
    char path[64];
    OSA_AUTO(osa_close_fd) int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0500);
    if (fd < 0 || write_image(fd, &ignored) != OSA_OK)
        return -1;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    OSA_AUTO(osa_close_fd) int again = open(path, O_RDONLY | O_CLOEXEC);
    if (again < 0 || faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
        return -1;
    return osa_take_fd(&again);
}

enum osa_code launcher_open_image(bool use_memfd, int *ret_fd, struct osa_error *err)
{
    int fd = use_memfd ? image_memfd() : -1;
    for (unsigned i = 0; fd < 0 && i < OSA_ARRAY_LEN(image_dirs); i++)
        fd = image_file(image_dirs[i]);
    if (fd < 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0,
                        "the launcher cannot be executed: vm.memfd_noexec refuses memfds, and none "
                        "of /run, /dev/shm, /tmp, /var/tmp and . takes an executable file");
    *ret_fd = fd;
    return OSA_OK;
}

/* Return: 0; the errno of the launcher's exec; -1 for another failure, which @err tells. */
static int start_from(int image, struct osa_error *err)
{
    static char name[] = "openshell-launcher";
    char *argv[] = { name, NULL };
    char *envp[] = { NULL };
    char path[64];
    int socks[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0) {
        (void)osa_fail_errno(err, errno, "launcher's socket");
        return -1;
    }
    OSA_AUTO(osa_close_fd) int ours = socks[0];
    OSA_AUTO(osa_close_fd) int theirs = socks[1];
    /* The image must not sit where the socket will be put. */
    OSA_AUTO(osa_close_fd) int high = fcntl(image, F_DUPFD_CLOEXEC, LAUNCHER_SOCKET_FD + 1);
    if (high < 0) {
        (void)osa_fail_errno(err, errno, "launcher's image");
        return -1;
    }
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", high);
    posix_spawn_file_actions_t actions;
    int rc = posix_spawn_file_actions_init(&actions);
    if (rc != 0) {
        (void)osa_fail_errno(err, rc, "launcher");
        return -1;
    }
    rc = posix_spawn_file_actions_adddup2(&actions, theirs, LAUNCHER_SOCKET_FD);
    if (rc == 0)
        rc = posix_spawn(&started.pid, path, &actions, NULL, argv, envp);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (rc != 0)
        started.pid = 0;
    else
        started.sock = osa_take_fd(&ours);
    return rc;
}

enum osa_code process_backend_start_launcher(struct osa_error *err)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    (void)sigaction(SIGPIPE, &ignore, NULL);
    if (started.pid != 0)
        return osa_fail(err, OSA_FAILED_PRECONDITION, 0, "the launcher runs already");
    int failed = 0;
    for (int use_memfd = 1; use_memfd >= 0; use_memfd--) {
        OSA_AUTO(osa_close_fd) int image = -1;
        if (launcher_open_image(use_memfd != 0, &image, err) != OSA_OK)
            return err->code;
        failed = start_from(image, err);
        if (failed == 0)
            return OSA_OK;
        if (failed < 0)
            return err->code;
    }
    return osa_fail(err, OSA_FAILED_PRECONDITION, failed,
                    "the launcher cannot be executed from /proc/self/fd");
}

pid_t process_backend_launcher(void)
{
    return started.pid;
}

int launcher_take_socket(void)
{
    return osa_take_fd(&started.sock);
}

void launcher_reap(void)
{
    if (started.pid == 0)
        return;
    while (waitpid(started.pid, NULL, 0) < 0 && errno == EINTR) {
    }
    started.pid = 0;
}

bool process_backend_is_workload(uint32_t uid, int32_t pid)
{
    if (started.pid == 0 || pid <= 0)
        return false;
    enum osa_kin kin = osa_process_descends(pid, started.pid);
    if (kin == OSA_KIN_UNKNOWN)
        return geteuid() == 0 || uid == geteuid();
    return kin == OSA_KIN_YES;
}
