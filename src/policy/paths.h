// SPDX-License-Identifier: Apache-2.0
/* The files of a sandbox, as its mounts and its Landlock rules both read them. */
#pragma once

#include "policy/document.h"

/**
 * struct policy_path - One path that a sandbox may use
 * @path:     absolute; text of the document, of the caller's workdir, or a constant
 * @writable: may be changed as well
 * @optional: not from the document: left out without a word where it does not exist
 */
struct policy_path {
    const char *path;
    bool writable;
    bool optional;
};

/**
 * policy_paths() - The paths that a document means
 * @workdir: absolute; writable when the document includes it; borrowed
 * @gpu:     adds what GPU runtimes need, and makes /proc writable
 * @ret_paths: returned (free with free); its text lives as long as @doc and @workdir
 *
 * Beside what is listed: a document without a filesystem section gets the lists of
 * policy_document_default(), for with the working directory alone nothing could be executed; one
 * with network rules gets upstream's proxy baseline. A path that is listed twice is writable if one
 * of them says so; what is added never makes a listed path writable, but for /proc with @gpu.
 * Return: OSA_OK; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code policy_paths(const struct policy_document *doc, const char *workdir,
                                          bool gpu, struct policy_path **ret_paths,
                                          size_t *ret_count, struct osa_error *err);
