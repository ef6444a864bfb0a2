// SPDX-License-Identifier: Apache-2.0
/* Copiers: short children of init that pack and unpack archives, confined like any process. */
#pragma once

#include "launcher/start.h"

/**
 * copy_start() - Start a copier
 * @sandbox:  of the sandbox that the caller is init of
 * @identity: of copiers that name no user
 * @packet:   its descriptors are the stream, the report (struct copy_report) and cgroup files; closed
 *            by the caller
 * @ret_report: filled unless 0 is returned
 * What fails after the fork, the confinement included, stands in the report. Return: 0, or -1 with
 * nothing left behind. Thread: init's.
 */
int copy_start(const struct sandbox_plan *sandbox, const struct identity *identity,
               const struct copy_plan *plan, const struct wire_packet *packet,
               struct started *ret_started, struct start_report *ret_report);
