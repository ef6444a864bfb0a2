// SPDX-License-Identifier: Apache-2.0
/*
 * attacker list             the attacks, one a line
 * attacker ID [ARG]         all attempts of one attack
 * attacker all [ARG]        all attacks
 * attacker refuse COUNT     as many calls of mount(2) that come to nothing; status 0 when all were refused
 *
 * Output: ID <tab> attempt <tab> allowed | denied ERRNO | killed SIGNAL | skipped. Exit status: 0
 * nothing was allowed, 1 something was, 2 usage.
 */
#include "attack/attacker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* An attempt that hangs is stopped; SIGALRM then shows as its verdict. Races may be long on purpose. */
static unsigned attempt_seconds(void)
{
    return getenv("OSA_RACE_ROUNDS") == NULL ? 20 : 1200;
}

static const struct attack *const tables[] = { attacks_on_files, attacks_on_kernel,
                                               attacks_on_processes };

/* The child sends what the attempt returned; it says nothing when it is killed. */
static void run_child(const struct attempt *attempt, const char *arg, int fd)
{
    (void)alarm(attempt_seconds());
    int verdict = attempt->run(arg);
    _exit(write(fd, &verdict, sizeof(verdict)) == (ssize_t)sizeof(verdict) ? 0 : 3);
}

static bool print_verdict(unsigned id, const char *name, int verdict, int status)
{
    if (WIFSIGNALED(status)) {
        (void)printf("%u\t%s\tkilled %s\n", id, name, sigabbrev_np(WTERMSIG(status)));
        return false;
    }
    if (verdict == 0) {
        (void)printf("%u\t%s\tallowed\n", id, name);
        return true;
    }
    const char *text = strerrorname_np(-verdict);
    (void)printf("%u\t%s\tdenied %s\n", id, name, text != NULL ? text : "?");
    return false;
}

/* Return: was it allowed? */
static bool run_attempt(unsigned id, const struct attempt *attempt, const char *arg)
{
    int fds[2];
    int status = 0;
    int verdict = -EIO;
    if (attempt->needs_arg != NULL && arg == NULL) {
        (void)printf("%u\t%s\tskipped: needs %s\n", id, attempt->name, attempt->needs_arg);
        return false;
    }
    (void)fflush(stdout);
    if (pipe(fds) < 0) {
        perror("pipe");
        exit(2);
    }
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0) {
        close(fds[0]);
        run_child(attempt, arg, fds[1]);
    }
    close(fds[1]);
    if (read(fds[0], &verdict, sizeof(verdict)) != (ssize_t)sizeof(verdict))
        verdict = -EIO;
    close(fds[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return print_verdict(id, attempt->name, verdict, status);
}

static bool run_attack(const struct attack *attack, const char *arg)
{
    bool allowed = false;
    for (const struct attempt *attempt = attack->attempts; attempt->name != NULL; attempt++)
        allowed = run_attempt(attack->id, attempt, arg) || allowed;
    return allowed;
}

static int make_refused_calls(unsigned long count)
{
    unsigned long refused = 0;
    for (unsigned long i = 0; i < count; i++)
        refused += mount(NULL, NULL, NULL, 0, NULL) < 0 && errno == EPERM;
    return refused == count ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "refuse") == 0)
        return make_refused_calls(strtoul(argv[2], NULL, 10));
    bool list = argc == 2 && strcmp(argv[1], "list") == 0;
    bool all = argc >= 2 && strcmp(argv[1], "all") == 0;
    unsigned long id = argc >= 2 ? strtoul(argv[1], NULL, 10) : 0;
    bool allowed = false;
    bool found = false;
    if (argc < 2 || argc > 3 || (!list && !all && id == 0)) {
        (void)fputs("usage: attacker list | attacker ID|all [ARGUMENT]\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (const struct attack *attack = tables[i]; attack->name != NULL; attack++) {
            if (list)
                (void)printf("%u\t%s\n", attack->id, attack->name);
            else if (all || attack->id == id)
                allowed = run_attack(attack, argc == 3 ? argv[2] : NULL) || allowed;
            found = found || list || all || attack->id == id;
        }
    }
    if (!found) {
        (void)fprintf(stderr, "attacker: no attack '%s'\n", argv[1]);
        return 2;
    }
    return allowed ? 1 : 0;
}
