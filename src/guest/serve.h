// SPDX-License-Identifier: Apache-2.0
/* The helper's side of the channel: one sandbox of a backend, driven by frames. */
#pragma once

#include "backends/backend.h"
#include "base/error.h"
#include "base/loop.h"

/**
 * guest_serve() - Serve frames until the end of input
 * @loop, @backend: borrowed; the backend has no sandbox
 * @in, @out: borrowed; made non-blocking
 * Whatever still runs at the end dies with the backend. Return: OSA_OK at the end of input, else INTERNAL.
 */
OSA_MUST_CHECK enum osa_code guest_serve(struct osa_loop *loop, struct backend *backend, int in,
                                         int out, struct osa_error *err);
