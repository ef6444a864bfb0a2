// SPDX-License-Identifier: Apache-2.0
/* Landlock plans: what each ABI gets, what is refused, and that broken bytes are noticed. */
#include "backends/process/landlock_plan.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <string.h>

static const struct policy_path some_paths[] = {
    { "/usr", false, false },
    { "/tmp", true, false },
    { "/maybe", false, true },
};

struct compiled {
    enum osa_code code;
    struct osa_buf plan;
    struct osa_buf degraded;
    struct osa_error err;
};

static struct compiled compile(struct landlock_spec spec)
{
    struct compiled c = { 0 };
    spec.paths = some_paths;
    spec.path_count = OSA_ARRAY_LEN(some_paths);
    osa_buf_init(&c.plan, LANDLOCK_PLAN_MAX_BYTES);
    osa_buf_init(&c.degraded, 512);
    c.code = landlock_compile(&spec, &c.plan, &c.degraded, &c.err);
    return c;
}

static void done(struct compiled *c)
{
    osa_buf_done(&c->plan);
    osa_buf_done(&c->degraded);
}

static void test_abi_decides_rights(void **state)
{
    (void)state;
    static const struct {
        uint32_t abi;
        uint64_t fs;
        uint64_t scoped;
    } expect[] = {
        { 1, 0x1fff, 0 }, { 2, 0x3fff, 0 }, { 3, 0x7fff, 0 }, { 4, 0x7fff, 0 },  { 5, 0xffff, 0 },
        { 6, 0xffff, 3 }, { 7, 0xffff, 3 }, { 8, 0xffff, 3 }, { 9, 0x1ffff, 3 }, { 99, 0x1ffff, 3 },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(expect); i++) {
        struct compiled c = compile((struct landlock_spec){ .abi = expect[i].abi, .log = true });
        assert_int_equal(c.code, OSA_OK);
        const struct landlock_plan *plan = landlock_plan_check(c.plan.data, c.plan.len);
        assert_non_null(plan);
        assert_int_equal(plan->handled_fs, expect[i].fs);
        assert_int_equal(plan->scoped, expect[i].scoped);
        assert_int_equal(plan->handled_net, 0);
        assert_int_equal(plan->restrict_flags, expect[i].abi >= 7 ? 3 : 0);
        assert_int_equal(plan->abi, OSA_MIN(expect[i].abi, 9u));
        assert_int_equal(c.degraded.len == 0, expect[i].abi >= 9);
        if (expect[i].abi == 8)
            assert_string_equal(c.degraded.data, "Landlock of this kernel (ABI 8) does not control "
                                                 "Unix sockets that have a path");
        done(&c);
        c = compile((struct landlock_spec){ .abi = expect[i].abi, .private_root = true });
        assert_int_equal(c.degraded.len == 0, expect[i].abi >= 6);
        done(&c);
    }
}

static const struct landlock_path_rule *find_rule(const struct landlock_plan *plan,
                                                  const char *path)
{
    const struct landlock_path_rule *rules = (const struct landlock_path_rule *)(plan + 1);
    for (uint32_t i = 0; i < plan->path_count; i++)
        if (strcmp((const char *)plan + rules[i].path, path) == 0)
            return &rules[i];
    return NULL;
}

static void test_rules(void **state)
{
    (void)state;
    struct compiled c =
        compile((struct landlock_spec){ .abi = 7, .hard = true, .private_root = true });
    const struct landlock_plan *plan = landlock_plan_check(c.plan.data, c.plan.len);
    assert_int_equal(find_rule(plan, "/usr")->access, 0xd);
    assert_int_equal(find_rule(plan, "/usr")->flags, LANDLOCK_RULE_REQUIRED);
    assert_int_equal(find_rule(plan, "/tmp")->access, 0xffff);
    assert_int_equal(find_rule(plan, "/maybe")->flags, LANDLOCK_RULE_SILENT);
    assert_int_equal(find_rule(plan, "/dev/null")->access, 0xffff);
    assert_int_equal(find_rule(plan, "/dev/urandom")->access, 0xd);
    assert_non_null(find_rule(plan, "/dev/shm"));
    done(&c);

    c = compile((struct landlock_spec){ .abi = 7 });
    plan = landlock_plan_check(c.plan.data, c.plan.len);
    assert_int_equal(find_rule(plan, "/usr")->flags, 0);
    assert_null(find_rule(plan, "/dev/shm"));
    assert_null(find_rule(plan, "/dev/pts"));
    assert_non_null(find_rule(plan, "/dev/tty"));
    done(&c);
}

static void test_ports(void **state)
{
    (void)state;
    static const uint16_t ports[] = { 3128 };
    struct landlock_spec spec = { .abi = 4,
                                  .tcp = LANDLOCK_TCP_CLOSED,
                                  .need_tcp = true,
                                  .connect_ports = ports,
                                  .connect_port_count = 1 };
    struct compiled c = compile(spec);
    assert_int_equal(c.code, OSA_OK);
    const struct landlock_plan *plan = landlock_plan_check(c.plan.data, c.plan.len);
    assert_int_equal(plan->handled_net, 3);
    assert_int_equal(plan->port_count, 1);
    done(&c);

    spec.abi = 3;
    c = compile(spec);
    assert_int_equal(c.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(c.err.stage, "landlock");
    assert_string_equal(c.err.text,
                        "Landlock of this kernel (ABI 3) cannot hold TCP ports, which takes ABI 4 "
                        "(Linux 6.7), and nothing else would hold them here");
    done(&c);

    spec.need_tcp = false;
    c = compile(spec);
    assert_int_equal(c.code, OSA_OK);
    assert_int_equal(((struct landlock_plan *)(void *)c.plan.data)->handled_net, 0);
    done(&c);
}

static void test_no_landlock(void **state)
{
    (void)state;
    struct compiled c = compile((struct landlock_spec){ .private_root = true, .hard = true });
    assert_int_equal(c.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(c.err.text,
                        "this kernel has no Landlock, which the policy's hard_requirement needs; "
                        "enable it (boot with lsm=landlock,…) or write best_effort");
    done(&c);

    c = compile((struct landlock_spec){ .private_root = false });
    assert_int_equal(c.code, OSA_FAILED_PRECONDITION);
    assert_string_equal(c.err.stage, "landlock");
    done(&c);

    c = compile((struct landlock_spec){ .private_root = true });
    assert_int_equal(c.code, OSA_OK);
    assert_int_equal(c.plan.len, 0);
    assert_string_equal(c.degraded.data, "Landlock is missing in this kernel: mounts alone hold "
                                         "the filesystem policy");
    assert_int_equal(c.degraded.len, strlen(c.degraded.data) + 1);
    done(&c);

    c = compile((struct landlock_spec){ .opted_out = true });
    assert_int_equal(c.code, OSA_OK);
    assert_string_equal(c.degraded.data, "Landlock is missing in this kernel: nothing holds the "
                                         "filesystem policy, which the policy accepts by "
                                         "best_effort");
    done(&c);
}

/* Any one byte of the head changed either leaves a plan that is safe to walk, or is noticed. */
static void test_broken_plans(void **state)
{
    (void)state;
    struct compiled c = compile((struct landlock_spec){ .abi = 7 });
    char *copy = malloc(c.plan.len);
    assert_non_null(copy);
    for (size_t len = 0; len < c.plan.len; len++)
        assert_null(landlock_plan_check(c.plan.data, len));
    for (size_t i = 0; i < sizeof(struct landlock_plan) + 16; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, c.plan.data, c.plan.len);
            copy[i] = (char)(copy[i] ^ (1 << bit));
            const struct landlock_plan *plan = landlock_plan_check(copy, c.plan.len);
            if (plan == NULL)
                continue;
            const struct landlock_path_rule *rules = (const struct landlock_path_rule *)(plan + 1);
            for (uint32_t k = 0; k < plan->path_count; k++)
                assert_true(strlen(copy + rules[k].path) < c.plan.len);
        }
    memcpy(copy, c.plan.data, c.plan.len);
    copy[c.plan.len - 1] = 'x'; /* the last text loses its end */
    assert_null(landlock_plan_check(copy, c.plan.len));
    free(copy);
    done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_abi_decides_rights),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_no_landlock),
        cmocka_unit_test(test_broken_plans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
