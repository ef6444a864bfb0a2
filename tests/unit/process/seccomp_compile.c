// SPDX-License-Identifier: Apache-2.0
/* The table of system calls: order, completeness, and that every filter can be made. */
#include "backends/process/seccomp_compile.h"
#include "backends/process/seccomp_denial.h"
#include "launcher/protocol.h"

#include "cmocka_all.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
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
            assert_in_range((out.len - 8) / sizeof(struct sock_filter), 100, 400);
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

/* What the kernel would do: the part of classic BPF that filters use, linux/filter.h. */
static uint32_t run(const struct sock_filter *code, size_t count, const struct seccomp_data *data)
{
    uint32_t a = 0;
    for (size_t at = 0; at < count; at++) {
        const struct sock_filter *in = &code[at];
        bool jump = false;
        switch (in->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_in_range(in->k, 0, sizeof(*data) - sizeof(a));
            memcpy(&a, (const char *)data + in->k, sizeof(a));
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= in->k;
            continue;
        case BPF_JMP | BPF_JA:
            at += in->k;
            continue;
        case BPF_RET | BPF_K:
            return in->k;
        case BPF_JMP | BPF_JEQ | BPF_K:
            jump = a == in->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            jump = a >= in->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            jump = a > in->k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            jump = (a & in->k) != 0;
            break;
        default:
            fail_msg("instruction %#x", in->code);
        }
        at += jump ? in->jt : in->jf;
    }
    fail_msg("the filter has no end");
    return 0;
}

/* A call whose arguments no condition refuses; 0 where there is none by name alone. */
static void set_harmless_arguments(const struct seccomp_call *call, struct seccomp_data *data)
{
    if (strcmp(call->name, "memfd_create") == 0)
        data->args[1] = 8; /* MFD_NOEXEC_SEAL */
    if (strcmp(call->name, "socket") == 0 || strcmp(call->name, "socketpair") == 0)
        data->args[0] = 1; /* AF_UNIX */
    if (strcmp(call->name, "setrlimit") == 0 || strcmp(call->name, "prlimit64") == 0)
        data->args[0] = data->args[1] = 7; /* RLIMIT_NOFILE */
    if (strcmp(call->name, "seccomp") == 0)
        data->args[0] = 2; /* SECCOMP_GET_ACTION_AVAIL */
}

static uint32_t expected_answer(const struct seccomp_call *call, enum seccomp_profile profile)
{
    bool allowed =
        call != NULL &&
        (call->verdict == SECCOMP_CALL_ALLOW ||
         (call->verdict == SECCOMP_CALL_NOT_STRICT && profile != SECCOMP_PROFILE_STRICT) ||
         (call->verdict == SECCOMP_CALL_GPU && profile == SECCOMP_PROFILE_GPU));
    if (allowed)
        return SCMP_ACT_ALLOW;
    return call == NULL || call->verdict == SECCOMP_CALL_ABSENT ? SCMP_ACT_ERRNO(ENOSYS)
                                                                : SCMP_ACT_ERRNO(EPERM);
}

static void check_every_number(enum seccomp_profile profile, const struct osa_buf *filter)
{
    const struct sock_filter *code = (const void *)filter->data;
    size_t count = filter->len / sizeof(*code);
    const struct seccomp_call *rows[2000] = { NULL };
    for (size_t i = 0; i < seccomp_call_count; i++) {
        int number = seccomp_calls[i].number != 0
                         ? seccomp_calls[i].number
                         : seccomp_syscall_resolve_name(seccomp_calls[i].name);
        if (number >= 0)
            rows[number] = &seccomp_calls[i];
    }
    for (int number = 0; number < (int)OSA_ARRAY_LEN(rows); number++) {
        struct seccomp_data data = { .nr = number, .arch = seccomp_arch_native() };
        if (rows[number] != NULL)
            set_harmless_arguments(rows[number], &data);
        uint32_t answer = run(code, count, &data);
        if (answer != expected_answer(rows[number], profile))
            fail_msg("%s, call %d %s: %#x", seccomp_profile_name(profile), number,
                     rows[number] != NULL ? rows[number]->name : "", answer);
    }
}

static void test_answers_by_number(void **state)
{
    (void)state;
    for (int profile = 0; profile < SECCOMP_PROFILE_COUNT; profile++) {
        const struct seccomp_spec spec = { (enum seccomp_profile)profile, true, false };
        struct osa_error err = { 0 };
        OSA_AUTO(osa_buf_done) struct osa_buf out;
        osa_buf_init(&out, 1 << 20);
        assert_int_equal(seccomp_compile(&spec, &out, &err), OSA_OK);
        check_every_number(spec.profile, &out);
    }
}

static void test_answers_by_argument(void **state)
{
    (void)state;
    static const struct {
        int nr;
        uint64_t argument;
        uint32_t answer;
    } cases[] = {
        { SYS_personality, 0, SCMP_ACT_ALLOW },
        { SYS_personality, 0xffffffff, SCMP_ACT_ALLOW },
        { SYS_personality, 0x1ffffffff, SCMP_ACT_ALLOW },     /* an unsigned int to the kernel */
        { SYS_personality, 0x40000, SCMP_ACT_ERRNO(ENOSYS) }, /* ADDR_NO_RANDOMIZE */
        { SYS_clone, 0x10000000, SCMP_ACT_ERRNO(EPERM) },
        { SYS_clone, 17, SCMP_ACT_ALLOW },
        { SYS_socket, 17, SCMP_ACT_ERRNO(EPERM) },
        { -1, 0, SCMP_ACT_ERRNO(ENOSYS) },
    };
    const struct seccomp_spec spec = { SECCOMP_PROFILE_DEFAULT, true, false };
    struct osa_error err = { 0 };
    OSA_AUTO(osa_buf_done) struct osa_buf out;
    osa_buf_init(&out, 1 << 20);
    assert_int_equal(seccomp_compile(&spec, &out, &err), OSA_OK);
    const struct sock_filter *code = (const void *)out.data;
    struct seccomp_data data = { .arch = seccomp_arch_native() };
    for (size_t i = 0; i < OSA_ARRAY_LEN(cases); i++) {
        data.nr = cases[i].nr;
        data.args[0] = cases[i].argument;
        assert_int_equal(run(code, out.len / sizeof(*code), &data), cases[i].answer);
    }
    data.nr = SYS_getpid;
    data.arch = SCMP_ARCH_X86;
    assert_int_equal(run(code, out.len / sizeof(*code), &data), SCMP_ACT_KILL_PROCESS);
#ifdef __x86_64__
    data.arch = seccomp_arch_native();
    data.nr = SYS_getpid | 0x40000000; /* x32 */
    assert_int_equal(run(code, out.len / sizeof(*code), &data), SCMP_ACT_KILL_PROCESS);
#endif
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
        cmocka_unit_test(test_answers_by_number),
        cmocka_unit_test(test_answers_by_argument),
        cmocka_unit_test(test_notifies_in_place_of_eperm),
        cmocka_unit_test(test_denials_in_words),
    };
    /* libseccomp refuses actions that the kernel lacks. No filter is loaded here, so that one without
     * seccomp at all, such as an emulator's, can do as well. */
    if (seccomp_api_get() < 5)
        (void)seccomp_api_set(5);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
