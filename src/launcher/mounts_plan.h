// SPDX-License-Identifier: Apache-2.0
/*
 * A mounts_spec as flat bytes: the agent writes it into the sandbox's plan, init reads it back.
 * Both ends are the same build, so that integers have the host's size and order.
 */
#pragma once

#include "base/buf.h"
#include "launcher/mounts.h"

/* As many as a policy has (256), the working directory, and what a level adds by itself. */
#define MOUNTS_PLAN_PATHS_MAX 320
#define MOUNTS_PLAN_HIDDEN_MAX 32

/**
 * struct mounts_plan - A parsed spec and the arrays that it points to; strings stay in the bytes
 */
struct mounts_plan {
    struct mounts_spec spec;
    struct mounts_path paths[MOUNTS_PLAN_PATHS_MAX];
    const char *hidden[MOUNTS_PLAN_HIDDEN_MAX + 1];
};

/**
 * mounts_plan_write() - Append @spec to @buf; root_fd is left out
 * Return: OSA_OK; RESOURCE_EXHAUSTED: too many paths, or @buf is full.
 */
OSA_MUST_CHECK enum osa_code mounts_plan_write(const struct mounts_spec *spec, struct osa_buf *buf,
                                               struct osa_error *err);

/**
 * mounts_plan_parse() - Read what mounts_plan_write() wrote; every length is checked
 * @data:     need not be aligned; borrowed by @ret_plan
 * @ret_plan: written on success; spec.root_fd is -1. Must not move afterwards
 * Return: false for bytes that are no plan.
 */
bool mounts_plan_parse(const void *data, size_t len, struct mounts_plan *ret_plan);
