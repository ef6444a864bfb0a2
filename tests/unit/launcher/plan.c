// SPDX-License-Identifier: Apache-2.0
/* Plans, packets and the pid table: what the launcher reads, and what it refuses to read. */
#include "cmocka_all.h"

#include "base/fd.h"
#include "base/macros.h"
#include "launcher/pid_table.h"
#include "launcher/plan.h"
#include "launcher/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A plan with one argument, two variables and a directory. */
struct small {
    struct launch_plan head;
    _Alignas(8) char argv[8]; /* "ls\0-l\0" */
    char env[8];              /* "A=1\0B=2\0" */
    char cwd[8];              /* "/tmp\0" */
    struct plan_rlimit limit;
};

static struct small small_plan(void)
{
    struct small plan = {
        .head = { .magic = LAUNCH_PLAN_MAGIC,
                  .size = sizeof(plan),
                  .argv = { { offsetof(struct small, argv), 6 }, 2 },
                  .env = { { offsetof(struct small, env), 8 }, 2 },
                  .cwd = { offsetof(struct small, cwd), 5 },
                  .rlimits = { offsetof(struct small, limit), sizeof(struct plan_rlimit) } },
        .argv = "ls\0-l",
        .env = { 'A', '=', '1', 0, 'B', '=', '2', 0 },
        .cwd = "/tmp",
    };
    return plan;
}

static void whole_plan_is_read(void **state)
{
    (void)state;
    struct small small = small_plan();
    const struct launch_plan *plan = launch_plan_check(&small, sizeof(small));
    const char *list[3];
    assert_ptr_equal(plan, &small.head);
    plan_string_list(plan, plan->argv, list);
    assert_string_equal(list[0], "ls");
    assert_string_equal(list[1], "-l");
    assert_null(list[2]);
    plan_string_list(plan, plan->env, list);
    assert_string_equal(list[1], "B=2");
    assert_string_equal(plan_text(plan, plan->cwd), "/tmp");
    assert_null(plan_text(plan, plan->user));
}

#define REFUSED(change)                                                                            \
    do {                                                                                           \
        struct small small = small_plan();                                                         \
        change;                                                                                    \
        assert_null(launch_plan_check(&small, sizeof(small)));                                     \
    } while (0)

static void inconsistent_plan_is_refused(void **state)
{
    (void)state;
    REFUSED(small.head.magic = SANDBOX_PLAN_MAGIC);
    REFUSED(small.head.size--);
    REFUSED(small.head.argv.count = 0; small.head.argv.bytes.length = 0);
    REFUSED(small.head.argv.count = 1);
    REFUSED(small.head.argv.count = 3);
    REFUSED(small.head.argv.bytes.length = 5); /* no NUL at the end */
    REFUSED(small.head.argv.bytes.offset = 4); /* inside the head */
    REFUSED(small.head.env.bytes.offset = UINT32_MAX - 2);
    REFUSED(small.head.env.bytes.length = UINT32_MAX);
    REFUSED(small.head.env.bytes.length = 0); /* but two strings */
    REFUSED(small.head.cwd.length = 0);
    REFUSED(small.head.cwd.length = 4);              /* not terminated */
    REFUSED(small.head.cwd.length = 6);              /* a NUL inside */
    REFUSED(small.head.user = small.head.env.bytes); /* two strings */
    REFUSED(small.head.groups_set = 2);
    REFUSED(small.head.rlimits.length--);
    REFUSED(small.head.rlimits.offset += 4);
    REFUSED(small.head.rlimits.length = 0x40000000);
    struct small small = small_plan();
    assert_null(launch_plan_check(&small, sizeof(small.head) - 1));
    assert_null(launch_plan_check(&small, 0));
}

static void sandbox_plan_bounds_its_filter(void **state)
{
    (void)state;
    struct {
        struct sandbox_plan head;
        _Alignas(8) char filter[16];
    } plan = { .head = { .magic = SANDBOX_PLAN_MAGIC, .size = sizeof(plan) } };
    plan.head.seccomp = (struct plan_blob){ (uint32_t)((char *)plan.filter - (char *)&plan), 16 };
    assert_non_null(sandbox_plan_check(&plan, sizeof(plan)));
    plan.head.seccomp.length = 12;
    assert_null(sandbox_plan_check(&plan, sizeof(plan)));
    plan.head.seccomp.length = 16;
    plan.head.hostname = (struct plan_blob){ plan.head.seccomp.offset, 16 };
    memset(plan.filter, 'x', sizeof(plan.filter));
    assert_null(sandbox_plan_check(&plan, sizeof(plan)));
    plan.filter[15] = '\0';
    assert_non_null(sandbox_plan_check(&plan, sizeof(plan)));
}

static void copy_plan_needs_an_absolute_path(void **state)
{
    (void)state;
    struct {
        struct copy_plan head;
        char path[8];
        char user[8];
    } plan = { .head = { .magic = COPY_PLAN_MAGIC, .size = sizeof(plan) },
               .path = "/tmp",
               .user = "nobody" };
    const uint32_t path_at = (uint32_t)((char *)plan.path - (char *)&plan);
    const uint32_t user_at = (uint32_t)((char *)plan.user - (char *)&plan);
    plan.head.path = (struct plan_blob){ path_at, 5 };
    plan.head.user = (struct plan_blob){ user_at, 7 };
    assert_ptr_equal(copy_plan_check(&plan, sizeof(plan)), &plan.head);
    assert_string_equal(plan_text(&plan, plan.head.user), "nobody");
    assert_null(copy_plan_check(&plan, sizeof(plan.head) - 1));
    plan.head.user.length = 6; /* not terminated */
    assert_null(copy_plan_check(&plan, sizeof(plan)));
    plan.head.user.length = 0; /* the sandbox's */
    assert_non_null(copy_plan_check(&plan, sizeof(plan)));
    plan.path[0] = 't';
    assert_null(copy_plan_check(&plan, sizeof(plan)));
    plan.path[0] = '/';
    plan.head.path.length = 0;
    assert_null(copy_plan_check(&plan, sizeof(plan)));
    plan.head.path = (struct plan_blob){ path_at, 5 };
    plan.head.magic = LAUNCH_PLAN_MAGIC;
    assert_null(copy_plan_check(&plan, sizeof(plan)));
}

static struct wire_buffer buffer;

static void make_pair(int socks[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks), 0);
}

static void packets_carry_bodies_and_descriptors(void **state)
{
    (void)state;
    static char big[LAUNCHER_BODY_MAX + 1];
    int socks[2];
    make_pair(socks);
    memset(big, 'b', sizeof(big));
    for (size_t length = sizeof(big) - 2; length <= sizeof(big); length++) {
        struct launcher_message head = { .type = LAUNCHER_SPAWN, .key = length };
        struct wire_packet packet;
        assert_int_equal(wire_send(socks[0], &head, big, length, &socks[0], 1, 0), 0);
        assert_int_equal(wire_recv(socks[1], &buffer, &packet, 0), 1);
        assert_int_equal(packet.head.key, length);
        assert_int_equal(packet.head.length, length);
        assert_int_equal(packet.mapped, length > LAUNCHER_BODY_MAX);
        assert_int_equal(packet.fd_count, 1);
        assert_memory_equal(packet.body, big, length);
        wire_packet_done(&packet);
    }
    assert_int_equal(wire_recv(socks[1], &buffer, &(struct wire_packet){ 0 }, MSG_DONTWAIT),
                     -EAGAIN);
    close(socks[0]);
    assert_int_equal(wire_recv(socks[1], &buffer, &(struct wire_packet){ 0 }, 0), 0);
    close(socks[1]);
}

static void bad_packets_are_refused(void **state)
{
    (void)state;
    int socks[2];
    struct wire_packet packet;
    struct launcher_message head = { .type = LAUNCHER_SPAWN, .length = 9 };
    make_pair(socks);
    assert_int_equal(write(socks[0], &head, sizeof(head)), sizeof(head)); /* length lies */
    assert_int_equal(wire_recv(socks[1], &buffer, &packet, 0), -EBADMSG);
    assert_int_equal(write(socks[0], &head, 7), 7);
    assert_int_equal(wire_recv(socks[1], &buffer, &packet, 0), -EBADMSG);

    /* A body that its sender could still change. */
    OSA_AUTO(osa_close_fd) int loose = memfd_create("loose", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(loose, "123456789", 9), 9);
    head.flags = LAUNCHER_BODY_IN_FD;
    assert_int_equal(wire_send(socks[0], &head, NULL, 0, &loose, 1, 0), 0);
    assert_int_equal(wire_recv(socks[1], &buffer, &packet, 0), -EBADMSG);

    static char body[PLAN_MAX_BYTES + 1];
    assert_int_equal(wire_send(socks[0], &head, body, sizeof(body), NULL, 0, 0), -E2BIG);
    close(socks[0]);
    close(socks[1]);
}

static void pid_table_finds_what_is_in_it(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    struct pid_table table = { 0 };
    assert_null(pid_table_find(&table, 1));
    for (pid_t pid = 1; pid <= MANY; pid++) {
        assert_true(pid_table_reserve(&table));
        pid_table_put(&table, (struct pid_entry){ .pid = pid * 7, .key = (uint64_t)pid });
    }
    assert_int_equal(table.count, MANY);
    for (pid_t pid = 1; pid <= MANY; pid += 2)
        pid_table_remove(&table, pid_table_find(&table, pid * 7));
    for (pid_t pid = 1; pid <= MANY; pid++) {
        const struct pid_entry *entry = pid_table_find(&table, pid * 7);
        if (pid % 2 == 1) {
            assert_null(entry);
        } else {
            assert_non_null(entry);
            assert_int_equal(entry->key, pid);
        }
    }
    assert_int_equal(table.count, MANY / 2);
    pid_table_free(&table);
}

static void every_stage_has_a_name(void **state)
{
    (void)state;
    for (uint32_t stage = 0; stage < LAUNCH_STAGE_COUNT; stage++)
        assert_string_not_equal(launch_stage_name(stage), "unknown");
    assert_string_equal(launch_stage_name(LAUNCH_STAGE_EXEC), "exec");
    assert_string_equal(launch_stage_name(LAUNCH_STAGE_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_plan_is_read),
        cmocka_unit_test(inconsistent_plan_is_refused),
        cmocka_unit_test(sandbox_plan_bounds_its_filter),
        cmocka_unit_test(copy_plan_needs_an_absolute_path),
        cmocka_unit_test(packets_carry_bodies_and_descriptors),
        cmocka_unit_test(bad_packets_are_refused),
        cmocka_unit_test(pid_table_finds_what_is_in_it),
        cmocka_unit_test(every_stage_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
