// SPDX-License-Identifier: Apache-2.0
#include "cmocka_all.h"

#include "base/linux_host.h"

#include <sched.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static void agrees_with_the_kernel(void **state)
{
    (void)state;
    struct host_info info;
    struct utsname name;
    struct sysinfo memory;
    host_info_probe(&info);
    assert_int_equal(uname(&name), 0);
    assert_string_equal(info.kernel, name.release);
    assert_string_equal(info.machine, name.machine);
    assert_int_equal(sysinfo(&memory), 0);
    assert_int_equal(info.memory_bytes, (uint64_t)memory.totalram * memory.mem_unit);
}

static void counts_the_cpus_that_it_may_use(void **state)
{
    (void)state;
    struct host_info info;
    cpu_set_t all;
    cpu_set_t one;
    assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    host_info_probe(&info);
    assert_int_equal(info.cpus, CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++) {
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    }
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    host_info_probe(&info);
    assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
    assert_int_equal(info.cpus, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_kernel),
        cmocka_unit_test(counts_the_cpus_that_it_may_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
