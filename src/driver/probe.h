// SPDX-License-Identifier: Apache-2.0
/* What agents can do on this host, asked of one that is started for that. */
#pragma once

#include "base/loop.h"
#include "driver/schedule.h"

/**
 * probe_host() - Start an agent, ask it, end it; runs the loop meanwhile
 * Before the driver serves. Nothing runs when it returns.
 * Return: OSA_OK; UNAVAILABLE: the agent ended or did not answer; its last words are in the text.
 */
OSA_MUST_CHECK enum osa_code probe_host(struct osa_loop *loop, const struct driver_config *config,
                                        struct host_report *ret_report, struct osa_error *err);
