// SPDX-License-Identifier: Apache-2.0
/* What a process of the process backend can do, at each level, with the default policy. */
#include "process_fixture.h"

#include "backends/process/process.h"
#include "base/peer.h"
#include "policy/document.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char secret[64]; /* a file outside of the policy that its owner, the agent, can read */

static enum isolation_level level(void)
{
    return fixture_backend()->ops->info(fixture_backend())->isolation.level;
}

static void expect_user(const char *user, const char *script, const char *out)
{
    struct box box;
    struct seen seen;
    box_open(&box);
    struct process_spec spec = shell(script);
    spec.user = user;
    launch(&box, &seen, &spec);
    finish(&seen);
    assert_string_equal(seen.out.data == NULL ? "" : seen.out.data, out);
    seen_done(&seen);
    box_close(&box);
}

static void expect(const char *script, const char *out)
{
    expect_user("", script, out);
}

static void privileges_are_gone(void **state)
{
    (void)state;
    expect("grep -E '^Cap(Inh|Prm|Eff|Amb)|^NoNewPrivs' /proc/self/status",
           "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n"
           "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\n");
    expect("[ \"$(id -u)\" -ne 0 ] && echo other; grep -c '^Groups:.*\\<0\\>' /proc/self/status",
           "other\n0\n");
}

static void files_follow_the_policy(void **state)
{
    (void)state;
    char script[300];
    (void)snprintf(script, sizeof(script),
                   "cat %s 2>/dev/null && echo leaked; test $? -ne 0 && echo denied", secret);
    expect(script, "denied\n");
    expect("head -c 4 /usr/lib/os-release >/dev/null && echo readable; "
           "(echo x >/usr/lib/os-release) 2>/dev/null || echo read-only; "
           "(echo x >/tmp/osa-confine.$$ && rm /tmp/osa-confine.$$) && echo writable",
           "readable\nread-only\nwritable\n");
    expect("ls /root /home 2>/dev/null; (ls / | grep -q . && mkdir /new) 2>/dev/null || echo no",
           "no\n");
}

static void refused_connections_are_told(void **state)
{
    (void)state;
    struct box box;
    struct seen seen;
    box_open(&box);
    struct process_spec spec = shell("bash -c 'echo >/dev/tcp/192.0.2.1/443' 2>&1 | "
                                     "grep -o 'Connection refused' | head -n 1");
    launch(&box, &seen, &spec);
    finish(&seen);
    run_for_ms(50);
    if ((box.isolation.namespaces & NAMESPACE_NET) != 0) {
        assert_string_equal(seen.out.data == NULL ? "" : seen.out.data, "Connection refused\n");
        assert_int_equal(box.denied, 1);
        const char *expected = "network: tcp to 192.0.2.1:443 by uid ";
        assert_memory_equal(box.denied_last, expected, strlen(expected));
    } else {
        assert_int_equal(box.denied, 0); /* no socket at all: seccomp does not tell */
    }
    seen_done(&seen);
    box_close(&box);
}

static void isolation_tells_what_is_in_force(void **state)
{
    (void)state;
    struct box box;
    box_open(&box);
    assert_int_equal(box.isolation.level, level());
    assert_true(box.isolation.landlock_abi > 0);
    assert_true(box.isolation.landlock_applied > 0);
    assert_true(box.isolation.capabilities_dropped);
    assert_int_equal((box.isolation.namespaces & NAMESPACE_PID) != 0,
                     level() > ISOLATION_RESTRICTED);
    box_close(&box);
}

static void other_processes_are_unseen(void **state)
{
    (void)state;
    if (level() == ISOLATION_RESTRICTED)
        return; /* /proc is the host's */
    char script[128];
    (void)snprintf(
        script, sizeof(script),
        "ls -d /proc/[0-9]* | grep -v -e /$$'$' | wc -l; kill -0 %d 2>/dev/null || echo no",
        getpid());
    struct box box;
    struct seen seen;
    box_open(&box);
    struct process_spec spec = shell(script);
    launch(&box, &seen, &spec);
    finish(&seen);
    int others = -1;
    assert_int_equal(sscanf(seen.out.data, "%d\nno", &others), 1);
    assert_true(others >= 0 &&
                others <= 5); /* the pipeline itself, init where hidepid is missing */
    assert_non_null(strstr(seen.out.data, "no\n"));
    seen_done(&seen);
    box_close(&box);
}

static void filter_is_loaded(void **state)
{
    (void)state;
    struct box box;
    expect("grep ^Seccomp: /proc/self/status; unshare -U true 2>/dev/null || echo no namespaces",
           "Seccomp:\t2\nno namespaces\n");
    box_open(&box);
    assert_string_equal(box.isolation.seccomp_profile, "default");
    assert_int_equal(box.isolation.network, NETWORK_NONE);
    box_close(&box);
    struct sandbox_spec spec = box_spec();
    spec.seccomp_profile = "lax";
    box_try(&box, &spec);
    assert_null(box.sandbox);
    assert_int_equal(box.error.code, OSA_INVALID_ARGUMENT);
    assert_string_equal(box.error.field, "spec.seccomp_profile");
}

struct stream {
    int fd;
    bool answered;
    struct osa_error error;
};

static void on_stream(void *ctx, int fd, const struct osa_error *error)
{
    struct stream *stream = ctx;
    stream->fd = fd;
    stream->answered = true;
    if (error != NULL)
        stream->error = *error;
}

static void ports_inside_are_reached(void **state)
{
    (void)state;
    const struct backend_ops *ops = fixture_backend()->ops;
    struct box box;
    struct seen seen;
    struct stream stream = { .fd = -1 };
    box_open(&box);
    ops->sandbox_connect(box.sandbox, "127.0.0.1", 8099, on_stream, &stream);
    assert_false(stream.answered);
    assert_true(until(&stream.answered));
    assert_int_equal(stream.fd, -1);
    assert_int_equal(stream.error.code,
                     level() == ISOLATION_RESTRICTED ? OSA_FAILED_PRECONDITION : OSA_UNAVAILABLE);
    if (level() > ISOLATION_RESTRICTED) {
        struct process_spec spec =
            shell("exec python3 -c 'import socket as s; l = s.socket(); "
                  "l.bind((\"127.0.0.1\", 8099)); l.listen(); print(\"up\", flush=True); "
                  "l.accept()[0].sendall(b\"hello\")'");
        launch(&box, &seen, &spec);
        for (unsigned tries = 0; seen.out.len == 0 && tries < 3000; tries++)
            run_for_ms(20);
        stream = (struct stream){ .fd = -1 };
        ops->sandbox_connect(box.sandbox, "127.0.0.1", 8099, on_stream, &stream);
        assert_true(until(&stream.answered));
        assert_true(stream.fd >= 0);
        finish(&seen);
        char text[6] = "";
        assert_int_equal(read(stream.fd, text, 5), 5);
        assert_string_equal(text, "hello");
        (void)close(stream.fd);
        seen_done(&seen);
    }
    box_close(&box);
}

static void network_is_empty(void **state)
{
    (void)state;
    if (level() == ISOLATION_RESTRICTED)
        return;
    expect("grep -c : /proc/net/dev; grep -o 'lo:' /proc/net/dev", "1\nlo:\n");
}

static void users_are_resolved_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *user;
        enum osa_code code;
    } cases[] = {
        { "no-such-user", OSA_INVALID_ARGUMENT }, { "0:0", OSA_INVALID_ARGUMENT },
        { "4294967295:1", OSA_INVALID_ARGUMENT }, { "-1", OSA_INVALID_ARGUMENT },
        { "1000:x y", OSA_INVALID_ARGUMENT },
    };
    struct box box;
    box_open(&box);
    for (unsigned i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        struct seen seen;
        struct process_spec spec = shell("id -u");
        spec.user = cases[i].user;
        launch(&box, &seen, &spec);
        assert_null(seen.process);
        if (seen.error.code != cases[i].code)
            fail_msg("%s: %s %s", cases[i].user, osa_code_name(seen.error.code), seen.error.text);
        assert_string_equal(seen.error.stage, "user");
        seen_done(&seen);
    }
    box_close(&box);
    if (level() == ISOLATION_FULL)
        expect_user("1234:2345", "id -u; id -g; id -G; echo again >/dev/stdout",
                    "1234\n2345\n2345\nagain\n");
}

static void required_path_that_is_missing_is_named(void **state)
{
    (void)state;
    static const char text[] = "version: 1\n"
                               "filesystem_policy:\n"
                               "  read_only: [/usr, /lib, /no/such/path]\n"
                               "landlock: { compatibility: hard_requirement }\n";
    const struct policy_document *policy;
    struct box box;
    struct osa_error err;
    assert_int_equal(policy_document_parse_yaml(text, strlen(text), "test", &policy, &err), OSA_OK);
    struct sandbox_spec sandbox = box_spec();
    sandbox.policy = policy;
    box_try(&box, &sandbox);
    assert_null(box.sandbox);
    assert_int_equal(box.error.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(box.error.stage, "landlock");
    assert_non_null(strstr(box.error.text,
                           "path '/no/such/path' of the policy cannot be opened, and "
                           "it is a hard_requirement; remove it or create it"));
    policy_document_unref(policy);
}

/* Debian's and everybody's: games is user 5, and in group 60 by its row. */
static void users_are_found_where_the_policy_hides_them(void **state)
{
    (void)state;
    static const char text[] = "version: 1\n"
                               "filesystem_policy:\n"
                               "  read_only: [/usr, /lib]\n"
                               "landlock: { compatibility: hard_requirement }\n";
    const struct policy_document *policy;
    const char *const groups[] = { "games", "tape", NULL };
    struct box box;
    struct seen seen;
    struct osa_error err;
    if (geteuid() != 0) /* no user but its own */
        return;
    assert_int_equal(policy_document_parse_yaml(text, strlen(text), "test", &policy, &err), OSA_OK);
    struct sandbox_spec sandbox = box_spec();
    sandbox.policy = policy;
    box_try(&box, &sandbox);
    assert_non_null(box.sandbox);
    struct process_spec spec =
        shell("id -u; id -g; id -G; cat /etc/passwd 2>/dev/null || echo hidden");
    spec.user = "games";
    launch(&box, &seen, &spec);
    finish(&seen);
    assert_string_equal(seen.out.data, "5\n60\n60\nhidden\n");
    seen_done(&seen);
    spec.groups = groups;
    launch(&box, &seen, &spec);
    finish(&seen);
    assert_string_equal(seen.out.data, "5\n60\n60 26\nhidden\n");
    seen_done(&seen);
    spec.user = "no-such-user";
    launch(&box, &seen, &spec);
    assert_null(seen.process);
    assert_string_equal(
        seen.error.text,
        "user: spec.user: 'no-such-user' is not in /etc/passwd of the sandbox's root");
    seen_done(&seen);
    box_close(&box);
    policy_document_unref(policy);
}

/* Processes of one sandbox may signal each other; the first cannot be reached by another's. */
static void sandboxes_do_not_reach_each_other(void **state)
{
    (void)state;
    struct box a;
    struct box b;
    struct seen victim;
    struct seen attacker;
    box_open(&a);
    box_open(&b);
    struct process_spec spec = shell("echo up; exec sleep 20");
    launch(&a, &victim, &spec);

    spec = shell("kill -9 -1; sleep 0.1; exit 0");
    launch(&b, &attacker, &spec);
    assert_true(until(&attacker.exited));
    run_for_ms(50);
    assert_false(victim.exited);

    kill_tree_and_wait(&victim);
    kill_tree_and_wait(&attacker);
    seen_done(&victim);
    seen_done(&attacker);
    box_close(&a);
    box_close(&b);
}

/* Whoever connects to a socket from a sandbox is known for that, orphans of orphans included. */
static void connections_are_recognised(void **state)
{
    (void)state;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char dir[] = "/var/tmp/osa-kin-XXXXXX"; /* the policy shows the working directory */
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0755), 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(chmod(address.sun_path, 0666), 0);
    assert_int_equal(listen(fd, 4), 0);
    char script[512];
    (void)snprintf(script, sizeof(script),
                   "dial() { python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); "
                   "s.connect(\"%s\"); s.recv(1)'; }; ((dial &) &); dial",
                   address.sun_path);
    struct box box;
    struct seen seen;
    struct sandbox_spec where = box_spec();
    where.workdir = dir;
    box_try(&box, &where);
    assert_string_equal(box.error.text, "");
    struct process_spec spec = shell(script);
    launch(&box, &seen, &spec);
    for (int i = 0; i < 2; i++) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&ready, 1, 10000), 1);
        int peer = osa_accept(fd);
        uint32_t uid;
        int32_t pid;
        assert_int_equal(osa_peer_credentials(peer, &uid, &pid, NULL), OSA_OK);
        assert_true(process_backend_is_workload(uid, pid));
        (void)close(peer);
    }
    finish(&seen);
    seen_done(&seen);
    box_close(&box);
    (void)close(fd);
    (void)unlink(address.sun_path);
    (void)rmdir(dir);
    assert_false(process_backend_is_workload(geteuid(), getpid()));
    assert_false(process_backend_is_workload(geteuid(), getppid()));
    assert_false(process_backend_is_workload(0, 0));              /* outside of our pid namespace */
    assert_true(process_backend_is_workload(geteuid(), 1 << 22)); /* has gone: nobody knows */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(privileges_are_gone),
        cmocka_unit_test(files_follow_the_policy),
        cmocka_unit_test(refused_connections_are_told),
        cmocka_unit_test(isolation_tells_what_is_in_force),
        cmocka_unit_test(other_processes_are_unseen),
        cmocka_unit_test(filter_is_loaded),
        cmocka_unit_test(ports_inside_are_reached),
        cmocka_unit_test(network_is_empty),
        cmocka_unit_test(users_are_resolved_or_refused),
        cmocka_unit_test(required_path_that_is_missing_is_named),
        cmocka_unit_test(users_are_found_where_the_policy_hides_them),
        cmocka_unit_test(sandboxes_do_not_reach_each_other),
        cmocka_unit_test(connections_are_recognised),
    };
    if (!fixture_level(argc, argv))
        return 77;
    (void)snprintf(secret, sizeof(secret), "/var/tmp/osa-secret-XXXXXX");
    int fd = mkstemp(secret);
    if (fd < 0 || write(fd, "secret\n", 7) != 7)
        return 1;
    int rc = cmocka_run_group_tests(tests, fixture_open, fixture_close);
    (void)unlink(secret);
    return rc;
}
