// SPDX-License-Identifier: Apache-2.0
/*
 * What the agent counts, as Prometheus reads it: the text format 0.0.4, names and units by its
 * conventions. Labels have few values, none of which a stranger chooses.
 */
#pragma once

#include "agent/agent.h"
#include "base/buf.h"
#include "rpc/server.h"

struct metrics;

/**
 * metrics_new() - Count from now on
 * @agent:   borrowed until metrics_free()
 * @service: its methods get labels of their own; others count as "other"
 * Return: NULL without memory.
 */
struct metrics *metrics_new(struct agent *agent, const struct rpc_service *service);

/** metrics_free() - NULL is fine */
void metrics_free(struct metrics *metrics);

/** metrics_call() - A call has ended or was refused; loop thread */
void metrics_call(struct metrics *metrics, const struct rpc_audit *record);

/** metrics_write() - Everything, in the text format */
void metrics_write(struct metrics *metrics, struct osa_buf *out);

/** METRICS_TYPE - The media type of what metrics_write() writes */
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
