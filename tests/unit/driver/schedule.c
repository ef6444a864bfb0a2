// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "driver/schedule.h"

#include <stdio.h>
#include <string.h>

static struct host_report host(void)
{
    struct host_report report = { .default_kind = RUNTIME_KIND_PROCESS,
                                  .cpus = 4,
                                  .memory_bytes = 8ull << 30 };
    report.kinds[RUNTIME_KIND_PROCESS].known = true;
    report.kinds[RUNTIME_KIND_PROCESS].available = true;
    report.kinds[RUNTIME_KIND_BOXLITE].known = true;
    (void)snprintf(report.kinds[RUNTIME_KIND_BOXLITE].reason, 16, "no server");
    return report;
}

static struct driver_spec spec(void)
{
    return (struct driver_spec){ .image = "host", .runtime_class = "" };
}

static enum osa_code place(const struct driver_config *config, const struct host_report *report,
                           const struct driver_spec *wanted, const struct resources *used,
                           struct placement *ret, struct osa_error *err)
{
    static const struct resources none;
    struct schedule *schedule = NULL;
    enum osa_code code = schedule_new(config, &schedule, err);
    if (code == OSA_OK)
        code = schedule_place(schedule, report, wanted, used != NULL ? used : &none, ret, err);
    schedule_free(schedule);
    return code;
}

static struct driver_config with_rules(const char *const *rules, size_t count)
{
    return (struct driver_config){ .rules = { rules, count } };
}

static void test_order_of_decisions(void **state)
{
    (void)state;
    static const char *const rules[] = { "label:tier=un* & memory>=1Gi -> boxlite",
                                         "image=*kata* -> boxlite", "class=light -> process" };
    struct driver_config config = with_rules(rules, 3);
    struct host_report report = host();
    struct driver_spec wanted = spec();
    struct placement placement;
    struct osa_error err = { 0 };
    struct driver_pair label = { "tier", "untrusted" };
    report.kinds[RUNTIME_KIND_BOXLITE].available = true;

    assert_int_equal(place(&config, &report, &wanted, NULL, &placement, &err), OSA_OK);
    assert_int_equal(placement.kind, RUNTIME_KIND_PROCESS);
    assert_string_equal(placement.why, "the agents' own choice");

    wanted.labels = &label;
    wanted.label_count = 1;
    assert_int_equal(place(&config, &report, &wanted, NULL, &placement, &err), OSA_OK);
    assert_int_equal(placement.kind, RUNTIME_KIND_PROCESS); /* both conditions must hold */
    wanted.limits.memory_bytes = 1ull << 30;
    assert_int_equal(place(&config, &report, &wanted, NULL, &placement, &err), OSA_OK);
    assert_int_equal(placement.kind, RUNTIME_KIND_BOXLITE);
    assert_string_equal(placement.why, "rule 1: label:tier=un* & memory>=1Gi -> boxlite");

    wanted.runtime = RUNTIME_KIND_PROCESS; /* what the user says wins */
    assert_int_equal(place(&config, &report, &wanted, NULL, &placement, &err), OSA_OK);
    assert_int_equal(placement.kind, RUNTIME_KIND_PROCESS);
    assert_string_equal(placement.why, "driver_config.runtime is process");

    wanted = spec();
    wanted.runtime_class = "light";
    assert_int_equal(place(&config, &report, &wanted, NULL, &placement, &err), OSA_OK);
    assert_string_equal(placement.why, "rule 3: class=light -> process");
    wanted.runtime_class = "boxlite";
    assert_int_equal(place(&config, &report, &wanted, NULL, &placement, &err), OSA_OK);
    assert_string_equal(placement.why, "runtime_class_name is boxlite");
    wanted.runtime_class = "kata";
    assert_int_equal(place(&config, &report, &wanted, NULL, &placement, &err),
                     OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "runtime_class_name 'kata' is neither process nor boxlite"));
}

static void test_no_silent_second_choice(void **state)
{
    (void)state;
    static const char *const one[] = { "* -> boxlite" };
    static const char *const two[] = { "* -> boxlite | process" };
    struct driver_config config = with_rules(one, 1);
    struct host_report report = host();
    struct driver_spec wanted = spec();
    struct placement placement;
    struct osa_error err = { 0 };
    assert_int_equal(place(&config, &report, &wanted, NULL, &placement, &err),
                     OSA_FAILED_PRECONDITION);
    assert_string_equal(err.text, "no runtime for this sandbox (rule 1: * -> boxlite): boxlite: no "
                                  "server");
    config = with_rules(two, 1);
    assert_int_equal(place(&config, &report, &wanted, NULL, &placement, &err), OSA_OK);
    assert_int_equal(placement.kind, RUNTIME_KIND_PROCESS);
    report.kinds[RUNTIME_KIND_BOXLITE].known = false;
    wanted.runtime = RUNTIME_KIND_BOXLITE;
    assert_int_equal(place(&config, &report, &wanted, NULL, &placement, &err),
                     OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "boxlite: agents of this build do not have it"));
}

static void test_room(void **state)
{
    (void)state;
    struct driver_config config = { .capacity = { .cpu_millis = 2000,
                                                  .memory_bytes = 4ull << 30 } };
    struct host_report report = host();
    struct driver_spec wanted = spec();
    struct resources used = { .cpu_millis = 1500, .memory_bytes = 1ull << 30 };
    struct placement placement;
    struct osa_error err = { 0 };
    wanted.limits.cpu_millis = 500;
    wanted.limits.memory_bytes = 3ull << 30;
    assert_int_equal(place(&config, &report, &wanted, &used, &placement, &err), OSA_OK);
    wanted.limits.cpu_millis = 501;
    assert_int_equal(place(&config, &report, &wanted, &used, &placement, &err),
                     OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "no room: 501m CPUs are asked for and 500m are left"));
    wanted.requests.cpu_millis = 100; /* what counts is what it insists on */
    assert_int_equal(place(&config, &report, &wanted, &used, &placement, &err), OSA_OK);
    wanted.limits.memory_bytes++;
    assert_int_equal(place(&config, &report, &wanted, &used, &placement, &err),
                     OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "of memory are asked for and 3Gi are left"));
    config.capacity = (struct resources){ 0 };
    assert_int_equal(place(&config, &report, &wanted, &used, &placement, &err), OSA_OK);
    wanted.requests.cpu_millis = 4001;
    assert_int_equal(place(&config, &report, &wanted, &used, &placement, &err),
                     OSA_FAILED_PRECONDITION);
    assert_non_null(strstr(err.text, "4001m CPUs are asked for and 4 are left"));
}

static void test_rules_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        const char *text;
    } bad[] = {
        { "boxlite", "rule 1: 'boxlite' has no '->'" },
        { "* -> docker", "rule 1: 'docker' is neither process nor boxlite" },
        { "* -> auto", "rule 1: 'auto' is neither process nor boxlite" },
        { "* ->", "rule 1: '' is neither process nor boxlite" },
        { "* -> process | boxlite | process | process", "rule 1: names a kind twice" },
        { "colour=red -> process", "rule 1: 'colour=' is no condition" },
        { "label:=x -> process", "rule 1: 'label:=' is no condition" },
        { "image -> process", "rule 1: 'image' is no condition" },
        { "cpu>=many -> process", "rule 1: 'many'" },
        { "* & * & * & * & * & * & * & * & * -> process", "has more than 8 conditions" },
    };
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        struct driver_config config = with_rules(&bad[i].rule, 1);
        struct schedule *schedule = NULL;
        struct osa_error err = { 0 };
        assert_int_equal(schedule_new(&config, &schedule, &err), OSA_INVALID_ARGUMENT);
        if (strstr(err.text, bad[i].text) == NULL)
            fail_msg("'%s' does not hold '%s'", err.text, bad[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_decisions),
        cmocka_unit_test(test_no_silent_second_choice),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_rules_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
