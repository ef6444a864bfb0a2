// SPDX-License-Identifier: Apache-2.0
/* The BoxLite backend: each sandbox is a microVM ("box") of a `boxlite serve`, driven over REST. */
#pragma once

#include "backends/backend.h"
#include "base/error.h"
#include "base/loop.h"

/**
 * struct boxlite_config - Choices of the agent; borrowed for the call
 * @url:       of the server: "http://localhost:8100"
 * @key_file:  file with the API key on its first line; NULL: none is sent
 * @serve:     path of `boxlite`: its server is started here, and @url and @key_file mean nothing;
 *             NULL: the server is somebody else's
 * @serve_user, @serve_env: as in struct server_config
 * @image:     image of a sandbox that names none
 * @state_dir: of the agent: boxes are named after it, so that the next agent with the same one finds
 *             and deletes those that a crash left behind
 * @wanted:    the server is expected to be there: its absence is a warning, and it is asked for until it
 *             comes; else it is asked for when somebody looks at the info
 * @plain:     no helper inside of the boxes: what the server's exec gives has to do
 * @start_timeout_ns: how long a box may take to start, the pull of its image included
 */
struct boxlite_config {
    const char *url;
    const char *key_file;
    const char *serve;
    const char *serve_user;
    const char *const *serve_env;
    const char *image;
    const char *state_dir;
    bool wanted;
    bool plain;
    int64_t start_timeout_ns;
};

/**
 * boxlite_backend_open() - The backend; begins to probe the server, and waits for nothing
 * @loop: borrowed; outlives the backend
 * @ret:  returned (close with its ops)
 * Until the first probe has ended, and while the server is away, info says that it is not available.
 * Return: OSA_OK; INVALID_ARGUMENT: URL or key; NOT_FOUND: no key file; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code boxlite_backend_open(struct osa_loop *loop,
                                                  const struct boxlite_config *config,
                                                  struct backend **ret, struct osa_error *err);

/** boxlite_backend_probed() - Has a probe ended, well or badly? */
bool boxlite_backend_probed(const struct backend *b);
