// SPDX-License-Identifier: Apache-2.0
/* Base64 with padding, RFC 4648, section 4. */
#pragma once

#include "base/buf.h"

/** osa_base64_add() - Append @len bytes, encoded. Return: as osa_buf_add() */
bool osa_base64_add(struct osa_buf *out, const void *data, size_t len);
