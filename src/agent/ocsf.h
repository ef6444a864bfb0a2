// SPDX-License-Identifier: Apache-2.0
/*
 * Decisions of the egress proxy as events of OCSF 1.8.0, one JSON object a line, in a file of the
 * operator's. Writing never waits: what the file does not take is counted, and told when it takes
 * something again.
 *
 * Threads: the loop thread.
 */
#pragma once

#include "base/error.h"

struct agent;
struct ocsf;

/**
 * ocsf_open() - Append to @path from now on; made with mode 0600
 * Return: OSA_OK; FAILED_PRECONDITION with the path when it cannot be written.
 */
OSA_MUST_CHECK enum osa_code ocsf_open(struct agent *agent, const char *path,
                                       struct ocsf **ret_ocsf, struct osa_error *err);

/** ocsf_close() - Before agent_free(). NULL is fine */
void ocsf_close(struct ocsf *ocsf);
