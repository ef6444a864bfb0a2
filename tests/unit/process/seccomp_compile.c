// SPDX-License-Identifier: Apache-2.0
/* The table of system calls: order, completeness, and that every filter can be made. */
#include "backends/process/seccomp_compile.h"
#include "backends/process/seccomp_denial.h"
#include "launcher/protocol.h"

#include "cmocka_all.h"

#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

static const struct seccomp_call *find(const char *name)
{
    for (size_t i = 0; i < seccomp_call_count; i++)
        if (strcmp(seccomp_calls[i].name, name) == 0)
            return &seccomp_calls[i];
    return NULL;
}

static void test_sorted(void **state)
{
    (void)state;
    for (size_t i = 1; i < seccomp_call_count; i++)
        if (strcmp(seccomp_calls[i - 1].name, seccomp_calls[i].name) >= 0)
            fail_msg("'%s' stands before '%s'", seccomp_calls[i - 1].name, seccomp_calls[i].name);
}

static void test_refusals_have_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < seccomp_call_count; i++) {
        const struct seccomp_call *call = &seccomp_calls[i];
        bool needed = call->verdict >= SECCOMP_CALL_GPU;
        if ((call->help != NULL) != needed)
            fail_msg("'%s' %s", call->name, needed ? "has no help" : "has help but is allowed");
    }
}

/* A call that libseccomp learns about must be thought about, not forgotten. */
static void test_complete(void **state)
{
    (void)state;
    static const uint32_t archs[] = { SCMP_ARCH_X86_64, SCMP_ARCH_AARCH64 };
    for (size_t a = 0; a < OSA_ARRAY_LEN(archs); a++)
        for (int number = 0; number < 1024; number++) {
            char *name = seccomp_syscall_resolve_num_arch(archs[a], number);
            if (name != NULL && find(name) == NULL)
                fail_msg("'%s' has no row", name);
            free(name);
        }
}

/* What upstream's supervisor refuses by name is the least. */
static void test_upstream_list(void **state)
{
    (void)state;
    static const char *const names[] = {
        "memfd_create",
        "ptrace",
        "bpf",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_open",
        "pidfd_getfd",
        "pidfd_send_signal",
        "io_uring_setup",
        "mount",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "move_mount",
        "open_tree",
        "setns",
        "umount2",
        "pivot_root",
        "userfaultfd",
        "perf_event_open",
        "init_module",
        "finit_module",
        "delete_module",
        "kexec_load",
        "kexec_file_load",
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(names); i++) {
        const struct seccomp_call *call = find(names[i]);
        assert_non_null(call);
        assert_true(call->verdict == SECCOMP_CALL_DENY || call->verdict == SECCOMP_CALL_GPU);
    }
    assert_int_equal(find("clone3")->verdict, SECCOMP_CALL_ABSENT);
}

static void test_profiles(void **state)
{
    (void)state;
    enum seccomp_profile profile = SECCOMP_PROFILE_GPU;
    assert_true(seccomp_profile_parse("", &profile));
    assert_int_equal(profile, SECCOMP_PROFILE_DEFAULT);
    assert_true(seccomp_profile_parse("strict", &profile));
    assert_int_equal(profile, SECCOMP_PROFILE_STRICT);
    assert_false(seccomp_profile_parse("Strict", &profile));
    assert_string_equal(seccomp_profile_name(SECCOMP_PROFILE_GPU), "gpu");
}

static void test_compiles(void **state)
{
    (void)state;
    for (int profile = 0; profile < SECCOMP_PROFILE_COUNT; profile++)
        for (int inet = 0; inet < 2; inet++) {
            const struct seccomp_spec spec = { (enum seccomp_profile)profile, inet, false };
            struct osa_error err = { 0 };
            OSA_AUTO(osa_buf_done) struct osa_buf out;
            osa_buf_init(&out, 1 << 20);
            osa_buf_add(&out, "12345678", 8); /* appends */
            if (seccomp_compile(&spec, &out, &err) != OSA_OK)
                fail_msg("%s", err.text);
            assert_int_equal((out.len - 8) % sizeof(struct sock_filter), 0);
            assert_in_range((out.len - 8) / sizeof(struct sock_filter), 200, BPF_MAXINSNS);
        }
    const struct seccomp_spec spec = { SECCOMP_PROFILE_DEFAULT, true, false };
    struct osa_error err = { 0 };
    OSA_AUTO(osa_buf_done) struct osa_buf small;
    osa_buf_init(&small, 100);
    assert_int_equal(seccomp_compile(&spec, &small, &err), OSA_RESOURCE_EXHAUSTED);
    assert_string_equal(err.text, "the system call filter 'default' cannot be made: Cannot "
                                  "allocate memory");
}

static unsigned count_returns(bool notify, uint32_t action)
{
    const struct seccomp_spec spec = { SECCOMP_PROFILE_DEFAULT, true, notify };
    struct osa_error err = { 0 };
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    unsigned count = 0;
    osa_buf_init(&out, 1 << 20);
    assert_int_equal(seccomp_compile(&spec, &out, &err), OSA_OK);
    const struct sock_filter *code = (const void *)out.data;
    for (size_t i = 0; i < out.len / sizeof(*code); i++)
        count += code[i].code == (BPF_RET | BPF_K) && code[i].k == action;
    return count;
}

/* Nothing else changes: what killed kills, what was absent is absent. */
static void test_notifies_in_place_of_eperm(void **state)
{
    (void)state;
    const uint32_t eperm = SCMP_ACT_ERRNO(EPERM);
    const uint32_t others[] = { SCMP_ACT_ERRNO(ENOSYS), SCMP_ACT_KILL_PROCESS, SCMP_ACT_ALLOW };
    assert_true(count_returns(false, eperm) > 0);
    assert_int_equal(count_returns(false, SCMP_ACT_NOTIFY), 0);
    assert_int_equal(count_returns(true, SCMP_ACT_NOTIFY), count_returns(false, eperm));
    assert_int_equal(count_returns(true, eperm), 0);
    for (size_t i = 0; i < OSA_ARRAY_LEN(others); i++)
        assert_int_equal(count_returns(true, others[i]), count_returns(false, others[i]));
}

static void assert_text(const struct seccomp_spec *spec, struct launcher_denied denied,
                        const char *expected)
{
    char text[SECCOMP_DENIAL_TEXT_MAX];
    seccomp_denial_text(spec, &denied, text);
    assert_string_equal(text, expected);
}

static void test_denials_in_words(void **state)
{
    (void)state;
    const struct seccomp_spec spec = { SECCOMP_PROFILE_DEFAULT, true, true };
    const struct seccomp_spec strict = { SECCOMP_PROFILE_STRICT, true, true };
    const struct seccomp_spec no_inet = { SECCOMP_PROFILE_DEFAULT, false, true };
    assert_text(&spec, (struct launcher_denied){ .nr = SYS_ptrace, .pid = 3 },
                "ptrace by pid 3: controls other processes; no seccomp profile allows it");
    assert_text(&spec, (struct launcher_denied){ .nr = SYS_memfd_create, .missed = 2 },
                "memfd_create with argument 2 = 0x0: memory that could be run as a program; no "
                "seccomp profile allows it (2 more before not shown)");
    assert_text(&spec, (struct launcher_denied){ .nr = SYS_memfd_create, .args = { 0, 8 } },
                "memfd_create: memory that can be executed; sealed against that under gpu; seccomp "
                "profile gpu allows it");
    assert_text(&strict, (struct launcher_denied){ .nr = SYS_semget, .pid = 9 },
                "semget by pid 9: seccomp profile default allows it");
    assert_text(&spec, (struct launcher_denied){ .nr = SYS_socket, .args = { 17, 3, 768 } },
                "socket with argument 1 = 0x11: only unix, inet and route sockets are open, and of "
                "inet neither raw ones nor DCCP, L2TP, SCTP and UDP-Lite; no seccomp profile "
                "allows it");
    assert_text(&no_inet, (struct launcher_denied){ .nr = SYS_socket, .args = { 2, 1, 0 } },
                "socket with argument 1 = 0x2: there is no network here; a sandbox at level "
                "ROOTLESS or FULL has one");
    assert_text(&spec, (struct launcher_denied){ .nr = 4000, .pid = 1 }, "system call 4000");
    assert_text(&spec, (struct launcher_denied){ .nr = -1, .missed = 12 },
                "12 more system calls refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorted),
        cmocka_unit_test(test_refusals_have_a_reason),
        cmocka_unit_test(test_complete),
        cmocka_unit_test(test_upstream_list),
        cmocka_unit_test(test_profiles),
        cmocka_unit_test(test_compiles),
        cmocka_unit_test(test_notifies_in_place_of_eperm),
        cmocka_unit_test(test_denials_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
