// SPDX-License-Identifier: Apache-2.0
/* The conformance suite over the fake backend: with everything, and with as little as can be. */
#include "backends/fake/fake.h"
#include "integration/backend_conformance.h"

#include "cmocka_all.h"

#define ARGV(...) ((const char *const[]){ "fake", __VA_ARGS__, NULL })

static int run(const char *name, const struct fake_options *options)
{
    struct conformance conformance = {
        .programs = {
            [PROGRAM_EXIT_7] = ARGV("exit:7"),
            [PROGRAM_STREAMS] = ARGV("out:out", "err:err"),
            [PROGRAM_MUCH] = ARGV("outn:1000000"),
            [PROGRAM_CAT] = ARGV("cat"),
            [PROGRAM_HANG] = ARGV("hang"),
            [PROGRAM_STUBBORN] = ARGV("ignore:15", "hang"),
            [PROGRAM_HOLDER] = ARGV("hold", "exit:0"),
            [PROGRAM_FAMILY] = ARGV("hold", "hang"),
            [PROGRAM_ENV] = ARGV("env:CONFORMANCE"),
            [PROGRAM_CWD] = ARGV("cwd"),
            [PROGRAM_MISSING] = ARGV("fail:exec:2"),
            [PROGRAM_DIES] = ARGV("signal:11"),
            [PROGRAM_SIZE] = ARGV("hang"),
        },
        .min_isolation = ISOLATION_RESTRICTED,
    };
    if (osa_loop_new(&conformance.loop, NULL) != OSA_OK)
        return 1;
    conformance.backend = fake_backend_new(conformance.loop, options);
    int failed = conformance_run(name, &conformance);
    unsigned left =
        fake_backend_sandboxes(conformance.backend) + fake_backend_processes(conformance.backend);
    if (left > 0)
        print_error("%u sandboxes and processes are left\n", left);
    conformance.backend->ops->close(conformance.backend);
    osa_loop_free(conformance.loop);
    return failed + (left > 0);
}

int main(void)
{
    const struct fake_options all = { 0 };
    const struct fake_options little = { .lacks = (1u << BACKEND_CAP_COUNT) - 1 };
    return run("fake", &all) + run("fake, bare", &little);
}
