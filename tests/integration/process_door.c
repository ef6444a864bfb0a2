// SPDX-License-Identifier: Apache-2.0
/* The door of a sandbox: where its egress proxy listens, and who came through it. */
#include "integration/process_fixture.h"

#include "base/clock.h"
#include "base/fd.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Connects, then runs a second script with the connection as descriptor 3. */
#define CONNECT "exec 3<>/dev/tcp/127.0.0.1/3128 && "
#define HOLD CONNECT "read -r line <&3 && echo \"$line\""

struct asked {
    bool answered;
    enum osa_code code;
    char text[512];
    char exe[256];
    char ancestors[512]; /* "a b c" */
    uint8_t digest[OWNER_DIGEST_SIZE];
};

static void on_owner(void *ctx, const struct door_owner *owner, const struct osa_error *error)
{
    struct asked *asked = ctx;
    asked->answered = true;
    if (error != NULL) {
        asked->code = error->code;
        (void)snprintf(asked->text, sizeof(asked->text), "%s", error->text);
        return;
    }
    assert_true(owner->pid > 0);
    (void)snprintf(asked->exe, sizeof(asked->exe), "%s", owner->exe);
    memcpy(asked->digest, owner->digest, sizeof(asked->digest));
    for (unsigned i = 0; owner->ancestors[i] != NULL; i++) {
        size_t used = strlen(asked->ancestors);
        (void)snprintf(asked->ancestors + used, sizeof(asked->ancestors) - used, "%s%s",
                       i > 0 ? " " : "", owner->ancestors[i]);
    }
}

/* The loop is the fixture's; until() runs it. */
static int accept_one(const struct sandbox_door *door, struct door_visit *ret_visit)
{
    int fd = -1;
    socklen_t len = sizeof(ret_visit->client);
    for (unsigned i = 0; i < 6000 && fd < 0; i++) {
        run_for_ms(10);
        fd = accept(door->fds[0], (struct sockaddr *)&ret_visit->client, &len);
    }
    assert_true(fd >= 0);
    len = sizeof(ret_visit->proxy);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ret_visit->proxy, &len), 0);
    return fd;
}

static void ask(struct box *box, const struct door_visit *visit, struct asked *ret)
{
    *ret = (struct asked){ 0 };
    box->sandbox->ops->sandbox_owner(box->sandbox, visit, on_owner, ret);
    assert_false(ret->answered);
    assert_true(until(&ret->answered));
}

static bool has_proxy(const struct box *box)
{
    return box->isolation.network == NETWORK_PROXY;
}

static void open_with_door(struct box *box, struct sandbox_door *door)
{
    struct osa_error err = { 0 };
    struct sandbox_spec spec = box_spec();
    spec.proxy = true;
    box_try(box, &spec);
    assert_true(box->answered);
    assert_non_null(box->sandbox);
    if (!has_proxy(box)) {
        assert_int_equal(box->sandbox->ops->sandbox_door(box->sandbox, door, &err),
                         OSA_FAILED_PRECONDITION);
        assert_string_equal(err.text, "the sandbox has no egress proxy");
        assert_non_null(strstr(box->isolation.degraded, "what the policy lets out is refused"));
        box_close(box);
        skip();
    }
    assert_int_equal(box->sandbox->ops->sandbox_door(box->sandbox, door, &err), OSA_OK);
}

static void close_with_door(struct box *box, struct sandbox_door *door)
{
    osa_close_fd(&door->fds[0]);
    osa_close_fd(&door->fds[1]);
    box_close(box);
}

static struct process_spec bash(const char *script)
{
    static const char *argv[] = { "/usr/bin/bash", "-c", NULL, NULL };
    struct process_spec spec = shell("");
    argv[2] = script;
    spec.argv = argv;
    return spec;
}

static void test_owner(void **state)
{
    (void)state;
    struct box box;
    struct sandbox_door door;
    struct seen seen;
    struct door_visit visit;
    struct asked asked;
    struct osa_error err = { 0 };
    open_with_door(&box, &door);
    assert_string_equal(door.hosts[0], "127.0.0.1");
    assert_int_equal(door.port, 3128);
    assert_int_equal(box.sandbox->ops->sandbox_door(box.sandbox, &door, &err),
                     OSA_FAILED_PRECONDITION); /* once only */

    struct process_spec spec = bash(HOLD);
    launch(&box, &seen, &spec);
    int fd = accept_one(&door, &visit);
    ask(&box, &visit, &asked);
    assert_int_equal(asked.code, OSA_OK);
    assert_string_equal(asked.exe, "/usr/bin/bash");
    assert_string_equal(asked.ancestors, "");
    assert_int_equal(osa_write_all(fd, "hello\n", 6), 0);
    osa_close_fd(&fd);
    finish(&seen);
    assert_string_equal(seen.out.data, "hello\n");
    seen_done(&seen);

    struct process_spec nested = shell("/usr/bin/env bash -c '" HOLD "; true'; true");
    launch(&box, &seen, &nested);
    fd = accept_one(&door, &visit);
    ask(&box, &visit, &asked);
    assert_int_equal(asked.code, OSA_OK);
    assert_string_equal(asked.exe, "/usr/bin/bash");
    assert_string_equal(asked.ancestors, "/usr/bin/dash");
    osa_close_fd(&fd);
    finish(&seen);
    seen_done(&seen);
    close_with_door(&box, &door);
}

/* Where OpenShell's own sandboxes have their proxy, there is one here as well; beside it nothing. */
static void test_known_address(void **state)
{
    (void)state;
    struct box box;
    struct sandbox_door door;
    struct seen seen;
    struct door_visit visit;
    struct asked asked;
    open_with_door(&box, &door);
    struct process_spec spec = bash("exec 3<>/dev/tcp/10.200.0.1/3128 && read -r line <&3 && "
                                    "echo \"$line\"; (exec 4<>/dev/tcp/10.200.0.2/3128) "
                                    "2>/dev/null || echo refused");
    launch(&box, &seen, &spec);
    int fd = accept_one(&door, &visit);
    ask(&box, &visit, &asked);
    assert_int_equal(asked.code, OSA_OK);
    assert_string_equal(asked.exe, "/usr/bin/bash");
    assert_int_equal(osa_write_all(fd, "hello\n", 6), 0);
    osa_close_fd(&fd);
    finish(&seen);
    assert_string_equal(seen.out.data, "hello\nrefused\n");
    seen_done(&seen);
    close_with_door(&box, &door);
}

static void test_shared(void **state)
{
    (void)state;
    struct box box;
    struct sandbox_door door;
    struct seen seen;
    struct door_visit visit;
    struct asked asked;
    open_with_door(&box, &door);
    struct process_spec spec =
        bash(CONNECT "{ sleep 20 & while ! [ /proc/$!/exe -ef /usr/bin/sleep ]; do :; done; "
                     "echo up; read -r line <&3; kill $!; }");
    launch(&box, &seen, &spec);
    int fd = accept_one(&door, &visit);
    for (unsigned i = 0; i < 6000 && seen.out.len == 0; i++)
        run_for_ms(10);
    assert_int_equal(seen.out.len, 3); /* bash has forked, sleep is executed */
    ask(&box, &visit, &asked);
    assert_int_equal(asked.code, OSA_PERMISSION_DENIED);
    assert_non_null(strstr(asked.text, "share the connection"));
    assert_non_null(strstr(asked.text, "(/usr/bin/sleep)"));
    osa_close_fd(&fd);
    finish(&seen);
    seen_done(&seen);
    close_with_door(&box, &door);
}

static void test_gone(void **state)
{
    (void)state;
    struct box box;
    struct sandbox_door door;
    struct seen seen;
    struct door_visit visit;
    struct asked asked;
    open_with_door(&box, &door);
    struct process_spec spec = bash(CONNECT "exit 0");
    launch(&box, &seen, &spec);
    finish(&seen);
    int fd = accept_one(&door, &visit);
    ask(&box, &visit, &asked);
    assert_int_equal(asked.code, OSA_NOT_FOUND);
    osa_close_fd(&fd);
    seen_done(&seen);
    close_with_door(&box, &door);
}

static void test_changed(void **state)
{
    (void)state;
    struct box box;
    struct sandbox_door door;
    struct seen seen;
    struct door_visit visit;
    struct asked asked;
    char path[64];
    char script[512];
    open_with_door(&box, &door);
    (void)snprintf(path, sizeof(path), "/tmp/osa-door-%d", (int)getpid());
    (void)snprintf(script, sizeof(script),
                   "cp /usr/bin/bash %s && %s -c '" CONNECT "read -r line <&3'; "
                   "echo >> %s; %s -c '" CONNECT "read -r line <&3'; rm %s",
                   path, path, path, path, path);
    struct process_spec spec = bash(script);
    launch(&box, &seen, &spec);
    int fd = accept_one(&door, &visit);
    ask(&box, &visit, &asked);
    assert_int_equal(asked.code, OSA_OK);
    assert_string_equal(asked.exe, path);
    assert_string_equal(asked.ancestors, "/usr/bin/bash");
    osa_close_fd(&fd);
    fd = accept_one(&door, &visit);
    ask(&box, &visit, &asked);
    assert_int_equal(asked.code, OSA_DATA_LOSS);
    assert_non_null(strstr(asked.text, "has changed since its first use in this sandbox"));
    osa_close_fd(&fd);
    finish(&seen);
    seen_done(&seen);
    close_with_door(&box, &door);
}

/* The proxy is the only way out: what is not it is refused, and recorded. */
static void test_other_ways(void **state)
{
    (void)state;
    struct box box;
    struct sandbox_door door;
    struct seen seen;
    open_with_door(&box, &door);
    struct process_spec spec = bash("(exec 3<>/dev/tcp/192.0.2.7/80) 2>/dev/null || echo refused");
    launch(&box, &seen, &spec);
    finish(&seen);
    assert_string_equal(seen.out.data, "refused\n");
    seen_done(&seen);
    for (unsigned i = 0; i < 6000 && box.denied == 0; i++)
        run_for_ms(10);
    assert_non_null(strstr(box.denied_last, "network: tcp to 192.0.2.7:80"));
    close_with_door(&box, &door);
}

/* A sandbox that ends answers who waits. */
static void test_end(void **state)
{
    (void)state;
    struct box box;
    struct sandbox_door door;
    struct seen seen;
    struct door_visit visit;
    struct asked asked = { 0 };
    open_with_door(&box, &door);
    struct process_spec spec = bash(HOLD);
    launch(&box, &seen, &spec);
    int fd = accept_one(&door, &visit);
    box.sandbox->ops->sandbox_owner(box.sandbox, &visit, on_owner, &asked);
    close_with_door(&box, &door);
    assert_true(until(&asked.answered));
    run_for_ms(300); /* the worker lets go of what it looks at */
    assert_true(asked.code == OSA_ABORTED || asked.code == OSA_NOT_FOUND ||
                asked.code == OSA_OK); /* whichever came first */
    osa_close_fd(&fd);
    seen_done(&seen);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_owner),   cmocka_unit_test(test_known_address),
        cmocka_unit_test(test_shared),  cmocka_unit_test(test_gone),
        cmocka_unit_test(test_changed), cmocka_unit_test(test_other_ways),
        cmocka_unit_test(test_end),
    };
    if (!fixture_level(argc, argv))
        return 77;
    return cmocka_run_group_tests_name("process door", tests, fixture_open, fixture_close);
}
