// SPDX-License-Identifier: Apache-2.0
/*
 * The codec between raw bytes and protobuf-c messages. protobuf-c checks neither UTF-8 nor NUL, and
 * recurses without bound, so the bytes are scanned against the descriptor before it sees them.
 */
#pragma once

#include "base/error.h"

#include <protobuf-c/protobuf-c.h>

/**
 * struct rpc_scan_limits - Bounds of one message
 * @depth:    nesting of messages and groups; protobuf's own default elsewhere is 100, ours 64
 * @elements: fields and repeated elements in the whole message, packed ones counted singly
 */
struct rpc_scan_limits {
    uint32_t depth;
    uint32_t elements;
};

extern const struct rpc_scan_limits rpc_scan_default;

/**
 * rpc_message_scan() - Would protobuf-c unpack these bytes safely and without loss?
 * Checks the wire format, nesting, counts, UTF-8 of string fields, and that no string holds a NUL.
 * Return: OSA_OK; INVALID_ARGUMENT with the dotted field in err->field; RESOURCE_EXHAUSTED over a bound.
 */
OSA_MUST_CHECK enum osa_code rpc_message_scan(const ProtobufCMessageDescriptor *type,
                                              const struct rpc_scan_limits *limits,
                                              const uint8_t *data, size_t len,
                                              struct osa_error *err);

/**
 * rpc_message_unpack() - Scan, then unpack
 * @ret_message: returned (free with protobuf_c_message_free_unpacked(…, NULL))
 */
OSA_MUST_CHECK enum osa_code rpc_message_unpack(const ProtobufCMessageDescriptor *type,
                                                const struct rpc_scan_limits *limits,
                                                const uint8_t *data, size_t len,
                                                ProtobufCMessage **ret_message,
                                                struct osa_error *err);
