// SPDX-License-Identifier: Apache-2.0
/*
 * The tar format, one header at a time: ustar (POSIX.1-1988), its pax extension (POSIX.1-2001) and
 * the parts of GNU's dialect that are in use. Everything read is hostile.
 *
 * src/tar is compiled twice: into programs, and into the launcher, where it unpacks and packs inside
 * a sandbox. So it needs nothing but POSIX and a few files of base.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK 512u
/* Bytes of a path or link target; PATH_MAX of Linux without the NUL. */
#define TAR_PATH_MAX 4095u
/* Directories within each other. One descriptor is held for each, and 1024 may be open. */
#define TAR_DEPTH_MAX 256u
/* Bytes of an extended header. Paths need 10 KiB; the rest is for attributes, which are left out. */
#define TAR_EXTENDED_MAX (1u << 20)
/* What a directory or file may keep of its mode: no set-user-id, set-group-id or sticky bit. */
#define TAR_MODE_MASK 0777u

enum tar_type {
    TAR_FILE,
    TAR_HARD_LINK,
    TAR_SYMLINK,
    TAR_CHAR_DEVICE,
    TAR_BLOCK_DEVICE,
    TAR_DIRECTORY,
    TAR_FIFO,
};

/**
 * struct tar_entry - What stands in an archive before a file's data
 * @path:     as written, not checked for ".." and the like; borrowed
 * @link:     target of TAR_SYMLINK and TAR_HARD_LINK, else ""; borrowed
 * @mode:     permission bits, set-user-id and the like included
 * @mtime_ns: 0 to 999999999, to be added to @mtime_s
 * @size:     bytes of data that follow; 0 unless TAR_FILE
 */
struct tar_entry {
    enum tar_type type;
    const char *path;
    const char *link;
    uint32_t mode;
    uint64_t uid;
    uint64_t gid;
    int64_t mtime_s;
    uint32_t mtime_ns;
    uint64_t size;
};

/**
 * struct tar_header - A header block taken apart
 * @type: the type flag as it stands there
 * @path: prefix and name joined
 */
struct tar_header {
    char type;
    char path[155 + 1 + 100 + 1];
    char link[100 + 1];
    uint32_t mode;
    uint64_t uid;
    uint64_t gid;
    int64_t mtime_s;
    uint64_t size;
};

/** tar_block_is_zero() - Is it a block of the end mark? */
bool tar_block_is_zero(const uint8_t block[TAR_BLOCK]);

/**
 * tar_header_parse() - Take a header block apart
 * Return: OSA_OK; INVALID_ARGUMENT: wrong checksum, a number that is none, negative or too large.
 */
OSA_MUST_CHECK enum osa_code tar_header_parse(const uint8_t block[TAR_BLOCK],
                                              struct tar_header *ret, struct osa_error *err);

/**
 * tar_header_write() - Append the blocks that announce @entry: a pax header where ustar has no room,
 * then the ustar header. Directories' paths should end in '/'. Data is the caller's, and so is the
 * padding to TAR_BLOCK
 * @out: with a bound of at least 32 KiB more
 * Return: OSA_OK; INVALID_ARGUMENT: path or link over TAR_PATH_MAX; RESOURCE_EXHAUSTED.
 */
OSA_MUST_CHECK enum osa_code tar_header_write(const struct tar_entry *entry, struct osa_buf *out,
                                              struct osa_error *err);

/** tar_padding() - Zeros that follow @size bytes of data */
static inline uint32_t tar_padding(uint64_t size)
{
    return (uint32_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

/* Text for messages: a path may hold anything. */
#define TAR_QUOTED_SIZE 208

/**
 * tar_quote() - @path between quotes for a message: UTF-8 without control characters, cut in the
 * middle of nothing when too long
 * @ret: TAR_QUOTED_SIZE bytes
 * Return: @ret
 */
const char *tar_quote(const char *path, char *ret);

/**
 * tar_fail_path() - osa_fail() on a path, with the code that the errno implies for files of a user
 *
 * ENOENT → NOT_FOUND; EACCES, EPERM, EROFS → PERMISSION_DENIED; no space, quota, memory,
 * descriptors → RESOURCE_EXHAUSTED; names that cannot be → INVALID_ARGUMENT; what stands in the way,
 * such as ENOTDIR → FAILED_PRECONDITION; the rest INTERNAL.
 * Return: the code.
 */
enum osa_code tar_fail_path(struct osa_error *err, int sys_errno, const char *path,
                            const char *what);
