// SPDX-License-Identifier: Apache-2.0
/* The conformance suite over the process backend, at whatever level it reaches here. */
#include "backends/process/process.h"
#include "integration/backend_conformance.h"

#include "cmocka_all.h"

#define SH(script) ((const char *const[]){ "/bin/sh", "-c", script, NULL })

static const char *const missing[] = { "/no/such/program", NULL };

int main(void)
{
    struct osa_error err = { 0 };
    const struct process_backend_config config = { 0 };
    struct conformance conformance = {
        .programs = {
            [PROGRAM_EXIT_7] = SH("exit 7"),
            [PROGRAM_STREAMS] = SH("printf out; printf err >&2"),
            [PROGRAM_MUCH] = SH("head -c 1000000 /dev/zero"),
            [PROGRAM_CAT] = SH("exec cat"),
            [PROGRAM_HANG] = SH("exec sleep 1000"),
            [PROGRAM_STUBBORN] = SH("trap '' TERM; exec sleep 1000"),
            [PROGRAM_HOLDER] = SH("setsid sleep 1000 & exit 0"),
            [PROGRAM_FAMILY] = SH("(setsid sleep 1000 &) ; exec sleep 1000"),
            [PROGRAM_ENV] = SH("printf %s \"$CONFORMANCE\""),
            [PROGRAM_CWD] = SH("pwd"),
            [PROGRAM_MISSING] = missing,
            [PROGRAM_DIES] = SH("kill -SEGV $$"),
            [PROGRAM_SIZE] =
                SH("trap 'stty size; exit' WINCH; while :; do sleep 0.05; done"),
        },
        .min_isolation = ISOLATION_RESTRICTED,
    };
    if (process_backend_start_launcher(&err) != OSA_OK ||
        osa_loop_new(&conformance.loop, &err) != OSA_OK ||
        process_backend_open(conformance.loop, &config, &conformance.backend, &err) != OSA_OK) {
        print_error("%s\n", err.text);
        return 1;
    }
    const struct backend_info *info = conformance.backend->ops->info(conformance.backend);
    if (!info->available) {
        print_message("skipped: %s\n", info->reason);
        return 77;
    }
    int failed = conformance_run("process", &conformance);
    conformance.backend->ops->close(conformance.backend);
    osa_loop_free(conformance.loop);
    return failed;
}
