// SPDX-License-Identifier: Apache-2.0
/* Any message as JSON, by its descriptor. */
#pragma once

#include "base/json.h"

#include <protobuf-c/protobuf-c.h>

/**
 * cli_message_json() - Write @message as one JSON value
 * The canonical mapping of proto3: lowerCamelCase names, 64-bit integers as strings, enums by name,
 * bytes in base64, Duration as "1.5s", Timestamp in RFC 3339. Fields without presence are always
 * written, also when they hold their default, so that programs need not guess.
 * Source: protobuf.dev, "ProtoJSON Format".
 */
void cli_message_json(struct osa_json *json, const ProtobufCMessage *message);
