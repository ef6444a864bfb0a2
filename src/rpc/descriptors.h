// SPDX-License-Identifier: Apache-2.0
/*
 * A serialized google.protobuf.FileDescriptorSet, searched without unpacking it. Only the few field
 * numbers that a search needs are known here. Source: descriptor.proto of protobuf
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct rpc_file - One FileDescriptorProto; everything borrowed from the set
 * @name, @package: not NUL-terminated
 * @data, @len: the file itself, serialized
 */
struct rpc_file {
    const uint8_t *data;
    size_t len;
    const char *name;
    size_t name_len;
    const char *package;
    size_t package_len;
};

/** struct rpc_descriptors - The files of a set, in their order */
struct rpc_descriptors {
    struct rpc_file *files; /* owned */
    size_t count;
};

/**
 * rpc_descriptors_init() - List the files of a set
 * @set: borrowed for the life of the result; NULL for no files
 * Return: OSA_OK; INVALID_ARGUMENT when it is malformed.
 */
OSA_MUST_CHECK enum osa_code rpc_descriptors_init(struct rpc_descriptors *ret_descriptors,
                                                  const void *set, size_t len,
                                                  struct osa_error *err);

/** rpc_descriptors_done() - Free the list */
void rpc_descriptors_done(struct rpc_descriptors *descriptors);

/** rpc_descriptors_by_name() - Index of the file with that path; -1 when there is none */
ptrdiff_t rpc_descriptors_by_name(const struct rpc_descriptors *descriptors, const char *name,
                                  size_t len);

/**
 * rpc_descriptors_by_symbol() - Index of the file that defines a full name; -1 when none does
 * @symbol: a message, enum, service, method, field, oneof, enum value or extension; a leading dot is allowed
 */
ptrdiff_t rpc_descriptors_by_symbol(const struct rpc_descriptors *descriptors, const char *symbol);

/**
 * rpc_descriptors_closure() - A file and all that it imports, each once, the file first
 * @ret_indexes: room for descriptors->count
 * Return: how many
 */
size_t rpc_descriptors_closure(const struct rpc_descriptors *descriptors, size_t index,
                               size_t *ret_indexes);
