// SPDX-License-Identifier: Apache-2.0
/* A bearer token in a file: read with care, read again when the file changes, wiped when done. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

/**
 * struct rpc_token - In its owner's storage, which also locks it
 * @path: borrowed; NULL when there is none
 * @text: owned, NUL-terminated; NULL until read
 * @mtime, @inode, @size: of the file when it was read
 */
struct rpc_token {
    const char *path;
    char *text;
    size_t len;
    struct timespec mtime;
    ino_t inode;
    off_t size;
};

/** rpc_token_init() - @path may be NULL or empty, which means that there is no token; reads nothing */
void rpc_token_init(struct rpc_token *token, const char *path);

/**
 * rpc_token_read() - Read the file; on failure the token stays what it was
 * Space at the end is cut. Others must not be able to read it; root's file that one of our groups may
 * read counts as ours when we are not root, for so a Secret looks in a pod.
 * Return: OSA_OK; NOT_FOUND; FAILED_PRECONDITION (others may read the file, or it belongs to another
 * user); INVALID_ARGUMENT (not a file, too short, or not printable).
 */
OSA_MUST_CHECK enum osa_code rpc_token_read(struct rpc_token *token, struct osa_error *err);

/**
 * rpc_token_set() - Take a token that did not come from a file; the file is not looked at any more
 * Return: OSA_OK; INVALID_ARGUMENT as rpc_token_read(), with the token as it was.
 */
OSA_MUST_CHECK enum osa_code rpc_token_set(struct rpc_token *token, const char *text,
                                           struct osa_error *err);

/** rpc_token_changed() - Is the file another one than was read? A file that is missing has not changed */
bool rpc_token_changed(const struct rpc_token *token);

/** rpc_token_done() - Overwrite and free the text */
void rpc_token_done(struct rpc_token *token);
