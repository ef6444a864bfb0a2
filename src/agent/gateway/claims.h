// SPDX-License-Identifier: Apache-2.0
/* What a JSON web token says of itself (RFC 7519). It is read, not judged: that is the gateway's business. */
#pragma once

#include <stdint.h>

struct json_t;

/** claims_read() - The claims of a token. Return: free with io_json_free(); NULL: there are none to be read */
struct json_t *claims_read(const char *token);

/** claims_expiry_ms() - Claim "exp", in ms since the epoch; 0: never, or not said */
int64_t claims_expiry_ms(const struct json_t *claims);
