// SPDX-License-Identifier: Apache-2.0
/*
 * How long a gRPC server takes from its exec until it speaks HTTP/2 on a Unix socket.
 *
 * bench_serving SOCKET IDLE_MS PROGRAM [ARGUMENT…] starts the program, connects as soon as that works,
 * sends the client's preface and reads the server's first frame. Prints nanoseconds, then the kilobytes
 * that the server holds after IDLE_MS more (Rss and Pss of smaps_rollup), and ends it with SIGTERM.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define PATIENCE_NS INT64_C(20000000000)
#define POLL_NS 100000 /* between two attempts to connect: what the result is good to */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The server's SETTINGS frame has come: RFC 9113, section 3.4. */
static int speaks_http2(int fd)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    unsigned char frame[9];
    return write(fd, preface, sizeof(preface)) == (ssize_t)sizeof(preface) &&
           recv(fd, frame, sizeof(frame), MSG_WAITALL) == (ssize_t)sizeof(frame) && frame[3] == 4;
}

static long rollup_kb(pid_t pid, const char *key)
{
    char path[64], line[128];
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    long kb = -1;
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, key, strlen(key)) == 0)
            kb = strtol(line + strlen(key), NULL, 10);
    }
    if (file)
        fclose(file);
    return kb;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: bench_serving SOCKET IDLE_MS PROGRAM [ARGUMENT…]\n");
        return 2;
    }
    unlink(argv[1]);
    int64_t start = now_ns();
    pid_t pid = -1;
    int rc = posix_spawnp(&pid, argv[3], NULL, NULL, argv + 3, environ);
    if (rc) {
        fprintf(stderr, "%s: %s\n", argv[3], strerror(rc));
        return 1;
    }
    int fd = -1;
    while ((fd = connect_to(argv[1])) < 0 && now_ns() - start < PATIENCE_NS) {
        struct timespec pause = { .tv_nsec = POLL_NS };
        nanosleep(&pause, NULL);
    }
    if (fd < 0 || !speaks_http2(fd)) {
        fprintf(stderr, "%s does not serve on %s\n", argv[3], argv[1]);
        kill(pid, SIGKILL);
        return 1;
    }
    int64_t served = now_ns() - start;
    close(fd);
    poll(NULL, 0, (int)strtol(argv[2], NULL, 10));
    printf("%" PRId64 " %ld %ld\n", served, rollup_kb(pid, "Rss:"), rollup_kb(pid, "Pss:"));
    kill(pid, SIGTERM);
    return waitpid(pid, NULL, 0) == pid ? 0 : 1;
}
