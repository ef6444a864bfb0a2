// SPDX-License-Identifier: Apache-2.0
/*
 * Runs every attack of tests/attack in a sandbox of the process backend, at the level that the
 * first argument names, and beside it on the host as positive control; prints the table.
 *
 * An attempt that the host refuses as well proves nothing and is shown as "no control": the kernel
 * lacks the feature, or the host has closed it already. All others must be denied, unless the list of
 * exceptions names them with the reason; and what is on that list must be allowed, so that it
 * shrinks when a level gets better.
 */
#include "process_fixture.h"

#include "base/fd.h"
#include "policy/document.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_MAX = 16384, ATTACKS_MAX = 64 };

/* Attempts that a level lets through; each with the reason, which docs/threat-model.md repeats. */
static const struct {
    enum isolation_level level;
    unsigned id;
    uint32_t before_abi; /* with Landlock of a lower ABI only; 0: always */
    const char *attempt;
    const char *reason;
} exceptions[] = {
    { ISOLATION_RESTRICTED, 42, 0, "sockets and tokens", "Landlock lets stat(2) through" },
    { ISOLATION_RESTRICTED, 23, 0, "prlimit", "no pid namespace; limits of the own user are seen" },
    { ISOLATION_RESTRICTED, 41, 9, "pathname", "Landlock before ABI 9, told as missing" },
    { ISOLATION_RESTRICTED, 43, 0, "/proc/keys", "the host's /proc, which the policy lists" },
    { ISOLATION_RESTRICTED, 43, 0, "/proc/kallsyms", "the host's /proc, which the policy lists" },
    { ISOLATION_RESTRICTED, 36, 3, "truncate", "Landlock before ABI 3, told as missing" },
    { ISOLATION_RESTRICTED, 28, 6, "kill", "Landlock before ABI 6, told as missing" },
    { ISOLATION_RESTRICTED, 41, 6, "abstract", "Landlock before ABI 6, told as missing" },
};

/* What only a filter of system calls can refuse. A sandbox without one says so in its isolation, and
 * then nothing is expected of these. attempt NULL: all of the attack. */
static const struct {
    unsigned id;
    const char *attempt;
} only_seccomp[] = {
    { 23, "PTRACE_TRACEME" },
    { 23, "pidfd_open" },
    { 26, NULL },
    { 31, NULL },
    { 33, NULL },
    { 39, NULL },
    { 40, "fsconfig" },
    { 45, "lower RLIMIT_CORE to 0" },
    { 47, NULL },
    { 48, NULL },
    { 49, NULL },
    { 50, NULL },
    { 51, NULL },
    { 52, NULL },
    { 53, "USER_NOTIF listener" },
    { 55, NULL },
};

enum { ATTACKER_BYTES = 16 << 20 }; /* with sanitizers it is large */
static char attacker[128];
static char outside[64]; /* a directory that no policy lists; anybody may write there */
static char socket_path[108];
static char victim_pid[16];
static pid_t victim;
static int listeners[2];
static const struct policy_document *policy;
static struct {
    unsigned id;
    char *control; /* output on the host; owned */
} attacks[ATTACKS_MAX];
static size_t attack_count;

static const char *argument_of(unsigned id)
{
    switch (id) {
    case 23:
    case 28:
        return victim_pid;
    case 41:
        return socket_path;
    default:
        return outside;
    }
}

/* ---- the host's side ---- */

/* Output of the attacker on the host; what it leaves there is nothing. */
static char *run_on_host(const char *first, const char *second)
{
    int fds[2];
    char *text = calloc(1, OUTPUT_MAX);
    assert_non_null(text);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(fds[1], 1);
        (void)execl(attacker, attacker, first, second, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    assert_true(osa_read_full(fds[0], text, OUTPUT_MAX - 1) >= 0);
    close(fds[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return text;
}

static int listen_at(bool abstract)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t len = strlen(socket_path);
    memcpy(address.sun_path + (abstract ? 1 : 0), socket_path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static const char *in_outside(const char *name)
{
    static char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", outside, name);
    return path;
}

static void put(const char *path, const void *data, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(osa_write_all(fd, data, len), 0);
    assert_int_equal(fchmod(fd, mode), 0); /* not cut by the umask */
    close(fd);
}

/* A process of the same user as the sandbox's, so that the user is not why it is out of reach. */
static void start_victim(void)
{
    victim = fork();
    if (victim == 0) {
        if (geteuid() == 0 &&
            (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
            _exit(1);
        (void)prctl(PR_SET_DUMPABLE, 1);
        for (;;)
            (void)pause();
    }
    (void)snprintf(victim_pid, sizeof(victim_pid), "%d", (int)victim);
}

/* To a folder that every user can reach: the checkout may lie in a home directory of mode 0700. */
static void copy_attacker(void)
{
    char built[PATH_MAX];
    char *program = NULL;
    size_t size = 0;
    ssize_t len = readlink("/proc/self/exe", built, sizeof(built) - sizeof("/attacker"));
    assert_true(len > 0);
    built[len] = '\0';
    size_t used = strlen(dirname(built));
    (void)snprintf(built + used, sizeof(built) - used, "/attacker");
    assert_int_equal(osa_read_file(AT_FDCWD, built, ATTACKER_BYTES, &program, &size, NULL), OSA_OK);
    (void)snprintf(attacker, sizeof(attacker), "/var/tmp/osa-attacker-XXXXXX");
    assert_non_null(mkdtemp(attacker));
    assert_int_equal(chmod(attacker, 0755), 0);
    used = strlen(attacker);
    (void)snprintf(attacker + used, sizeof(attacker) - used, "/attacker");
    put(attacker, program, size, 0755);
    free(program);
}

/* As root where we are root, before the level gives it up. */
static void prepare(void)
{
    char *program = NULL;
    size_t size = 0;
    copy_attacker();
    (void)snprintf(outside, sizeof(outside), "/var/tmp/osa-attack-XXXXXX");
    assert_non_null(mkdtemp(outside));
    assert_int_equal(chmod(outside, 0777), 0);
    assert_int_equal(osa_read_file(AT_FDCWD, "/bin/true", 8 << 20, &program, &size, NULL), OSA_OK);
    put(in_outside("true"), program, size, 0755);
    put(in_outside("osa-attack-file"), "secret\n", 7, 0666);
    free(program);
    (void)snprintf(socket_path, sizeof(socket_path), "%s/socket", outside);
    listeners[0] = listen_at(false);
    listeners[1] = listen_at(true);
    assert_int_equal(chmod(socket_path, 0777), 0);
    start_victim();

    char *list = run_on_host("list", NULL);
    char *rest = list;
    for (char *line = strsep(&rest, "\n"); line != NULL && *line != '\0';
         line = strsep(&rest, "\n")) {
        assert_true(attack_count < ATTACKS_MAX);
        unsigned id = (unsigned)strtoul(line, NULL, 10);
        char text[16];
        (void)snprintf(text, sizeof(text), "%u", id);
        attacks[attack_count].id = id;
        attacks[attack_count++].control = run_on_host(text, argument_of(id));
    }
    free(list);
    assert_true(attack_count > 20);
}

static void clean_up(void)
{
    static const char *const names[] = { "true", "osa-attack-file", "socket", "osa-attack-made" };
    (void)kill(victim, SIGKILL);
    (void)waitpid(victim, NULL, 0);
    for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++)
        (void)unlink(in_outside(names[i]));
    (void)rmdir(outside);
    (void)unlink(attacker);
    (void)rmdir(dirname(attacker));
}

/* ---- the table ---- */

/* The verdict of @attempt in an output; cut out into @verdict. */
static bool find_verdict(const char *output, const char *attempt, char *verdict, size_t size)
{
    char key[128];
    (void)snprintf(key, sizeof(key), "\t%s\t", attempt);
    const char *at = strstr(output, key);
    if (at == NULL)
        return false;
    at += strlen(key);
    (void)snprintf(verdict, size, "%.*s", (int)strcspn(at, "\n"), at);
    return true;
}

static const char *exception_for(const struct isolation *isolation, unsigned id,
                                 const char *attempt)
{
    for (size_t i = 0; i < OSA_ARRAY_LEN(exceptions); i++) {
        uint32_t abi = exceptions[i].before_abi;
        if (exceptions[i].level == isolation->level &&
            (abi == 0 || (isolation->landlock_abi < abi && isolation->degraded[0] != '\0')) &&
            exceptions[i].id == id && strcmp(exceptions[i].attempt, attempt) == 0)
            return exceptions[i].reason;
    }
    return NULL;
}

static bool needs_seccomp(unsigned id, const char *attempt)
{
    for (size_t i = 0; i < OSA_ARRAY_LEN(only_seccomp); i++) {
        if (only_seccomp[i].id == id &&
            (only_seccomp[i].attempt == NULL || strcmp(only_seccomp[i].attempt, attempt) == 0))
            return true;
    }
    return false;
}

/* Prints one row. Return: is it as it must be? */
static bool judge(const struct isolation *isolation, unsigned id, const char *attempt,
                  const char *control, const char *output)
{
    char outside_verdict[64];
    char seen[64];
    bool told = find_verdict(control, attempt, outside_verdict, sizeof(outside_verdict)) &&
                find_verdict(output, attempt, seen, sizeof(seen));
    if (!told)
        (void)snprintf(seen, sizeof(seen), "nothing");
    bool controlled = told && strcmp(outside_verdict, "allowed") == 0;
    bool allowed = told && strcmp(seen, "allowed") == 0;
    const char *reason = exception_for(isolation, id, attempt);
    const char *expected = reason != NULL ? "allowed" : "denied";
    bool good = told && (reason != NULL ? !controlled || allowed : !allowed);
    if (reason == NULL && isolation->seccomp_profile == NULL && needs_seccomp(id, attempt)) {
        reason = "no seccomp filter in this sandbox";
        expected = "any";
        good = told;
    }
    (void)printf("%3u  %-32s %-8s %-20s %s%s\n", id, attempt, expected, seen,
                 !controlled      ? "no control"
                 : reason != NULL ? reason
                                  : "",
                 good ? "" : "  <-- WRONG");
    return good;
}

/* The filter answers EPERM where it tells of the refusal, ENOSYS where it plays an older kernel. */
static bool expects_event(const struct isolation *isolation, unsigned id, const char *attempt,
                          const char *output)
{
    char seen[64];
    const struct backend_info *info = fixture_backend()->ops->info(fixture_backend());
    return strstr(info->denial_sources, "seccomp_notify") != NULL &&
           isolation->seccomp_profile != NULL && needs_seccomp(id, attempt) &&
           find_verdict(output, attempt, seen, sizeof(seen)) && strcmp(seen, "denied EPERM") == 0;
}

/* Refused packets are the sandbox's events, and come from a source of their own. */
static unsigned count_events(const struct box *box, unsigned before, const struct seen *seen)
{
    for (unsigned i = 0; i < 100 && seen->denied == 0 && box->denied == before; i++)
        run_for_ms(2);
    return seen->denied + box->denied - before;
}

static unsigned judge_attack(const struct isolation *isolation, size_t index, const char *output,
                             unsigned events)
{
    unsigned wrong = 0;
    bool wanted = false;
    char *lines = strdup(attacks[index].control);
    char *rest = lines;
    assert_non_null(lines);
    for (char *line = strsep(&rest, "\n"); line != NULL && *line != '\0';
         line = strsep(&rest, "\n")) {
        char *attempt = strchr(line, '\t') + 1;
        attempt[strcspn(attempt, "\t")] = '\0';
        wrong += !judge(isolation, attacks[index].id, attempt, attacks[index].control, output);
        wanted = wanted || expects_event(isolation, attacks[index].id, attempt, output);
    }
    free(lines);
    if (wanted) {
        (void)printf("%3u  %-32s %-8s %-20u %s\n", attacks[index].id, "seen in the events",
                     "1 or more", events, events > 0 ? "" : "  <-- WRONG");
        wrong += events == 0;
    }
    return wrong;
}

/* What shell() sets, and how often races are tried. */
static strlist race_env(void)
{
    static char text[64];
    static const char *const plain[] = { "PATH=/usr/bin:/bin", "LANG=C", NULL };
    static const char *const longer[] = { "PATH=/usr/bin:/bin", "LANG=C", text, NULL };
    const char *rounds = getenv("OSA_RACE_ROUNDS");
    if (rounds == NULL)
        return plain;
    (void)snprintf(text, sizeof(text), "OSA_RACE_ROUNDS=%s", rounds);
    return longer;
}

static void attack_table(void **state)
{
    (void)state;
    static const char *const names[] = { "any", "RESTRICTED", "ROOTLESS", "FULL" };
    enum isolation_level level = fixture_backend()->ops->info(fixture_backend())->isolation.level;
    unsigned wrong = 0;
    struct box box;
    struct sandbox_spec spec = box_spec();
    spec.policy = policy;
    box_try(&box, &spec);
    if (box.sandbox == NULL)
        fail_msg("sandbox: %s", box.error.text);
    (void)printf("attacks at level %s\n id  attempt                          expected seen\n",
                 names[level]);
    for (size_t i = 0; i < attack_count; i++) {
        struct seen seen;
        char id[16];
        (void)snprintf(id, sizeof(id), "%u", attacks[i].id);
        const char *const argv[] = { attacker, id, argument_of(attacks[i].id), NULL };
        struct process_spec process = shell("");
        process.argv = argv;
        process.env = race_env();
        unsigned before = box.denied;
        launch(&box, &seen, &process);
        assert_non_null(seen.process);
        finish(&seen);
        const char *output = seen.out.data == NULL ? "" : seen.out.data;
        wrong += judge_attack(&seen.isolation, i, output, count_events(&box, before, &seen));
        seen_done(&seen);
    }
    box_close(&box);
    (void)fflush(stdout);
    assert_int_equal(wrong, 0);
}

static void load_policy(void)
{
    char text[PATH_MAX + 512];
    struct osa_error err;
    (void)snprintf(text, sizeof(text),
                   "version: 1\n"
                   "filesystem_policy:\n"
                   "  read_only: [/usr, /lib, /etc, /proc, /dev/urandom, '%.*s']\n"
                   "  read_write: [/tmp, /dev/null]\n"
                   "landlock: { compatibility: hard_requirement }\n",
                   (int)(strrchr(attacker, '/') - attacker), attacker);
    if (policy_document_parse_yaml(text, strlen(text), "attack", &policy, &err) != OSA_OK)
        fail_msg("policy: %s", err.text);
}

static int open_all(void **state)
{
    load_policy();
    return fixture_open(state);
}

static int close_all(void **state)
{
    for (size_t i = 0; i < attack_count; i++)
        free(attacks[i].control);
    policy_document_unref(policy);
    return fixture_close(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(attack_table) };
    pid_t owner = getpid();
    prepare();
    /* What prepare() made belongs to root, who is kept for cleaning up. */
    pid_t child = fork();
    if (child == 0) {
        if (!fixture_level(argc, argv))
            _exit(77);
        int failed = cmocka_run_group_tests(tests, open_all, close_all);
        (void)fflush(stdout);
        _exit(failed);
    }
    int status = 0;
    (void)waitpid(child, &status, 0);
    if (getpid() == owner)
        clean_up();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
