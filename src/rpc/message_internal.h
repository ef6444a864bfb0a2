// SPDX-License-Identifier: Apache-2.0
/* The codec with an allocator of one's own, for src/rpc. */
#pragma once

#include "rpc/message.h"

/** rpc_message_unpack_in() - rpc_message_unpack() into @allocator, with which the result is freed; NULL is malloc */
OSA_MUST_CHECK enum osa_code
rpc_message_unpack_in(ProtobufCAllocator *allocator, const ProtobufCMessageDescriptor *type,
                      const struct rpc_scan_limits *limits, const uint8_t *data, size_t len,
                      ProtobufCMessage **ret_message, struct osa_error *err);
