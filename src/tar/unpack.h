// SPDX-License-Identifier: Apache-2.0
/*
 * A tar stream unpacked below a directory, whatever the archive says and whoever changes the tree
 * meanwhile.
 *
 * Every path is walked from the directory's descriptor, one component at a time, and no symbolic
 * link is followed on the way: neither one that the archive brought nor one that was there. Absolute
 * paths and ".." are refused. What stands in a file's place is removed, never written through.
 *
 * Files, directories, symbolic and hard links are made, with their permission bits and time.
 * Devices, sockets and the like are refused by name. Owners and attributes are not taken over. A
 * directory that was there keeps its mode and time.
 */
#pragma once

#include "tar/format.h"

struct tar_unpack;

/**
 * struct tar_unpack_options - How to unpack
 * @dir_fd: the directory; borrowed, O_PATH will do
 * @mask:   permission bits that nothing gets, as umask(2)
 * @rename: NULL; else the archive has to hold one tree, whose top gets this name, without a slash.
 *          Borrowed
 * @inner_links: leave out symbolic links whose target may lie outside of the directory
 * @left_out: called for each of those; NULL is fine
 */
struct tar_unpack_options {
    int dir_fd;
    uint32_t mask;
    const char *rename;
    bool inner_links;
    void (*left_out)(void *ctx, const char *path, const char *target);
    void *ctx;
};

/** tar_unpack_new() - Begin. Return: NULL without memory or descriptors */
struct tar_unpack *tar_unpack_new(const struct tar_unpack_options *options);

/**
 * tar_unpack_feed() - The next bytes of the archive
 * A file that fails half-way is removed again; what was whole stays, and the message tells how many
 * entries that was.
 * Return: OSA_OK; as tar_reader_feed() and tar_fail_path(). The same error again after a failure.
 */
OSA_MUST_CHECK enum osa_code tar_unpack_feed(struct tar_unpack *u, const void *data, size_t len,
                                             struct osa_error *err);

/** tar_unpack_finish() - The archive has ended: give directories their modes and times. Return: as tar_unpack_feed() */
OSA_MUST_CHECK enum osa_code tar_unpack_finish(struct tar_unpack *u, struct osa_error *err);

/** tar_unpack_entries() - How many were unpacked whole */
uint64_t tar_unpack_entries(const struct tar_unpack *u);

/** tar_unpack_free() - Remove a file that is half there, close everything. NULL is fine */
void tar_unpack_free(struct tar_unpack *u);
