// SPDX-License-Identifier: Apache-2.0
/* Between protobuf-c messages and C core's byte buffers and slices. */
#pragma once

#include "rpc/arena.h"
#include "rpc/message.h"

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>

/* Metadata with the trace context, as OpenTelemetry's propagators for gRPC name it. */
#define RPC_TRACE_PARENT "traceparent"
#define RPC_TRACE_STATE "tracestate"

/**
 * rpc_bytes_pack() - Pack into one slice of exactly the right size
 * Return: the buffer (free with grpc_byte_buffer_destroy); its length in *ret_len
 */
grpc_byte_buffer *rpc_bytes_pack(const ProtobufCMessage *message, size_t *ret_len);

/**
 * rpc_bytes_unpack() - Scan and unpack one received message into @arena
 * @bytes: borrowed; read in place when it is one slice
 * Return: as rpc_message_unpack(); UNIMPLEMENTED for compressed bytes, which are never inflated,
 * because their true size would be the sender's choice.
 */
OSA_MUST_CHECK enum osa_code rpc_bytes_unpack(const ProtobufCMessageDescriptor *type,
                                              grpc_byte_buffer *bytes, struct rpc_arena *arena,
                                              ProtobufCMessage **ret_message,
                                              struct osa_error *err);

/** rpc_metadata_find() - Index of the first element whose key is @key; -1 when there is none */
ptrdiff_t rpc_metadata_find(const grpc_metadata_array *array, const char *key);

/** rpc_slice_copy() - The bytes of @slice as text in @out, cut at @size and NUL-terminated */
void rpc_slice_copy(grpc_slice slice, char *out, size_t size);

/** rpc_bytes_pack_status() - google.rpc.Status of @err with @detail in it. Return: a slice (free with grpc_slice_unref) */
grpc_slice rpc_bytes_pack_status(const struct osa_error *err, const ProtobufCMessage *detail);
