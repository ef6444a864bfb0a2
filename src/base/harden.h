// SPDX-License-Identifier: Apache-2.0
/* What a daemon that runs strangers' code does for itself at its start. */
#pragma once

#include "base/error.h"

/**
 * osa_harden_self() - No core dumps of this process, no ptrace, no reading of its /proc/PID/mem by its own user
 * Return: OSA_OK or INTERNAL. Source: prctl(2) PR_SET_DUMPABLE, setrlimit(2) RLIMIT_CORE
 */
OSA_MUST_CHECK enum osa_code osa_harden_self(struct osa_error *err);

/** osa_raise_nofile() - Soft limit of open files up to the hard one. Return: the limit in force; 0 when unknown */
unsigned long osa_raise_nofile(void);
