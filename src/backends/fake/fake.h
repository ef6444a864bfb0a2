// SPDX-License-Identifier: Apache-2.0
/*
 * A backend for tests: sandboxes and processes that exist in memory alone and act out a script.
 * Everything is answered from the loop, later than the call, as real backends do.
 *
 * argv of a process is its script; argv[0] is a name and is not looked at, then each word is a step:
 *   out:TEXT err:TEXT   write TEXT            outn:N      write N bytes, 0 to 9 repeated
 *   sleep:MS            wait                  cat         copy stdin to stdout until its end
 *   exit:N              end with status N     signal:N    die of signal N
 *   oom                 die for want of memory
 *   hang                wait for ever         ignore:N    from the start, do not die of signal N
 *   hold                from now on a child in the background keeps the output open and outlives
 *                       the process
 *   fail:STAGE:ERRNO    the start fails (first step only)
 * A script that ends exits with 0. env:NAME writes the value of a variable, cwd the directory.
 */
#pragma once

#include "backends/backend.h"

/**
 * struct fake_options - How it behaves; all zero is a backend that can do everything
 * @kind:          PROCESS unless set
 * @lacks:         BACKEND_CAP_* bits that it does not have
 * @unavailable:   reason, or NULL
 * @create_error:  sandbox_create fails with this code, unless OSA_OK
 * @create_ns:     time that sandbox_create takes
 * @spawn_ns:      time that spawn takes
 * @stdin_bytes:   stdin buffered for a process that does not read; 4096 unless set
 */
struct fake_options {
    enum runtime_kind kind;
    uint32_t lacks;
    const char *unavailable;
    enum osa_code create_error;
    int64_t create_ns;
    int64_t spawn_ns;
    size_t stdin_bytes;
};

/** fake_backend_new() - Close with its ops->close */
struct backend *fake_backend_new(struct osa_loop *loop, const struct fake_options *options);

/** fake_backend_lose() - Its init dies: processes are lost, then the sandbox. False when there is none of that id */
bool fake_backend_lose(struct backend *backend, const char *sandbox_id);

/** fake_backend_deny() - Report a denial of @control in a sandbox. False when there is none of that id */
bool fake_backend_deny(struct backend *backend, const char *sandbox_id, const char *control,
                       const char *text);

/** fake_backend_sandboxes() - How many exist */
unsigned fake_backend_sandboxes(const struct backend *backend);

/** fake_backend_processes() - How many have not been freed */
unsigned fake_backend_processes(const struct backend *backend);
