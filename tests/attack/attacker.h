// SPDX-License-Identifier: Apache-2.0
/*
 * The attacker: one static program that tries what a hostile workload would try.
 *
 * An attack is a number of attempts. Each runs in a child of its own, so that a filter that kills
 * ends the attempt alone, and gives one line: "allowed", "denied ERRNO" or "killed SIGNAL". None
 * does harm where it succeeds, for the positive control runs them as root on the host: calls that
 * would act get arguments that fail later than the check under test, and the late errno counts as
 * allowed.
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * attempt_fn - Try it
 * @arg: of the command line; NULL when none was given
 * Return: 0 when it worked or got past the check; -errno when it was refused.
 */
typedef int (*attempt_fn)(const char *arg);

/* @needs_arg: text for the usage when the attempt cannot be made without an argument. */
struct attempt {
    const char *name;
    attempt_fn run;
    const char *needs_arg;
};

/* Attack @id of the list of hostile inputs. The last attempt has no name. */
struct attack {
    unsigned id;
    const char *name;
    const struct attempt *attempts;
};

/* Tables of the files; each ends with an attack without a name. */
extern const struct attack attacks_on_kernel[];
extern const struct attack attacks_on_files[];
extern const struct attack attacks_on_processes[];

/**
 * passed() - What an attempt returns for the result of a system call
 * @result: of the call; errno as it left it
 * @late:   errno that says that the check under test let the call through; 0 for none
 */
static inline int passed(long result, int late)
{
    if (result >= 0 || (late != 0 && errno == late))
        return 0;
    return -errno;
}
