// SPDX-License-Identifier: Apache-2.0
/* Specs of the agent as plans of the launcher. */
#pragma once

#include "backends/backend.h"
#include "base/buf.h"
#include "launcher/plan.h"

/** struct plan_builder - A plan under construction; @buf holds it when a plan_build_… succeeded */
struct plan_builder {
    struct osa_buf buf;
};

/**
 * plan_build_sandbox() - struct sandbox_plan from a spec
 * @isolation: what shall be in force
 * @ret: initialised here; plan_builder_done() in any case
 * Return: OSA_OK; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code plan_build_sandbox(struct plan_builder *ret,
                                                const struct sandbox_spec *spec,
                                                const struct isolation *isolation,
                                                struct osa_error *err);

/**
 * plan_build_launch() - struct launch_plan from a spec
 * @keeper:     with a keeper
 * @cgroup_fds: how many come along
 * Return: as plan_build_sandbox(); INVALID_ARGUMENT: more than PLAN_MAX_RLIMITS limits.
 */
OSA_MUST_CHECK enum osa_code plan_build_launch(struct plan_builder *ret,
                                               const struct process_spec *spec, bool keeper,
                                               uint32_t cgroup_fds, struct osa_error *err);

/** plan_builder_done() - Free the plan */
void plan_builder_done(struct plan_builder *builder);
