// SPDX-License-Identifier: Apache-2.0
/*
 * A file or tree as a tar stream, made as it is read: memory does not grow with the tree.
 *
 * No symbolic link is followed below the given directory. Directories, files, symbolic and hard
 * links are packed; what else there is (devices, sockets, pipes) ends the packing with its name.
 */
#pragma once

#include "tar/format.h"

struct tar_pack;

/**
 * tar_pack_new() - Begin
 * @dir_fd: directory of @item; borrowed until freed
 * @item:   one component, or "COMPONENT/." for where a link leads, or "." for the directory itself
 * @name:   what it is called in the archive, without a slash; "." for contents alone
 * Return: NULL without memory. Nothing is opened yet.
 */
struct tar_pack *tar_pack_new(int dir_fd, const char *item, const char *name);

/**
 * tar_pack_open() - tar_pack_new() by a path of the caller's, which may lead through links
 * @path: not empty. A slash at its end asks for what a symbolic link leads to; else it is packed itself
 * @name: NULL: the path's last component; "." when that is none, as of "/" and ".."
 * Return: OSA_OK; as tar_fail_path(). That nothing is there is known at the first read.
 */
OSA_MUST_CHECK enum osa_code tar_pack_open(const char *path, const char *name,
                                           struct tar_pack **ret, struct osa_error *err);

/**
 * tar_pack_read() - The next bytes of the archive
 * @ret_len: 0: it is complete
 * Return: OSA_OK; as tar_fail_path(); FAILED_PRECONDITION: something that is not packed; ABORTED: a
 * file became shorter while it was read. The same error again after a failure.
 */
OSA_MUST_CHECK enum osa_code tar_pack_read(struct tar_pack *p, void *data, size_t size,
                                           size_t *ret_len, struct osa_error *err);

/** tar_pack_free() - Close everything. NULL is fine */
void tar_pack_free(struct tar_pack *p);
