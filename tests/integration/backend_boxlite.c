// SPDX-License-Identifier: Apache-2.0
/* The conformance suite over the BoxLite backend, with the helper in boxes of the double. */
#include "base/clock.h"
#include "base/log.h"
#include "integration/backend_conformance.h"
#include "integration/boxlite_fixture.h"

#include "cmocka_all.h"

#include <stdlib.h>
#include <unistd.h>

#define SH(script) ((const char *const[]){ "/bin/sh", "-c", script, NULL })

static const char *const missing[] = { "/no/such/program", NULL };

/* An argument is a pattern of the cases to run: a real server takes its time for each box. */
int main(int argc, char **argv)
{
    static struct boxlite_fixture fixture;
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
            [PROGRAM_SIZE] = SH("trap 'stty size; exit' WINCH; while :; do sleep 0.05; done"),
        },
        .min_isolation = ISOLATION_VM,
    };
    osa_log_setup(OSA_LOG_WARN, OSA_LOG_TEXT, STDERR_FILENO);
    if (getenv("OSA_BOXLITE_SERVE") != NULL)
        fixture_serve(&fixture);
    else
        fixture_start(&fixture, NULL, /* plain= */ false);
    conformance.loop = fixture.loop;
    conformance.backend = fixture.backend;
    conformance.patience_ns = !fixture_is_real(&fixture) ? 0 : 180 * OSA_NS_PER_SEC;
    conformance.share = fixture_is_real(&fixture);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = conformance_run("boxlite", &conformance);
    fixture_stop(&fixture);
    return failed;
}
