// SPDX-License-Identifier: Apache-2.0
/*
 * The floor under every Spawn + Wait: posix_spawn and waitpid of a program, COUNT times in a row.
 *
 * bench_spawn COUNT PROGRAM [ARGUMENT…] prints nanoseconds, one line for each run. With a runtime as
 * PROGRAM (bwrap, runc) it measures that runtime as its caller sees it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int main(int argc, char **argv)
{
    long count = argc > 2 ? strtol(argv[1], NULL, 10) : 0;
    if (count < 1 || count > 1000000) {
        fprintf(stderr, "usage: bench_spawn COUNT PROGRAM [ARGUMENT…]\n");
        return 2;
    }
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    for (long i = 0; i < count; i++) {
        int64_t start = now_ns();
        pid_t pid = -1;
        int status = -1;
        int rc = posix_spawnp(&pid, argv[2], &quiet, NULL, argv + 2, environ);
        if (rc || waitpid(pid, &status, 0) != pid) {
            fprintf(stderr, "%s: %s\n", argv[2], strerror(rc ? rc : errno));
            return 1;
        }
        if (status != 0) {
            fprintf(stderr, "%s: wait status %#x\n", argv[2], (unsigned)status);
            return 1;
        }
        printf("%" PRId64 "\n", now_ns() - start);
    }
    posix_spawn_file_actions_destroy(&quiet);
    return 0;
}
