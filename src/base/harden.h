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

/**
 * osa_trim_memory() - Give back what only the start needed: free heap, and code and constants of the program's file
 * They are unmapped, not lost: what is needed again comes from the page cache by a fault. Most of gRPC core
 * runs once or never, and yet its pages would count as ours for as long as the program lives.
 */
void osa_trim_memory(void);
