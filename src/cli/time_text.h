// SPDX-License-Identifier: Apache-2.0
/* Times, sizes and other values as text for people and programs. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Bytes that each text below needs at most, the NUL included. */
#define CLI_TIME_SIZE 48

/** cli_duration_json() - protobuf's form: "1.5s", "-0.000000001s" */
void cli_duration_json(int64_t seconds, int32_t nanos, char *ret_text);

/** cli_timestamp_text() - RFC 3339 in UTC with 0, 3, 6 or 9 digits of fraction; "" outside years 1 to 9999 */
void cli_timestamp_text(int64_t seconds, int32_t nanos, char *ret_text);

/** cli_span_text() - A length of time for people, two units at most: "3.2s", "4m10s", "2h5m", "3d4h" */
void cli_span_text(int64_t ns, char *ret_text);

/** cli_bytes_text() - A size for people, three digits: "0", "512B", "1.5MiB", "12.0GiB" */
void cli_bytes_text(uint64_t bytes, char *ret_text);
